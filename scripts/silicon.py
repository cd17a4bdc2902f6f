"""Silicon from training data to properties: a potential, dynamics of its crystal and melt, and what is known of them.

Trains on a folder with train.xyz and test.xyz of the mlearn set (or takes a potential), computes lattice constant and
elastic constants, runs a crystal at 300 K, the training set's 64-atom cell at 1518 K, its melt at 2530 K and the melt
quenched to 300 K, and compares radial distribution functions with the density-functional dynamics of the set. Prints a
table, and as its last line one JSON object; writes two figures. What has been run is not run again.

    python scripts/silicon.py mlearn_si --folder runs/silicon --output docs/silicon
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import silicon_runs as runs
from ase import units
from ase.build import bulk
from ase.io import read, write
from ase.optimize import BFGS
from phonons_silicon import lattice_constant, relaxed

from mlip.analysis.comparison import share
from mlip.analysis.frames import TrajectoryFrames
from mlip.analysis.trajectory import Analysis, Settings, analyze
from mlip.interfaces.calculator import MLIPCalculator

# Lattice constant (Å; CODATA), elastic constants (GPa) at 25 °C: McSkimin, Andreatch, J. Appl. Phys. 35, 2161 (1964).
# What C44 would be with atoms held where the strain puts them cannot be measured.
MEASURED = {"a": 5.431, "C11": 165.8, "C12": 63.9, "C44": 79.6, "C44 held": None, "B": 97.9}
STRAIN = 0.004  # up and down from the relaxed cell
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
LARGEST_FORCE = 1e-4  # eV/Å, of atoms in a strained cell
SETTINGS = Settings(cutoff=5.45, bin=0.1)  # half of the 64-atom cell; the set's few frames want wide bins
FIGURES = {  # panel: the run with the potential, the set's dynamics at the same temperature and volume
    "crystal, 1518 K": ("cell_1518K", runs.TEMPERATURES[2]),
    "melt, 2530 K": ("melt_2530K", runs.TEMPERATURES[3]),
}


def main() -> int:
    """Run with the options of the command line and return the exit status."""
    options = _options()
    potential = options.potential or runs.train(options.data, options.folder)
    calculator = MLIPCalculator(potential, dtype="float64")
    crystal = elastic_constants(calculator)
    dynamics = runs.training_dynamics(options.data)
    starts = runs.starting_cells(crystal["a"], next(iter(dynamics.values()))[0])
    summaries = {stage.name: runs.run(stage, potential, options.folder, starts) for stage in runs.stages(options.scale)}
    found = {name: _analyzed(options.folder / name / "md.traj", options.folder) for name in _analyzed_stages(options)}
    references = {}
    for name, (_, kelvin) in FIGURES.items():
        file = options.folder / f"dft_{kelvin:.0f}K.xyz"
        write(file, dynamics[kelvin], format="extxyz")
        references[name] = _analyzed(file, options.folder, static=True)
    result = {
        "crystal": crystal,
        "crystal_dft": elastic_constants_of_the_set(options.data),
        "runs": {name: each.results for name, each in found.items()},
        "dft": {name: each.results for name, each in references.items()},
        "share": {
            name: _share(found[run].pairs["Si-Si"], references[name].pairs["Si-Si"])
            for name, (run, _) in FIGURES.items()
        },
        "extrapolation": {name: each["extrapolation"] for name, each in summaries.items()},
    }
    print(table(result))
    draw(found, references, options.output)
    print(json.dumps(result))
    return 0


def elastic_constants(calculator: object) -> dict[str, float]:
    """Lattice constant (Å) and elastic constants (GPa) at 0 K, by central differences of the stress.

    "C44 held" is that with atoms held where the strain puts them.
    """
    edge = lattice_constant(relaxed(calculator))
    slopes = {}
    for name, component, free in (("long", 0, True), ("shear", 3, True), ("held", 3, False)):
        pair = []
        for sign in (1, -1):
            atoms = bulk("Si", cubic=True, a=edge)
            strain = np.zeros((3, 3))
            i, j = VOIGT[component]
            strain[i, j] += sign * STRAIN / 2  # a shear counts as engineers' does, a stretch is added twice
            strain[j, i] += sign * STRAIN / 2
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            atoms.calc = calculator
            if free:
                BFGS(atoms, logfile=None).run(fmax=LARGEST_FORCE, steps=200)
            pair.append(atoms.get_stress(voigt=True))
        slopes[name] = (pair[0] - pair[1]) / (2 * STRAIN) / units.GPa
    return _named(edge, slopes["long"], slopes["held"]) | {"C44": float(slopes["shear"][3])}


def elastic_constants_of_the_set(data: Path) -> dict[str, float | None]:
    """The same from the stresses of the set's own strained cells (DFT), whose atoms are held."""
    frames = [atoms for atoms in read(data / "train.xyz", ":") if atoms.info.get("group") == "Elastic"]
    rest = min(frames, key=lambda atoms: np.abs(atoms.get_stress()).max())
    edge = rest.cell.lengths()[0]
    strains = []
    for atoms in frames:
        deformation = atoms.cell.array / edge
        green = (deformation @ deformation.T - np.eye(3)) / 2
        strains.append([(1 if i == j else 2) * green[i, j] for i, j in VOIGT])
    slopes = []
    for component in (0, 3):
        only = [n for n, e in enumerate(strains) if abs(abs(e[component]) - np.abs(e).sum()) < 1e-6 < abs(e[component])]
        size = min(abs(strains[n][component]) for n in only)
        up, down = (next(n for n in only if abs(strains[n][component] - sign * size) < 1e-6) for sign in (1, -1))
        change = frames[up].get_stress(voigt=True) - frames[down].get_stress(voigt=True)
        slopes.append(change / (2 * size) / units.GPa)
    return _named(edge / 2, *slopes)


