"""Pieces of a page: text, numbers, tables, figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from mlip.report.style import Drawing, inline


def number(value: float, digits: int = 3) -> str:
    """A few significant digits without an exponent where a person would write none."""
    if value == 0 or not abs(value) < float("inf"):
        return f"{value:g}"
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text and abs(value) < 1e7 else text


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 100:
        return f"{number(seconds, 2)} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names its rows; it scrolls by itself where a screen is narrow."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    title = escape(caption)
    return (
        f'<div class="table"><h3>{title}</h3><div class="scroll" tabindex="0" role="region" aria-label="{title}">'
        f'<table aria-label="{title}"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></div>'
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values."""
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
        + "</dl>"
    )


def gallery(drawings: Sequence[Drawing], kind: str = "") -> str:
    """Figures side by side, or below each other where a screen is narrow."""
    if not drawings:
        return ""
    shown = "".join(
        f"<figure><figcaption>{escape(drawing.title)}</figcaption>{inline(drawing)}</figure>" for drawing in drawings
    )
    return f'<div class="gallery {kind}">{shown}</div>'


def section(name: str, title: str, note: str, *contents: str) -> str:
    """A part of the page with a heading and a sentence about it."""
    inside = "".join(contents)
    if not inside:
        return ""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(title)}</h2>'
        f'<p class="note">{escape(note)}</p>{inside}</section>'
    )
