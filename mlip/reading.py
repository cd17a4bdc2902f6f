"""How a data file is read, from the config's section about data. Imports no torch."""

from __future__ import annotations

from mlip.config import Data
from mlip.data.options import Normalization, ReadOptions


def read_options(data: Data, index: str = ":") -> ReadOptions:
    """The reader's options from the config."""
    return ReadOptions(
        format=data.format,
        energy_unit=data.units.energy,
        length_unit=data.units.length,
        force_unit=data.units.forces,
        stress_unit=data.units.stress,
        energy_key=data.energy_key,
        forces_key=data.forces_key,
        stress_key=data.stress_key,
        virial_key=data.virial_key,
        stress_positive=data.stress_positive,
        virial_positive=data.virial_positive,
        normalization=None if data.normalization is None else Normalization(**data.normalization.model_dump()),
        index=index,
    )
