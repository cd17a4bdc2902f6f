"""Files that are whole or not there: also after a kill, a full disk or a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_whole(path: Path, content: bytes | str, previous: Path | None = None) -> None:
    """Replace a file by one that is safely on disk; until then the old one stays, and afterwards as `previous`.

    Raises:
        ValueError: the disk is full or cannot be written; the old file is as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with writing(path, "What was there before is kept as it was. "), partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            partial.unlink()  # it takes room that a full disk lacks
        raise
    with writing(path):
        if previous is not None and path.exists():
            path.replace(previous)
        partial.replace(path)
        _sync_folder(path.parent)


def sync(path: Path) -> None:
    """Wait until all that was written to a file is on disk.

    Raises:
        ValueError: the disk is full or cannot be written.
    """
    with writing(path), path.open("ab") as file:
        os.fsync(file.fileno())


@contextmanager
def writing(path: Path, kept: str = "") -> Iterator[None]:
    """Say which file it was that could not be written; `kept` is what became of the old one.

    Raises:
        ValueError: an operation of the file system fails within.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be written ({error.strerror or error}). {kept}Make room or see to the permissions"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Have the new name on disk as well."""
    with suppress(OSError):  # some network file systems refuse it, and write names at once
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
