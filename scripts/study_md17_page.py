"""The page of `scripts/study_md17.py`: tables between the marks of docs/md17.md, and its figures.

A table stands between `<!-- made: NAME -->` and `<!-- end -->`; what is around it is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmark_accuracy import PUBLISHED

from mlip.durable import write_whole

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "md17.md"
MARK = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
ETHANOL = "rmd17_ethanol"
TRAINED = 950  # structures behind published errors that do not say another number
ALLEGRO = "Kovács 2021, Batatia 2022, Musaelian 2023"  # one of them; the note they were taken from names all three
MORE = {  # beside those of the accuracy benchmark
    "NequIP, l = 0": (2.0, 13.7, ALLEGRO),
    "ANI, pre-trained": (2.5, 13.4, ALLEGRO),
    "Allegro": (0.4, 2.1, ALLEGRO),
}
TIMES = {"10 s": 10, "1 min": 60, "5 min": 300, "20 min": 1200}  # of training
STEPS = {"50 µs": 50e-6, "100 µs": 100e-6, "200 µs": 200e-6, "500 µs": 500e-6, "2 ms": 2e-3}
NOTHING = "not run yet"


def published(data: Path) -> dict[str, dict[str, Any]]:
    """Errors (meV, meV/Å) that others published for the same data, with their sources."""
    rows = {**PUBLISHED[ETHANOL], **MORE} if ETHANOL in (data.parent.name, data.stem) else {}
    found = {}
    for method, (energy, forces, source) in rows.items():
        title, _, few = method.partition(", 50 structures")
        found[method] = {
            "method": title,
            "structures": 50 if method != title + few else TRAINED,
            "energy": energy,
            "forces": forces,
            "source": source,
        }
    return found


def write(results: dict[str, Any], output: Path) -> list[Path]:
    """Write figures and results.json into the folder `output`, and the page beside it; returns the files."""
    from study_md17_figures import draw

    output.mkdir(parents=True, exist_ok=True)
    files = [*draw(results, output), output / "results.json", output.with_suffix(".md")]
    write_whole(files[-2], json.dumps(results, indent=1) + "\n")
    write_whole(files[-1], filled(PAGE.read_text(encoding="utf-8"), results).replace("](md17/", f"]({output.name}/"))
    return files


def filled(text: str, results: dict[str, Any]) -> str:
    """The page's text with the tables of these results."""
    return MARK.sub(lambda found: f"{found[1]}{TABLES[found[2]](results)}\n{found[3]}", text)


def families(results: dict[str, Any]) -> list[str]:
    """Families with a learning curve, the simplest first."""
    order = ("pair", "sparse gpr", "gpr", "network", "committee")
    return [family for family in order if family in results.get("curves", {})]


def conditions(results: dict[str, Any]) -> str:
    """What the figures were measured on, in a sentence or two."""
    facts = results["facts"]
    division = facts["division"]
    text = (
        f"`{facts['data']}`: {division['train']} structures train, {division['valid']} validate, {division['test']} "
        f"test. {facts['threads']} of {facts['cores']} cores ({facts['machine']}), "
        f"{', '.join(f'{name} {number}' for name, number in facts['versions'].items())}."
    )
    if facts["quick"]:
        text = f"**These figures are of `--quick`, which only shows that the study works; they say nothing.** {text}"
    return text


def errors(results: dict[str, Any]) -> str:
    """Test errors of each family over the number of training structures."""
    return _over_sizes(results, lambda row: f"{row['test']['energy']:.2f} / {row['test']['forces']:.1f}")


def costs(results: dict[str, Any]) -> str:
    """Training time and time of a step, likewise."""
    return _over_sizes(results, lambda row: f"{_seconds(row['seconds'])} / {_step(row['step'])}")


def _over_sizes(results: dict[str, Any], cell: Callable[[dict[str, Any]], str]) -> str:
    names = families(results)
    rows: dict[int, dict[str, str]] = {}
    for family in names:
        for row in results["curves"][family]:
            rows.setdefault(row["structures"], {})[family] = cell(row)
    cells = [[str(count), *(rows[count].get(family, "–") for family in names)] for count in sorted(rows)]
    return _table(["structures", *names], cells)


def labels(results: dict[str, Any]) -> str:
    """With and without forces to learn from."""
    cells = [
        [family, kind, f"{row['test']['energy']:.2f}", f"{row['test']['forces']:.1f}", _seconds(row["seconds"])]
        for family, kinds in results.get("labels", {}).items()
        for kind, row in kinds.items()
    ]
    return _table(["", "learned from", "energy (meV)", "forces (meV/Å)", "training"], cells)


def seeds(results: dict[str, Any]) -> str:
    """One network, and averages of several."""
    found = results.get("seeds")
    if not found:
        return NOTHING
    mean, spread = found["mean"], found["spread"]
    ends = {kind: [row["test"][kind] for row in found["rows"]] for kind in mean}
    cells = [
        [f"one network, mean and standard deviation of {len(found['rows'])}"]
        + [f"{mean[kind]:.2f} ± {spread[kind]:.2f}" for kind in mean],
        ["the best and the worst of them"] + [f"{min(each):.2f}, {max(each):.2f}" for each in ends.values()],
    ]
    for row in found["averages"]:
        title = f"average of the first {row['members']}"
        cells.append([title, *(f"{row['test'][kind]:.2f}" for kind in mean)])
    return _table(["", "energy (meV)", "forces (meV/Å)"], cells)


def choice(results: dict[str, Any]) -> str:
    """Which family has the smallest validation error of forces within a time."""
    rows = [(family, row) for family in families(results) for row in results["curves"][family]]
    cells = []
    for what, key, limits in (("training", "seconds", TIMES), ("a step", "step", STEPS)):
        for shown, limit in limits.items():
            within = [(family, row) for family, row in rows if row[key] <= limit]
            cell = [f"{what} within {shown}", *["–"] * 5]
            if within:
                family, row = min(within, key=lambda pair: pair[1]["valid"]["forces"])
                error = f"{row['test']['energy']:.2f} / {row['test']['forces']:.1f}"
                cell[1:] = [family, str(row["structures"]), error, _seconds(row["seconds"]), _step(row["step"])]
            cells.append(cell)
    return _table(["", "family", "structures", "energy (meV) / forces (meV/Å)", "training", "step"], cells)


def others(results: dict[str, Any]) -> str:
    """Published errors for the same data."""
    rows = sorted(results["published"].values(), key=lambda row: (-row["structures"], -row["forces"]))
    cells = [
        [row["method"], _count(row), "–" if row["energy"] is None else f"{row['energy']}", f"{row['forces']}",
         row["source"]]
        for row in rows
    ]  # fmt: skip
    return _table(["", "structures", "energy (meV)", "forces (meV/Å)", "as given by"], cells)


def _count(row: dict[str, Any]) -> str:
    return "950 to 1000" if row["structures"] == TRAINED else str(row["structures"])


TABLES = {
    "conditions": conditions, "errors": errors, "costs": costs, "labels": labels, "seeds": seeds, "choice": choice,
    "others": others,
}  # fmt: skip


def _table(heading: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    if not cells:
        return NOTHING
    lines = [heading, ["---"] * len(heading), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seconds(value: float) -> str:
    """A time of training: s, or min from two minutes on."""
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s" if value < 120 else f"{value / 60:.1f} min"


def _step(value: float) -> str:
    """A time of a step: µs, or ms from one on."""
    return f"{1e6 * value:.0f} µs" if value < 1e-3 else f"{1e3 * value:.1f} ms"
