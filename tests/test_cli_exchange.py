"""The commands import and export, and what an imported potential is good for."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from interfaces.command import mlip, refused
from interfaces.n2p2_reference import ROOT, references, structures
from interfaces.trained import alcu, ethanol

from mlip.batch import to_batch
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.checkpoint import load_content, load_potential
from mlip.model.evaluate import evaluate
from mlip.units import ENERGY, LENGTH

FOLDER = "cutoff2_alpha0"


def imported(folder, name=FOLDER, *options):
    file = folder / "imported.pt"
    outcome = mlip("import", "n2p2", ROOT / name, "-o", file, "--units", "eV-Ang", "--quiet", *options)
    assert outcome.status == 0, outcome.err
    assert "a potential for H, C, O" in outcome.out and str(file) in outcome.out
    return file


def atoms():
    first = structures(FOLDER)[0]
    return Atoms(first.numbers, first.positions)


def test_an_imported_potential_is_a_potential(tmp_path):
    file = imported(tmp_path)
    molecule = atoms()
    molecule.calc = MLIPCalculator(file)
    expected = references(FOLDER)[0]
    assert molecule.get_potential_energy() == pytest.approx(expected.energy, rel=1e-10)
    np.testing.assert_allclose(molecule.get_forces(), expected.forces, rtol=0, atol=1e-9)
    origin = load_content(file)["provenance"]["imported"]
    assert origin["units"] == "eV-Ang" and origin["folder"] == str(ROOT / FOLDER)
    assert len(origin["sha256"]) == 5


def test_the_other_commands_take_it(tmp_path):
    file = imported(tmp_path)
    molecule = atoms()
    write(tmp_path / "start.xyz", molecule)
    outcome = mlip(
        "md", file, tmp_path / "start.xyz", "--steps", 4, "--interval", 2, "--timestep", 0.1, "--temperature", 10,
        "--output", tmp_path / "md.xyz", "--quiet", "--json",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert json.loads(outcome.out)["steps"] == 4
    expected = references(FOLDER)[0]
    molecule.info["energy"] = expected.energy
    molecule.arrays["forces"] = expected.forces
    write(tmp_path / "labels.xyz", molecule, format="extxyz")
    outcome = mlip("evaluate", file, tmp_path / "labels.xyz", "--quiet", "--json")
    assert outcome.status == 0, outcome.err
    assert json.loads(outcome.out)["all"]["forces_mae"] < 1e-3, "meV/Å; the file has eight decimals of positions"


def test_import_in_hartree_and_bohr(tmp_path):
    file = tmp_path / "p.pt"
    assert mlip("import", "n2p2", ROOT / FOLDER, "-o", file, "--units", "Ha-Bohr", "--quiet").status == 0
    potential = load_potential(file)
    assert potential.cutoff == pytest.approx(3.5 * LENGTH["Bohr"])
    first = structures(FOLDER)[0]
    batch, _ = to_batch(type(first)(first.numbers, LENGTH["Bohr"] * first.positions), potential.cutoff)
    found = evaluate(potential, batch)
    expected = references(FOLDER)[0]
    assert float(found.energy) == pytest.approx(ENERGY["Hartree"] * expected.energy, rel=1e-10)
    per = ENERGY["Hartree"] / LENGTH["Bohr"]
    np.testing.assert_allclose(found.forces.numpy(), per * expected.forces, rtol=0, atol=1e-9 * per)


def test_what_was_imported_is_exported_again(tmp_path):
    file = imported(tmp_path, "normnodes_3layers_atomenergy")
    outcome = mlip("export", "n2p2", file, tmp_path / "out", "--units", "Ha-Bohr")
    assert outcome.status == 0 and "in.lammps" in outcome.out, outcome.err
    again = tmp_path / "again.pt"
    assert mlip("import", "n2p2", tmp_path / "out", "-o", again, "--units", "Ha-Bohr", "--json").status == 0
    one, other = load_potential(file), load_potential(again)
    batch, _ = to_batch(structures(FOLDER)[1], one.cutoff)
    wanted, found = evaluate(one, batch), evaluate(other, batch)
    torch.testing.assert_close(found.energy, wanted.energy, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.forces, wanted.forces, rtol=0, atol=1e-11)


def test_mistakes(tmp_path):
    file = imported(tmp_path)
    same = ("import", "n2p2", ROOT / FOLDER, "-o", file, "--units", "eV-Ang")
    assert refused(mlip(*same), "there already", "--overwrite")
    assert mlip(*same, "--overwrite").status == 0
    assert refused(mlip(*same[:3], "-o", tmp_path, "--units", "eV-Ang"), "expected a file name")
    assert mlip("import", "n2p2", ROOT / FOLDER, "-o", tmp_path / "x.pt").status == 2, "units must be said"
    assert refused(mlip(*same[:2], tmp_path / "nowhere", "-o", tmp_path / "x.pt", *same[5:]), "no such folder")
    assert not (tmp_path / "x.pt").exists()
    assert mlip("export", "n2p2", file, tmp_path / "out").status == 0
    assert refused(mlip("export", "n2p2", file, tmp_path / "out"), "input.nn", "already", "--overwrite")
    assert mlip("export", "n2p2", file, tmp_path / "out", "--overwrite").status == 0
    assert refused(mlip("export", "n2p2", file, tmp_path / "out", "--member", 1), "member is 1")


@pytest.mark.parametrize("run", [ethanol, alcu])
def test_a_run_with_functions_that_cannot_be_exported(run, tmp_path):
    outcome = mlip("export", "n2p2", run(), tmp_path / "out")
    assert refused(outcome, "cannot be exported", "Train")
    assert not (tmp_path / "out").exists()
