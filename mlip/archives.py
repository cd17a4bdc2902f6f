"""Compressed files and arrays that claim to be larger than they can be: found out before memory is made for them.

A file of a hundred bytes can say that it holds a terabyte, and ten megabytes of zeros unpack to ten gigabytes. Data of
this field are numbers that hardly repeat themselves, and compress to a third at best.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
UNPACKING = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    SyntaxError,
    TypeError,
    TokenError,  # NumPy tries to mend headers
)
ALWAYS = 64 << 20  # bytes that any file may unpack to
TIMES = 30  # how many times its own size a larger one may; text of coordinates takes 2 to 6


def allowed(size: int) -> int:
    """How many bytes a file of so many bytes may hold."""
    return max(ALWAYS, TIMES * size)


def require_possible(path: Path, claimed: int, stored: int) -> None:
    """See that what a file or a part of it says of its size is believable.

    Raises:
        ValueError: it unpacks to much more than data do.
    """
    if claimed > allowed(stored):
        raise ValueError(
            f"{path}: {stored} bytes that claim to hold {claimed}; data do not compress to less than 1/{TIMES}. "
            "The file is damaged or made to fill the memory. Copy it again, or save it uncompressed"
        )


def open_text(path: Path, encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    """A text file, compressed (.gz, .bz2, .xz) or not, that raises a ValueError where it unpacks to too much."""
    if path.suffix not in OPENERS:
        return path.open(encoding=encoding, errors=errors)
    inner = OPENERS[path.suffix](path, mode="rb")
    return io.TextIOWrapper(io.BufferedReader(_Within(path, inner), 1 << 20), encoding=encoding, errors=errors)


def require_honest_zip(path: Path) -> None:
    """See that a zip file does not unpack to too much, and that the arrays (.npy) in it are as large as they say.

    Raises:
        ValueError: a size is not believable, or an array is no plain array.
        zipfile.BadZipFile: it is no zip file.
    """
    with zipfile.ZipFile(path) as archive:
        require_possible(path, sum(item.file_size for item in archive.infolist()), path.stat().st_size)
        for item in archive.infolist():
            if item.filename.endswith(".npy"):
                try:
                    _require_honest_array(path, archive, item)
                except UNPACKING as error:
                    name = item.filename[:-4]
                    raise ValueError(f"{path}: array '{name}' cannot be read ({error}). Copy the file again") from error


def _require_honest_array(path: Path, archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> None:
    with archive.open(item) as member:
        version = np.lib.format.read_magic(member)
        if version not in _HEADERS:
            raise ValueError(
                f"{path}: array '{item.filename[:-4]}' has the version {version} of its format; expected 1 or 2"
            )
        shape, _, dtype = _HEADERS[version](member)
        claimed, held = math.prod(shape) * dtype.itemsize, item.file_size - member.tell()
    if dtype.hasobject:
        raise ValueError(
            f"{path}: array '{item.filename[:-4]}' cannot be read: it holds Python objects, and these may be code; "
            "expected plain numbers. Save the array with a numeric dtype"
        )
    if min(shape, default=0) < 0 or claimed != held:
        raise ValueError(
            f"{path}: array '{item.filename[:-4]}' cannot be read: its shape {shape} of {dtype} takes {claimed} bytes, "
            f"and {held} are there. Copy the file again"
        )


_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class _Within(io.RawIOBase):
    """What an unpacker gives, up to the size that is allowed."""

    def __init__(self, path: Path, inner: Any) -> None:
        self._path, self._inner = path, inner
        self._size, self._read = path.stat().st_size, 0

    def readable(self) -> bool:
        """True: this is its only use."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; the number of bytes."""
        content = self._inner.read(len(buffer))
        self._read += len(content)
        require_possible(self._path, self._read, self._size)
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file as well."""
        self._inner.close()
        super().close()
