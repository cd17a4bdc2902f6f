"""Arrays of an npz file by name, never unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib.npyio import NpzFile

from mlip.archives import require_honest_zip
from mlip.data.conformers import Conformers
from mlip.data.labels import find_key, listing
from mlip.data.options import ReadOptions

# What NumPy and zipfile raise; a header that is no Python makes the last three.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    SyntaxError,
    TypeError,
    TokenError,
)


def npz_keys(path: Path) -> list[str]:
    """Names of the arrays in the file.

    Raises:
        ValueError: the file is not an npz file, or is cut short.
    """
    with _open(path) as file:
        return list(file.files)


def load_npz(path: Path, keys: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of these names.

    Raises:
        ValueError: the file is not an npz file, or an array is damaged or holds Python objects.
    """
    arrays = {}
    with _open(path) as file:
        for key in keys:
            try:
                arrays[key] = file[key]
            except UNREADABLE as error:
                raise ValueError(
                    f"{path}: array '{key}' cannot be read ({error}); expected plain numbers. "
                    "Copy the file again, or save the array with a numeric dtype"
                ) from error
    return arrays


def load_conformers(
    path: Path, options: ReadOptions, numbers: str, positions: str, energies: str, forces: str
) -> Conformers:
    """The one molecule of the file; the last four arguments are the keys of its format, labels may be missing.

    Raises:
        ValueError: an array is missing or damaged, or has the wrong shape or type.
    """
    file, present = path.name, npz_keys(path)
    missing = [key for key in (positions, numbers) if key not in present]
    if missing:
        raise ValueError(f"{file}: no array {listing(missing)}; found {listing(present)}. Check data.format")
    possible = dict.fromkeys(present, file)
    energy_key = find_key(file, "energy", options.energy_key, [energies], present, possible)
    forces_key = find_key(file, "forces", options.forces_key, [forces], present, possible)
    arrays = load_npz(path, {positions, numbers, *filter(None, (energy_key, forces_key))})
    return Conformers(
        origin=file,
        keys={
            "numbers": numbers,
            "positions": positions,
            "energies": energy_key or energies,
            "forces": forces_key or forces,
        },
        numbers=arrays[numbers],
        positions=arrays[positions],
        energies=arrays[energy_key] if energy_key else None,
        forces=arrays[forces_key] if forces_key else None,
    )


@contextmanager
def _open(path: Path) -> Iterator[NpzFile]:
    cure = "Copy or download the file again, or check data.format"
    with path.open("rb") as handle:  # NumPy leaves a file that it opened itself open when it fails
        try:
            if zipfile.is_zipfile(handle):
                require_honest_zip(path)
            handle.seek(0)
            file = np.load(handle, allow_pickle=False)
        except UNREADABLE as error:
            raise ValueError(f"{path}: not an npz file, or cut short ({error}). {cure}") from error
        if not isinstance(file, NpzFile):
            raise ValueError(f"{path}: holds a single array; expected an npz file with named arrays. {cure}")
        yield file
