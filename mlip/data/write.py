"""From structures back to ASE and to extxyz files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict

from mlip.archives import OPENERS
from mlip.data.file_units import FileUnits
from mlip.data.paths import whole_file
from mlip.elements import symbol
from mlip.structure import Structure

RESERVED = {*all_properties, "Lattice", "Properties", "pbc"}


def to_atoms(structure: Structure) -> ase.Atoms:
    """The structure as ASE's atoms, its labels as results of a calculator (eV, Å, eV/Å³), its info kept.

    Raises:
        ValueError: an info entry has a name that is reserved for a label or for the cell.
    """
    _check_names(structure)
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
    """Write structures with their labels to an extxyz file that gives back every number exactly.

    Raises:
        ValueError: there is nothing to write, or an info entry has a reserved name.
    """
    path = Path(path)
    if not structures:
        raise ValueError(f"{path}: no structures to write")
    with whole_file(path) as partial:
        write(partial, structures, FileUnits())


def write(path: Path, structures: Iterable[Structure], units: FileUnits) -> None:
    """Write extxyz frames in eV and Å, as ASE defines the format; `.gz`, `.bz2` and `.xz` are compressed.

    Raises:
        ValueError: an info entry has a reserved name.
    """
    assert units == FileUnits(), "extxyz is always in eV and Å"
    with OPENERS.get(path.suffix, Path.open)(path, mode="wt", encoding="utf-8", newline="\n") as file:
        for structure in structures:
            file.write(_frame(structure))


def _frame(structure: Structure) -> str:
    _check_names(structure)
    head = []
    if structure.cell.any():
        head.append(f'Lattice="{_numbers(structure.cell)}"')
    head.append("Properties=species:S:1:pos:R:3" + ("" if structure.forces is None else ":forces:R:3"))
    head += [_entry(key, value) for key, value in structure.info.items()]
    if structure.energy is not None:
        head.append(f"energy={float(structure.energy)!r}")
    if structure.stress is not None:
        head.append(f'stress="{_numbers(structure.stress)}"')  # symmetric, so the order of rows does not matter
    head.append(f'pbc="{" ".join("FT"[int(periodic)] for periodic in structure.pbc)}"')
    columns = [structure.positions] if structure.forces is None else [structure.positions, structure.forces]
    lines = [
        f"{symbol(number):2} {' '.join(map(repr, row))}"
        for number, row in zip(structure.numbers.tolist(), np.hstack(columns).tolist(), strict=True)
    ]
    return "\n".join([str(len(structure)), " ".join(head), *lines]) + "\n"


def _numbers(matrix: np.ndarray) -> str:
    return " ".join(map(repr, matrix.astype(np.float64).ravel().tolist()))


def _entry(key: str, value: Any) -> str:
    """key=value; as JSON where a text would be read back as something else, or would break the line."""
    text = key_val_dict_to_str({key: value})
    if isinstance(value, str) and not _comes_back(text, key, value):
        escaped = f"_JSON {json.dumps(value)}".replace("\\", "\\\\").replace('"', '\\"')
        text = f'{key_val_dict_to_str({key: 0}).removesuffix("0")}"{escaped}"'
    return text


def _comes_back(text: str, key: str, value: str) -> bool:
    if "\n" in text or "\r" in text:
        return False
    found = key_val_str_to_dict(text).get(key)
    return isinstance(found, str) and found == value


def _check_names(structure: Structure) -> None:
    clash = sorted(RESERVED & set(structure.info))
    if clash:
        raise ValueError(f"{structure.origin}: info holds '{clash[0]}', a reserved name. Rename or remove the entry")