def _named(edge: float, stretch: np.ndarray, held: np.ndarray) -> dict[str, Any]:
    long, across = float(stretch[0]), float(stretch[1] + stretch[2]) / 2
    return {
        "a": edge,
        "C11": long,
        "C12": across,
        "C44": None,
        "C44 held": float(held[3]),
        "B": (long + 2 * across) / 3,
    }


def _analyzed_stages(options: argparse.Namespace) -> list[str]:
    names = [stage.name for stage in runs.stages(options.scale)]
    return [name for name in names if name.endswith("0K") or name.endswith("8K")]


def _analyzed(file: Path, folder: Path, *, static: bool = False) -> Analysis:
    return analyze(TrajectoryFrames(file, static=static), SETTINGS, folder)


def _share(one: Any, other: Any) -> float:
    """How much of the neighbors is at other distances than in the reference."""
    return share(one.g * one.r**2, other.g * other.r**2)


def table(result: dict[str, Any]) -> str:
    """What was found, beside what is known."""
    lines = [f"{'':>8} {'potential':>10} {'DFT':>8} {'measured':>9}"]
    for name, value in result["crystal"].items():
        digits = 3 if name == "a" else 1
        known = [each[name] for each in (result["crystal_dft"], MEASURED)]
        shown = ["-" if number is None else f"{number:.{digits}f}" for number in (value, *known)]
        lines.append(f"{name:>8} {shown[0]:>10} {shown[1]:>8} {shown[2]:>9}")
    lines.append(f"\n{'':>16} {'potential':>26} {'DFT':>26}\n{'':>16} {'eV/atom':>10} {'peak':>6} {'neighbors':>8} "
                 f"{'eV/atom':>10} {'peak':>6} {'neighbors':>8} {'elsewhere':>10}")  # fmt: skip
    for name, (run, _) in FIGURES.items():
        both = [_row(result["runs"][run]), _row(result["dft"][name])]
        lines.append(f"{name:>16} {both[0]} {both[1]} {100 * result['share'][name]:8.1f} %")
    lines.append("")
    for name, each in result["runs"].items():
        diffusion = each["diffusion"]["Si"]
        moved = "" if diffusion is None else (
            f", diffusion {10 * diffusion['coefficient']:.2f} ± {10 * diffusion['error']:.2f} ·10⁻⁵ cm²/s "
            f"(time^{diffusion['exponent']:.2f})"
        )  # fmt: skip
        lines.append(f"{name:>16} {each['temperature']['mean']:6.0f} K: {_row(each)}{moved}")
    lines.append("")
    for name, count in result["extrapolation"].items():
        silicon = count["elements"]["Si"]
        lines.append(
            f"{name:>16}: outside {silicon['outside']} of {silicon['atoms']} atoms "
            f"({1e6 * silicon['outside'] / silicon['atoms']:.0f} in a million), by at most "
            f"{silicon['largest']:.2f} widths"
        )
    return "\n".join(lines)


