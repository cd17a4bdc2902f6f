"""Arrays in an HDF5 file that are used where they lie, for Jacobians that do not fit into memory."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

ALIGNMENT = 4096  # bytes; arrays begin on a page


class ArrayFile:
    """An HDF5 file with one uncompressed array for each name, mapped into memory.

    The system reads and forgets pages as needed. The space is reserved at once, so that it cannot run out later.

    Raises:
        ValueError: the disk has no room for the arrays, or the file cannot be written.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> None:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        places = {}
        size = sum(int(np.prod(shape)) for shape in shapes.values()) * dtype.itemsize
        try:
            with h5py.File(path, "w", alignment_threshold=1, alignment_interval=ALIGNMENT) as file:
                for name, shape in shapes.items():
                    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype)
                    places[name] = h5py.h5d.create(file.id, name.encode(), kind, space, layout).get_offset()
            self._file = os.open(path, os.O_RDWR)
            weakref.finalize(self, os.close, self._file)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file, 0, max(1, path.stat().st_size))
        except OSError as error:
            path.unlink(missing_ok=True)
            raise ValueError(
                f"{path}: cannot keep {size / 1e9:.2f} GB of features there ({error.strerror or error}). "
                "Make room, choose another run.dir, or set training.cache=off"
            ) from error
        self.arrays: dict[str, np.ndarray] = {
            name: np.memmap(path, dtype, "r+", places[name], shape) if np.prod(shape) else np.empty(shape, dtype)
            for name, shape in shapes.items()
        }
        self._places = places

    def read_ahead(self, name: str, first: int, last: int) -> None:
        """Tell the system that rows first to last of an array will be read soon; it then does so in the background."""
        if first < last and hasattr(os, "posix_fadvise"):
            row = self.arrays[name][0].nbytes
            place = self._places[name] + first * row
            os.posix_fadvise(self._file, place, (last - first) * row, os.POSIX_FADV_WILLNEED)
