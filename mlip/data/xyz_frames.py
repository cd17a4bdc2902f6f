"""The frames of an xyz file as lines of text: count, comment, one line per atom."""

from __future__ import annotations

import lzma
import zlib
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mlip.archives import open_text

DIGITS = 18  # of a number of atoms; Python refuses to read thousands of them
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


class XYZFrame(NamedTuple):
    """One frame of n atoms."""

    line: int  # of the count in the file, from 1; the atoms start two lines below
    comment: str
    atoms: list[str]  # n lines


def read_frames(path: Path) -> list[XYZFrame]:
    """All frames of the file; lines `VEC1` to `VEC3` behind the atoms are passed over.

    Raises:
        ValueError: a frame is cut short, or a line that should hold a number of atoms does not.
    """
    try:
        with open_text(path, "utf-8") as file:
            lines = file.read().split("\n")
    except (UnicodeDecodeError, *DAMAGED) as error:
        raise ValueError(f"{path}: not a text file, or damaged ({error}). Check data.format") from error
    while lines and not lines[-1].strip():
        lines.pop()
    frames: list[XYZFrame] = []
    place = 0
    while place < len(lines):
        count = _count(path, place + 1, lines[place])
        end = place + 2 + count
        if end > len(lines):
            raise ValueError(
                f"{path.name}#{len(frames)}: cut short; line {place + 1} says {count} atoms, but only "
                f"{max(0, len(lines) - place - 2)} follow. Copy the file again, or remove this structure"
            )
        frames.append(XYZFrame(place + 1, lines[place + 1], lines[place + 2 : end]))
        place = end
        while place < len(lines) and lines[place].startswith("VEC"):
            place += 1
    if not frames:
        raise ValueError(f"{path}: holds nothing but blank lines; expected structures")
    return frames


def require_whole_frames(path: Path) -> None:
    """See that no count is above the lines that follow, of a file as long as one likes; ASE counts on to 10¹².

    Raises:
        ValueError: a frame is cut short, or a line that should hold a number of atoms does not.
    """
    try:
        with open_text(path, "utf-8") as file:
            line = 0
            for text in file:
                line += 1
                if text.startswith("VEC"):
                    continue
                if not text.strip():  # ASE stops here as well
                    return
                count = _count(path, line, text)
                follow = sum(1 for _ in islice(file, count + 1))
                if follow < count + 1:
                    raise ValueError(
                        f"{path}: cut short; line {line} says {count} atoms, but only {max(0, follow - 1)} follow. "
                        "Copy the file again, or remove this structure"
                    )
                line += follow
    except (UnicodeDecodeError, *DAMAGED) as error:
        raise ValueError(f"{path}: not a text file, or damaged ({error})") from error


def _count(path: Path, line: int, text: str) -> int:
    if not text.strip().isdecimal() or len(text.strip()) > DIGITS or int(text) < 1:
        what = f"'{text.strip()[:60]}'" if text.strip() else "blank"
        raise ValueError(
            f"{path}: line {line} is {what}; expected the number of atoms of the next structure. "
            "Mend the line, or check data.format"
        )
    return int(text)
