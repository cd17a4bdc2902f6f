"""The parts of a report's page, one function each; an empty text where there is nothing to show."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from mlip.baseline import description
from mlip.configfile import as_yaml
from mlip.elements import symbol
from mlip.model.kernels import AtomicKernels
from mlip.model.networks import AtomicNetworks
from mlip.report.figures import MILLI, SETS
from mlip.report.markup import duration, facts, gallery, number, section, table
from mlip.report.report import Report
from mlip.report.worst import color, formula

ERRORS = (
    ("energy", "energy_{}_per_atom", "meV/atom"),
    ("forces", "forces_{}", "meV/Å"),
    ("stress", "stress_{}", "meV/Å³"),
)
LONGEST_CONFIG = 60_000  # characters


def data(report: Report) -> str:
    """Sets, composition, and histograms of what there is to learn."""
    if not report.parts:
        return ""
    rows = []
    for part in report.parts.values():
        sizes = [len(s) for s in part.structures]
        atoms = str(sizes[0]) if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
        labels = [
            _range(part.pairs.get(kind), digits) for kind, digits in (("energy", 4), ("forces", 4), ("stress", 3))
        ]
        rows.append([SETS[part.name], str(part.total), atoms, *labels])
    heads = ["set", "structures", "atoms", "energy* (eV/atom)", "forces (eV/Å)", "stress (eV/Å³)"]
    if all(row[-1] == "-" for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    sampled = [part for part in report.parts.values() if part.total > len(part.structures)]
    note = (
        "What the potential was trained on and tested with. *Energies are less the reference energies of their atoms."
    )
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
        f'<span style="flex-grow: {n}; background: {color(int(z))}"></span>'
        for z, n in zip(numbers, counts, strict=True)
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


def training(report: Report) -> str:
    """Curves over the epochs."""
    note = "Each epoch goes once through the training set; the dashed line is the best epoch, whose weights were kept."
    return section("training", "Training", note, gallery(report.drawings["training"]))


def errors(report: Report) -> str:
    """Errors of each set, in all and by element, group and size of the force."""
    found = {SETS[part]: report.errors(part) for part in SETS if report.errors(part)}
    tables = [_error_table("Mean absolute / root mean square errors", "set", found)] if found else []
    judged = report.judged
    note = "Predictions over reference values, and how the errors spread; errors beyond a histogram count at its edges."
    if judged is None:
        return section("errors", "Errors", "As the run's end wrote them.", *tables)
    heads = ["element", "atoms", "MAE (meV/Å)", "RMSE (meV/Å)"]
    of_element = [
        [symbol(z), str(n), number(MILLI * mae), number(MILLI * rmse)]
        for z, (n, mae, rmse) in judged.forces_by_element().items()
    ]
    details = table("Force errors by element", heads, of_element) if of_element else ""
    groups = {name: found for name, found in judged.results.items() if name != "all"}
    if groups:
        details += _error_table("Mean absolute / root mean square errors by group", "group", groups)
    details = f'{gallery(report.drawings["groups"])}<div class="beside">{details}</div>' if details else ""
    return section(
        "errors", "Errors", note, *tables, gallery(report.drawings["errors"]),
        f"<h3>By element and by group, {SETS[judged.name]} set</h3>{details}" if details else "",
    )  # fmt: skip


def _error_table(caption: str, kind: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Both errors of everything that any row has."""
    shown = [each for each in ERRORS if any(each[1].format("mae") in results for results in found.values())]
    rows = []
    for name, results in found.items():
        keys = [[key.format(which) for which in ("mae", "rmse")] for _, key, _ in shown]
        cells = [" / ".join(number(MILLI * results[key]) for key in both if key in results) or "-" for both in keys]
        rows.append([name, str(results.get("structures", "")), *cells])
    return table(caption, [kind, "structures", *(f"{word} ({unit})" for word, _, unit in shown)], rows)


