"""Draw a LAMMPS log: temperature, pressure, energy and lattice constant over time.

    python scripts/plot_lammps.py log.lammps docs/lammps/silicon_npt.svg --cells 5

The log needs the columns Time, Temp, PotEng, Press and Volume of units metal. The pressure is drawn as it is and as
its mean over a picosecond, the lattice constant over the mean temperature of as long.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

NEEDED = ("Time", "Temp", "PotEng", "Press", "Volume")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--cells", type=int, default=1, help="unit cells along each axis (default: 1)")
    parser.add_argument("--atoms", type=int, help="for energies per atom (default: 8 in each cell)")
    options = parser.parse_args()
    columns = read_log(options.log)
    draw(columns, options.picture, options.cells, options.atoms or 8 * options.cells**3)


def read_log(path: Path) -> dict[str, np.ndarray]:
    """Columns of all runs of a log, one after the other, without the first row of a run that repeats the last.

    Raises:
        ValueError: the log has no rows, or lacks a column.
    """
    names: list[str] = []
    rows: list[list[float]] = []
    reading = False
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            names, reading = words, True
        elif reading and (len(words) != len(names) or not words[0].isdigit()):
            reading = False
        elif reading and not (rows and rows[-1][0] == float(words[0])):
            rows.append([float(word) for word in words])
    missing = [name for name in NEEDED if name not in names]
    if not rows or missing:
        raise ValueError(f"{path}: lacks {', '.join(missing) or 'rows'}; expected thermo_style custom with them")
    return dict(zip(names, np.array(rows).T, strict=True))


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Means over so many rows."""
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


def draw(columns: dict[str, np.ndarray], picture: Path, cells: int, atoms: int) -> None:
    """Four panels."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    time, temperature = columns["Time"], columns["Temp"]
    width = max(1, int(np.searchsorted(time - time[0], 1.0)))
    middle = smooth(time, width)
    constant = np.cbrt(columns["Volume"]) / cells
    figure, panels = pyplot.subplots(2, 2, figsize=(9, 6), layout="constrained")
    (a, b), (c, d) = panels
    a.plot(time, temperature, linewidth=0.6)
    a.set(xlabel="time (ps)", ylabel="temperature (K)")
    b.plot(time, columns["Press"] / 1e4, linewidth=0.4, alpha=0.5)
    b.plot(middle, smooth(columns["Press"], width) / 1e4)
    b.axhline(0, color="gray", linewidth=0.6)
    b.set(xlabel="time (ps)", ylabel="pressure (GPa)")
    c.plot(time, columns["PotEng"] / atoms, linewidth=0.6)
    c.set(xlabel="time (ps)", ylabel="potential energy (eV per atom)")
    d.plot(smooth(temperature, width), smooth(constant, width), linewidth=0.8)
    d.set(xlabel="temperature (K), mean over 1 ps", ylabel="lattice constant (Å)")
    figure.savefig(picture)


if __name__ == "__main__":
    main()
