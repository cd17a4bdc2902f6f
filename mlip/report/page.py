"""The report as one page of HTML that needs nothing but itself."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from mlip.elements import symbols
from mlip.report import sections
from mlip.report.figures import MILLI, SETS
from mlip.report.markup import duration, number
from mlip.report.report import Report
from mlip.report.sections import ERRORS
from mlip.report.style import PALETTE

ASSETS = Path(__file__).parent / "assets"
# Nothing may be fetched: the browser itself sees to it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
PARTS = {
    "data": ("Data", sections.data),
    "training": ("Training", sections.training),
    "errors": ("Errors", sections.errors),
    "worst": ("Worst structures", sections.worst),
    "calibration": ("Uncertainty", sections.calibration),
    "environments": ("Environments", sections.environments),
    "run": ("Run", sections.run),
}


def write_page(report: Report, path: Path) -> int:
    """Write the page whole or not at all; returns how many bytes it has."""
    text = page(report).encode(errors="replace")  # a name of a file may be no text
    partial = path.with_name(f"partial.{path.name}")
    try:
        partial.write_bytes(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(text)


def page(report: Report) -> str:
    """The HTML of a report."""
    name = report.run.path.resolve().name
    shown = {key: (title, make(report)) for key, (title, make) in PARTS.items()}
    links = "".join(f'<a href="#{key}">{title}</a>' for key, (title, text) in shown.items() if text)
    inside = "".join(text for _, text in shown.values())
    style = _asset("page.css").replace("/* palette */", _variables())
    viewer = f"<script>/*\n{_asset('3Dmol-LICENSE.txt')}*/\n{_asset('3Dmol-min.js')}</script>" if report.worst else ""
    views = json.dumps([row["view"] for row in report.worst], separators=(",", ":")).replace("</", "<\\/")
    scripts = f'{viewer}<script type="application/json" id="views">{views}</script><script>{_asset("page.js")}</script>'
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(name)}: report of a potential</title><style>{style}</style></head><body>"
        f'{_head(report, name)}<nav aria-label="Parts of the report">{links}</nav><main>{inside}</main>'
        f"<footer>Made by mlip {escape(str(report.run.provenance.get('mlip', '')))}. This page holds everything it "
        f"shows and fetches nothing.</footer>{scripts if report.worst else ''}</body></html>\n"
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _variables() -> str:
    return "".join(f"--{name}: {value};" for name, value in PALETTE.items())


def _head(report: Report, name: str) -> str:
    """Title, key numbers, warnings."""
    run, judged = report.run, report.judged
    potential = run.potential
    kind = "a potential" if potential.members == 1 else f"a committee of {potential.members} potentials"
    counts = run.provenance.get("structures") or {part: found.total for part, found in report.parts.items()}
    line = f"{kind.capitalize()} for {symbols(potential.elements)}, trained on {counts.get('train', '?')} structures"
    started = str(run.environment.get("started", ""))[:16].replace("T", " ")
    line += f", {started}" if started else ""
    shown = judged.name if judged else next((part for part in ("test", "valid", "train") if part in run.results), "")
    errors, train = report.errors(shown), report.errors("train")
    tiles = []
    for word, key, unit in ERRORS:
        mae, rmse = key.format("mae"), key.format("rmse")
        if mae in errors:
            below = f"RMSE {number(MILLI * errors[rmse])}"
            if shown != "train" and mae in train:
                below += f" · training {number(MILLI * train[mae])}"
            title = f"{word.capitalize()}, {SETS[shown]} MAE"
            tiles.append(_tile(title, number(MILLI * errors[mae]), unit, below))
    seconds = [*run.metrics.get("seconds", ()), *([run.results["seconds"]] if "seconds" in run.results else [])]
    if seconds:
        value, unit = duration(seconds[-1]).split()
        epochs = len(run.metrics.get("epoch", ()))
        tiles.append(_tile("Time of the run", value, unit, f"{epochs} epochs, best {report.best_epoch or '-'}"))
    warnings = "".join(f"<li>{escape(text)}</li>" for text in report.warnings)
    count = len(report.warnings)
    box = (
        f'<section class="warnings" aria-label="Warnings"><h2>{count} '
        f"{'warnings' if count > 1 else 'warning'}</h2><ul>{warnings}</ul></section>"
        if count
        else '<p class="calm">No warnings: nothing in this run looks out of order.</p>'
    )
    return (
        f'<header><h1>{escape(name)}</h1><p>{escape(line)}</p><div class="tiles">{"".join(tiles)}</div>{box}</header>'
    )


def _tile(title: str, value: str, unit: str, below: str) -> str:
    return (
        f'<div class="tile"><h2>{escape(title)}</h2><p class="value">{escape(value)} <span>{escape(unit)}</span></p>'
        f"<p>{escape(below)}</p></div>"
    )
