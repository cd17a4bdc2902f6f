"""Pictures of an analysis, with its reference in the same axes."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlip.analysis.trajectory import Analysis

logger = logging.getLogger(__name__)

SUFFIXES = (".svg", ".png")
STYLES = ({"color": "tab:blue"}, {"color": "tab:orange", "linestyle": "--"})
MOST_POINTS = 2000  # of a line in a picture
SPECTRUM_SHOWN = 0.999  # of the spectrum's area is drawn


def draw(one: Analysis, other: Analysis | None, folder: Path) -> list[Path]:
    """Draw conditions, distances, displacements and spectra into `folder`; returns the files.

    None are made, and a note says why, where matplotlib is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        logger.warning("no pictures: matplotlib is missing (pip install 'mlip[plot]')")
        return []
    both = [("trajectory", one)] + ([("reference", other)] if other else [])
    files: list[Path] = []
    parts: dict[str, tuple[list[str], Callable[..., None]]] = {
        "conditions": (_known_series(one), _draw_series),
        "rdf": (list(one.pairs), _draw_pair),
        "msd": (list(one.displacement), _draw_displacement),
        "spectrum": (list(one.vibrations), _draw_spectrum),
    }
    for name, (panels, panel) in parts.items():
        if panels:
            files += _figure(folder / name, panels, panel, both)
    return files


def _figure(path: Path, panels: list[str], panel: Callable[..., None], both: list[tuple[str, Analysis]]) -> list[Path]:
    from matplotlib.figure import Figure

    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(1.2 + 3.6 * columns, 0.4 + 2.8 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(grid, panels, strict=False):
        for (label, found), style in zip(both, STYLES, strict=False):
            panel(axes, found, name, label, {**style, "linewidth": 1.2})
        axes.set_title(name, fontsize="medium")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    if len(both) > 1:
        grid[0].legend(fontsize="small")
    files = [path.with_suffix(suffix) for suffix in SUFFIXES]
    for file in files:
        figure.savefig(file, dpi=110)
    return files


SERIES = {
    "temperature": ("temperature", "K", 1.0),
    "change of the total energy": ("total_energy", "meV/atom", 1e3),
    "potential energy": ("potential_energy", "eV/atom", 1.0),
    "volume": ("volume", "Å³/atom", 1.0),
}


def _known_series(found: Analysis) -> list[str]:
    return [name for name, (column, _, _) in SERIES.items() if found.results[column] is not None]


def _draw_series(axes: Any, found: Analysis, name: str, label: str, style: dict[str, Any]) -> None:
    column, unit, factor = SERIES[name]
    values = factor * getattr(found.series, column)
    some = slice(None, None, -(-len(values) // MOST_POINTS))
    if name.startswith("change"):
        values = values - values[0]
    axes.plot(found.series.time[some], values[some], label=label, **style)
    axes.set(xlabel="frame" if found.results["time_ps"] is None else "time (ps)", ylabel=unit)


def _draw_pair(axes: Any, found: Analysis, name: str, label: str, style: dict[str, Any]) -> None:
    if name not in found.pairs:
        return
    curve = found.pairs[name]
    axes.plot(curve.r, curve.g, label=label, **style)
    periodic = not any("neighbors per Å" in note for note in found.notes)
    axes.set(xlabel="r (Å)", ylabel="g(r)" if periodic else "neighbors per Å", xlim=(0, curve.r[-1]))
    shell = found.results["pairs"][name]
    if shell and label == "trajectory":
        axes.axvline(shell["minimum"], color="lightgray", linewidth=0.8, zorder=0)
        axes.annotate(
            f"{shell['coordination']:.2f}", (shell["minimum"], 0.92), xycoords=("data", "axes fraction"),
            ha="right", fontsize="small",
        )  # fmt: skip


def _draw_displacement(axes: Any, found: Analysis, name: str, label: str, style: dict[str, Any]) -> None:
    if name not in found.displacement:
        return
    curve = found.displacement[name]
    some = slice(None, None, -(-len(curve.lags) // MOST_POINTS))
    axes.plot(curve.lags[some], curve.msd[some], label=label, **style)
    if curve.diffusion:
        fit = curve.diffusion
        inside = (curve.lags >= fit.begin) & (curve.lags <= fit.end)
        ends = np.array([fit.begin, fit.end])
        middle = float(curve.msd[inside].mean() - 6 * fit.coefficient * curve.lags[inside].mean())
        axes.plot(ends, middle + 6 * fit.coefficient * ends, color="black", linewidth=0.8)
    axes.set(xlabel="time (ps)", ylabel="mean square displacement (Å²)")


def _draw_spectrum(axes: Any, found: Analysis, name: str, label: str, style: dict[str, Any]) -> None:
    if name not in found.vibrations:
        return
    curve = found.vibrations[name]
    area = np.cumsum(np.maximum(curve.spectrum, 0.0))
    end = 1.1 * curve.frequencies[int(np.searchsorted(area, SPECTRUM_SHOWN * area[-1]))]
    shown = curve.frequencies <= end
    axes.plot(curve.frequencies[shown], curve.spectrum[shown], label=label, **style)
    axes.set(xlabel="frequency (THz)", ylabel="vibrations (1/THz)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
