"""Dynamics that leave physics stop with status 3 and keep the frame that did it."""

import signal

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read, write
from interfaces.command import mlip
from interfaces.trained import ethanol, molecule

from dynamics.starts import simulation
from mlip.cli import main
from mlip.dynamics import Simulation, Unphysical
from mlip.ensembles import Conditions


class Broken(Calculator):
    """Harmonic, until a number is lost in the call `at`."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012

    def __init__(self, at, what):
        super().__init__()
        self.calls, self.at, self.what = 0, at, what

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        lost = self.calls > self.at
        forces = -0.1 * self.atoms.positions
        energy = 0.05 * float((self.atoms.positions**2).sum())
        if lost and self.what == "forces":
            forces[1, 2] = np.nan
        if lost and self.what == "energy":
            energy = np.nan
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}


def md(tmp_path, atoms, *options):
    write(tmp_path / "start.traj", atoms)
    common = ("--steps", 40, "--interval", 5, "--output", tmp_path / "md.xyz", "--quiet")
    return mlip("md", ethanol(), tmp_path / "start.traj", *common, *options)


def failed(tmp_path, outcome, *essentials):
    assert outcome.status == 3 and outcome.out == "", outcome
    assert outcome.err.startswith("mlip: stopped: step ") and "Traceback" not in outcome.err
    path = tmp_path / "md.xyz.failed.xyz"
    assert str(path) in outcome.err and [text for text in essentials if text not in outcome.err] == []
    return read(path)


def test_a_force_above_the_limit(tmp_path):
    atoms = molecule()
    outcome = md(tmp_path, atoms, "--largest-force", 0.01)
    frame = failed(tmp_path, outcome, "step 0", "the force on atom", "eV/Å, above 0.01", "--timestep")
    np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-8)
    assert frame.info["step"] == 0


def test_atoms_on_top_of_each_other_at_the_start(tmp_path):
    atoms = molecule()
    atoms.positions[3] = atoms.positions[4] + [0.0, 0.0, 0.05]
    frame = failed(tmp_path, md(tmp_path, atoms), "step 0", "atoms 3 and 4", "0.05 Å apart")
    np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-8)


def test_atoms_that_collide_on_the_way(tmp_path):
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 3.0]])
    atoms.set_velocities([[0, 0, 1.0], [0, 0, -1.0]])  # 0.2 Å closer in a femtosecond
    outcome = md(tmp_path, atoms, "--timestep", 0.25, "--steps", 200, "--largest-force", 1e9)
    frame = failed(tmp_path, outcome, "atoms 0 and 1", "Å apart")
    assert np.linalg.norm(frame.positions[0] - frame.positions[1]) < 0.2
    assert frame.info["step"] > 1 and np.isfinite(frame.positions).all()


@pytest.mark.parametrize("ensemble", ["nve", "langevin", "nose-hoover"])
@pytest.mark.parametrize("what", ["forces", "energy"])
def test_numbers_that_are_lost(tmp_path, ensemble, what):
    atoms = molecule()
    atoms.calc = Broken(4, what)
    run = Simulation(atoms, Conditions(ensemble=ensemble), tmp_path / "md.xyz", interval=5)
    run.start()
    with pytest.raises(Unphysical, match=r"step \d+: .*not a finite number"):
        run.run(20, quiet=True)
    frame = read(tmp_path / "md.xyz.failed.xyz")
    assert len(frame) == 9 and frame.info["step"] <= 5
    for kept in read(tmp_path / "md.xyz", ":"):
        assert np.isfinite(kept.get_potential_energy()) and np.isfinite(kept.get_forces()).all()


def test_lost_numbers_at_the_start(tmp_path):
    atoms = molecule()
    atoms.calc = Broken(0, "forces")
    run = Simulation(atoms, Conditions(), tmp_path / "md.xyz")
    run.start()
    with pytest.raises(Unphysical, match=r"step 0: .*not a finite number"):
        run.run(20, quiet=True)
    assert not (tmp_path / "md.xyz").exists() and read(tmp_path / "md.xyz.failed.xyz").info["step"] == 0


def test_the_limit_belongs_to_the_conditions(tmp_path):
    run = simulation(tmp_path / "md.xyz", largest_force=1e6)
    run.start()
    assert run.run(5, quiet=True)["steps"] == 5


def test_signal_handlers_are_given_back(tmp_path):
    """A program that calls the command keeps its own Ctrl-C afterwards."""
    write(tmp_path / "start.xyz", molecule())
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    options = ("--steps", "1", "--output", str(tmp_path / "md.xyz"), "--json")
    try:
        assert main(["md", str(ethanol()), str(tmp_path / "start.xyz"), *options]) == 0
        assert {number: signal.getsignal(number) for number in before} == before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
