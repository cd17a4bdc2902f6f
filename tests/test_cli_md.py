"""Mistakes with dynamics: what the user reads."""

import shutil

import pytest
import torch
from ase.io import write
from interfaces.command import mlip, refused
from interfaces.trained import alcu, crystal, ethanol, molecule

from mlip.model.checkpoint import load_potential, save_potential


@pytest.fixture
def start(tmp_path):
    write(tmp_path / "start.xyz", molecule())
    return tmp_path / "start.xyz"


def md(start, *options, potential=None):
    output = () if "--output" in options else ("--output", start.with_name("md.xyz"))
    return mlip("md", potential or ethanol(), start, "--steps", 4, "--interval", 2, *output, "--quiet", *options)


@pytest.mark.parametrize(
    ("options", "essentials"),
    [
        (["--ensemble", "nvt"], ["--ensemble is 'nvt'", "nve, langevin, nose-hoover, npt, npt-flexible"]),
        (["--ensemble", "npt"], ["--ensemble npt", "three periodic directions", "nose-hoover"]),
        (["--ensemble", "npt-flexible"], ["--ensemble npt-flexible", "three periodic directions"]),
        (["--timestep", "-0.5"], ["--timestep is -0.5", "positive"]),
        (["--timestep", "0"], ["--timestep is 0", "positive"]),
        (["--timestep", "nan"], ["--timestep is nan", "positive"]),
        (["--timestep", "500"], ["--timestep is 500", "20 fs"]),
        (["--temperature", "-300"], ["--temperature is -300", "positive"]),
        (["--temperature", "inf"], ["--temperature is inf"]),
        (["--friction", "0"], ["--friction is 0", "positive"]),
        (["--largest-force", "0"], ["--largest-force is 0", "positive"]),
        (["--interval", "0"], ["--interval is 0", "at least 1"]),
        (["--steps", "-4"], ["--steps is -4"]),
        (["--pressure", "nan"], ["--pressure is nan"]),
        (["--seed", "-1"], ["--seed is -1"]),
        (["--output", "md.dat"], ["--output is md.dat", ".xyz, .extxyz or .traj"]),
        (["--output", "md"], ["--output is md", ".xyz, .extxyz or .traj"]),
        (["--output", "nowhere/md.xyz"], ["--output is nowhere/md.xyz", "no folder nowhere"]),
        (["--restart"], ["md.xyz.restart.npz", "no such file", "--restart"]),
        (["--device", "cuda:97"], ["cuda:97", "Use auto or cpu"]),
    ],
)
def test_options(start, options, essentials, monkeypatch):
    monkeypatch.chdir(start.parent)
    assert refused(md(start, *options), *essentials)
    assert {path.name for path in start.parent.iterdir()} == {"start.xyz"}, "a refused command leaves no file"


@pytest.mark.parametrize(
    "options", [["--dtype", "float16"], ["--temperature", "warm"], ["--steps", "2.5"], ["--stpes", "3"], ["more"]]
)
def test_what_argparse_refuses(start, options):
    outcome = md(start, *options)
    assert outcome.status == 2 and outcome.out == ""
    assert outcome.err.startswith("usage: mlip") and "error: " in outcome.err and options[-1] in outcome.err


def test_starts(tmp_path, start):
    assert refused(md(tmp_path / "strat.xyz"), "strat.xyz", "no such file", "start.xyz")
    assert refused(md(tmp_path), f"{tmp_path}: this is a folder")
    (tmp_path / "empty.xyz").touch()
    assert refused(md(tmp_path / "empty.xyz"), "empty.xyz", "empty")
    (tmp_path / "words.xyz").write_text("just text\n", encoding="utf-8")
    assert refused(md(tmp_path / "words.xyz"), "words.xyz", "ASE cannot read it")


def test_an_element_that_the_potential_does_not_know(tmp_path):
    write(tmp_path / "alloy.xyz", crystal())
    assert refused(md(tmp_path / "alloy.xyz"), "does not know Al", "H, C, O")


@pytest.mark.parametrize("count", ["999999999999", "10", "9" * 5000, "-1", "x"])
def test_a_start_that_promises_more_atoms(tmp_path, start, count):
    """ASE would count on to the number in the file."""
    text = start.read_text()
    for place, content in enumerate([text.replace("9", count, 1), text + text.replace("9", count, 1)]):
        path = tmp_path / f"long{place}.xyz"
        path.write_text(content)
        assert refused(
            md(path), path.name, "number of atoms" if len(count) > 18 or not count.isdigit() else "cut short"
        )


def test_an_output_that_exists(start):
    assert md(start).status == 0
    before = start.with_name("md.xyz").read_bytes()
    assert refused(md(start), "md.xyz exists", "--restart", "--output")
    assert start.with_name("md.xyz").read_bytes() == before


@pytest.mark.parametrize(
    "options", [["--ensemble", "langevin"], ["--timestep", "0.25"], ["--temperature", "500"]], ids=lambda o: o[0]
)
def test_restart_under_other_conditions(start, options):
    """A run that changes its conditions on the way, while times in its files go on as before, is no run."""
    common = [] if "--ensemble" in options else ["--ensemble", "nose-hoover"]
    assert md(start, *common).status == 0
    outcome = md(start, *common, *options, "--restart", "--steps", 8)
    assert refused(outcome, "md.xyz.restart.npz", options[0])


def test_restart_with_another_potential(start, tmp_path):
    assert md(start).status == 0
    other = shutil.copytree(ethanol(), tmp_path / "other")
    potential = load_potential(other)
    with torch.no_grad():
        next(potential.networks.parameters()).mul_(1.01)
    save_potential(other / "potential.pt", potential, {})
    assert refused(md(start, "--restart", potential=other), "md.xyz.restart.npz", "another potential")


def test_output_is_not_the_start(start):
    assert refused(md(start, "--output", start), "--output is", "the start itself")


def test_a_thermostat_at_zero(start):
    assert refused(md(start, "--ensemble", "nose-hoover", "--temperature", "0"), "--temperature is 0 K", "positive")


def test_a_name_with_an_at_sign(start):
    start.rename(start.with_name("a@b.xyz"))
    assert md(start.with_name("a@b.xyz")).status == 0


def test_restart_with_other_atoms(tmp_path, start):
    assert md(start).status == 0
    write(tmp_path / "alloy.xyz", crystal())
    outcome = md(tmp_path / "alloy.xyz", "--restart", potential=alcu())
    assert refused(outcome, "md.xyz.restart.npz", "9 atoms", "same structure")


def test_restart_of_a_damaged_state_or_trajectory(start):
    assert md(start).status == 0
    trajectory, state = start.with_name("md.xyz"), start.with_name("md.xyz.restart.npz")
    whole = trajectory.read_bytes()
    trajectory.write_bytes(whole[:-100])
    assert refused(md(start, "--restart"), "md.xyz", f"has {len(whole) - 100} bytes", f"expects {len(whole)}")
    trajectory.unlink()
    assert refused(md(start, "--restart"), "md.xyz", f"expects {len(whole)}")
    trajectory.write_bytes(whole)
    state.write_bytes(state.read_bytes()[:-100])
    assert refused(md(start, "--restart"), "md.xyz.restart.npz", "damaged")
