"""Words and numbers of the format's text files, with the place that a message names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mlip.elements import symbol
from mlip.structure import CHEMICAL_ELEMENTS

SYMBOLS = {symbol(number): number for number in range(1, CHEMICAL_ELEMENTS + 1)}


class Line(NamedTuple):
    """The words of a line without its comment."""

    words: tuple[str, ...]
    place: str  # "folder/input.nn, line 7", for messages

    def real(self, column: int, name: str) -> float:
        """The number in a column (from 0); Fortran's exponents, as in 1.0D+00, count.

        Raises:
            ValueError: there is no such column, or no finite number in it.
        """
        word = self.word(column, name)
        try:
            value = float(word.replace("D", "E").replace("d", "e"))
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or "_" in word:
            raise ValueError(f"{self.place}: {name} is '{word}'; expected a finite number in column {column + 1}")
        return value

    def whole(self, column: int, name: str) -> int:
        """The whole number in a column.

        Raises:
            ValueError: there is no such column, or no whole number in it.
        """
        word = self.word(column, name)
        if not (word.removeprefix("-").isdecimal() and word.isascii() and len(word) <= 18):
            raise ValueError(f"{self.place}: {name} is '{word}'; expected a whole number in column {column + 1}")
        return int(word)

    def word(self, column: int, name: str) -> str:
        """The word in a column.

        Raises:
            ValueError: there is no such column.
        """
        if column >= len(self.words):
            found = f"'{' '.join(self.words)}'" if self.words else "nothing"
            raise ValueError(f"{self.place}: no {name}; found {found}, expected it in column {column + 1}")
        return self.words[column]

    def element(self, column: int, known: tuple[int, ...] | None = None) -> int:
        """The atomic number of the symbol in a column.

        Raises:
            ValueError: there is no such column, no such element, or none of the known.
        """
        word = self.word(column, "element")
        number = SYMBOLS.get(word)
        if number is None:
            raise ValueError(f"{self.place}: '{word}' is no chemical symbol; expected one such as H or Si")
        if known is not None and number not in known:
            raise ValueError(f"{self.place}: {word} is not in 'elements'. Add it there, or take this line out")
        return number

    def nothing_after(self, columns: int) -> None:
        """See that no numbers stand behind what the line has to say; n2p2 passes over further words.

        Raises:
            ValueError: there is one.
        """
        for column, word in enumerate(self.words[columns:], columns):
            try:
                float(word)
            except ValueError:
                continue
            raise ValueError(
                f"{self.place}: '{word}' in column {column + 1} has no meaning here; expected {columns} columns. "
                "Take it out, or put a # before a comment"
            )


def read_lines(path: Path, comments: str) -> Iterator[Line]:
    """The lines of a file that say something; any of the characters in `comments` begins a comment.

    Raises:
        ValueError: there is no such file, or it is no text.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; a potential of RuNNer or n2p2 is a folder that has it")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        text = path.read_text(encoding="latin-1")  # an old comment with an accent
    if "\0" in text:
        raise ValueError(f"{path}: not a text file. Copy it again")
    for number, line in enumerate(text.splitlines(), 1):
        for character in comments:
            line = line.partition(character)[0]
        if words := tuple(line.split()):
            yield Line(words, f"{path}, line {number}")


def header(title: str, columns: Sequence[tuple[int, str, str]]) -> str:
    """The comment at the top of a file, from widths, names and meanings of its columns, as n2p2 writes it."""
    rule = "#" * 80
    longest = max(len(name) for _, name, _ in columns)
    meanings = [f"# {n:<4d} {name:<{longest}} {text}" for n, (_, name, text) in enumerate(columns, 1)]
    widths = [columns[0][0] - 2, *(width for width, _, _ in columns[1:])]  # of the first, "# " is a part
    numbers = "# " + " ".join(f"{n:>{width}d}" for n, width in enumerate(widths, 1))
    names = "# " + " ".join(f"{name[:width]:>{width}}" for width, (_, name, _) in zip(widths, columns, strict=True))
    whole = "#" * len(names)
    lines = [rule, f"# {title}", rule, f"# Col  {'Name':<{longest}} Description", rule, *meanings]
    return "\n".join([*lines, max(rule, whole), numbers, names, whole]) + "\n"
