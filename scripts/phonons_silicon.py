"""Phonon dispersion of silicon with a trained potential, beside neutron scattering.

The primitive cell is relaxed, each atom of it displaced both ways along x, y and z in a supercell, and the force
constants give frequencies along L, Γ, X, U|K, Γ (ASE's `Phonons`). The supercell is by default the smallest that holds
every force constant: an atom's force depends on atoms within twice the cutoff. Prints a table, and as its last line one
JSON object; writes the figure.

    mlip train configs/mlearn_si.yaml data.train=mlearn_si/train.xyz data.test=mlearn_si/test.xyz
    python scripts/phonons_silicon.py runs/mlearn_si --output docs/silicon_phonons.svg
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.phonons import Phonons

from mlip.interfaces.calculator import MLIPCalculator

# Frequencies (THz) and degeneracies from thermal-neutron spectrometry at room temperature, lowest first.
# Source: Nilsson, Nelin, Phys. Rev. B 6, 3777 (1972).
MEASURED = {
    "Γ": {"LTO": (15.53, 3)},
    "X": {"TA": (4.49, 2), "LA/LO": (12.32, 2), "TO": (13.90, 2)},
    "L": {"TA": (3.43, 2), "LA": (11.35, 1), "LO": (12.60, 1), "TO": (14.68, 2)},
}
LATTICE_CONSTANT = 5.431  # Å, measured at room temperature
POINTS = {"Γ": (0.0, 0.0, 0.0), "X": (0.5, 0.0, 0.5), "L": (0.5, 0.5, 0.5)}  # in reciprocal lattice vectors
PATH = "LGXU,KG"  # U and K differ by a reciprocal lattice vector, so the path goes on there
LARGEST_FORCE = 1e-4  # eV/Å, of the relaxed cell
THZ = 1e-12 * units._e / units._hplanck  # of 1 eV


def main() -> int:
    """Run with the options of the command line and return the exit status."""
    options = _options()
    calculator = MLIPCalculator(options.potential, dtype="float64")
    atoms = relaxed(calculator)
    repeat = options.repeat or smallest_repeat(atoms, 2 * calculator.potential.cutoff)
    phonons = force_constants(atoms, repeat, options.displacement)
    found = at_points(phonons)
    deviations = [frequency - measured for _, _, frequency, measured in found]
    result = {
        "lattice_constant": lattice_constant(atoms),
        "repeat": repeat,
        "frequencies": {f"{mode}({point})": round(frequency, 3) for point, mode, frequency, _ in found},
        "lowest": float(frequencies(phonons, atoms.cell.bandpath(PATH, density=20).kpts).min()),
        "mean_absolute_deviation": float(np.abs(deviations).mean()),
        "mean_deviation": float(np.mean(deviations)),
    }
    print(table(result, found))
    draw(phonons, atoms, options.output)
    print(json.dumps(result))
    return 0


def relaxed(calculator: object) -> Atoms:
    """The primitive cell of silicon without forces and stress.

    Raises:
        ValueError: there is no such structure near the measured one.
    """
    atoms = bulk("Si", "diamond", a=LATTICE_CONSTANT)
    atoms.calc = calculator
    if not BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=LARGEST_FORCE, steps=200):
        raise ValueError("the cell of silicon does not relax: forces or stress stay. Train the potential on crystals")
    return atoms


def lattice_constant(atoms: Atoms) -> float:
    """Edge of the cube (Å) of four primitive cells."""
    return float((4 * atoms.get_volume()) ** (1 / 3))


def smallest_repeat(atoms: Atoms, reach: float) -> int:
    """How often the cell is repeated so that no two images of an atom are within `reach` (Å) of another atom.

    Odd, as ASE takes the cells from -n to n around the displaced atom.
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    fractional = atoms.get_scaled_positions()
    apart = np.abs(fractional[:, None] - fractional[None]).max()
    return 2 * int(np.floor(reach / heights.min() + apart)) + 1


def force_constants(atoms: Atoms, repeat: int, displacement: float) -> Phonons:
    """Force constants from displacements (Å) both ways, symmetrized and with the acoustic sum rule."""
    with tempfile.TemporaryDirectory() as folder:
        phonons = Phonons(atoms, atoms.calc, (repeat,) * 3, name=str(Path(folder) / "phonons"), delta=displacement)
        phonons.run()
        phonons.read(acoustic=True)
    return phonons


