"""Which family of potentials serves: pair potentials, Gaussian processes, networks and committees on one molecule.

    python scripts/study_md17.py                       # revised MD17 ethanol, or what --data names; forty minutes
    python scripts/study_md17.py --data aspirin.npz
    python scripts/study_md17.py --quick               # only see that it works

Parts, all on one division of the structures by a seed (950 train, 50 validate, 1000 test, or as many as there are):

  curves   errors of each family over the number of training structures, with training time and time per MD step
  labels   the same families trained on energies alone
  seeds    networks from 20 seeds: mean and spread of their errors, and the errors of their averages

Each training is a run folder below --folder and is not done again when it is finished; a study that was killed goes on
when the command is given again. The last step writes the page docs/md17.md (its tables), docs/md17/*.svg and
docs/md17/results.json, which holds every figure. Trainings are timed, so they run one after the other; leave the
machine alone meanwhile. Validation structures choose the best epoch of each training; test structures decide nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import study_md17_page as page
from study_md17_runs import BUNDLED, ENERGIES, EVERYTHING, FAMILIES, FULL, QUICK, RMD17, ROOT, Trainings

from mlip.configfile import data_section
from mlip.durable import write_whole
from mlip.stopping import Stopped, exit_status

LEARN_ENERGIES = ("sparse gpr", "gpr", "network")  # families that are also trained on energies alone
AVERAGED = (2, 4, 8, 20)  # networks


def main() -> int:
    """Train what is missing, then write tables and figures."""
    options = parse()
    size = QUICK if options.quick else FULL
    data = data_section(str(options.data), options.set)
    data = data.model_copy(update={"test": options.test and str(options.test)})
    trainings = Trainings(options.folder, data, size, options.threads)
    file = options.folder / "results.json"
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    results |= {"facts": facts(options, trainings), "published": page.published(options.data)}
    for part in options.only:
        results[part] = results.get(part, {}) | PARTS[part](trainings, options.families)
        write_whole(file, json.dumps(results, indent=1))
    for written in page.write(results, options.output):
        print(written)
    return 0


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="structures of one molecule (default: revised MD17 ethanol)")
    parser.add_argument("--test", type=Path, help="test structures (default: test.xyz beside train.xyz, or a share)")
    parser.add_argument("--set", nargs="+", default=[], metavar="data.key=value", help="how the file is read")
    parser.add_argument("--folder", type=Path, help="of all runs (default: runs/md17, with --quick runs/md17_quick)")
    parser.add_argument("--output", type=Path, help="of figures (default: docs/md17, with --quick FOLDER/md17)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=tuple(PARTS), help="these parts alone")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=tuple(FAMILIES), help="these families alone")
    parser.add_argument("--threads", type=int, default=1, help="of each training and of dynamics (default: 1)")
    parser.add_argument("--quick", action="store_true", help="few structures, few epochs, two seeds")
    options = parser.parse_args()
    if options.data is None:
        options.data = RMD17 if RMD17.is_file() else BUNDLED
        if not (RMD17.is_file() or options.quick):
            parser.error("no --data; expected a file of structures, such as the train.xyz of revised MD17 ethanol")
    beside = options.data.with_name("test.xyz")
    if options.test is None and options.data.name == "train.xyz" and beside.is_file():
        options.test = beside
    options.folder = options.folder or Path("runs/md17_quick" if options.quick else "runs/md17")
    options.output = options.output or (options.folder if options.quick else ROOT / "docs") / "md17"
    return options


def facts(options: argparse.Namespace, trainings: Trainings) -> dict[str, Any]:
    """What was measured on what."""
    return {
        "data": f"{options.data.parent.name}/{options.data.name}",
        "quick": options.quick,
        "division": trainings.division(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "versions": {name: version(name) for name in ("torch", "numba", "numpy")},
    }


def curves(trainings: Trainings, families: list[str]) -> dict[str, list[dict[str, Any]]]:
    """A row for each number of training structures, for each family."""
    return {family: [trainings.train(family, count) for count in trainings.sizes] for family in families}


def labels(trainings: Trainings, families: list[str]) -> dict[str, dict[str, Any]]:
    """All training structures with and without their forces."""
    asked = [family for family in families if family in LEARN_ENERGIES]
    count = trainings.largest
    return {
        family: {kind: trainings.train(family, count, labels=kind) for kind in (EVERYTHING, ENERGIES)}
        for family in asked
    }


def seeds(trainings: Trainings, families: list[str]) -> dict[str, Any]:
    """Networks that differ by their seed alone, and averages of the first few of them."""
    if "network" not in families:
        return {}
    numbers = list(range(1, trainings.size.seeds + 1))
    rows = [trainings.train("network", trainings.largest, seed) for seed in numbers]
    averages = [
        trainings.average("network", trainings.largest, numbers[:members])
        for members in sorted({min(members, len(numbers)) for members in AVERAGED})
    ]
    values = {kind: [row["test"][kind] for row in rows] for kind in ("energy", "forces")}
    return {
        "rows": rows,
        "mean": {kind: statistics.fmean(found) for kind, found in values.items()},
        "spread": {kind: statistics.stdev(found) for kind, found in values.items()},
        "averages": averages,
    }


PARTS = {"curves": curves, "labels": labels, "seeds": seeds}

if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stopped as stopped:
        print(f"study_md17: {stopped}; the same command goes on", file=sys.stderr)
        sys.exit(exit_status(stopped.number))
    except (ValueError, FileNotFoundError) as error:
        print(f"study_md17: error: {error}", file=sys.stderr)
        sys.exit(2)
