"""The numbers that n2p2 itself gives for some made-up potentials; tests/reference/n2p2/README.md has the recipe."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlip.elements import symbol
from mlip.interfaces.n2p2.functions import read_functions, shared_columns
from mlip.interfaces.n2p2.settings import Settings
from mlip.structure import Structure

ROOT = Path(__file__).parents[1] / "reference" / "n2p2"
FOLDERS = sorted(path.name for path in ROOT.iterdir() if path.is_dir())
NUMBER = {symbol(number): number for number in range(1, 100)}


class Reference(NamedTuple):
    """Of one structure: what n2p2 says."""

    energy: float
    forces: np.ndarray
    atomic_energies: np.ndarray  # without mean energy and atom_energy


def structures(folder: str) -> list[Structure]:
    """The structures of input.data, in the units that they have there."""
    found, numbers, positions = [], [], []
    for line in (ROOT / folder / "input.data").read_text().splitlines():
        word, *values = line.split()
        if word == "begin":
            numbers, positions = [], []
        elif word == "atom":
            positions.append([float(value) for value in values[:3]])
            numbers.append(NUMBER[values[3]])
        elif word == "end":
            size = len(numbers)
            found.append(Structure(np.array(numbers), np.array(positions), np.zeros((3, 3)), np.zeros(3, bool)))
            assert len(found[-1]) == size
    return found


def references(folder: str) -> list[Reference]:
    """What n2p2 says of them."""
    found: list[Reference] = []
    rows: list[list[float]] = []
    energy = 0.0
    for line in [*(ROOT / folder / "reference.txt").read_text().splitlines(), "structure"]:
        words = line.split()
        if words[0] == "structure":
            if rows:
                table = np.array(rows)
                found.append(Reference(energy, table[:, :3], table[:, 3]))
            rows, energy = [], float(words[-1]) if len(words) > 1 else 0.0
        elif words[0] != "#":
            rows.append([float(word) for word in words[1:]])
    return found


def features(folder: str) -> list[np.ndarray]:
    """Symmetry functions of each atom of the first structure, in n2p2's order."""
    lines = (ROOT / folder / "symfunc_G.txt").read_text().splitlines()
    return [np.array([float(word) for word in line.split()[3:]]) for line in lines if not line.startswith("#")]


def derivatives(folder: str) -> np.ndarray:
    """Rows i, j, k, dG_k(i)/dr_j in the x, y and z direction, where they are not zero."""
    return np.loadtxt(ROOT / folder / "symfunc_dGdr.txt")


def columns(folder: Path) -> dict[int, list[int]]:
    """The column that each function of an element has in an imported potential, in n2p2's order."""
    settings = Settings(folder / "input.nn")
    return shared_columns(read_functions(settings, settings.elements(), 1.0))[1]
