"""scaling.data: what the values of each function were in training, and what makes network inputs of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mlip.elements import symbol
from mlip.interfaces.n2p2.functions import Found
from mlip.interfaces.n2p2.settings import Settings
from mlip.interfaces.n2p2.text import Line, header, read_lines

COLUMNS = {"minimum": 2, "maximum": 3, "mean": 4, "sigma": 5}


class Scaling(NamedTuple):
    r"""How inputs of an element's network are made: :math:`x = b + (G - c) / s`."""

    shift: Float[np.ndarray, "D"]  # c
    scale: Float[np.ndarray, "D"]  # s
    start: float  # b
    lowest: Float[np.ndarray, "D"]  # of the values in training
    highest: Float[np.ndarray, "D"]


class Mode(NamedTuple):
    """Which columns of scaling.data are taken away, and which one divides."""

    shift: str | None
    divisor: tuple[str, ...]


def mode_of(settings: Settings) -> Mode:
    """The scaling that the settings ask for; where several are named, n2p2 takes the first that fits here."""
    scale = "scale_symmetry_functions" in settings
    center = "center_symmetry_functions" in settings
    if scale or center:
        return Mode("mean" if center else "minimum", ("maximum", "minimum") if scale else ())
    sigma = "scale_symmetry_functions_sigma" in settings
    return Mode("mean", ("sigma",)) if sigma else Mode(None, ())


def read_scaling(
    path: Path, settings: Settings, elements: tuple[int, ...], functions: Sequence[Sequence[Found]]
) -> list[Scaling]:
    """The scaling of each element's functions, which are in n2p2's order.

    Raises:
        ValueError: there is no such file, rows are missing, too many, in disorder or not numbers, or a function was
            constant in training and cannot be scaled.
    """
    mode = mode_of(settings)
    low, high = settings.real("scale_min_short", 0.0), settings.real("scale_max_short", 1.0)
    if mode.divisor and low == high:
        raise ValueError(f"{settings.path}: scale_min_short and scale_max_short are both {low}; expected two numbers")
    rows = [line for line in read_lines(path, "#") if len(line.words) != 2]  # two: RuNNer's range of energies
    expected = sum(map(len, functions))
    if len(rows) != expected:
        raise ValueError(
            f"{path}: {len(rows)} rows for the {expected} symmetry functions of input.nn; expected one for each. "
            "Is this the scaling.data of this input.nn?"
        )
    made, first = [], 0
    for index, (number, mine) in enumerate(zip(elements, functions, strict=True)):
        chosen = rows[first : first + len(mine)]
        first += len(mine)
        made.append(_of_element(chosen, index, number, mine, mode, (low, high)))
    return made


def _of_element(
    rows: Sequence[Line], index: int, number: int, functions: Sequence[Found], mode: Mode, ends: tuple[float, float]
) -> Scaling:
    """Scaling of the functions of one element, `index` among all."""
    count = len(rows)
    shift, scale, lowest, highest = np.zeros(count), np.ones(count), np.zeros(count), np.zeros(count)
    for place, (row, one) in enumerate(zip(rows, functions, strict=True)):
        found = row.whole(0, "index of the element"), row.whole(1, "index of the function")
        if found != (index + 1, place + 1):
            raise ValueError(
                f"{row.place}: row of element {found[0]}, function {found[1]}; expected element {index + 1} "
                f"({symbol(number)}), function {place + 1}. Is this the scaling.data of this input.nn?"
            )
        lowest[place], highest[place] = (row.real(COLUMNS[name], name) for name in ("minimum", "maximum"))
        if lowest[place] > highest[place]:  # there was no atom of this element
            lowest[place], highest[place] = -np.inf, np.inf
        if mode.shift:
            shift[place] = row.real(COLUMNS[mode.shift], mode.shift)
        if mode.divisor:
            values = [row.real(COLUMNS[name], name) for name in mode.divisor]
            spread = values[0] - sum(values[1:])
            if not spread > 0:
                raise ValueError(
                    f"{row.place}: {' - '.join(mode.divisor)} is {spread}: {one.function} ({one.place}) is constant in "
                    "training or not there, and its scaling divides by zero. Take its line out of input.nn, its row "
                    f"out of scaling.data and its weights out of weights.{number:03d}.data, or train without it"
                )
            scale[place] = spread / (ends[1] - ends[0])
    return Scaling(shift, scale, ends[0] if mode.divisor else 0.0, lowest, highest)


TABLE = (
    (10, "e_index", "Element index."),
    (10, "sf_index", "Symmetry function index."),
    (24, "sf_min", "Symmetry function minimum."),
    (24, "sf_max", "Symmetry function maximum."),
    (24, "sf_mean", "Symmetry function mean."),
    (24, "sf_sigma", "Symmetry function sigma."),
)
UNKNOWN = 1e30  # of a minimum or maximum that is not known: nothing counts as extrapolation


def scaling_text(tables: Sequence[Scaling]) -> str:
    """The file for scaling with `scale_symmetry_functions_sigma` to the ends 0 and 1."""
    rows = []
    for index, table in enumerate(tables, 1):
        lowest, highest = np.clip(table.lowest, -UNKNOWN, UNKNOWN), np.clip(table.highest, -UNKNOWN, UNKNOWN)
        for place, values in enumerate(zip(lowest, highest, table.shift, table.scale, strict=True), 1):
            rows.append(f"{index:10d} {place:10d} " + " ".join(f"{value:24.16E}" for value in values))
    return header("Symmetry function scaling data.", TABLE) + "\n".join(rows) + "\n"
