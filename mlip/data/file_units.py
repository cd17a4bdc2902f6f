"""Units that a data file states itself, and units that one is written in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from mlip.data.labels import listing
from mlip.data.options import Factors, ReadOptions, unit_factors

log = logging.getLogger("mlip.data")

# Spellings in files, in lower case -> names in mlip.units.
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


class FileUnits(NamedTuple):
    """Units of a file to be written; forces are in energy / length."""

    energy: str = "eV"  # a key of units.ENERGY
    length: str = "Ang"  # a key of units.LENGTH

    def factors(self) -> Factors:
        """From the numbers of the file to eV and Å; a writer divides by them."""
        return unit_factors(ReadOptions(), energy=self.energy, length=self.length)


def with_stated_units(
    options: ReadOptions, origin: str, stated: Mapping[str, str], keys: tuple[str, str]
) -> ReadOptions:
    """The options with the units that the user named, else those that the file states, else as they were.

    Args:
        origin: file, and structure if it has units of its own, for messages.
        stated: what the file says about its units.
        keys: under which of its keys the units of energies and of lengths stand.

    Raises:
        ValueError: a stated unit is unknown, and the user named none.
    """
    energy, length = keys
    return replace(
        options,
        energy_unit=_unit(origin, stated, energy, ENERGY_SPELLINGS, "data.units.energy", options.energy_unit),
        length_unit=_unit(origin, stated, length, LENGTH_SPELLINGS, "data.units.length", options.length_unit),
    )


def _unit(
    origin: str, stated: Mapping[str, str], key: str, spellings: dict[str, str], option: str, named: str | None
) -> str | None:
    if key not in stated:
        return named
    unit = spellings.get(stated[key].strip().lower())
    if named is None and unit is None:
        raise ValueError(f"{origin}: {key} is '{stated[key]}', which is none of {listing(spellings)}. Set {option}")
    if named is not None and named != unit:
        log.warning("%s: %s is '%s', but %s=%s is used", origin, key, stated[key], option, named)
        return named
    return unit