def _row(results: dict[str, Any]) -> str:
    shell = results["pairs"]["Si-Si"]
    where = f"{'':>6} {'':>8}" if shell is None else f"{shell['peak']:6.2f} {shell['coordination']:8.2f}"
    return f"{results['potential_energy']['mean']:10.4f} {where}"


def draw(found: dict[str, Analysis], references: dict[str, Analysis], folder: Path) -> None:
    """Radial distribution functions beside those of the set, and on the way from melt to glass; vibrations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    first, second, third, fourth = figure.subplots(2, 2).ravel()
    for axes, (name, (run, _)) in zip((first, second), FIGURES.items(), strict=True):
        axes.plot(*_curve(found[run]), label="potential")
        axes.plot(*_curve(references[name]), "--", color="black", linewidth=1, label="DFT, frames of the set")
        axes.set(title=name, xlabel="r (Å)", ylabel="g(r)", xlim=(1.5, SETTINGS.cutoff))
        axes.legend(fontsize="small")
    cooled = [name for name in found if name.startswith("quench")]
    for name in ["melt_2530K", *cooled[2::2]]:
        third.plot(*_curve(found[name]), label=name.split("_")[1].replace("K", " K"))
    third.set(title="melt and quench", xlabel="r (Å)", ylabel="g(r)", xlim=(1.5, SETTINGS.cutoff))
    third.legend(fontsize="small")
    for name, label in {
        "crystal_300K": "crystal, 300 K",
        "melt_2530K": "melt, 2530 K",
        cooled[-1]: "glass, 300 K",
    }.items():
        curve = found[name].vibrations["Si"]
        shown = curve.frequencies < 20
        fourth.plot(curve.frequencies[shown], curve.spectrum[shown], label=label)
    fourth.set(title="vibrations", xlabel="frequency (THz)", ylabel="1/THz", xlim=(0, 20), ylim=(0, None))
    fourth.legend(fontsize="small")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "silicon.png", dpi=100)
    figure.savefig(folder / "silicon.svg")


def _curve(found: Analysis) -> tuple[np.ndarray, np.ndarray]:
    pair = found.pairs["Si-Si"]
    return pair.r, pair.g


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with train.xyz and test.xyz of the mlearn set for silicon")
    parser.add_argument("--folder", type=Path, default=Path("runs/silicon"), help="for runs (default: %(default)s)")
    parser.add_argument("--potential", type=Path, help="run folder or file of a potential, instead of training one")
    parser.add_argument(
        "--output", type=Path, default=Path("silicon"), help="folder for figures (default: %(default)s)"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="makes all dynamics longer or shorter (default: 1)")
    options = parser.parse_args()
    missing = [name for name in ("train.xyz", "test.xyz") if not (options.data / name).is_file()]
    if missing:
        parser.error(f"{options.data} has no {' and no '.join(missing)}; expected the mlearn set for silicon")
    if not options.scale > 0:
        parser.error(f"--scale is {options.scale}; it must be positive")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(f"silicon: error: {error}")
