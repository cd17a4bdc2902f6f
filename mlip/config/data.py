"""Data files: what is read from them, in which units, and how they are divided."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mlip.config.section import Section

EnergyUnit = Literal["eV", "meV", "kcal/mol", "kJ/mol", "Hartree", "Rydberg"]
LengthUnit = Literal["Ang", "Bohr", "nm"]
ForceUnit = Literal["eV/Ang", "kcal/mol/Ang", "kJ/mol/nm", "Hartree/Ang", "Hartree/Bohr", "Rydberg/Bohr"]
PressureUnit = Literal["eV/Ang^3", "GPa", "kbar", "Hartree/Bohr^3"]
Format = Literal["auto", "md17_npz", "rmd17_npz", "md17_xyz", "ani_hdf5", "input_data", "ase", "store"]
Load = Literal["tension", "compression"]


def _amount(value: int | float) -> int | float:
    """A count or a fraction."""
    if value < 0 or (isinstance(value, float) and not 0 < value <= 1):
        raise ValueError("expected a whole number of structures, or a fraction in (0, 1]")
    return value


Amount = Annotated[int | float, AfterValidator(_amount)]


class Units(Section):
    """Units in the file; null: the usual ones of its format."""

    energy: EnergyUnit | None = Field(None, description="unit of energies")
    length: LengthUnit | None = Field(None, description="unit of positions and cells")
    forces: ForceUnit | None = Field(None, description="unit of forces; null: that of energies over that of lengths")
    stress: PressureUnit | None = Field(None, description="unit of the stress")


class Normalization(Section):
    """E' = (E - atoms * mean_energy) * conv_energy, r' = r * conv_length; the three numbers stand in input.nn."""

    mean_energy: float = Field(description="energy per atom that was taken away, in data.units.energy")
    conv_energy: float = Field(gt=0, description="factor of energies, 1 / data.units.energy")
    conv_length: float = Field(gt=0, description="factor of lengths, 1 / data.units.length")


class Split(Section):
    """How data.train is divided when there is no separate file for a part; a number counts, a fraction shares."""

    train: Amount | None = Field(None, description="structures to train on; null: all that the others leave")
    valid: Amount | None = Field(
        None, description="structures to choose the best epoch by; null: a tenth, or none if data.valid is given"
    )
    test: Amount | None = Field(None, description="structures to test on; null: none")
    seed: int | None = Field(None, ge=0, description="seed of the shuffle; null: run.seed")
    file: str | None = Field(
        None, description="JSON file with lists of indices: train, valid, test; overrides the above"
    )


class Data(Section):
    """Files, what is read from them, and in which units."""

    train: str = Field(
        description="file to train on: MD17 .npz or .xyz, extxyz, ANI .h5, n2p2 input.data, a store that "
        "mlip prepare wrote, or anything ASE reads"
    )
    valid: str | None = Field(None, description="separate validation file; null: split from data.train")
    test: str | None = Field(None, description="separate test file; null: split from data.train")
    format: Format = Field("auto", description="format of the files; auto decides by name and content")
    index: str = Field(":", description="which structures of data.train to read, as in ASE: ':', '::10', ':1000'")
    units: Units = Units()
    energy_key: str | None = Field(
        None, description="name of the energy in the file; null: the usual one of its format"
    )
    forces_key: str | None = Field(None, description="name of the forces in the file")
    stress_key: str | None = Field(None, description="name of the stress in the file")
    virial_key: str | None = Field(
        None, description="name of the virial, energy units, in the file; it gives the stress"
    )
    stress_positive: Load = Field(
        "tension", description="load under which the file's stress is positive (ASE: tension)"
    )
    virial_positive: Load = Field("compression", description="load under which the file's virial is positive")
    normalization: Normalization | None = Field(
        None, description="taken back from an input.data in normalized units (output.data of nnp-norm); null: physical"
    )
    split: Split = Split()
