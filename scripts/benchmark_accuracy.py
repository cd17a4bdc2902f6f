"""Train on published data sets and print test errors beside published ones, with the time it took.

    python scripts/benchmark_accuracy.py --data DIR
    python scripts/benchmark_accuracy.py --data DIR --only rmd17_ethanol --configs rmd17_ethanol rmd17_accurate

DIR holds folders named after their data; those that are there are used, each with the configs of its kind:

  rmd17_MOLECULE/   train.xyz, test.xyz             revised MD17, extxyz; train.xyz is divided as the config says
  mlearn_ELEMENT/   train.xyz, test.xyz             one of the mlearn sets, with stress if the file has it
  3bpa/, acac/      train_300K.xyz, test*.xyz       3BPA and acetylacetone; each test file is a row

A row is a training, `mlip train CONFIG` with these files, and its time is the wall time of that command, all included.
Configs choose by validation structures alone; test files decide nothing. Errors are mean absolute errors, for 3BPA and
acetylacetone root mean square errors, as they are usually given: of the energy in meV (mlearn: meV/atom), of forces in
meV/Å. The last line is a JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

CONFIGS = Path(__file__).parents[1] / "configs"


class Kind(NamedTuple):
    """Data of one kind: which configs are tried, the training file, and which errors are usually given."""

    configs: tuple[str, ...]
    train: str
    energy: str
    forces: str


KINDS = {
    "rmd17": Kind(
        ("rmd17_ethanol", "rmd17_accurate", "rmd17_committee", "rmd17_few"), "train.xyz", "energy_mae", "forces_mae"
    ),
    "mlearn": Kind(("mlearn_si",), "train.xyz", "energy_mae_per_atom", "forces_mae"),
    "3bpa": Kind(("rmd17_accurate",), "train_300K.xyz", "energy_rmse", "forces_rmse"),
    "acac": Kind(("rmd17_accurate",), "train_300K.xyz", "energy_rmse", "forces_rmse"),
}

# Energy and force errors as published: meV (mlearn: meV/atom) and meV/Å. TABLES: as tabulated by Kovács et al.,
# J. Chem. Theory Comput. 17, 7696 (2021), and Batatia et al., NeurIPS 2022, for 950 to 1000 training structures.
TABLES = "Kovács 2021, Batatia 2022"
PUBLISHED: dict[str, dict[str, tuple[float | None, float, str]]] = {
    "rmd17_ethanol": {
        "ANI, random weights": (7.7, 45.6, TABLES),
        "GAP": (3.5, 18.1, TABLES),
        "sGDML": (2.4, 16.0, TABLES),
        "linear ACE": (1.2, 7.3, TABLES),
        "FCHL19": (0.9, 6.2, TABLES),
        "MACE": (0.4, 2.1, TABLES),
        "linear ACE, 50 structures": (None, 43.0, TABLES),
        "MACE, 50 structures": (None, 32.6, TABLES),
    },
    "mlearn_si": {
        "GAP": (2.91, 70.0, "Zuo 2020, J. Phys. Chem. A 124, 731"),
        "MTP": (2.21, 60.0, "Zuo 2020, J. Phys. Chem. A 124, 731"),
    },
}


def main() -> None:
    """Train, print the table, then the object."""
    options = parse()
    rows: list[dict[str, Any]] = []
    for folder in data_sets(options.data, options.only):
        kind = KINDS[folder.name.split("_")[0]]
        for config in options.configs or kind.configs:
            rows += train(folder, kind, config, options)
    if not rows:
        sys.exit(f"{options.data}: no data set that is known; see --help")
    show(rows)
    facts = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": options.threads}
    versions = {name: version(name) for name in ("mlip", "torch", "numba")}
    print(json.dumps({"benchmark": "accuracy", **facts, "versions": versions, "rows": rows, "published": PUBLISHED}))


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these data sets alone, by their folders' names")
    parser.add_argument("--configs", nargs="+", metavar="NAME", help="these configs instead of those of the kind")
    parser.add_argument("--threads", type=int, default=1, help="run.threads (default: 1)")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="overrides for every training")
    return parser.parse_args()


def data_sets(folder: Path, only: list[str] | None) -> list[Path]:
    """Folders of known data sets, by name."""
    found = [path for path in sorted(folder.iterdir()) if path.name.split("_")[0] in KINDS]
    found = [path for path in found if (path / KINDS[path.name.split("_")[0]].train).is_file()]
    return [path for path in found if only is None or path.name in only]


def train(folder: Path, kind: Kind, config: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One training, and a row for each test file."""
    tests = sorted(path for path in folder.glob("test*.xyz"))
    command = [sys.executable, "-m", "mlip", "train", str(CONFIGS / f"{config}.yaml"), "--json", "--quiet"]
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        settings = [f"data.train={folder / kind.train}", f"data.test={tests[0]}", f"run.dir={run}"]
        began = time.perf_counter()
        results = call([*command, *settings, f"run.threads={options.threads}", *options.set])
        seconds = time.perf_counter() - began
        errors = {tests[0].stem: results["test"]}
        for path in tests[1:]:
            evaluated = call([sys.executable, "-m", "mlip", "evaluate", str(run), str(path), "--json", "--quiet"])
            errors[path.stem] = evaluated["all"]
    return [
        {
            "data": folder.name,
            "test": test,
            "config": config,
            "seconds": round(seconds, 1),
            "energy": 1e3 * error[kind.energy],
            "forces": 1e3 * error[kind.forces],
            "energy_is": kind.energy,
            "train_structures": results["train"]["structures"],
            "valid_energy": 1e3 * results["valid"][kind.energy],
            "valid_forces": 1e3 * results["valid"][kind.forces],
        }
        for test, error in errors.items()
    ]


def call(command: list[str]) -> dict[str, Any]:
    """What a command prints, or the end of this script with its message."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def show(rows: list[dict[str, Any]]) -> None:
    """The table: what was trained here, then what was published for the same data."""
    print(f"{'data':>16}  {'what':<28}{'seconds':>8}{'energy':>9}{'forces':>9}")
    for name in dict.fromkeys(row["data"] for row in rows):
        for row in (row for row in rows if row["data"] == name):
            what = row["config"] if row["test"] == "test" else f"{row['config']}, {row['test']}"
            what += "" if row["train_structures"] > 100 else f", {row['train_structures']} structures"
            print(f"{name:>16}  {what:<28}{row['seconds']:>8.0f}{row['energy']:>9.2f}{row['forces']:>9.2f}")
        for what, (energy, forces, source) in PUBLISHED.get(name, {}).items():
            shown = "-" if energy is None else f"{energy:.2f}"
            print(f"{'published':>16}  {what:<28}{'':>8}{shown:>9}{forces:>9.1f}  {source}")


if __name__ == "__main__":
    main()
