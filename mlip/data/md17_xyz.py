"""The first MD17 files: xyz with the energy as comment and seven columns, element, position and force."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mlip.data.options import ReadOptions, unit_factors
from mlip.data.selection import selected
from mlip.data.xyz_frames import XYZFrame, read_frames
from mlip.elements import atomic_number
from mlip.structure import Structure

COLUMNS = np.dtype([("symbol", "U16"), ("values", np.float64, (6,))])
FLOAT = re.compile(r"[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)")
INTEGER = re.compile(r"[-+]?\d+")


def read(path: Path, options: ReadOptions) -> list[Structure]:
    """Molecules in kcal/mol and Å, unless the user names other units.

    Source: Chmiela et al., Sci. Adv. 3, e1603015 (2017).

    Raises:
        ValueError: a comment holds no energy, a line does not have seven columns, or a unit is unknown.
    """
    for name in ("energy_key", "forces_key"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"{path.name}: data.{name} is '{getattr(options, name)}', but a file of format md17_xyz has no keys"
            )
    factors = unit_factors(options, energy="kcal/mol", length="Ang")
    frames = read_frames(path)
    chosen = selected(options.index, len(frames), path.name)
    table = _table(path.name, {place: frames[place] for place in chosen})
    symbols = np.unique(table["symbol"])
    known = {str(symbol): atomic_number(str(symbol), path.name) for symbol in symbols}
    structures, start = [], 0
    for place in chosen:
        rows = table[start : start + len(frames[place].atoms)]
        start += len(rows)
        origin = f"{path.name}#{place}"
        structures.append(
            Structure(
                numbers=np.array([known[symbol] for symbol in rows["symbol"].tolist()], dtype=np.int64),
                positions=rows["values"][:, :3] * factors.length,
                energy=_energy(origin, frames[place].comment) * factors.energy,
                forces=rows["values"][:, 3:] * factors.forces,
                origin=origin,
            )
        )
    return structures


def _table(file: str, frames: dict[int, XYZFrame]) -> np.ndarray:
    """All atom lines as one table of records `symbol`, `values`."""
    lines = [line for frame in frames.values() for line in frame.atoms]
    try:
        table = np.loadtxt(lines, dtype=COLUMNS, comments=None, ndmin=1)
    except ValueError as error:
        raise ValueError(_wrong_line(file, frames)) from error
    if len(table) != len(lines):  # loadtxt passes over blank lines
        raise ValueError(_wrong_line(file, frames))
    return table


def _wrong_line(file: str, frames: dict[int, XYZFrame]) -> str:
    expected = "expected seven columns: element, position and force"
    for place, frame in frames.items():
        for offset, text in enumerate(frame.atoms):
            words = text.split()
            try:
                if len(words) == 7 and len([float(word) for word in words[1:]]) == 6:
                    continue
            except ValueError:
                pass
            return f"{file}#{place}: line {frame.line + 2 + offset} is '{text.strip()}'; {expected}"
    return f"{file}: not a table of atoms; {expected}"


def _energy(origin: str, comment: str) -> float:
    """The first number behind the word energy, else the first in the comment; a whole number only if alone."""
    text = re.split("energy", comment, maxsplit=1, flags=re.IGNORECASE)[-1]
    numbers = FLOAT.findall(text)
    if not numbers:
        numbers = INTEGER.findall(text)
        if len(numbers) != 1:
            raise ValueError(
                f"{origin}: the comment is '{comment.strip()}'; expected the energy of the structure there"
            )
    return float(numbers[0])
