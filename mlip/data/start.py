"""The structure that dynamics starts from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from mlip.data.paths import existing_file
from mlip.data.xyz_frames import require_whole_frames
from mlip.structure import Structure

if TYPE_CHECKING:
    from ase import Atoms


FARTHEST = 1e9  # Å; float64 does not resolve distances there


def read_start(path: str | Path) -> Atoms:
    """The last frame of any file that ASE reads.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, an empty file, or nothing that ASE reads; or it has no atoms,
            an unknown element, a number that is not finite, or a periodic direction without a lattice vector.
    """
    from ase import Atoms
    from ase.io import read
    from ase.io.formats import filetype

    file = existing_file(path)
    name = str(file.absolute())
    try:
        kind = filetype(name)
        if kind == "extxyz":
            require_whole_frames(file)
        atoms = cast(Atoms, read(name, format=kind, do_not_split_by_at_sign=True))
    except Exception as error:  # ASE's readers raise whatever comes up
        raise ValueError(
            f"{file}: ASE cannot read it ({type(error).__name__}: {error}). Give a structure file"
        ) from error
    Structure(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, origin=str(file))
    if np.abs(atoms.positions).max() > FARTHEST:
        raise ValueError(f"{file}: positions hold numbers above {FARTHEST:g} Å. Mend the structure")
    return atoms
