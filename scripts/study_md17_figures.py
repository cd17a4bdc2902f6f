"""The figures of `scripts/study_md17.py`: transparent, gray axes, for light pages and dark ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from study_md17_page import TRAINED, families

from mlip.report.style import SERIES, SETTINGS, log_axis

GRAY, FAINT = "#808890", "#80889040"
COLORS = dict(zip(("pair", "sparse gpr", "gpr", "network", "committee"), SERIES, strict=False))
LOOK: dict[str, Any] = {
    **SETTINGS, "grid.color": FAINT,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "xtick.labelcolor",
         "ytick.labelcolor"), GRAY
    ),
}  # fmt: skip
KINDS = {"forces": "force MAE (meV/Å)", "energy": "energy MAE (meV)"}
WIDTH = 5.6  # inches
SMALL = 6.5  # points, of the names of published methods


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write those figures whose parts there are; returns the files."""
    figures = {}
    with rc_context(LOOK):
        if families(results):
            figures |= {f"learning_{kind}": learning(results, kind) for kind in KINDS}
            figures["cost"] = cost(results)
        if results.get("seeds"):
            figures["seeds"] = seeds(results["seeds"])
        files = [folder / f"{name}.svg" for name in figures]
        for file, figure in zip(files, figures.values(), strict=True):
            figure.savefig(file, transparent=True, metadata={"Date": None})
    return files


def learning(results: dict[str, Any], kind: str) -> Figure:
    """Test errors over the number of training structures; dashed: published ones for as many as lie at their ends."""
    figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    counts: set[int] = set()
    for family in families(results):
        rows = results["curves"][family]
        x = [row["structures"] for row in rows]
        counts |= set(x)
        axes.plot(x, [row["test"][kind] for row in rows], "o-", color=COLORS[family], markersize=4, label=family)
    known = [row for row in results["published"].values() if row[kind] is not None]
    many = [row for row in known if row["structures"] == TRAINED]
    for row in (row for row in known if row["structures"] != TRAINED):
        axes.plot(row["structures"], row[kind], "x", color=GRAY, markersize=5)
        axes.annotate(
            row["method"], (row["structures"], row[kind]), (6, -2), textcoords="offset points", fontsize=SMALL
        )
    values = sorted({row[kind] for row in many})
    for value in values:
        axes.axhline(value, color=GRAY, linewidth=0.7, linestyle=(0, (4, 3)))
    axes.set(xscale="log", xlabel="training structures", ylabel=KINDS[kind], xlim=(min(counts) / 1.15, None))
    log_axis(axes, "y")
    axes.set_xticks(sorted(counts), labels=[str(count) for count in sorted(counts)], minor=False)
    axes.minorticks_off()
    name_lines(axes, {value: ", ".join(r["method"] for r in many if r[kind] == value) for value in values})
    figure.legend(loc="outside upper center", ncols=5)
    return figure


def name_lines(axes: Axes, names: dict[float, str]) -> None:
    """Write names at the right of horizontal lines , apart where they would stand on one another (logarithmic axis)."""
    low, high = (math.log(limit) for limit in axes.get_ylim())
    places = apart([(math.log(value) - low) / (high - low) for value in names], 0.033)
    for place, name in zip(places, names.values(), strict=True):
        axes.annotate(name, (1.01, place), xycoords="axes fraction", fontsize=SMALL, va="center", annotation_clip=False)


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places, moved as little as possible so that each is at least `gap` above the one before."""
    groups: list[list[float]] = []  # of neighbors that touch, each with the mean of its places
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _end(groups[-1], gap, -1) - _end(groups[-2], gap, 1) < gap * (1 - 1e-9):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_end(group, gap, -1) + gap * n for group in groups for n in range(len(group))]


def _end(group: Sequence[float], gap: float, side: int) -> float:
    """The lowest (-1) or highest (1) place of a group around its mean."""
    return fmean(group) + side * gap * (len(group) - 1) / 2


def cost(results: dict[str, Any]) -> Figure:
    """Force errors over the time of the training, and over that of a step; along a line the structures grow."""
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1)
    for axes, key, label, factor in (
        (above, "seconds", "training (s)", 1.0),
        (below, "step", "step of dynamics of one molecule (µs)", 1e6),
    ):
        for family in families(results):
            rows = results["curves"][family]
            x, y = [factor * row[key] for row in rows], [row["test"]["forces"] for row in rows]
            axes.plot(x, y, "-", color=COLORS[family], linewidth=0.8)
            axes.scatter(x, y, [8 + 26 * n / len(x) for n in range(len(x))], color=COLORS[family], label=family)
        axes.set(xlabel=label, ylabel=KINDS["forces"])
        log_axis(axes, "x")
        log_axis(axes, "y")
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure


def seeds(found: dict[str, Any]) -> Figure:
    """Errors of each network, and of averages of the first few."""
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2), KINDS, strict=True):
        single = [row["test"][kind] for row in found["rows"]]
        mean, spread = found["mean"][kind], found["spread"][kind]
        axes.axhspan(mean - spread, mean + spread, color=COLORS["network"], alpha=0.18, linewidth=0)
        axes.axhline(mean, color=COLORS["network"], linewidth=0.8)
        offsets = [1 + 0.16 * (n / max(1, len(single) - 1) - 0.5) for n in range(len(single))]
        axes.plot(offsets, single, "o", color=COLORS["network"], markersize=3.5, label="one network")
        members = [row["members"] for row in found["averages"]]
        axes.plot(
            members, [row["test"][kind] for row in found["averages"]], "s-", color=COLORS["committee"], markersize=4,
            label="average of networks",
        )  # fmt: skip
        axes.set(xscale="log", xlabel="networks averaged", ylabel=KINDS[kind])
        axes.set_xticks([1, *members], labels=[str(count) for count in [1, *members]], minor=False)
        axes.minorticks_off()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
