"""MD17 and sGDML files: npz with `z`, `R` and, where known, `E` and `F`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlip.data.labels import listing
from mlip.data.npz import load_conformers, load_npz, npz_keys
from mlip.data.options import ReadOptions, unit_factors
from mlip.data.selection import selected
from mlip.structure import Structure

log = logging.getLogger("mlip.data")

# Spellings of `e_unit` and `r_unit`, in lower case -> names in mlip.units.
ENERGY_SPELLINGS = {
    "kcal/mol": "kcal/mol",
    "kcal mol-1": "kcal/mol",
    "kcal mol^-1": "kcal/mol",
    "kj/mol": "kJ/mol",
    "kj mol-1": "kJ/mol",
    "kj mol^-1": "kJ/mol",
    "ev": "eV",
    "mev": "meV",
    "hartree": "Hartree",
    "ha": "Hartree",
    "rydberg": "Rydberg",
    "ry": "Rydberg",
}
LENGTH_SPELLINGS = {
    "ang": "Ang",
    "angstrom": "Ang",
    "angstroms": "Ang",
    "a": "Ang",
    "å": "Ang",
    "bohr": "Bohr",
    "a0": "Bohr",
    "nm": "nm",
}


def read(path: Path, options: ReadOptions) -> list[Structure]:
    """Molecules in kcal/mol and Å, unless the file (`e_unit`, `r_unit`) or the user names other units.

    Source: Chmiela et al., Sci. Adv. 3, e1603015 (2017); http://www.sgdml.org.

    Raises:
        ValueError: an array is missing or has the wrong shape, a unit is unknown, or the file holds a lattice.
    """
    present = npz_keys(path)
    if "lattice" in present:
        raise ValueError(
            f"{path.name}: holds a lattice, but files of this format are read as molecules. Convert it to extxyz"
        )
    notes = load_npz(path, [key for key in ("e_unit", "r_unit") if key in present])
    said = {key: _text(value) for key, value in notes.items()}
    options = replace(
        options,
        energy_unit=_unit(path.name, said, "e_unit", ENERGY_SPELLINGS, "data.units.energy", options.energy_unit),
        length_unit=_unit(path.name, said, "r_unit", LENGTH_SPELLINGS, "data.units.length", options.length_unit),
    )
    factors = unit_factors(options, energy="kcal/mol", length="Ang")
    conformers = load_conformers(path, options, "z", "R", "E", "F")
    return conformers.structures(selected(options.index, len(conformers), path.name), factors)


def _text(value: np.ndarray) -> str:
    text = value.item() if value.size == 1 else value.tolist()
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


def _unit(
    file: str, said: dict[str, str], key: str, spellings: dict[str, str], option: str, named: str | None
) -> str | None:
    """The unit that the user named, else the one the file says, else None."""
    if key not in said:
        return named
    unit = spellings.get(said[key].strip().lower())
    if named is None and unit is None:
        raise ValueError(f"{file}: {key} is '{said[key]}', which is none of {listing(spellings)}. Set {option}")
    if named is not None and named != unit:
        log.warning("%s: %s is '%s', but %s=%s is used", file, key, said[key], option, named)
        return named
    return unit
