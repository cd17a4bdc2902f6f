"""Figures of a training and of its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mlip.elements import symbol
from mlip.report.findings import KINDS, Part
from mlip.report.style import PALETTE, SERIES, SETTINGS, Drawing, log_axis, new_figure, points

MILLI = 1e3
# name, unit of the axes of a parity plot, unit of an error
WORDS = {
    "energy": ("energy", "eV/atom", "meV/atom"),
    "forces": ("force component", "eV/Å", "meV/Å"),
    "stress": ("stress component", "eV/Å³", "meV/Å³"),
}
TITLES = {"energy": "Energies", "forces": "Forces", "stress": "Stress"}
NARROW = 2.9  # inches, of a figure in a row of four
SETS = {"train": "training", "valid": "validation", "test": "test"}


def training_curves(metrics: Mapping[str, Sequence[float]], best: int | None) -> list[Drawing]:
    """Loss with the learning rate, and validation errors, over the epochs."""
    epochs = metrics.get("epoch", [])
    if not epochs:
        return []
    drawings = []
    with rc_context(SETTINGS):
        figure = new_figure(3.3, 2, (2.6, 1))
        loss, rate = figure.axes
        for name, color in (("train", "train"), ("valid", "valid")):
            if f"{name}_loss" in metrics:
                loss.plot(epochs, metrics[f"{name}_loss"], color=PALETTE[color], label=SETS[name])
        rate.plot(epochs, metrics["learning_rate"], color=PALETTE["ink"], linewidth=1.1)
        log_axis(loss, "y")
        rate.set(ylim=(0, None))
        rate.set(xlabel="epoch", ylabel="rate")
        loss.set(ylabel="loss")
        loss.tick_params(labelbottom=False)
        for axes in (loss, rate):
            _over_epochs(axes, epochs, best)
        rate.ticklabel_format(axis="y", style="plain")
        figure.align_ylabels()
        loss.legend(loc="upper right")
        alt = f"Loss of training and validation set and learning rate over {len(epochs)} epochs"
        drawings.append(Drawing("loss", "Loss and learning rate", alt, figure))

        kinds = {"energy": "energy_mae_per_atom", "forces": "forces_mae", "stress": "stress_mae"}
        kinds = {kind: f"valid_{name}" for kind, name in kinds.items() if f"valid_{name}" in metrics}
        if kinds:
            figure = new_figure(3.3, len(kinds))
            for axes, (kind, column) in zip(figure.axes, kinds.items(), strict=True):
                axes.plot(epochs, MILLI * np.array(metrics[column]), color=PALETTE["valid"])
                log_axis(axes, "y")
                axes.set(ylabel=f"{kind}\n{WORDS[kind][2]}")
                axes.tick_params(labelbottom=axes is figure.axes[-1])
                _over_epochs(axes, epochs, best)
            figure.axes[-1].set(xlabel="epoch")
            figure.align_ylabels()
            alt = f"Mean absolute validation errors of {', '.join(kinds)} over {len(epochs)} epochs"
            drawings.append(Drawing("validation_errors", "Validation errors (mean absolute)", alt, figure))
        terms = {kind: metrics[f"train_{kind}_loss"] for kind in WORDS if any(metrics.get(f"train_{kind}_loss", ()))}
        if terms:
            figure = new_figure(3.3)
            axes = figure.axes[0]
            for (kind, values), color in zip(terms.items(), SERIES, strict=False):
                axes.plot(epochs, values, color=color, label=kind)
            log_axis(axes, "y")
            _over_epochs(axes, epochs, best)
            axes.set(xlabel="epoch", ylabel="term")
            axes.legend(loc="upper right")
            alt = f"Terms of the training loss over {len(epochs)} epochs: {', '.join(terms)}"
            drawings.append(Drawing("loss_terms", "Terms of the loss, unweighted", alt, figure))
    return drawings


def _over_epochs(axes: Axes, epochs: Sequence[float], best: int | None) -> None:
    """Whole numbers below, and a line at the best epoch."""
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if best:
        axes.axvline(best, color=PALETTE["muted"], linewidth=0.8, linestyle=(0, (3, 3)))


def parity(parts: Sequence[Part], judged: Part) -> list[Drawing]:
    """For each kind of label: predictions over labels of the judged set, and a histogram of all sets' errors."""
    drawings = []
    for kind in (kind for kind in KINDS if kind in judged.pairs):
        word, unit, small = WORDS[kind]
        labels, predicted = judged.pairs[kind]
        errors = MILLI * judged.errors(kind)
        mae, rmse = np.abs(errors).mean(), np.sqrt((errors**2).mean())
        with rc_context(SETTINGS):
            figure = new_figure(4.9, 2, (2.5, 1))
            above, below = figure.axes
            ends = np.array([min(labels.min(), predicted.min()), max(labels.max(), predicted.max())])
            ends += 0.04 * np.array([-1, 1]) * max(ends[1] - ends[0], 1e-9)
            above.plot(ends, ends, color=PALETTE["muted"], linewidth=0.8)
            points(above, labels, predicted, PALETTE[judged.name], SETS[judged.name])
            above.set(xlim=ends, ylim=ends, xlabel=f"reference {word} ({unit})", ylabel=f"predicted ({unit})")
            above.set_box_aspect(1)
            above.text(0.04, 0.96, f"MAE {mae:.3g}\nRMSE {rmse:.3g} {small}", transform=above.transAxes, va="top")
            above.locator_params(nbins=5)
            _error_histogram(below, parts, kind)
            below.set(xlabel=f"error ({small})")
        alt = (
            f"Predicted over reference {word}, {len(labels)} values of the {SETS[judged.name]} set, mean absolute "
            f"error {mae:.3g} {small}; below, a histogram of the errors of each set"
        )
        drawings.append(Drawing(f"parity_{kind}", TITLES[kind], alt, figure))
    return drawings


