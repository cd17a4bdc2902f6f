"""The file of a store: arrays of a data set, one behind the other, divided into chunks of structures with checksums.

All of HDF5 is written when the file is made, so that it is a whole HDF5 file ever after; the arrays are then filled
where they lie, chunk by chunk, by one process or several. A chunk counts once its checksums are there.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
import zlib
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

FORMAT, VERSION = "mlip store", 1
ALIGNMENT = 4096  # bytes; arrays begin on a page
NOT_WRITTEN = -1  # instead of a checksum


class Quantity(NamedTuple):
    """One array of a store: rows of which kind it has, and what a row is."""

    rows: str  # "structure", "atom", "pair", or the rows of a Jacobian
    dtype: str
    shape: tuple[int, ...] = ()


# Of all structures, in eV and Å; NaN where there is no label. Pairs are counted within their structure.
STRUCTURES = {
    "numbers": Quantity("atom", "u1"),
    "positions": Quantity("atom", "f8", (3,)),
    "forces": Quantity("atom", "f8", (3,)),
    "energy": Quantity("structure", "f8"),
    "stress": Quantity("structure", "f8", (3, 3)),
    "cell": Quantity("structure", "f8", (3, 3)),
    "pbc": Quantity("structure", "u1", (3,)),
    "pairs": Quantity("pair", "i4", (2,)),
    "shifts": Quantity("pair", "i2", (3,)),
}


class StoreFile:
    """A store that exists, open for reading and, where `writable`, for chunks to be filled in.

    `plan` says what it was made from, `starts` where each structure's rows of each kind begin (S+1,).

    Raises:
        ValueError: it is no store, or one of another version.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        try:
            with h5py.File(path, "r", locking=False) as file:
                if file.attrs.get("format") != FORMAT:
                    raise ValueError(f"{path}: not a store; expected a file that `mlip prepare` wrote")
                if file.attrs["version"] != VERSION:
                    raise ValueError(
                        f"{path}: version {file.attrs['version']} of the format; this mlip reads version {VERSION}. "
                        "Make the store again: mlip prepare"
                    )
                self.plan: dict[str, Any] = json.loads(file.attrs["plan"])
                self.quantities = {
                    name: Quantity(rows, dtype, tuple(shape)) for name, (rows, dtype, shape) in self.plan["arrays"]
                }
                self.starts = {name: item[()] for name, item in file["starts"].items()}
                self._places = {name: file[name].id.get_offset() or 0 for name in self.quantities}
                self._marks = file["checksums"].id.get_offset()
                self._checksums = file["checksums"][()]
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"{path}: not an HDF5 file, or damaged ({error}). Make it again: mlip prepare") from error
        self._file = path.open("r+b" if writable else "rb", buffering=0)
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._verified = np.zeros(self._checksums.shape, dtype=bool)

    def __len__(self) -> int:
        return len(self.starts["atom"]) - 1

    def __enter__(self) -> StoreFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return len(self._checksums)

    def structures_of(self, chunk: int) -> tuple[int, int]:
        """First structure of a chunk, and the one behind its last."""
        size = self.plan["chunk"]
        return chunk * size, min((chunk + 1) * size, len(self))

    def unwritten(self) -> list[int]:
        """Chunks that are not there yet."""
        return np.flatnonzero((self._checksums == NOT_WRITTEN).any(axis=1)).tolist()

    def fingerprint(self) -> bytes:
        """What changes with any number in the store."""
        return self._checksums.tobytes()

    def require_whole(self) -> None:
        """See that all chunks were written.

        Raises:
            ValueError: the preparation was not finished.
        """
        missing = self.unwritten()
        if missing:
            raise ValueError(
                f"{self.path}: incomplete, {len(missing)} of {self.chunks} chunks are missing. "
                "Go on with the same mlip prepare that began it"
            )

    def rows(self, name: str, first: int, last: int) -> tuple[int, int]:
        """Where the rows of structures first to last are in an array."""
        kind = self.quantities[name].rows
        if kind == "structure":
            return first, last
        return int(self.starts[kind][first]), int(self.starts[kind][last])

    def read(self, name: str, first: int, last: int, out: np.ndarray | None = None) -> np.ndarray:
        """An array's rows of structures first to last, not compared with checksums; into `out` if given."""
        begin, end = self.rows(name, first, last)
        quantity = self.quantities[name]
        if out is None:
            out = np.empty((end - begin, *quantity.shape), quantity.dtype)
        place = self._places[name] + begin * _row_bytes(quantity)
        view, filled = _bytes_of(out), 0
        with self._lock:
            self._file.seek(place)
            while filled < len(view):
                count = self._file.readinto(view[filled:])
                if not count:
                    raise ValueError(f"{self.path}: the file ends too early. Copy it again, or repair it: mlip prepare")
                filled += count
        return out

    def read_chunk(self, name: str, chunk: int, out: np.ndarray | None = None) -> np.ndarray:
        """An array's rows of a chunk, compared with its checksum the first time; into `out` if given.

        Raises:
            ValueError: the chunk is damaged or was not written.
        """
        first, last = self.structures_of(chunk)
        found = self.read(name, first, last, out)
        column = list(self.quantities).index(name)
        if not self._verified[chunk, column]:
            if _checksum(found) != self._checksums[chunk, column]:
                raise ValueError(
                    f"{self.path}: chunk {chunk} (structures {first} to {last - 1}) is damaged, the checksum of its "
                    f"{name} does not fit. Repair it with the same mlip prepare that made it: only damaged chunks are "
                    "made again"
                )
            self._verified[chunk, column] = True
        return found

    def is_good(self, chunk: int) -> bool:
        """Whether a chunk is there with all its checksums right."""
        if (self._checksums[chunk] == NOT_WRITTEN).any():
            return False
        try:
            for name in self.quantities:
                self.read_chunk(name, chunk)
        except ValueError:
            return False
        return True

    def write_chunk(self, chunk: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Fill in a chunk; it counts when all of it was written.

        Raises:
            ValueError: the disk is full or cannot be written; chunks that are there stay.
        """
        first, last = self.structures_of(chunk)
        checksums = np.full(len(self.quantities), NOT_WRITTEN, dtype=np.int64)
        mark = self._marks + chunk * checksums.nbytes
        try:
            self._write(mark, checksums)
            for column, (name, quantity) in enumerate(self.quantities.items()):
                begin, end = self.rows(name, first, last)
                array = np.ascontiguousarray(arrays[name], dtype=quantity.dtype)
                assert array.shape == (end - begin, *quantity.shape), name
                self._write(self._places[name] + begin * _row_bytes(quantity), array)
                checksums[column] = _checksum(array)
            self._write(mark, checksums)
        except OSError as error:
            raise ValueError(
                f"{self.path}: chunk {chunk} (structures {first} to {last - 1}) cannot be written "
                f"({error.strerror or error}). Make room; the same command then goes on, whole chunks are kept"
            ) from error
        self._checksums[chunk] = checksums

    def _write(self, place: int, array: np.ndarray) -> None:
        view = _bytes_of(array)
        self._file.seek(place)
        while len(view):
            view = view[self._file.write(view) :]

    def flush(self) -> None:
        """Have everything that was written put on the disk."""
        os.fsync(self._file.fileno())


def create_store(
    path: Path, plan: Mapping[str, Any], starts: Mapping[str, np.ndarray], quantities: Mapping[str, Quantity]
) -> None:
    """Make a store with room for everything and nothing in it; the space is reserved at once.

    `plan` has the structures of a chunk as "chunk".

    Raises:
        ValueError: the disk has no room for it, or the file cannot be written.
    """
    structures = len(starts["atom"]) - 1
    chunks = -(-structures // plan["chunk"])
    arrays = [(name, tuple(quantity)) for name, quantity in quantities.items()]
    partial = path.with_name(f"partial.{path.name}")
    size = sum(_rows(quantity, starts) * _row_bytes(quantity) for quantity in quantities.values())
    try:
        with h5py.File(partial, "w", alignment_threshold=1, alignment_interval=ALIGNMENT) as file:
            file.attrs.update(format=FORMAT, version=VERSION, plan=json.dumps({**plan, "arrays": arrays}))
            for name, start in starts.items():
                file[f"starts/{name}"] = start
            file["checksums"] = np.full((chunks, len(quantities)), NOT_WRITTEN, dtype=np.int64)
            for name, quantity in quantities.items():
                _reserve(file, name, (_rows(quantity, starts), *quantity.shape), np.dtype(quantity.dtype))
        if hasattr(os, "posix_fallocate"):
            with partial.open("r+b") as raw:
                os.posix_fallocate(raw.fileno(), 0, partial.stat().st_size)
        partial.replace(path)
    except OSError as error:
        raise ValueError(
            f"{path}: cannot write a store of {size / 1e9:.2f} GB there ({error.strerror or error}). "
            "Make room, or choose another file (--output)"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _reserve(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """An array without its numbers, in one piece."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(dtype), h5py.h5s.create_simple(shape), layout)


def is_store(path: Path) -> bool:
    """Whether a file is a store, of whatever version."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return bool(file.attrs.get("format") == FORMAT)
    except OSError:
        return False


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """What is not the same in two plans, in words: ours first."""
    found = []
    for name in names:
        a, b = ours.get(name), theirs.get(name)
        if a == b:
            continue
        if name == "functions" and a and b and len(a) == len(b):
            place, (one, other) = next((n, pair) for n, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1])
            found.append(f"symmetry function {place} is {one} instead of {other}")
        elif isinstance(a, list) and isinstance(b, list) and len(a) > 8:
            found.append(f"{len(a)} {name} instead of {len(b)}")
        else:
            short = [f"{len(x)} of them" if isinstance(x, list) and len(x) > 8 else x for x in (a, b)]
            found.append(f"{name} {short[0]} instead of {short[1]}")
    return found


def starts_of(counts: np.ndarray) -> np.ndarray:
    """Where each of several parts of these sizes begins, and the end."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def portions(places: np.ndarray, size: int) -> list[tuple[int, np.ndarray]]:
    """Ascending places of structures by the chunk they are in."""
    chunk = places // size
    cuts = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(places)]
    return [(int(chunk[a]), places[a:b]) for a, b in pairwise(cuts) if a < b]


def _rows(quantity: Quantity, starts: Mapping[str, np.ndarray]) -> int:
    return len(starts["atom"]) - 1 if quantity.rows == "structure" else int(starts[quantity.rows][-1])


def _row_bytes(quantity: Quantity) -> int:
    return int(np.prod(quantity.shape, dtype=np.int64)) * np.dtype(quantity.dtype).itemsize


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(_bytes_of(array))


def _bytes_of(array: np.ndarray) -> memoryview:
    """The bytes of a contiguous array where they lie, also of one that is empty."""
    return array.reshape(-1).view(np.uint8).data
