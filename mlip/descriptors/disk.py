"""Arrays in a file that are used where they lie: on a disk, or in memory that several processes share."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np

ALIGNMENT = 4096  # bytes; arrays begin on a page


class ArrayFile:
    """An open file with one array for each name, mapped into memory; processes that open the same have the same arrays.

    The system reads and forgets pages of a disk as needed.
    """

    def __init__(self, file: int, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> None:
        self._file = file
        weakref.finalize(self, os.close, file)
        memory = mmap.mmap(file, bytes_of(shapes, dtype))
        self.arrays: dict[str, np.ndarray] = {}
        self._places: dict[str, int] = {}
        for name, (place, count) in _places(shapes, dtype).items():
            self.arrays[name] = np.frombuffer(memory, dtype, count, place).reshape(shapes[name])
            self._places[name] = place

    def read_ahead(self, name: str, first: int, last: int) -> None:
        """Tell the system that rows first to last of an array will be read soon; it then does so in the background."""
        if first < last and hasattr(os, "posix_fadvise"):
            row = self.arrays[name][0].nbytes
            place = self._places[name] + first * row
            os.posix_fadvise(self._file, place, (last - first) * row, os.POSIX_FADV_WILLNEED)


def bytes_of(shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> int:
    """Size of the file of these arrays."""
    return max([1, *(place + count * dtype.itemsize for place, count in _places(shapes, dtype).values())])


def file_on_disk(path: Path, size: int) -> int:
    """A new file, open, with its space reserved, so that it cannot run out later.

    Raises:
        ValueError: the disk has no room for it, or it cannot be written.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.truncate(file, size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file, 0, size)
        except OSError:
            os.close(file)
            raise
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ValueError(
            f"{path}: cannot keep {size / 1e9:.2f} GB of features there ({error.strerror or error}). "
            "Make room, choose another run.dir, or set training.cache=off"
        ) from error
    return file


def file_in_memory(size: int) -> int:
    """A new file that lies in memory and has no name, open; it is gone with the last process that has it, even killed.

    Pages are taken when they are first written, by the process that does.

    Raises:
        OSError: the system has no such files.
    """
    if not hasattr(os, "memfd_create"):
        raise OSError("files without a name, in memory, are Linux's")
    file = os.memfd_create("mlip features")
    os.truncate(file, size)
    return file


def _places(shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> dict[str, tuple[int, int]]:
    """Where each array begins in the file (bytes), and its number of elements."""
    found, filled = {}, 0
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        found[name] = filled, count
        filled += -(-count * dtype.itemsize // ALIGNMENT) * ALIGNMENT
    return found