def _error_histogram(axes: Axes, parts: Sequence[Part], kind: str) -> None:
    """Shares of errors; 97 % of the widest set are inside of the picture, the rest counts at its edges."""
    found = {part.name: MILLI * part.errors(kind) for part in parts if kind in part.pairs}
    widest = 1.2 * max(float(np.quantile(np.abs(errors), 0.97)) for errors in found.values()) or 1.0
    bins = int(np.clip(3 * min(len(errors) for errors in found.values()) ** 0.5, 19, 61)) // 2 * 2 + 1
    edges = np.linspace(-widest, widest, bins + 1)
    for name, errors in found.items():
        counts, _ = np.histogram(np.clip(errors, -widest, widest), edges)
        style: dict[str, Any] = {"color": PALETTE[name], "label": SETS[name], "linewidth": 1.1}
        axes.stairs(100 * counts / len(errors), edges, **style)
    axes.set(ylabel="%", xlim=(-widest, widest))
    axes.legend(loc="upper right", fontsize=7)


def errors_by_group(part: Part) -> list[Drawing]:
    """Mean absolute force error (of energies, without force labels) of each group."""
    groups = {name: found for name, found in part.results.items() if name != "all"}
    key = "forces_mae" if "forces_mae" in part.results["all"] else "energy_mae_per_atom"
    shown = {name: MILLI * found[key] for name, found in groups.items() if key in found}
    if len(shown) < 2:
        return []
    unit = WORDS["forces" if key == "forces_mae" else "energy"][2]
    mean = MILLI * part.results["all"][key]
    drawing = _bars("errors_by_group", "By group", shown, mean, f"mean absolute error ({unit})")
    return [drawing]


def errors_by_element(part: Part) -> list[Drawing]:
    """Mean absolute force error of each element."""
    found = part.forces_by_element()
    if not found:
        return []
    shown = {symbol(number): MILLI * mae for number, (_, mae, _) in found.items()}
    mean = MILLI * part.results["all"]["forces_mae"]
    return [_bars("errors_by_element", "By element", shown, mean, "mean absolute force error (meV/Å)")]


