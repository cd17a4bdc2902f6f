"""ANI-style HDF5: one group for each molecule, with elements, coordinates and labels of all its geometries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
from ase.symbols import Symbols

from mlip.data.file_units import FileUnits
from mlip.structure import Structure


def write(path: Path, structures: Iterable[Structure], units: FileUnits) -> None:
    """Write molecules; a missing label is NaN, `index` holds the place of each geometry among all structures.

    The attributes `e_unit` and `r_unit` state the units, as MD17 files do.
    """
    molecules: dict[bytes, list[tuple[int, Structure]]] = {}
    for place, structure in enumerate(structures):
        molecules.setdefault(structure.numbers.astype(np.uint8).tobytes(), []).append((place, structure))
    with h5py.File(path, "w") as file:
        file.attrs["e_unit"], file.attrs["r_unit"] = units
        formulas: Counter[str] = Counter()
        for members in molecules.values():
            formula = Symbols(members[0][1].numbers).get_chemical_formula("hill")
            formulas[formula] += 1  # the same atoms may stand in another order
            name = f"{formula}_{formulas[formula]}" if formulas[formula] > 1 else formula
            _write_molecule(file.create_group(name), members, units)


def _write_molecule(group: h5py.Group, members: Sequence[tuple[int, Structure]], units: FileUnits) -> None:
    numbers, factors = members[0][1].numbers, units.factors()
    group["atomic_numbers"] = numbers.astype(np.uint8)
    group["index"] = np.array([place for place, _ in members])
    group["coordinates"] = np.stack([structure.positions for _, structure in members]) / factors.length
    energies = [np.nan if structure.energy is None else structure.energy for _, structure in members]
    if not np.isnan(energies).all():
        group["energies"] = np.array(energies) / factors.energy
    if any(structure.forces is not None for _, structure in members):
        missing = np.full((len(numbers), 3), np.nan)
        forces = [missing if structure.forces is None else structure.forces for _, structure in members]
        group["forces"] = np.stack(forces) / factors.forces
