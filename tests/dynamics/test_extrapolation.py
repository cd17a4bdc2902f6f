"""Dynamics outside of the training set: counted, said at the end, or stopped."""

import json

import pytest
from ase.io import read, write
from interfaces.command import mlip, refused
from interfaces.trained import ethanol, molecule

from mlip.model.checkpoint import load_potential, save_potential
from mlip.model.ranges import unknown_ranges


def md(folder, atoms, *options, potential=None):
    write(folder / "start.traj", atoms)
    common = ("--steps", 6, "--interval", 3, "--output", folder / "md.xyz")
    return mlip("md", potential or ethanol(), folder / "start.traj", *common, *options)


def stretched():
    """Ethanol with a hydrogen atom half an ångström too far out."""
    atoms = molecule()
    hydrogen = int((atoms.numbers == 1).nonzero()[0][0])
    partner = int(atoms.get_distances(hydrogen, (atoms.numbers != 1).nonzero()[0]).argmin())
    vector = atoms.positions[hydrogen] - atoms.positions[(atoms.numbers != 1).nonzero()[0][partner]]
    atoms.positions[hydrogen] += 0.5 * vector
    return atoms


def test_counted_and_said_at_the_end(tmp_path):
    atoms = stretched()
    found = json.loads(md(tmp_path, atoms, "--json").out)["extrapolation"]
    assert found["steps"] == 7 and found["first_step"] == 0 and found["worst"]["severity"] > 1
    assert found["elements"]["H"]["atoms"] == 7 * 6
    (tmp_path / "md.xyz").unlink()
    line = md(tmp_path, atoms, "--quiet").out.splitlines()[-1]
    assert line.startswith("outside of the training set's features in ") and found["worst"]["function"] in line
    assert "first in step 0" in line


def test_inside_and_ignored(tmp_path):
    assert "training set's features" in md(tmp_path, molecule(), "--quiet").out
    (tmp_path / "md.xyz").unlink()
    ignored = md(tmp_path, stretched(), "--on-extrapolation", "ignore", "--json")
    assert "extrapolation" not in json.loads(ignored.out)


def test_stopped_with_the_frame(tmp_path):
    atoms = stretched()
    outcome = md(tmp_path, atoms, "--on-extrapolation", "stop", "--largest-extrapolation", 0.5, "--quiet")
    assert outcome.status == 3 and outcome.out == ""
    assert outcome.err.startswith("mlip: stopped: step 0: atom ") and "--largest-extrapolation is 0.5" in outcome.err
    frame = read(tmp_path / "md.xyz.failed.xyz")
    assert frame.positions == pytest.approx(atoms.positions, abs=1e-8)


def test_not_stopped_within_the_limit(tmp_path):
    options = ("--on-extrapolation", "stop", "--largest-extrapolation", 1e9, "--quiet")
    assert md(tmp_path, stretched(), *options).status == 0


def test_a_potential_without_ranges(tmp_path):
    potential = load_potential(ethanol())
    potential.ranges = unknown_ranges(*potential.ranges.lowest.shape)
    save_potential(tmp_path / "old.pt", potential, {})
    outcome = md(tmp_path, stretched(), "--quiet", potential=tmp_path / "old.pt")
    assert outcome.status == 0 and "extrapolation not watched" in outcome.out
    (tmp_path / "md.xyz").unlink()
    assert refused(
        md(tmp_path, molecule(), "--quiet", "--on-extrapolation", "stop", potential=tmp_path / "old.pt"),
        "no ranges of features",
    )


def test_unfit_options(tmp_path):
    assert refused(md(tmp_path, molecule(), "--on-extrapolation", "panic"), "'panic'; known: ignore, warn, stop")
    assert refused(md(tmp_path, molecule(), "--largest-extrapolation", "-1"), "--largest-extrapolation is -1")