def errors_by_size(part: Part) -> list[Drawing]:
    """Root mean square force error of atoms with small and with large forces, in bins of as many atoms."""
    if "forces" not in part.pairs:
        return []
    labels, errors = part.pairs["forces"][0].reshape(-1, 3), MILLI * part.errors("forces").reshape(-1, 3)
    sizes = np.linalg.norm(labels, axis=1)
    order = np.argsort(sizes)
    bins = min(20, len(order) // 5)
    if bins < 3:
        return []
    groups = np.array_split(order, bins)
    x = [sizes[rows].mean() for rows in groups]
    y = [np.sqrt((errors[rows] ** 2).mean()) for rows in groups]
    with rc_context(SETTINGS):
        figure = new_figure(2.3)
        axes = figure.axes[0]
        axes.plot(x, y, "o-", color=PALETTE[part.name], markersize=3.5, linewidth=1)
        axes.set(xlabel="size of the reference force (eV/Å)", ylabel="RMSE (meV/Å)", ylim=(0, None), xlim=(0, None))
    ends = [f"{error:.3g} meV/Å where forces are about {size:.2g} eV/Å" for size, error in (zip(x, y, strict=True))]
    alt = f"Root mean square force error: {ends[0]}, {ends[-1]}"
    return [Drawing("errors_by_size", "By size of the force", alt, figure)]


def _bars(name: str, title: str, shown: Mapping[str, float], mean: float, axis: str) -> Drawing:
    ordered = sorted(shown.items(), key=lambda item: item[1])
    with rc_context(SETTINGS):
        figure = new_figure(max(2.3, 0.7 + 0.24 * len(ordered)))
        axes = figure.axes[0]
        axes.barh([label for label, _ in ordered], [value for _, value in ordered], 0.55, color=SERIES[0])
        axes.axvline(mean, color=PALETTE["muted"], linewidth=0.8, linestyle=(0, (3, 3)))
        for row, (_, value) in enumerate(ordered):
            axes.annotate(f"{value:.3g}", (value, row), (4, 0), textcoords="offset points", va="center")
        axes.set(xlabel=axis, xlim=(0, 1.18 * max(value for _, value in ordered) or 1.0))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=PALETTE["ink"])
    alt = f"{axis[0].upper()}{axis[1:]}: " + ", ".join(f"{label} {value:.3g}" for label, value in reversed(ordered))
    return Drawing(name, title, alt, figure)


def labels_and_sizes(parts: Sequence[Part]) -> list[Drawing]:
    """What there is to learn: labels of the energy and of forces, and how many atoms a structure has, in each set."""
    drawings = []
    columns = {
        "sizes": ("Atoms per structure", "atoms", [(p.name, np.array([len(s) for s in p.structures])) for p in parts]),
        "energies": ("Energies", "reference energy (eV/atom)", _labels(parts, "energy")),
        "forces": ("Forces", "reference force component (eV/Å)", _labels(parts, "forces")),
        "stresses": ("Stress", "reference stress component (eV/Å³)", _labels(parts, "stress")),
    }
    for name, (title, axis, found) in columns.items():  # the fewest values decide how wide a bin must be
        if not found:
            continue
        everything = np.concatenate([values for _, values in found])
        if np.ptp(everything) < 1e-12:
            continue
        bins = int(np.clip(1.5 * min(len(values) for _, values in found) ** 0.5, 8, 40))
        edges = np.linspace(everything.min(), everything.max(), bins + 1)
        with rc_context(SETTINGS):
            figure = new_figure(2.3, width=NARROW)
            axes = figure.axes[0]
            for part, values in found:
                counts, _ = np.histogram(values, edges)
                style: dict[str, Any] = {"color": PALETTE[part], "label": SETS[part]}
                axes.stairs(100 * counts / len(values), edges, linewidth=1.1, **style)
            axes.set(xlabel=axis, ylabel="share (%)", xlim=(edges[0], edges[-1]))
            if name in ("forces", "stresses"):
                axes.set_yscale("log")
                log_axis(axes, "y")
            figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", fontsize=7, ncols=3)
        alt = f"Histogram of each set: {axis}, from {everything.min():.4g} to {everything.max():.4g}"
        drawings.append(Drawing(f"data_{name}", title, alt, figure))
    return drawings


def _labels(parts: Sequence[Part], kind: str) -> list[tuple[str, np.ndarray]]:
    return [(part.name, part.pairs[kind][0]) for part in parts if kind in part.pairs]
