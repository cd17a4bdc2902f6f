"""The calibration figure of a committee: errors against standard deviations, as numbers and as a picture."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from mlip.durable import write_whole
from mlip.training.reliability import KINDS, Reliability

FIGURE_FILE, NUMBERS_FILE = "calibration.svg", "calibration.csv"
BINS = 12
SIDE, MARGIN = 320, 60  # of a panel and around it, points of the picture
UNITS = {"energy": ("total energy", "meV"), "forces": ("force component", "meV/Å")}
COLORS = {"train": "#999999", "valid": "#1b6ca8", "test": "#c8553d"}


class Bin(NamedTuple):
    """Predictions of about the same standard deviation."""

    part: str
    kind: str
    std: float  # eV or eV/Å, root mean square
    error: float  # root mean square
    predictions: int


def write_calibration(folder: Path, parts: Mapping[str, Reliability]) -> None:
    """Write calibration.csv and calibration.svg: errors by standard deviation, of each set that has labels."""
    bins = [each for part, found in parts.items() for kind in KINDS for each in binned(part, kind, found)]
    with (folder / NUMBERS_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([Bin._fields, *bins])
    write_whole(folder / FIGURE_FILE, drawn(bins))


def binned(part: str, kind: str, found: Reliability) -> list[Bin]:
    """Root mean squares in bins with the same number of predictions, from the surest to the least sure."""
    errors, deviations = found.of(kind)
    order = deviations.argsort()
    count = min(BINS, len(order) // 4)  # an error of a bin with fewer says nothing
    return [
        Bin(part, kind, _root_mean_square(deviations[rows]), _root_mean_square(errors[rows]), len(rows))
        for rows in (order.tensor_split(count) if count else ())
    ]


def drawn(bins: list[Bin]) -> str:
    """The picture as SVG: a panel for energies and one for forces, both axes logarithmic; perfect is the diagonal."""
    width, height = 2 * SIDE + 3 * MARGIN, SIDE + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for panel, kind in enumerate(KINDS):
        chosen = [each for each in bins if each.kind == kind and each.std > 0 and each.error > 0]
        lines += _panel(MARGIN + panel * (SIDE + MARGIN), kind, chosen)
    return "\n".join([*lines, "</svg>", ""])


def _panel(left: float, kind: str, bins: list[Bin]) -> list[str]:
    title, unit = UNITS[kind]
    bottom = MARGIN + SIDE
    logs = [math.log10(1e3 * value) for each in bins for value in (each.std, each.error)] or [0.0]
    low, high = math.floor(min(logs) * 4) / 4 - 0.05, math.ceil(max(logs) * 4) / 4 + 0.05

    def place(log: float) -> float:
        return SIDE * (log - low) / (high - low)

    lines = [
        f'<rect x="{left}" y="{MARGIN}" width="{SIDE}" height="{SIDE}" fill="none" stroke="black"/>',
        f'<line x1="{left}" y1="{bottom}" x2="{left + SIDE}" y2="{MARGIN}" stroke="#999999" stroke-dasharray="5 4"/>',
        f'<text x="{left + SIDE / 2}" y="{bottom + 42}" text-anchor="middle">standard deviation ({unit})</text>',
        f'<text x="{left + SIDE / 2}" y="{MARGIN - 12}" text-anchor="middle">'
        f"root mean square error of a {title} ({unit})</text>",
    ]
    for tick in (a * 10**n for n in range(-4, 6) for a in (1, 2, 5)):
        at = place(math.log10(tick))
        if 0 <= at <= SIDE:
            lines += [
                f'<text x="{left + at:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>',
                f'<text x="{left - 6}" y="{bottom - at + 4:.1f}" text-anchor="end">{tick:g}</text>',
            ]
    for each in bins:
        x, y = (place(math.log10(1e3 * value)) for value in (each.std, each.error))
        lines.append(f'<circle cx="{left + x:.1f}" cy="{bottom - y:.1f}" r="4" fill="{COLORS[each.part]}"/>')
    for row, part in enumerate(dict.fromkeys(each.part for each in bins)):
        lines.append(f'<text x="{left + 10}" y="{MARGIN + 20 + 16 * row}" fill="{COLORS[part]}">{part}</text>')
    return lines


def _root_mean_square(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())
