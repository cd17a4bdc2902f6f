"""A run of 2N steps is a run of N steps and a restart: the same positions, momenta, frames and rows, bit for bit."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase.io import read, write
from interfaces.command import mlip
from interfaces.trained import ethanol, molecule

from dynamics.starts import MOLECULAR, PERIODIC, log_rows, simulation
from mlip.interfaces.calculator import MLIPCalculator
from mlip.trajectory import load_state

CASES = [(name, "molecule") for name in MOLECULAR] + [(name, "crystal") for name in (*MOLECULAR, *PERIODIC)]
HOT = {"temperature": 600.0, "timestep": 1.0}  # so that pairs are searched anew on the way


def begin(output, ensemble, kind, steps):
    run = simulation(output, ensemble, kind=kind, **HOT)
    run.start()
    run.run(steps, quiet=True)
    return run


def resumed(output, ensemble, kind, steps, **stop):
    run = simulation(output, ensemble, kind=kind, **HOT)
    run.restart()
    run.run(steps, quiet=True, **stop)
    return run


def same_files(one, other):
    frames, others = read(one, ":"), read(other, ":")
    assert [frame.info["step"] for frame in frames] == [frame.info["step"] for frame in others]
    for frame, twin in zip(frames, others, strict=True):
        assert np.array_equal(frame.positions, twin.positions) and np.array_equal(
            frame.get_momenta(), twin.get_momenta()
        )
        assert frame.get_potential_energy() == twin.get_potential_energy()
        assert np.array_equal(frame.cell.array, twin.cell.array)
    assert log_rows(one) == log_rows(other)
    return True


def same_atoms(one, other):
    assert np.array_equal(one.positions, other.positions), np.abs(one.positions - other.positions).max()
    assert np.array_equal(one.get_momenta(), other.get_momenta())
    assert np.array_equal(one.cell.array, other.cell.array)
    return True


@pytest.mark.parametrize("ending", [".xyz", ".traj"])
@pytest.mark.parametrize(("ensemble", "kind"), CASES)
def test_restart_is_exact(tmp_path, ensemble, kind, ending):
    whole = begin(tmp_path / f"whole{ending}", ensemble, kind, 45)
    assert whole.atoms.calc.pairs.searches > 1
    begin(tmp_path / f"parts{ending}", ensemble, kind, 20)
    resumed(tmp_path / f"parts{ending}", ensemble, kind, 35)
    last = resumed(tmp_path / f"parts{ending}", ensemble, kind, 45)
    assert same_atoms(whole.atoms, last.atoms)
    assert same_files(tmp_path / f"whole{ending}", tmp_path / f"parts{ending}")


@pytest.mark.parametrize("ending", [".xyz", ".traj"])
def test_frames_behind_the_saved_state_are_dropped(tmp_path, ending):
    """The process died after it wrote frames and before it saved the state."""
    output = tmp_path / f"md{ending}"
    begin(output, "langevin", "molecule", 20)
    state = output.with_name(output.name + ".restart.npz")
    early = state.read_bytes()
    resumed(output, "langevin", "molecule", 40)
    state.write_bytes(early)
    assert len(read(output, ":")) == 9
    last = resumed(output, "langevin", "molecule", 60)
    whole = begin(tmp_path / f"whole{ending}", "langevin", "molecule", 60)
    assert same_atoms(whole.atoms, last.atoms) and same_files(tmp_path / f"whole{ending}", output)


@pytest.mark.parametrize("ending", [".xyz", ".traj"])
def test_a_frame_cut_short_by_the_end_of_the_process_is_dropped(tmp_path, ending):
    output = tmp_path / f"md{ending}"
    begin(output, "nve", "molecule", 20)
    state = output.with_name(output.name + ".restart.npz")
    early = state.read_bytes()
    resumed(output, "nve", "molecule", 25)
    state.write_bytes(early)
    output.write_bytes(output.read_bytes()[:-60])
    last = resumed(output, "nve", "molecule", 40)
    whole = begin(tmp_path / f"whole{ending}", "nve", "molecule", 40)
    assert same_atoms(whole.atoms, last.atoms) and same_files(tmp_path / f"whole{ending}", output)


def test_a_stop_between_two_frames(tmp_path):
    whole = begin(tmp_path / "whole.xyz", "nose-hoover", "molecule", 30)
    run = simulation(tmp_path / "parts.xyz", "nose-hoover", **HOT)
    run.start()
    run.run(30, quiet=True, should_stop=lambda: run.step == 13)
    assert load_state(tmp_path / "parts.xyz.restart.npz")["step"] == 13
    last = resumed(tmp_path / "parts.xyz", "nose-hoover", "molecule", 30)
    assert same_atoms(whole.atoms, last.atoms) and same_files(tmp_path / "whole.xyz", tmp_path / "parts.xyz")


def test_an_end_between_two_frames_leaves_no_extra_frame(tmp_path):
    """12 steps end with a frame of their own; a run of 20 has frames at 0, 5, 10, 15 and 20 however it came there."""
    begin(tmp_path / "whole.xyz", "nve", "molecule", 20)
    begin(tmp_path / "parts.xyz", "nve", "molecule", 12)
    resumed(tmp_path / "parts.xyz", "nve", "molecule", 20)
    assert same_files(tmp_path / "whole.xyz", tmp_path / "parts.xyz")


def test_a_new_run_does_not_continue_the_log_of_a_removed_one(tmp_path):
    """The message about an existing trajectory says: or remove it."""
    begin(tmp_path / "md.xyz", "nve", "molecule", 10)
    (tmp_path / "md.xyz").unlink()
    begin(tmp_path / "md.xyz", "nve", "molecule", 5)
    assert [row["step"] for row in log_rows(tmp_path / "md.xyz")] == ["0", "5"]


def test_the_log_is_the_same_to_the_byte(tmp_path):
    begin(tmp_path / "whole.xyz", "nve", "molecule", 20)
    begin(tmp_path / "parts.xyz", "nve", "molecule", 10)
    resumed(tmp_path / "parts.xyz", "nve", "molecule", 20)
    assert (tmp_path / "whole.xyz.csv").read_bytes() == (tmp_path / "parts.xyz.csv").read_bytes()


def test_restart_of_a_finished_run_changes_nothing(tmp_path):
    begin(tmp_path / "md.xyz", "nve", "molecule", 20)
    before = (tmp_path / "md.xyz").read_bytes()
    run = resumed(tmp_path / "md.xyz", "nve", "molecule", 20)
    assert run.step == 20 and (tmp_path / "md.xyz").read_bytes() == before


def command(output, start, steps):
    options = ("--ensemble", "langevin", "--steps", steps, "--interval", 5, "--dtype", "float64")
    return ["md", ethanol(), start, *options, "--output", output, "--quiet"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_a_state_to_go_on_from(tmp_path, monkeypatch, number):
    write(tmp_path / "start.xyz", molecule())
    assert mlip(*command(tmp_path / "whole.xyz", tmp_path / "start.xyz", 40)).status == 0
    calculate, done = MLIPCalculator.calculate, []

    def interrupted(self, *arguments, **options):
        done.append(1)
        if len(done) == 18:
            signal.raise_signal(number)
        return calculate(self, *arguments, **options)

    monkeypatch.setattr(MLIPCalculator, "calculate", interrupted)
    outcome = mlip(*command(tmp_path / "parts.xyz", tmp_path / "start.xyz", 40))
    assert outcome.status == 128 + number and outcome.out.startswith("17 steps"), outcome
    assert mlip(*command(tmp_path / "parts.xyz", tmp_path / "start.xyz", 40), "--restart").status == 0
    assert (tmp_path / "parts.xyz").read_bytes() == (tmp_path / "whole.xyz").read_bytes()


def test_sigint_to_the_process(tmp_path):
    write(tmp_path / "start.xyz", molecule())
    arguments = command(tmp_path / "md.xyz", tmp_path / "start.xyz", 1_000_000)
    with subprocess.Popen([sys.executable, "-m", "mlip", *map(str, arguments)], stdout=subprocess.PIPE) as process:
        limit = time.monotonic() + 60
        while not (tmp_path / "md.xyz.csv").exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    steps = int(load_state(tmp_path / "md.xyz.restart.npz")["step"])
    assert 0 <= steps < 1_000_000
    more = mlip(*command(tmp_path / "md.xyz", tmp_path / "start.xyz", steps + 10), "--restart")
    assert more.status == 0 and read(tmp_path / "md.xyz", -1).info["step"] == steps + 10
