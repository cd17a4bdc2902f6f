"""Data files of RuNNer and n2p2 (`input.data`), with a comment that states the units of each structure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mlip.data.file_units import FileUnits
from mlip.data.options import Normalization
from mlip.elements import symbol
from mlip.structure import Structure


def write(
    path: Path, structures: Iterable[Structure], units: FileUnits, normalization: Normalization | None = None
) -> None:
    """Write structures that have an energy and forces; `info` gives comments ("comment") and total charge ("charge").

    Args:
        normalization: in `units`; the numbers are then normalized as by nnp-norm, and the comment says so.

    Raises:
        ValueError: a total charge is not a number.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for structure in structures:
            file.write(_block(structure, units, normalization))


def _block(structure: Structure, units: FileUnits, normalization: Normalization | None) -> str:
    assert structure.energy is not None and structure.forces is not None
    factors = units.factors()
    statement = f"units={units.energy},{units.length}"
    energy, positions, cell, forces = (
        float(structure.energy) / factors.energy,
        structure.positions / factors.length,
        structure.cell / factors.length,
        structure.forces / factors.forces,
    )
    if normalization is not None:
        mean_energy, conv_energy, conv_length = vars(normalization).values()
        statement += f" {mean_energy=} {conv_energy=} {conv_length=}"
        energy = (energy - len(structure) * mean_energy) * conv_energy
        positions, cell, forces = positions * conv_length, cell * conv_length, forces * (conv_energy / conv_length)
    comment = str(structure.info.get("comment", "")).replace("\r\n", "\n").replace("\r", "\n")
    comments = [statement, *(comment.split("\n") if comment else [])]
    charge = structure.info.get("charge", 0.0)
    if not isinstance(charge, (int, float)):
        raise ValueError(f"{structure.origin}: info 'charge' is {charge!r}; expected the total charge, a number")
    lines = ["begin", *(f"comment {text}" for text in comments)]
    if structure.pbc.all():
        lines += [f"lattice {_numbers(row)}" for row in cell]
    for number, place, force in zip(structure.numbers.tolist(), positions, forces, strict=True):
        lines.append(f"atom {_numbers(place)} {symbol(number)} 0.0 0.0 {_numbers(force)}")
    lines += [f"energy {energy!r}", f"charge {float(charge)!r}", "end"]
    return "\n".join(lines) + "\n"


def _numbers(row: np.ndarray) -> str:
    return " ".join(map(repr, row.tolist()))
