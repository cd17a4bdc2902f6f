"""Figures of atoms and their environments: nearest distances, a map of the features, calibration of a committee."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context

from mlip.elements import symbol
from mlip.report.figures import MILLI, SETS
from mlip.report.findings import Part
from mlip.report.style import PALETTE, SERIES, SETTINGS, Drawing, log_axis, new_figure
from mlip.training.calibration import binned
from mlip.training.reliability import KINDS

MOST_ELEMENTS = 6
MOST_FITTED, MOST_DRAWN = 4000, 500  # atoms of an element, for the axes of its map and as points in it
UNITS = {"energy": ("total energy", "meV"), "forces": ("force component", "meV/Å")}


def nearest_distances(train: Part, judged: Part) -> list[Drawing]:
    """How far the next atom is, by element: training set as areas, the judged set as lines."""
    sets = [train] if judged is train else [train, judged]
    finite = [each.environments.nearest[np.isfinite(each.environments.nearest)] for each in sets]
    everything = np.concatenate(finite)
    if not len(everything):
        return []
    edges = np.linspace(everything.min() - 0.02, everything.max() + 0.02, 81)
    numbers = np.unique(train.environments.numbers).tolist()[:MOST_ELEMENTS]
    with rc_context(SETTINGS):
        figure = new_figure(3.3)
        axes = figure.axes[0]
        for number, color in zip(numbers, SERIES, strict=False):
            for each in sets:
                mine = each.environments.nearest[each.environments.numbers == number]
                counts, _ = np.histogram(mine[np.isfinite(mine)], edges)
                share = 100 * counts / max(len(mine), 1)
                if each is train:
                    axes.stairs(share, edges, fill=True, color=color, alpha=0.28, label=symbol(number))
                else:
                    axes.stairs(share, edges, color=color, linewidth=1.1)
        axes.set(xlabel="distance to the nearest atom (Å)", ylabel="share of atoms (%)", xlim=(edges[0], edges[-1]))
        axes.legend(loc="upper right")
    alt = (
        f"Histogram of the distance to the nearest atom by element ({', '.join(map(symbol, numbers))}), from "
        f"{everything.min():.3f} to {everything.max():.3f} Å"
    )
    return [Drawing("nearest_distances", "Nearest distances", alt, figure)]


def environment_maps(train: Part, judged: Part) -> list[Drawing]:
    """The two widest directions of the training set's scaled features of each element, with both sets in them."""
    numbers, counts = np.unique(train.environments.numbers, return_counts=True)
    drawings = []
    for number in numbers[np.argsort(-counts)][:MOST_ELEMENTS].tolist():
        of_train = _thinned(train.environments.features[train.environments.numbers == number], MOST_FITTED)
        if len(of_train) < 3:
            continue
        mean, axes_of, shares = principal_axes(of_train)
        with rc_context(SETTINGS):
            figure = new_figure(3.3)
            axes = figure.axes[0]
            x, y = ((_thinned(of_train, 3 * MOST_DRAWN) - mean) @ axes_of).T
            axes.plot(x, y, "o", color=PALETTE["train"], markersize=2.4, markeredgewidth=0, alpha=0.6, label="training")
            outside = 0
            if judged is not train:
                mine = judged.environments.numbers == number
                severity, features = judged.environments.severity[mine], judged.environments.features[mine]
                inside = _thinned(features[severity == 0], MOST_DRAWN)
                far = _thinned(features[severity > 0], MOST_DRAWN)
                outside = int((severity > 0).sum())
                for rows, color, label in ((inside, judged.name, SETS[judged.name]), (far, "alert", "outside")):
                    if len(rows):
                        x, y = ((rows - mean) @ axes_of).T
                        style: dict[str, Any] = {
                            "color": PALETTE[color],
                            "label": label,
                            "markersize": 2.6,
                            "markeredgewidth": 0,
                        }
                        axes.plot(x, y, "o", alpha=0.85, **style)
            axes.set(xlabel=f"first component ({shares[0]:.0%})", ylabel=f"second component ({shares[1]:.0%})")
            axes.legend(loc="best", fontsize=7, markerscale=1.6)
        alt = (
            f"Map of the environments of {symbol(number)}: two principal components hold {sum(shares):.0%} of the "
            f"variance of {len(of_train)} training atoms; {outside} {SETS[judged.name]} atoms are outside"
        )
        drawings.append(Drawing(f"map_{symbol(number)}", f"Environments of {symbol(number)}", alt, figure))
    return drawings


def principal_axes(
    features: Float[np.ndarray, "N D"],
) -> tuple[Float[np.ndarray, "D"], Float[np.ndarray, "D 2"], list[float]]:
    """Mean of the rows, the two orthonormal directions of their largest variance, and each one's share of it."""
    mean = features.mean(axis=0, dtype=np.float64)
    centered = features - mean
    values, vectors = np.linalg.eigh(centered.T @ centered)
    if len(values) < 2:  # a single function
        values, vectors = np.array([0.0, *values]), np.concatenate([np.zeros((1, 1)), vectors], axis=1)
    total = values.sum() or 1.0
    directions = vectors[:, [-1, -2]]
    # The sign of an eigenvector is free; the same data shall give the same picture.
    directions = directions * np.where(np.sign(directions.sum(axis=0)) < 0, -1.0, 1.0)
    return mean, directions, [float(values[-1] / total), float(values[-2] / total)]


def calibration(parts: Sequence[Part]) -> list[Drawing]:
    """Errors over the standard deviations of a committee, in bins of as many predictions; none for one potential."""
    drawings = []
    for kind in KINDS:
        word, unit = UNITS[kind]
        found = {part.name: binned(part.name, kind, part.reliability()) for part in parts if part.spreads}
        logs = [
            MILLI * value for bins in found.values() for each in bins for value in (each.std, each.error) if value > 0
        ]
        if not logs:
            continue
        ends = np.array([0.8 * min(logs), 1.25 * max(logs)])
        with rc_context(SETTINGS):
            figure = new_figure(3.6)
            axes = figure.axes[0]
            axes.plot(ends, ends, color=PALETTE["muted"], linewidth=0.8)
            for name, bins in found.items():
                x, y = ([MILLI * getattr(each, column) for each in bins] for column in ("std", "error"))
                axes.plot(x, y, "o-", color=PALETTE[name], label=SETS[name], markersize=4, linewidth=0.8)
            axes.set(
                xlim=ends, ylim=ends, xlabel=f"standard deviation ({unit})", ylabel=f"root mean square error ({unit})"
            )
            for name in ("x", "y"):
                log_axis(axes, name)
            axes.set(xlim=ends, ylim=ends)
            axes.set_box_aspect(1)
            axes.legend(loc="upper left")
        alt = (
            f"Root mean square error of a {word} over the standard deviation of the committee; perfect is the diagonal"
        )
        drawings.append(Drawing(f"calibration_{kind}", f"Calibration, {word}", alt, figure))
    return drawings


def _thinned(rows: Float[np.ndarray, "N D"], most: int) -> Float[np.ndarray, "M D"]:
    """At most so many rows, spread evenly."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
