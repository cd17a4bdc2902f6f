"""Files that a user names, and what to say when they are not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def existing_file(path: str | Path) -> Path:
    """The path, if it leads to a file with something in it.

    Raises:
        FileNotFoundError: there is no such file; the message lists files of that folder with close names.
        ValueError: it is a folder, an empty file, or a name that no file can have.
    """
    path = Path(path)
    try:
        folder, there = path.is_dir(), path.exists()
    except OSError as error:  # a name that is too long
        raise ValueError(f"{path}: {error.strerror}; expected the name of a file") from error
    if folder:
        raise ValueError(f"{path}: this is a folder; expected a file")
    if not there:
        raise FileNotFoundError(_missing(path))
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty. Copy or download it again")
    return path


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"{path}: no such file; the folder {path.parent} does not exist either"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    close = difflib.get_close_matches(path.name, names, n=5, cutoff=0.5)
    nearby = f"files with close names there: {', '.join(close)}" if close else "no file there has a close name"
    return f"{path}: no such file; {nearby}"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to that becomes `path` at the end; after an error nothing is left of it."""
    partial = path.with_name(f"partial.{path.name}")  # the ending may ask for compression
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
