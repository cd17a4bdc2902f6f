"""A potential that n2p2 wrote runs in LAMMPS on two ranks and in `mlip md`, with n2p2's own numbers."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

from interfaces.command import mlip
from interfaces.lammps.engine import input_of, needs_ranks, run, written
from interfaces.n2p2_reference import ROOT, references, structures
from mlip.interfaces.calculator import MLIPCalculator

FOLDER = "meanenergy_conv"
SPECIES = ["O", "H", "C"]  # LAMMPS has its own order of types


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    file = tmp_path_factory.mktemp("imported") / "potential.pt"
    outcome = mlip("import", "n2p2", ROOT / FOLDER, "-o", file, "--units", "eV-Ang")
    assert outcome.status == 0, outcome.err
    return file


@pytest.fixture
def atoms():
    structure = structures(FOLDER)[0]
    return Atoms(structure.numbers, structure.positions)


@needs_ranks
def test_lammps_on_two_ranks_gives_the_numbers_of_n2p2(tmp_path, imported, atoms):
    expected = references(FOLDER)[0]
    atoms.center(vacuum=8.0)
    input_of(tmp_path, atoms, SPECIES, "run 0")
    outcome = run(tmp_path, "", "--elements", *SPECIES, ranks=2, file=imported)
    assert outcome.returncode == 0, outcome.stderr
    found = written(tmp_path)
    assert found.energy == pytest.approx(expected.energy, rel=1e-10)
    assert np.abs(found.atoms[:, 3:6] - expected.forces).max() < 1e-9 * np.abs(expected.forces).max()


def test_md_begins_with_the_numbers_of_n2p2(tmp_path, imported, atoms):
    expected = references(FOLDER)[0]
    atoms.calc = MLIPCalculator(imported)
    assert np.abs(atoms.get_forces() - expected.forces).max() < 1e-9 * np.abs(expected.forces).max()
    atoms.calc = None
    atoms.write(tmp_path / "start.xyz", format="extxyz")
    options = {"steps": 5, "temperature": 1, "timestep": 0.001, "largest-force": 1e6, "interval": 1}
    outcome = mlip(
        "md", imported, tmp_path / "start.xyz", "--output", tmp_path / "md.xyz", "--quiet",
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert read(tmp_path / "md.xyz", 0).get_potential_energy() == pytest.approx(expected.energy, rel=1e-7)
