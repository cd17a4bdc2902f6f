"""Pictures of studies."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

from mlip.studies.summary import heading

logger = logging.getLogger(__name__)

SUFFIXES = (".svg", ".png")


def draw_learning_curve(found: dict[str, Any], path: Path) -> list[Path]:
    """Draw what `learning_curve` found, with its power laws, into `path` with each suffix; returns the files.

    None are made, and a note says why, where matplotlib is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        logger.warning("no picture of the learning curve: matplotlib is missing (pip install 'mlip[plot]')")
        return []
    from matplotlib.figure import Figure

    keys = [key for key in found["power_law"] if key != "energy_mae"]
    figure = Figure(figsize=(4.2 * len(keys), 3.6), layout="constrained")
    sizes = [point["size"] for point in found["sizes"]]
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        name, factor = heading(key)
        means = [factor * point[key]["mean"] for point in found["sizes"]]
        spreads = [factor * (point[key]["spread"] or 0.0) for point in found["sizes"]]
        axes.errorbar(sizes, means, yerr=spreads, fmt="o", capsize=3)
        law = found["power_law"][key]
        if law:
            axes.plot(sizes, [factor * law["a"] * n ** -law["b"] for n in sizes], label=f"$n^{{{-law['b']:.2f}}}$")
            axes.legend()
        axes.set(xscale="log", yscale="log", xlabel="training structures", ylabel=f"MAE, {name}, {found['part']}")
        axes.set_xticks(sizes, labels=[str(n) for n in sizes], minor=False)
        axes.minorticks_off()
    files = [path.with_suffix(suffix) for suffix in SUFFIXES]
    for file in files:
        figure.savefig(file)
    return files
