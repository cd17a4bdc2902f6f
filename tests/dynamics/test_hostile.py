"""Dynamics that start from nonsense or lose an atom: refused, or stopped with the frame saved."""

import errno
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from interfaces.command import mlip, refused
from interfaces.trained import ethanol, molecule

from mlip.trajectory import TrajectoryFile


def md(tmp_path, atoms, *options):
    write(tmp_path / "start.traj", atoms)
    common = ("--steps", 40, "--interval", 5, "--output", tmp_path / "md.xyz", "--quiet")
    return mlip("md", ethanol(), tmp_path / "start.traj", *common, *options)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_start_that_is_no_place(tmp_path, value):
    atoms = molecule()
    atoms.positions[2, 1] = value
    assert refused(md(tmp_path, atoms), "positions hold", "start.traj")


def test_a_cell_of_nothing(tmp_path):
    atoms = molecule()
    atoms.pbc = True
    assert refused(md(tmp_path, atoms), "independent lattice vector")


def test_no_atoms(tmp_path):
    assert refused(md(tmp_path, Atoms()), "no atoms")


def test_an_atom_that_leaves(tmp_path):
    """So fast that it is out of all that a float64 can resolve; the run stops with the frame that did it."""
    atoms = molecule()
    velocities = np.zeros((9, 3))
    velocities[8, 0] = 1e11
    atoms.set_velocities(velocities)
    outcome = md(tmp_path, atoms)
    assert outcome.status == 3 and outcome.err.startswith("mlip: stopped: step "), outcome
    frame = read(tmp_path / "md.xyz.failed.xyz")
    assert len(frame) == 9 and np.abs(frame.positions).max() > 1e9
    assert all(np.isfinite(kept.get_forces()).all() for kept in read(tmp_path / "md.xyz", ":"))


def test_a_full_disk_is_said_and_the_frames_stay(tmp_path, monkeypatch):
    whole, count = TrajectoryFile.write, []

    def full(self, *arguments):
        count.append(1)
        if len(count) > 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        whole(self, *arguments)

    monkeypatch.setattr(TrajectoryFile, "write", full)
    assert refused(md(tmp_path, molecule()), "No space left on device", "md.xyz")
    assert len(read(tmp_path / "md.xyz", ":")) == 3


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "start.xyz").write_text("1\n\nH 0 0 0\n", encoding="utf-8")

    def refuse(self, *arguments, **options):
        if self.name.startswith("md.xyz"):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    opened = Path.open
    monkeypatch.setattr(Path, "open", refuse)
    outcome = mlip("md", ethanol(), tmp_path / "start.xyz", "--steps", 1, "--output", tmp_path / "md.xyz", "--quiet")
    assert refused(outcome, "Permission denied", "md.xyz")


def test_durations_are_of_a_clock_that_does_not_jump():
    """The time of day is set back and forth; only a lock's age may be told by it."""
    package = Path(__file__).parents[2] / "mlip"
    files = [path for path in package.rglob("*.py") if "time.time()" in path.read_text(encoding="utf-8")]
    assert files == []
