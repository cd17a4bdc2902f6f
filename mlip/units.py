"""eV and Å inside; every factor that leads there, with its source.

All factors come from CODATA 2014 as ASE carries them (`ase.units`), so that files written by ASE and read here agree.
"""

from __future__ import annotations

from ase import units as ase_units

# Factor from the named unit to eV.
ENERGY: dict[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "kcal/mol": ase_units.kcal / ase_units.mol,
    "kJ/mol": ase_units.kJ / ase_units.mol,
    "Hartree": ase_units.Hartree,
    "Rydberg": ase_units.Rydberg,
}

# Factor from the named unit to Å.
LENGTH: dict[str, float] = {"Ang": 1.0, "Bohr": ase_units.Bohr, "nm": 10.0}

# Factor from the named unit to eV/Å, where it is not the unit of energies over that of lengths.
FORCE: dict[str, float] = {
    "eV/Ang": 1.0,
    "kcal/mol/Ang": ENERGY["kcal/mol"],
    "kJ/mol/nm": 0.1 * ENERGY["kJ/mol"],
    "Hartree/Ang": ENERGY["Hartree"],
    "Hartree/Bohr": ENERGY["Hartree"] / LENGTH["Bohr"],
    "Rydberg/Bohr": ENERGY["Rydberg"] / LENGTH["Bohr"],
}

# Factor from the named unit to eV/Å³.
PRESSURE: dict[str, float] = {
    "eV/Ang^3": 1.0,
    "GPa": ase_units.GPa,
    "kbar": 0.1 * ase_units.GPa,
    "Hartree/Bohr^3": ase_units.Hartree / ase_units.Bohr**3,
}


# e²/(4 pi epsilon_0), the energy of two elementary charges times their distance (eV Å).
COULOMB: float = ase_units.Hartree * ase_units.Bohr


def factor(table: dict[str, float], unit: str, option: str) -> float:
    """Factor that turns a value in `unit` into eV, Å, eV/Å or eV/Å³.

    Raises:
        ValueError: `unit` is not in `table`; the message names `option` and the units that are.
    """
    if unit not in table:
        raise ValueError(f"{option} is '{unit}'; known units: {', '.join(table)}")
    return table[unit]
