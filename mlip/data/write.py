"""From structures back to ASE and to extxyz files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator

from mlip.structure import Structure

RESERVED = {*all_properties, "Lattice", "Properties", "pbc"}


def to_atoms(structure: Structure) -> ase.Atoms:
    """The structure as ASE's atoms, its labels as results of a calculator (eV, Å, eV/Å³), its info kept.

    Raises:
        ValueError: an info entry has a name that is reserved for a label or for the cell.
    """
    clash = sorted(RESERVED & set(structure.info))
    if clash:
        raise ValueError(f"{structure.origin}: info holds '{clash[0]}', a reserved name. Rename or remove the entry")
    atoms = ase.Atoms(
        numbers=structure.numbers,
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
        info=dict(structure.info),
    )
    labels: dict[str, float | np.ndarray] = {}
    if structure.energy is not None:
        labels["energy"] = structure.energy
    if structure.forces is not None:
        labels["forces"] = structure.forces
    if structure.stress is not None:
        labels["stress"] = structure.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]  # Voigt: xx, yy, zz, yz, xz, xy
    if labels:
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def write_extxyz(path: str | Path, structures: Sequence[Structure]) -> None:
    """Write structures with their labels to an extxyz file; positions and forces keep eight decimals.

    Raises:
        ValueError: there is nothing to write, or an info entry has a reserved name.
    """
    if not structures:
        raise ValueError(f"{path}: no structures to write")
    ase.io.write(str(Path(path).absolute()), [to_atoms(structure) for structure in structures], format="extxyz")
