"""The report as one page of HTML that needs nothing but itself."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mlip.configfile import as_yaml
from mlip.elements import symbol, symbols
from mlip.report.figures import MILLI, SETS
from mlip.report.markup import duration, facts, gallery, number, section, table
from mlip.report.report import Report
from mlip.report.style import PALETTE
from mlip.report.worst import color, formula

ASSETS = Path(__file__).parent / "assets"
# Nothing may be fetched: the browser itself sees to it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
ERRORS = (
    ("energy", "energy_{}_per_atom", "meV/atom"),
    ("forces", "forces_{}", "meV/Å"),
    ("stress", "stress_{}", "meV/Å³"),
)
LONGEST_CONFIG = 60_000  # characters


def write_page(report: Report, path: Path) -> int:
    """Write the page whole or not at all; returns how many bytes it has."""
    text = page(report).encode()
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
    sections = [
        _data(report),
        _training(report),
        _errors(report),
        _worst(report),
        _calibration(report),
        _environments(report),
        _run(report),
    ]
    titles = {"data": "Data", "training": "Training", "errors": "Errors", "worst": "Worst structures",
              "calibration": "Committee", "environments": "Environments", "run": "Run"}  # fmt: skip
    links = "".join(
        f'<a href="#{key}">{title}</a>' for key, title in titles.items() if any(f'id="{key}"' in s for s in sections)
    )
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
        f"{_head(report, name)}<nav aria-label=\"Parts of the report\">{links}</nav><main>{''.join(sections)}</main>"
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
    seconds = run.results.get("seconds", (run.metrics.get("seconds") or [None])[-1])
    if seconds is not None:
        value, unit = duration(seconds).split()
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
    return f'<header><h1>{escape(name)}</h1><p>{escape(line)}</p><div class="tiles">{"".join(tiles)}</div>{box}</header>'


def _tile(title: str, value: str, unit: str, below: str) -> str:
    return (
        f'<div class="tile"><h2>{escape(title)}</h2><p class="value">{escape(value)} <span>{escape(unit)}</span></p>'
        f"<p>{escape(below)}</p></div>"
    )


def _data(report: Report) -> str:
    if not report.parts:
        return ""
    rows = []
    for part in report.parts.values():
        sizes = [len(s) for s in part.structures]
        rows.append([
            SETS[part.name], str(part.total), f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else str(sizes[0]),
            *(_range(part.pairs.get(kind), digits) for kind, digits in (("energy", 4), ("forces", 4), ("stress", 3))),
        ])  # fmt: skip
    heads = ["set", "structures", "atoms", "energy* (eV/atom)", "forces (eV/Å)", "stress (eV/Å³)"]
    if all(row[-1] == "-" for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    sampled = [part for part in report.parts.values() if part.total > len(part.structures)]
    note = "What the potential was trained on and tested with. *Energies are less those of the reference atoms."
    if sampled:
        note += " Figures show " + ", ".join(f"{len(p.structures)} of {p.total} {SETS[p.name]}" for p in sampled)
        note += " structures, spread evenly; the key numbers above count all of them."
    return section(
        "data", "Data", note, table("Structures and labels of each set", heads, rows), _composition(report),
        gallery(report.drawings["data"], "small"),
    )  # fmt: skip


def _range(pair: tuple[np.ndarray, np.ndarray] | None, digits: int) -> str:
    return "-" if pair is None else f"{pair[0].min():.{digits}g} to {pair[0].max():.{digits}g}"


def _composition(report: Report) -> str:
    """Shares of the elements among the training atoms, and the formulas."""
    train = report.parts["train"]
    numbers, counts = np.unique(train.environments.numbers, return_counts=True)
    shares = "".join(
        f'<span style="flex-grow: {n}; background: {color(int(z))}"></span>' for z, n in zip(numbers, counts, strict=True)
    )
    legend = "".join(
        f'<li><i style="background: {color(int(z))}"></i>{symbol(int(z))} {n / counts.sum():.1%}, {n} atoms</li>'
        for z, n in zip(numbers, counts, strict=True)
    )
    formulas: dict[str, int] = {}
    for structure in train.structures:
        name = formula(structure.numbers)
        formulas[name] = formulas.get(name, 0) + 1
    common = sorted(formulas.items(), key=lambda item: -item[1])
    text = ", ".join(f"{name} ({count})" for name, count in common[:12])
    more = f" and {len(common) - 12} other compositions" if len(common) > 12 else ""
    return (
        '<h3>Composition of the training set</h3><div class="shares" role="img" aria-label="Shares of elements">'
        f'{shares}</div><ul class="legend">{legend}</ul><p class="note">{escape(text + more)}</p>'
    )


def _training(report: Report) -> str:
    note = "Each epoch goes once through the training set; the dashed line is the best epoch, whose weights were kept."
    return section("training", "Training", note, gallery(report.drawings["training"]))


def _errors(report: Report) -> str:
    rows = []
    for part in SETS:
        found = report.errors(part)
        if found:
            rows.append([SETS[part], str(found.get("structures", "")), *_cells(found)])
    heads = ["set", "structures", *(f"{word} ({unit})" for word, _, unit in ERRORS)]
    tables = [table("Mean absolute / root mean square errors", heads, rows)] if rows else []
    judged = report.judged
    note = "Predictions over reference values, and how the errors spread; errors beyond the edges of a histogram count there."
    if judged is None:
        return section("errors", "Errors", "As the run's end wrote them.", *tables)
    heads = ["element", "atoms", "MAE (meV/Å)", "RMSE (meV/Å)"]
    of_element = [
        [symbol(z), str(n), number(MILLI * mae), number(MILLI * rmse)]
        for z, (n, mae, rmse) in judged.forces_by_element().items()
    ]
    details = table("Force errors by element", heads, of_element) if of_element else ""
    groups = [[name, str(found["structures"]), *_cells(found)] for name, found in judged.results.items() if name != "all"]
    if groups:
        heads = ["group", "structures", *(f"{word} ({unit})" for word, _, unit in ERRORS)]
        details += table("Mean absolute / root mean square errors by group", heads, groups)
    details = f'{gallery(report.drawings["groups"])}<div class="beside">{details}</div>' if details else ""
    return section(
        "errors", "Errors", note, *tables, gallery(report.drawings["errors"]),
        f"<h3>By element and by group, {SETS[judged.name]} set</h3>{details}" if details else "",
    )  # fmt: skip


def _cells(found: dict[str, Any]) -> list[str]:
    keys = [(key.format("mae"), key.format("rmse")) for _, key, _ in ERRORS]
    return [
        f"{number(MILLI * found[mae])} / {number(MILLI * found[rmse])}" if mae in found else "-" for mae, rmse in keys
    ]


def _worst(report: Report) -> str:
    if not report.worst or report.judged is None:
        return ""
    buttons = []
    for place, row in enumerate(report.worst):
        force, energy = row.get("forces_rmse"), row.get("energy_error_per_atom")
        parts = [f"{number(MILLI * force)} meV/Å"] if force is not None else []
        parts += [f"{MILLI * energy:+.3g} meV/atom"] if energy is not None else []
        origin = row["structure"]
        atom = f"; largest at atom {row['atom']}" if "atom" in row else ""
        hidden = row["view"]["left_out"]
        told = f"{origin}, {row['formula']}: {', '.join(parts)}{atom}" + (f"; {hidden} atoms not shown" if hidden else "")
        buttons.append(
            f'<li><button type="button" data-place="{place}" data-told="{escape(told)}" aria-pressed="false">'
            f'{row["picture"]}<b>{escape(parts[0])}</b><span>{escape(row["formula"])}</span>'
            f'<span class="origin">{escape(origin.rpartition("/")[2])}</span></button></li>'
        )
    note = (
        f"The {len(buttons)} {SETS[report.judged.name]} structures with the largest root mean square force error. Choose "
        "one, turn it with mouse, finger or arrow keys. Arrows are the error of the force, predicted less reference."
    )
    viewer = (
        '<div class="viewer"><div id="view" tabindex="0" role="img" aria-label="Structure"></div>'
        '<p id="told" aria-live="polite"></p><p class="choices"><label><input type="checkbox" id="arrows" checked> '
        'error arrows</label><label><input type="checkbox" id="shade"> color by error</label></p></div>'
    )
    return section("worst", "Worst structures", note, f'<div class="worst">{viewer}<ol>{"".join(buttons)}</ol></div>')


def _calibration(report: Report) -> str:
    drawings = report.drawings.get("calibration", [])
    if not drawings:
        return ""
    rows = []
    for part in report.parts.values():
        found = part.results["all"]
        for kind, unit in (("energy", "meV"), ("forces", "meV/Å")):
            if f"{kind}_std_mean" in found:
                rows.append([
                    f"{SETS[part.name]}, {kind}", f"{number(MILLI * found[f'{kind}_std_mean'])} {unit}",
                    *(f"{found[f'{kind}_within_{count}_std']:.0%}" for count in (1, 2)),
                    number(found[f"{kind}_miscalibration"], 2),
                ])  # fmt: skip
    note = (
        "Whether the committee knows its errors: in a calibrated one they are as large as its standard deviations, 68 % "
        "are within one and 95 % within two of these."
    )
    heads = ["set", "mean standard deviation", "within 1", "within 2", "miscalibration"]
    return section(
        "calibration", "Committee", note, gallery(drawings), table("Standard deviations and errors", heads, rows)
    )


def _environments(report: Report) -> str:
    if not report.parts:
        return ""
    train, judged = report.parts["train"], report.judged
    heads = ["pair", "training (Å)", *([f"{SETS[judged.name]} (Å)"] if judged is not None and judged is not train else [])]
    rows = []
    for (a, b), distance in train.environments.closest.items():
        other = judged.environments.closest.get((a, b)) if judged is not None else None
        last = [] if judged is train else ["-" if other is None else f"{other:.3f}"]
        rows.append([f"{symbol(a)}-{symbol(b)}", f"{distance:.3f}", *last])
    note = (
        "What the atoms see. Filled: training; lines: the other set. A map shows the two widest directions of the scaled "
        "features of an element: where test atoms lie beside the training atoms, the potential has to guess."
    )
    tables = table("Shortest distance of each pair of elements", heads, rows)
    counted = [] if judged is None or judged is train else judged.extrapolation.elements.items()
    outside = [[symbol(z), str(n.atoms), str(n.outside), f"{n.largest:.2f} widths" if n.outside else "-"] for z, n in counted]
    if outside:
        title = f"Atoms of the {SETS[judged.name]} set outside of the training set's ranges"
        tables += table(title, ["element", "atoms", "outside", "farthest"], outside)
    return section(
        "environments", "Environments", note,
        gallery(report.drawings["distances"] + report.drawings["environments"]), f'<div class="beside">{tables}</div>',
    )  # fmt: skip


def _run(report: Report) -> str:
    run = report.run
    metrics, potential = run.metrics, run.potential
    pairs = [("Symmetry functions", str(len(potential.descriptor.functions))), ("Cutoff", f"{potential.cutoff:g} Å")]
    hidden = run.config.model.networks.hidden
    weights = sum(p.numel() for p in potential.networks.parameters())
    pairs += [("Hidden layers", ", ".join(map(str, hidden)) if isinstance(hidden, (list, tuple)) else str(hidden)), ("Weights", f"{weights:,}".replace(",", " "))]
    pairs += [("Members", str(potential.members)), ("Precision", str(potential.dtype).removeprefix("torch."))]
    if "seconds" in run.results:
        pairs.append(("Time of the run", duration(run.results["seconds"])))
    seconds = metrics.get("seconds", [])
    if len(seconds) > 2:
        pairs.append(("Time of an epoch", f"{number(float(np.median(np.diff(seconds))), 2)} s"))
    environment = dict(run.environment)
    versions = environment.pop("versions", {})
    pairs += [(name.capitalize(), str(value)) for name, value in environment.items()]
    pairs += [(f"{name}", str(value)) for name, value in versions.items()]
    config = as_yaml(run.config)
    if len(config) > LONGEST_CONFIG:
        config = config[:LONGEST_CONFIG] + "\n... (config.yaml in the run folder has the rest)\n"
    more = f'<details><summary>Configuration</summary><pre tabindex="0">{escape(config)}</pre></details>'
    return section("run", "Run", "How the potential was made, and with what.", facts(pairs), more)
