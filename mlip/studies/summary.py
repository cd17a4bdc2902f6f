"""Mean and spread of the errors of several trainings, and tables of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from mlip.training.metrics import COLUMNS


def error_keys(results: Sequence[Mapping[str, Any]], part: str) -> list[str]:
    """Keys of the mean absolute errors that every one of the results has for a part."""
    keys = {f"{kind}_mae{'_' + rest if rest else ''}": None for kind, _, rest in (n.partition("_") for n in COLUMNS)}
    return [key for key in keys if all(key in r[part] for r in results)]


def heading(key: str) -> tuple[str, float]:
    """Heading of a column for a key such as `forces_mae`, and the factor to its unit."""
    kind, unit, factor = COLUMNS[key.replace("_mae", "")]
    return f"{kind} ({unit})", factor


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation between trainings (of a sample; None for a single one)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def shown(mean: float, spread: float | None, factor: float = 1.0) -> str:
    """A mean with its spread as text."""
    digits = 2 if abs(mean * factor) < 100 else 0
    text = f"{mean * factor:.{digits}f}"
    return text if spread is None else f"{text} ± {spread * factor:.{digits}f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of a table, the first of them the heading, as text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
