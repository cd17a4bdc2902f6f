"""How a file is to be read: its format, its units, the names and signs of its labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from mlip import units

SIGNS = {"tension": 1.0, "compression": -1.0}  # load under which a number is positive -> factor to ASE's sign


@dataclass(frozen=True)
class Normalization:
    r"""How n2p2 scales a data set: :math:`E' = (E - N \bar e)\, c_E`, :math:`r' = c_r r`, :math:`F' = F c_E / c_r`.

    N atoms; the three numbers are those of `input.nn` with the same names, in the units of the physical data.
    Source: n2p2, Structure::toNormalizedUnits and the program nnp-norm; Singraber et al., J. Chem. Theory Comput. 15,
    3075 (2019).

    Raises:
        ValueError: a number is not finite, or a factor is not positive.
    """

    mean_energy: float  # e, energy per atom
    conv_energy: float  # c_E, 1 / energy
    conv_length: float  # c_r, 1 / length

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value) or (name != "mean_energy" and value <= 0):
                expected = "a finite number" if name == "mean_energy" else "a positive number"
                raise ValueError(f"data.normalization.{name} is {value}; expected {expected}, as in input.nn")


@dataclass(frozen=True)
class ReadOptions:
    """What a user says about a data file; None leaves the choice to the format.

    Raises:
        ValueError: a sign is neither "tension" nor "compression", or both a stress and a virial are named.
    """

    format: str = "auto"  # "auto" or a key of `mlip.data.read.READERS`
    energy_unit: str | None = None  # a key of units.ENERGY; also that of the virial
    length_unit: str | None = None  # a key of units.LENGTH
    force_unit: str | None = None  # a key of units.FORCE; None: energy_unit / length_unit
    stress_unit: str | None = None  # a key of units.PRESSURE
    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    virial_key: str | None = None
    stress_positive: str = "tension"  # load under which the number in the file is positive
    virial_positive: str = "compression"  # virial = -volume * stress, as QUIP writes it
    normalization: Normalization | None = None  # of an input.data that n2p2 normalized
    index: str = ":"  # which structures of the file, as a Python index or slice

    def __post_init__(self) -> None:
        for name in ("stress_positive", "virial_positive"):
            if getattr(self, name) not in SIGNS:
                raise ValueError(f"data.{name} is '{getattr(self, name)}'; expected one of {', '.join(SIGNS)}")
        if self.stress_key and self.virial_key:
            raise ValueError(
                f"data.stress_key is '{self.stress_key}' and data.virial_key is '{self.virial_key}'; "
                "both give the stress: name only one"
            )


DEFAULT_OPTIONS = ReadOptions()


class Factors(NamedTuple):
    """Factors that turn the numbers of a file into eV, Å, eV/Å and eV/Å³."""

    energy: float
    length: float
    forces: float
    stress: float


def unit_factors(options: ReadOptions, energy: str, length: str) -> Factors:
    """Factors of the units that the user named, else of the format's own `energy` and `length` and of eV/Å³.

    Raises:
        ValueError: a unit is unknown.
    """
    to_ev = units.factor(units.ENERGY, options.energy_unit or energy, "data.units.energy")
    to_angstrom = units.factor(units.LENGTH, options.length_unit or length, "data.units.length")
    to_stress = units.factor(units.PRESSURE, options.stress_unit or "eV/Ang^3", "data.units.stress")
    forces = units.factor(units.FORCE, options.force_unit, "data.units.forces") if options.force_unit else None
    return Factors(to_ev, to_angstrom, forces or to_ev / to_angstrom, to_stress)
