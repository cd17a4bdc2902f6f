"""Every ensemble runs, conserves what it should, and leaves files that ASE reads."""

import json

import numpy as np
import pytest
from ase.io import read, write
from interfaces.command import mlip
from interfaces.trained import alcu, crystal, ethanol, molecule

from dynamics.starts import MOLECULAR, PERIODIC, atoms_of, log_rows, simulation
from mlip.ensembles import Conditions, set_velocities

CASES = [(name, "molecule") for name in MOLECULAR] + [(name, "crystal") for name in (*MOLECULAR, *PERIODIC)]


@pytest.mark.parametrize("ending", [".xyz", ".extxyz", ".traj"])
@pytest.mark.parametrize(("ensemble", "kind"), CASES)
def test_every_ensemble_leaves_a_trajectory(tmp_path, ensemble, kind, ending):
    output = tmp_path / f"md{ending}"
    run = simulation(output, ensemble, kind=kind, temperature=300, timestep=1.0)
    run.start()
    summary = run.run(12, quiet=True)
    frames = read(output, ":")
    assert [frame.info["step"] for frame in frames] == [0, 5, 10, 12]
    assert [frame.info["time_fs"] for frame in frames] == [0.0, 5.0, 10.0, 12.0]
    for frame in frames:
        assert frame.pbc.tolist() == run.atoms.pbc.tolist() and np.abs(frame.get_momenta()).max() > 0
        again = frame.copy()
        again.calc = run.atoms.calc
        assert frame.get_potential_energy() == pytest.approx(again.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(frame.get_forces(), again.get_forces(), rtol=0, atol=1e-5)
        if kind == "crystal":
            np.testing.assert_allclose(frame.get_stress(), again.get_stress(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(frames[-1].positions, run.atoms.positions, rtol=0, atol=1e-8)
    np.testing.assert_allclose(frames[-1].get_momenta(), run.atoms.get_momenta(), rtol=0, atol=1e-8)
    changed = np.abs(frames[-1].cell.array - frames[0].cell.array).max() > 1e-9
    assert changed == ensemble.startswith("npt")
    rows = log_rows(output)
    assert [row["step"] for row in rows] == ["0", "5", "10", "12"]
    for row, frame in zip(rows, frames, strict=True):
        assert float(row["potential_energy"]) == pytest.approx(frame.get_potential_energy(), abs=1e-6)
        assert float(row["temperature"]) == pytest.approx(frame.get_temperature(), rel=1e-5)
    assert summary["steps"] == 12 and summary["time_ps"] == pytest.approx(0.012)
    times, changes = (np.array([float(row[name]) for row in rows]) for name in ("time_fs", "change_meV_per_atom"))
    slope, offset = np.linalg.lstsq(np.stack([times, np.ones_like(times)], axis=1), changes, rcond=None)[0]
    assert summary["drift_meV_per_atom"] == pytest.approx(slope * times[-1], abs=1e-9)
    assert summary["fluctuation_meV_per_atom"] == pytest.approx(np.std(changes - offset - slope * times), abs=1e-9)


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_energy_is_conserved_ever_better_with_shorter_steps(tmp_path, kind):
    """Verlet's error in the energy falls with the square of the timestep."""
    worst = []
    for timestep in (0.5, 0.25):
        run = simulation(tmp_path / f"{timestep}.xyz", kind=kind, timestep=timestep, temperature=300, interval=1)
        run.start()
        run.run(round(20 / timestep), quiet=True)
        rows = log_rows(tmp_path / f"{timestep}.xyz")
        worst.append(max(abs(float(row["change_meV_per_atom"])) for row in rows))
        total = [float(row["potential_energy"]) + float(row["kinetic_energy"]) for row in rows]
        largest = 1e3 * max(abs(energy - total[0]) for energy in total) / len(run.atoms)
        assert worst[-1] == pytest.approx(largest, rel=1e-6)
    assert 2.5 < worst[0] / worst[1] < 6


def test_velocities_have_the_temperature_and_neither_drift_nor_turn():
    for kind in ("molecule", "crystal"):
        atoms = atoms_of(kind)
        set_velocities(atoms, 350.0, np.random.default_rng(3))
        assert atoms.get_temperature() == pytest.approx(350.0, rel=1e-10)
        np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-10)
        if kind == "molecule":
            np.testing.assert_allclose(atoms.get_angular_momentum(), 0, atol=1e-9)


def test_velocities_of_the_start_are_kept(tmp_path):
    atoms = molecule()
    atoms.set_momenta(np.random.default_rng(0).normal(size=(9, 3)))
    write(tmp_path / "start.traj", atoms)
    outcome = mlip("md", ethanol(), tmp_path / "start.traj", "--steps", 1, "--output", tmp_path / "md.traj", "--quiet")
    assert outcome.status == 0, outcome.err
    np.testing.assert_array_equal(read(tmp_path / "md.traj", 0).get_momenta(), atoms.get_momenta())


def test_the_seed_decides(tmp_path):
    ends = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = simulation(tmp_path / f"{name}.xyz", "langevin", seed=seed)
        run.start()
        run.run(5, quiet=True)
        ends.append(run.atoms.get_positions())
    assert np.array_equal(ends[0], ends[1]) and not np.array_equal(ends[0], ends[2])


def test_pressure_squeezes(tmp_path):
    volumes = []
    for pressure in (0.0, 20.0):
        run = simulation(tmp_path / f"{pressure}.xyz", "npt", pressure=pressure, timestep=1.0)
        run.start()
        run.run(30, quiet=True)
        volumes.append(run.atoms.get_volume())
    assert volumes[1] < volumes[0]


@pytest.mark.parametrize("ensemble", [*MOLECULAR, *PERIODIC])
def test_the_command(tmp_path, ensemble):
    write(tmp_path / "start.xyz", crystal())
    output = tmp_path / "md.traj"
    options = ("--ensemble", ensemble, "--steps", 10, "--interval", 5, "--output", output, "--dtype", "float64")
    outcome = mlip("md", alcu(), tmp_path / "start.xyz", *options)
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith("10 steps, 0.005 ps in ") and str(output) in outcome.out
    assert "mean temperature" in outcome.out
    assert ("drift" in outcome.out and "meV/atom" in outcome.out) == (ensemble != "langevin"), "noise keeps no energy"
    assert "Warning" not in outcome.err
    assert len(read(output, ":")) == 3


def test_the_command_prints_one_json_object(tmp_path):
    write(tmp_path / "start.xyz", molecule())
    options = ("--steps", 10, "--interval", 5, "--output", tmp_path / "md.xyz", "--json")
    outcome = mlip("md", ethanol(), tmp_path / "start.xyz", *options)
    summary = json.loads(outcome.out)
    assert outcome.err == "" and summary["steps"] == 10
    assert {"drift_meV_per_atom", "fluctuation_meV_per_atom", "mean_temperature", "ms_per_step"} <= set(summary)


def test_conditions_are_checked_without_a_command_line():
    with pytest.raises(ValueError, match="--ensemble is 'nvt'; known: nve, langevin"):
        Conditions(ensemble="nvt")
    with pytest.raises(ValueError, match="--timestep is -1"):
        Conditions(timestep=-1.0)