def worst(report: Report) -> str:
    """The structures with the largest errors, and room for the viewer."""
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
        told = f"{origin}, {row['formula']}: {', '.join(parts)}{atom}" + (
            f"; {hidden} atoms not shown" if hidden else ""
        )
        name = "#" + origin.rpartition("#")[2] if "#" in origin else origin.rpartition("/")[2]
        buttons.append(
            f'<li><button type="button" data-place="{place}" data-told="{escape(told)}" aria-pressed="false">'
            f"{row['picture']}<b>{escape(parts[0])}</b><span>{escape(row['formula'])}</span>"
            f'<span class="origin">{escape(name)}</span></button></li>'
        )
    kind = "root mean square force error" if "forces_rmse" in report.worst[0] else "energy error per atom"
    note = (
        f"The {len(buttons)} {SETS[report.judged.name]} structures with the largest {kind}. Choose one, turn it with "
        "mouse, finger or arrow keys. Arrows are the error of the force, predicted less reference."
    )
    viewer = (
        '<div class="viewer"><div id="view" tabindex="0" role="img" aria-label="Structure"></div>'
        '<p id="told" aria-live="polite"></p><p class="choices"><label><input type="checkbox" id="arrows" checked> '
        'error arrows</label><label><input type="checkbox" id="shade"> color by error</label></p></div>'
    )
    return section("worst", "Worst structures", note, f'<div class="worst">{viewer}<ol>{"".join(buttons)}</ol></div>')


def calibration(report: Report) -> str:
    """Whether the standard deviations of a committee or a Gaussian process tell its errors."""
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
        "Whether the potential knows its errors: in a calibrated one they are as large as its standard deviations, "
        "68 % are within one and 95 % within two of these."
    )
    heads = ["set", "mean standard deviation", "within 1", "within 2", "miscalibration"]
    return section(
        "calibration", "Uncertainty", note, gallery(drawings), table("Standard deviations and errors", heads, rows)
    )


def environments(report: Report) -> str:
    """Nearest distances, maps of features, and atoms outside of the training set's ranges."""
    if not report.parts:
        return ""
    train, judged = report.parts["train"], report.judged or report.parts["train"]
    heads = [
        "pair",
        "training (Å)",
        *([f"{SETS[judged.name]} (Å)"] if judged is not train else []),
    ]
    rows = []
    for (a, b), distance in train.environments.closest.items():
        other = judged.environments.closest.get((a, b))
        last = [] if judged is train else ["-" if other is None else f"{other:.3f}"]
        rows.append([f"{symbol(a)}-{symbol(b)}", f"{distance:.3f}", *last])
    note = (
        "What the atoms see. Filled: training; lines: the other set. A map shows the two widest directions of the "
        "scaled features of an element: where test atoms lie beside the training atoms, the potential has to guess."
    )
    tables = table("Shortest distance of each pair of elements", heads, rows)
    counted = [] if judged is train else judged.extrapolation.elements.items()
    outside = [
        [symbol(z), str(n.atoms), str(n.outside), f"{n.largest:.2f} widths" if n.outside else "-"] for z, n in counted
    ]
    if outside:
        title = f"Atoms of the {SETS[judged.name]} set outside of the training set's ranges"
        tables += table(title, ["element", "atoms", "outside", "farthest"], outside)
    return section(
        "environments", "Environments", note,
        gallery(report.drawings["distances"] + report.drawings["environments"]), f'<div class="beside">{tables}</div>',
    )  # fmt: skip


def run(report: Report) -> str:
    """How the potential was made, with what, and its config."""
    run = report.run
    metrics, potential = run.metrics, run.potential
    pairs = [("Symmetry functions", str(len(potential.descriptor.functions))), ("Cutoff", f"{potential.cutoff:g} Å")]
    pairs += [("Pair potential", description(potential.baseline))] if potential.baseline else []
    if isinstance(potential.atomic, AtomicNetworks):
        hidden = run.config.model.networks.hidden
        weights = sum(p.numel() for p in potential.atomic.parameters())
        pairs += [
            ("Hidden layers", ", ".join(map(str, hidden)) if isinstance(hidden, (list, tuple)) else str(hidden)),
            ("Weights", f"{weights:,}".replace(",", " ")),
        ]
    if isinstance(potential.atomic, AtomicKernels):
        pairs += _kernels(potential.atomic, run.results.get("gpr", {}))
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


def _kernels(kernels: AtomicKernels, found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a Gaussian process has instead of layers and weights."""
    covariance = kernels.covariance.as_dict()
    parameters = ", ".join(f"{name} {value:g}" for name, value in kernels.covariance.parameters.items())
    pairs = [("Gaussian process", "sparse" if kernels.slopes is None and found.get("form") != "full" else "full")]
    pairs.append(("Kernel", f"{covariance['name']}{' ' if parameters else ''}{parameters}".replace("_", " ")))
    pairs.append(("Environments", f"{sum(map(len, kernels.points)):,}".replace(",", " ")))
    if found:
        pairs.append(("Labels", f"{found['labels']:,}".replace(",", " ")))
        pairs.append(("Length scales", ", ".join(f"{length:.3g}" for length in found["lengths"])))
        pairs.append(("Signal", f"{found['signal']:.3g} eV"))
    return pairs
