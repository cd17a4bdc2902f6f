"""MD17 files: one molecule as npz with `z`, `R`, `E`, `F` and the units they are in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mlip.data.file_units import FileUnits
from mlip.structure import Structure


def write(path: Path, structures: Iterable[Structure], units: FileUnits) -> None:
    """Write geometries of one molecule; a label that all of them lack is left out, as `save.obstacle` has checked."""
    factors = units.factors()
    held = list(structures)
    arrays: dict[str, Any] = {
        "e_unit": units.energy,
        "r_unit": units.length,
        "z": held[0].numbers.astype(np.uint8),
        "R": np.stack([structure.positions for structure in held]) / factors.length,
    }
    if held[0].energy is not None:
        arrays["E"] = np.array([structure.energy for structure in held], dtype=np.float64) / factors.energy
    forces = [structure.forces for structure in held if structure.forces is not None]
    if forces:
        arrays["F"] = np.stack(forces) / factors.forces
    with path.open("wb") as file:
        np.savez(file, **arrays)