def frequencies(phonons: Phonons, points: np.ndarray) -> np.ndarray:
    """Frequencies (THz, points x modes, ascending) at points in reciprocal lattice vectors; negative is imaginary."""
    return np.sort(THZ * phonons.band_structure(points, verbose=False), axis=1)


def at_points(phonons: Phonons) -> list[tuple[str, str, float, float]]:
    """Point, mode, frequency and measured frequency (THz); modes are matched in the order of their frequencies."""
    rows = []
    for point, modes in MEASURED.items():
        here = frequencies(phonons, np.array([POINTS[point]]))[0]
        first = len(here) - sum(count for _, count in modes.values())  # at Γ the three acoustic ones come before
        for mode, (measured, count) in modes.items():
            rows.append((point, mode, float(here[first : first + count].mean()), measured))
            first += count
    return rows


def table(result: dict, found: list[tuple[str, str, float, float]]) -> str:
    """What was found, beside what was measured."""
    lines = [
        f"lattice constant {result['lattice_constant']:.4f} Å (measured {LATTICE_CONSTANT}), "
        f"supercell {result['repeat']} x {result['repeat']} x {result['repeat']}",
        f"{'mode':>10} {'THz':>8} {'measured':>9} {'deviation':>10}",
        *(f"{f'{mode}({at})':>10} {f:8.2f} {exp:9.2f} {f - exp:+10.2f}" for at, mode, f, exp in found),
        f"mean absolute deviation {result['mean_absolute_deviation']:.2f} THz, "
        f"mean deviation {result['mean_deviation']:+.2f} THz",
    ]
    if result["lowest"] < -0.05:
        lines.append(f"unstable: an imaginary frequency of {-result['lowest']:.2f}i THz")
    return "\n".join(lines)


def draw(phonons: Phonons, atoms: Atoms, file: Path) -> None:
    """The dispersion as lines, the measured frequencies as circles."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    path = atoms.cell.bandpath(PATH, density=25)
    along, ticks, names = path.get_linear_kpoint_axis()
    figure, axes = plt.subplots(figsize=(6, 4))
    lines = frequencies(phonons, path.kpts)
    axes.plot(along, lines, color="tab:blue", linewidth=1)
    names = ["Γ" if name == "G" else name for name in names]
    for tick, name in zip(ticks, names, strict=True):
        measured = [frequency for frequency, _ in MEASURED.get(name, {}).values()]
        axes.plot([tick] * len(measured), measured, "o", color="black", fillstyle="none", clip_on=False)
    axes.plot([], [], color="tab:blue", label="potential")
    axes.plot([], [], "o", color="black", fillstyle="none", label="neutrons, Nilsson & Nelin 1972")
    shown = {tick: "U|K" if name in "UK" else name for tick, name in zip(ticks, names, strict=True)}
    for tick in shown:
        axes.axvline(tick, color="lightgray", linewidth=0.5, zorder=0)
    axes.set(xlim=(along[0], along[-1]), ylabel="frequency (THz)")
    axes.set_ylim(min(0.0, 1.05 * lines.min()), 1.2 * max(15.53, lines.max()))
    axes.set_xticks(list(shown), list(shown.values()))
    axes.legend(loc="upper center", ncols=2, fontsize="small")
    figure.tight_layout()
    figure.savefig(file)
    plt.close(figure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("potential", help="run folder or potential file of a potential for silicon")
    parser.add_argument(
        "--output", type=Path, default=Path("silicon_phonons.svg"), help="figure (default: %(default)s)"
    )
    parser.add_argument("--displacement", type=float, default=0.01, metavar="Å", help="default: %(default)s")
    parser.add_argument(
        "--repeat", type=int, metavar="N", help="supercell of N x N x N cells (default: all that the cutoff reaches)"
    )
    options = parser.parse_args()
    if options.repeat is not None and options.repeat < 1:
        parser.error(f"--repeat is {options.repeat}; it must be at least 1")
    if not options.displacement > 0:
        parser.error(f"--displacement is {options.displacement} Å; it must be positive")
    if not options.output.absolute().parent.is_dir():
        parser.error(f"--output is {options.output}; expected a file name in a folder that exists")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(f"phonons_silicon: error: {error}")
