"""How the figures of a report look: one drawing for papers and for a page whose colors follow light and dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Colors of a light page, no two the same: in a page each becomes the variable --name of its style sheet.
PALETTE = {
    "ink": "#1f2933",
    "muted": "#66727f",
    "faint": "#dfe3e8",
    "train": "#9aa5b1",
    "valid": "#c98a1b",
    "test": "#1f6fb2",
    "alert": "#c2402f",
    "c0": "#2a7fba",
    "c1": "#d1762c",
    "c2": "#3a9464",
    "c3": "#8e63b0",
    "c4": "#b8527f",
    "c5": "#8a7a3c",
}
SERIES = tuple(PALETTE[f"c{number}"] for number in range(6))
WIDTH = 3.7  # inches; a figure is one column of a journal, and a phone wide
SETTINGS: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "mlip", "font.size": 8.5, "font.family": "sans-serif",
    "text.color": PALETTE["ink"], "axes.labelcolor": PALETTE["ink"], "axes.edgecolor": PALETTE["muted"],
    "xtick.color": PALETTE["muted"], "ytick.color": PALETTE["muted"], "xtick.labelcolor": PALETTE["muted"],
    "ytick.labelcolor": PALETTE["muted"], "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4, "ytick.minor.width": 0.4, "xtick.major.size": 3, "ytick.major.size": 3,
    "xtick.minor.size": 1.5, "ytick.minor.size": 1.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": PALETTE["faint"], "grid.linewidth": 0.6, "axes.axisbelow": True,
    "legend.frameon": False, "legend.fontsize": 8, "legend.handlelength": 1.3, "lines.linewidth": 1.4,
    "axes.titlesize": 8.5, "axes.labelsize": 8.5, "figure.dpi": 72, "text.parse_math": False,
}  # fmt: skip
SCATTERED = 1500  # points that are drawn one by one; more become a density
LEVELS = 7  # of a density
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Drawing:
    """A figure of the report, with what a person reads who sees it, and one who does not."""

    name: str  # of its file
    title: str
    alt: str
    figure: Figure


def new_figure(height: float, rows: int = 1, heights: Sequence[float] | None = None, width: float = WIDTH) -> Figure:
    """An empty figure with axes one above the other; sizes in inches, `heights` relative."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    for axes in figure.subplots(rows, 1, squeeze=False, height_ratios=heights)[:, 0]:
        axes.set_facecolor("none")
    return figure


def save(drawings: Sequence[Drawing], folder: Path, suffix: str) -> list[Path]:
    """Write the figures for papers, white where they are transparent in a page; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{drawing.name}.{suffix}" for drawing in drawings]
    with rc_context(SETTINGS):
        for drawing, file in zip(drawings, files, strict=True):
            drawing.figure.savefig(file, dpi=300, facecolor="white", metadata={"Date": None} if suffix == "svg" else {})
    return files


def inline(drawing: Drawing) -> str:
    """The figure as an SVG element of a page: its colors are the page's variables, its font is the page's."""
    buffer = StringIO()
    with rc_context(SETTINGS):
        drawing.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for variable, color in PALETTE.items():
        text = text.replace(color, f"var(--{variable})")
    for identity in re.findall(r' id="([^"]+)"', text):  # many figures stand in one page, whose names must differ
        if f"#{identity}" in text:
            text = re.sub(rf'(id="|#){re.escape(identity)}(?=[")])', rf"\1{drawing.name}-{identity}", text)
        else:
            text = text.replace(f' id="{identity}"', "")
    text = re.sub(r"<use[^>]*/>(\s*<use[^>]*/>)+", _common_style, text)
    text = re.sub(r' (?:d|x|y|transform)="[^"]*"', _rounded, re.sub(r">\s+<", "><", text))
    width, height = (float(size) for size in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0])
    opening = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(drawing.alt)}" class="plot" '
        f'style="aspect-ratio: {width:g} / {height:g}">'
    )
    return re.sub(r"^<svg[^>]*>", opening, text)


def _rounded(found: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point."""
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", found.group(0))


def _common_style(found: re.Match[str]) -> str:
    """Markers of one look say it once, in their group."""
    text = found.group(0)
    styles = set(re.findall(r' style="([^"]*)"', text))
    if len(styles) != 1:
        return text
    return f'<g style="{styles.pop()}">' + re.sub(r' style="[^"]*"', "", text) + "</g>"


def points(axes: Axes, x: Float[np.ndarray, "_"], y: Float[np.ndarray, "_"], color: str, label: str) -> None:
    """Points one by one if they are few, else their density as squares, the darker the more in each (a log scale)."""
    if len(x) <= SCATTERED:
        axes.plot(x, y, "o", color=color, markersize=2.6, markeredgewidth=0, alpha=0.75, label=label)
        return
    bins = 70
    counts, columns, rows = np.histogram2d(x, y, bins=bins)
    levels = np.ceil(LEVELS * np.log(counts + 1) / np.log(counts.max() + 1)).astype(int)
    width, height = columns[1] - columns[0], rows[1] - rows[0]
    for level in range(1, LEVELS + 1):
        corners = [(columns[i], rows[j]) for i, j in np.argwhere(levels == level)]
        if corners:
            squares = [[(a, b), (a + width, b), (a + width, b + height), (a, b + height), (a, b)] for a, b in corners]
            codes = [Outline.MOVETO, Outline.LINETO, Outline.LINETO, Outline.LINETO, Outline.CLOSEPOLY] * len(corners)
            path = Outline(np.concatenate(squares), codes)
            alpha = 0.15 + 0.8 * (level - 1) / (LEVELS - 1)
            axes.add_patch(PathPatch(path, facecolor=color, edgecolor="none", alpha=alpha))
    axes.plot([], [], "s", color=color, markersize=4, label=label)
    axes.autoscale_view()


def log_axis(axes: Axes, name: str) -> None:
    """Make the axis "x" or "y" logarithmic, with powers as plain text: fonts of a page have no mathematics."""
    axes.set(**{f"{name}scale": "log"})
    axis = getattr(axes, f"{name}axis")
    low, high = sorted(getattr(axes, f"get_{name}lim")())
    decades = np.log10(high / low) if low > 0 else 1.0
    axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(FuncFormatter(_power))
    axis.set_minor_formatter(NullFormatter())


def _power(value: float, _: object = None) -> str:
    """A number for a logarithmic axis."""
    if value <= 0:
        return ""
    exponent = int(np.floor(np.log10(value) + 1e-9))
    if -3 <= exponent <= 3:
        return f"{value:g}"
    front = round(value / 10.0**exponent)
    return f"{'' if front == 1 else f'{front}×'}10{str(exponent).translate(SUPERSCRIPTS)}"
