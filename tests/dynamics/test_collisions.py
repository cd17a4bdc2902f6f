"""Atoms that meet at high energy, or start too near, are pushed apart by the repulsion and never fuse."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.io import read, write
from ase.md.verlet import VelocityVerlet
from interfaces.command import mlip
from interfaces.trained import ETHANOL, train
from physics import zoo

from mlip.batch import OverlappingAtoms
from mlip.interfaces.calculator import MLIPCalculator


def potential(repulsion):
    return zoo.potential([*zoo.radial(4.0), *zoo.shifted()], 11, repulsion=repulsion)


def shot(symbols, repulsion, energy=20.0, timestep=0.02):
    """Distances and total energies while two atoms fly at each other with this kinetic energy (eV)."""
    atoms = Atoms(symbols, positions=[[0, 0, 0], [0.1, 0.0, 2.5]])
    masses = atoms.get_masses()
    momentum = np.sqrt(2 * energy / (1 / masses).sum())
    atoms.set_momenta([[0, 0, momentum], [0, 0, -momentum]])
    atoms.calc = MLIPCalculator(potential(repulsion))
    dynamics = VelocityVerlet(atoms, timestep * units.fs)
    distances, energies = [], []
    for _ in range(2000):
        dynamics.run(1)
        distances.append(atoms.get_distance(0, 1))
        energies.append(atoms.get_total_energy())
        if distances[-1] > 2.5:
            break
    return np.array(distances), np.array(energies)


@pytest.mark.parametrize(("symbols", "nearest"), [("CC", 0.5), ("CO", 0.45), ("OH", 0.25)])
def test_atoms_that_are_shot_at_each_other_bounce(symbols, nearest):
    distances, energies = shot(symbols, (0.35, 0.7))
    assert nearest < distances.min() < 1.0 and distances[-1] > 2.5, "they came near and parted"
    assert np.ptp(energies) < 0.05, "of 20 eV that turned round"


def test_without_repulsion_they_fuse():
    """Nothing but the repulsion stands between them: the test above can fail."""
    with pytest.raises((OverlappingAtoms, AssertionError)):
        distances, _ = shot("CC", None)
        assert distances.min() > 0.5


def test_dynamics_from_atoms_half_an_angstrom_apart(tmp_path):
    write(tmp_path / "start.xyz", Atoms("CC", positions=[[0, 0, 0], [0, 0, 0.5]]))
    assert train(tmp_path, ETHANOL, "model.repulsion={name: zbl}", "training.epochs=1").status == 0
    command = ("md", tmp_path / "run", tmp_path / "start.xyz", "--output", tmp_path / "md.xyz", "--quiet")
    stopped = mlip(*command)
    assert stopped.status == 3 and "--largest-force" not in stopped.err and "eV/Å, above 200" in stopped.err
    finer = mlip(*command[:4], tmp_path / "fine.xyz", "--largest-force", 5000, "--timestep", 0.02, "--steps", 500)
    assert finer.status == 0, finer.err
    frames = read(tmp_path / "fine.xyz", ":")
    distances = [atoms.get_distance(0, 1) for atoms in frames]
    assert min(distances) == distances[0] and distances[-1] > 1.1
