"""Train, explore, select, label, train again: active learning of ethanol against random selection.

    pip install tblite
    python scripts/active_learning.py --folder runs/active_learning

Both ways begin with the same few structures at 500 K. In each round a committee is trained; dynamics with it at a
higher temperature collects frames (`mlip md --collect`), of which `mlip select` takes those far from each other and
from the training set; or as many frames of the same kind of dynamics are taken at random. GFN2-xTB labels them. Errors
are on structures from dynamics of xTB itself, at both temperatures. What is there already is not computed again.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from mlip.cli import UNPHYSICAL, main

DATA = Path(__file__).parents[1] / "data" / "ethanol_xtb.npz"
LARGEST_FORCE = 50.0  # eV/Å; what xTB gives for atoms on top of each other teaches nothing
logger = logging.getLogger("active_learning")


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/active_learning"))
    parser.add_argument("--rounds", type=int, default=5, help="of labelling, after the first training")
    parser.add_argument("--start", type=int, default=20, help="structures in the first training")
    parser.add_argument("--add", type=int, default=20, help="structures labelled in each round")
    parser.add_argument("--test", type=int, default=200, help="structures of each test")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--updates", type=int, default=3000, help="steps of the optimizer in each training")
    parser.add_argument("--hidden", default="[32, 32]")
    parser.add_argument("--temperature", type=float, default=1000.0, help="of the exploration, K")
    parser.add_argument("--steps", type=int, default=2000, help="of 0.5 fs in each exploration")
    parser.add_argument("--explorations", type=int, default=30, help="in each round, at most")
    parser.add_argument("--stop", type=float, default=3.0, help="spread of a force at which one ends, eV/Å")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.start, options.add, options.test, options.members = 1, 10, 3, 3, 2
        options.updates, options.hidden, options.steps, options.stop = 20, "[4]", 40, 1e6
    options.folder.mkdir(parents=True, exist_ok=True)
    tests = {"500 K": bundled_test(options), f"{options.temperature:.0f} K": hot_test(options)}
    curves = {}
    for seed in options.seeds:
        for way in ("active", "random"):
            curves[f"{way} {seed}"] = learn(options, way, seed, tests)
            (options.folder / "curves.json").write_text(json.dumps(curves, indent=1), encoding="utf-8")
    print(table(curves))
    if options.figure:
        draw(options.figure, curves)


def learn(options: argparse.Namespace, way: str, seed: int, tests: dict[str, Path]) -> list[dict[str, Any]]:
    """Errors after each training, by one way to choose what is labelled."""
    folder = options.folder / f"{way}_{seed}"
    folder.mkdir(exist_ok=True)
    curve: list[dict[str, Any]] = []
    for number in range(options.rounds + 1):
        done, train = folder / f"round_{number}.json", folder / f"train_{number}.xyz"
        if number == 0 and not train.exists():
            write(train, bundled(options.start, 0, 1000, seed), format="extxyz")
        if not done.exists():
            potential = trained(options, train, folder / f"potential_{number}", seed)
            errors = {name: evaluated(potential, path) for name, path in tests.items()}
            row = {"structures": len(read(train, ":")), **errors}
            if number < options.rounds:
                frames = explored(options, potential, folder / f"explore_{number}", train, way, seed)
                new = [atoms for atoms in map(labelled, frames) if atoms is not None]
                row["labelled"], row["useless"] = len(new), len(frames) - len(new)
                write(folder / f"train_{number + 1}.xyz", read(train, ":") + new, format="extxyz")
            done.write_text(json.dumps(row), encoding="utf-8")
        curve.append(json.loads(done.read_text(encoding="utf-8")))
        logger.warning("%s, seed %d: %s", way, seed, json.dumps(curve[-1]))
    return curve


def trained(options: argparse.Namespace, train: Path, folder: Path, seed: int) -> Path:
    """A committee, trained with as many steps of the optimizer whatever the number of structures."""
    count = len(read(train, ":"))
    config = folder.with_suffix(".yaml")
    config.write_text(f"run: {{dir: '{folder}', seed: {seed}}}\ndata: {{train: '{train}'}}\n", encoding="utf-8")
    mlip(
        "train", config, "data.split.valid=0.1", f"model.committee.members={options.members}", "run.overwrite=true",
        f"model.networks.hidden={options.hidden}", "training.batch_size=4", "--quiet",
        f"training.epochs={max(2, options.updates // max(1, round(0.9 * count / 4)))}",
    )  # fmt: skip
    return folder


def explored(
    options: argparse.Namespace, potential: Path, folder: Path, train: Path, way: str, seed: int
) -> list[Atoms]:
    """Frames of dynamics to label: those the committee is least sure of and far from each other, or any."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    known = read(train, ":")
    generator = np.random.default_rng([seed, len(known)])
    frames: list[Atoms] = []
    for n in range(options.explorations):
        if len(frames) >= 4 * options.add:
            break
        start = known[int(generator.integers(len(known)))]
        write(folder / "start.xyz", Atoms(start.numbers, start.positions), format="extxyz")
        status = main([
            "md", str(potential), str(folder / "start.xyz"), "--ensemble", "langevin", "--interval", "5",
            "--temperature", str(options.temperature), "--steps", str(options.steps), "--seed", str(1000 * seed + n),
            "--collect", str(folder / f"collected_{n}.xyz"), "--collect-max", str(2 * options.add),
            "--collect-stop", str(options.stop), "--output", str(folder / f"md_{n}.xyz"), "--quiet",
        ])  # fmt: skip
        assert status in (0, UNPHYSICAL), status
        source = folder / (f"collected_{n}.xyz" if way == "active" else f"md_{n}.xyz")
        found = read(source, ":") if source.exists() else []
        frames += [Atoms(frame.numbers, frame.positions) for frame in found[:: max(1, len(found) // (2 * options.add))]]
    if not frames:
        return []  # a committee that is unsure of the start already; more training may help
    write(folder / "candidates.xyz", frames, format="extxyz")
    mlip(
        "select", folder / "candidates.xyz", "-n", options.add, "--potential", potential, "--quiet",
        "--output", folder / "chosen.xyz", "--seed", seed,
        *(("--exclude", train) if way == "active" else ("--method", "random")),
    )  # fmt: skip
    return list(read(folder / "chosen.xyz", ":"))


def labelled(atoms: Atoms) -> Atoms | None:
    """The atoms with energy and forces of GFN2-xTB; None where these are of no use."""
    from tblite.ase import TBLite

    atoms = Atoms(atoms.numbers, atoms.positions)
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.1)
    try:
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    except Exception as error:  # of its self-consistent cycles
        logger.warning("xTB gave up: %s", error)
        return None
    if np.abs(results["forces"]).max() > LARGEST_FORCE:
        return None
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def bundled(count: int, first: int, last: int, seed: int) -> list[Atoms]:
    """Some structures of the bundled dynamics at 500 K, drawn from a part of it."""
    per_kcal = units.kcal / units.mol
    with np.load(DATA) as file:
        rows = np.sort(np.random.default_rng(seed).choice(np.arange(first, last), count, replace=False))
        made = []
        for row in rows:
            atoms = Atoms(file["z"], file["R"][row])
            energy, forces = float(file["E"][row]) * per_kcal, file["F"][row] * per_kcal
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
            made.append(atoms)
    return made


def bundled_test(options: argparse.Namespace) -> Path:
    """The second half of the bundled dynamics, of which nothing is trained on."""
    path = options.folder / "test_bundled.xyz"
    if not path.exists():
        write(path, bundled(options.test, 1000, 2000, 0), format="extxyz")
    return path


def hot_test(options: argparse.Namespace) -> Path:
    """Structures of xTB's own dynamics at the temperature of the exploration, 10 fs apart."""
    from tblite.ase import TBLite

    path = options.folder / "test_hot.xyz"
    if path.exists():
        return path
    generator = np.random.default_rng(0)
    atoms = bundled(1, 1000, 2000, 0)[0]
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.1)
    thermalize_momenta(atoms, temperature_K=options.temperature, rng=generator)
    dynamics = Langevin(
        atoms, 0.5 * units.fs, temperature_K=options.temperature, friction=0.01 / units.fs, fixcm=False, rng=generator
    )
    dynamics.run(10 if options.quick else 1000)
    frames = []
    for _ in range(options.test):
        dynamics.run(20)
        frame = atoms.copy()
        frame.calc = SinglePointCalculator(frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
        frames.append(frame)
    write(path, frames, format="extxyz")
    return path


def evaluated(potential: Path, data: Path) -> dict[str, float]:
    """Root mean square errors of forces (eV/Å) and energies per atom (eV)."""
    from mlip.data.read import read_structures
    from mlip.evaluation import evaluate_structures
    from mlip.model.checkpoint import load_potential

    found = evaluate_structures(load_potential(potential), read_structures(data))[0]["all"]
    return {name: found[name] for name in ("forces_rmse", "energy_rmse_per_atom")}


def mlip(*arguments: object) -> None:
    """One command, which must end well."""
    status = main([str(argument) for argument in arguments])
    if status:
        raise SystemExit(status)


def table(curves: dict[str, list[dict[str, Any]]]) -> str:
    """Root mean square errors of forces in meV/Å, a row for each round."""
    names = [name for name in next(iter(curves.values()))[0] if name.endswith(" K")]
    lines = ["| way, seed | structures | " + " | ".join(f"forces at {name} (meV/Å)" for name in names) + " |"]
    lines.append("|---" * (2 + len(names)) + "|")
    for way, curve in curves.items():
        for row in curve:
            errors = " | ".join(f"{1e3 * row[name]['forces_rmse']:.0f}" for name in names)
            lines.append(f"| {way} | {row['structures']} | {errors} |")
    return "\n".join(lines)


def draw(path: Path, curves: dict[str, list[dict[str, Any]]]) -> None:
    """Force errors against the number of labelled structures, a panel for each test."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import ScalarFormatter

    names = [name for name in next(iter(curves.values()))[0] if name.endswith(" K")]
    figure, panels = plt.subplots(1, len(names), figsize=(4 * len(names), 3.2), constrained_layout=True)
    colors = {"active": "tab:blue", "random": "tab:orange"}
    for panel, name in zip(panels, names, strict=True):
        for way, color in colors.items():
            mine = [curve for key, curve in curves.items() if key.startswith(way)]
            for n, curve in enumerate(mine):
                counts = [row["structures"] for row in curve]
                errors = [1e3 * row[name]["forces_rmse"] for row in curve]
                panel.plot(counts, errors, "o-", color=color, alpha=0.8, label=None if n else way)
        panel.set(
            title=f"test: xTB at {name}", xlabel="labelled structures", ylabel="forces RMSE (meV/Å)", yscale="log"
        )
        panel.yaxis.set_major_formatter(ScalarFormatter())
        panel.yaxis.set_minor_formatter(ScalarFormatter())
        panel.legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    run()
