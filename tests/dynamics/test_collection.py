"""Frames collected in dynamics: of highest uncertainty, far from each other, at most so many, through restarts."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from ase.io import read, write
from interfaces.command import mlip, refused
from interfaces.trained import ethanol, molecule

from dynamics.starts import log_rows
from mlip.batch import to_batch
from mlip.collection import POOL, Collector
from mlip.dynamics import Simulation, Unphysical
from mlip.ensembles import Conditions
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.checkpoint import load_potential, save_potential
from mlip.model.committee import committee_of
from mlip.model.uncertainty import spread
from mlip.structure import Structure

STEPS = 24


@cache
def committee():
    """Three members that differ by a little noise."""
    members = [load_potential(ethanol(), dtype=torch.float64) for _ in range(3)]
    generator = torch.Generator().manual_seed(1)
    for member in members:
        for weights in member.networks.parameters():
            weights.data += 0.01 * torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
    return committee_of(members)


def hot(folder, name="md", potential=None, interval=2, **collected):
    atoms = molecule()
    atoms.calc = MLIPCalculator(potential or committee())
    collector = Collector(folder / f"{name}.collected.xyz", atoms.calc.potential, **{"interval": 2, **collected})
    conditions = Conditions(ensemble="langevin", temperature=900.0, on_extrapolation="warn")
    return Simulation(atoms, conditions, folder / f"{name}.xyz", interval=interval, collector=collector)


def run(simulation, steps=STEPS):
    simulation.start()
    simulation.run(steps, quiet=True)
    return simulation.collector


def of_frame(atoms):
    """Uncertainty of a frame by the committee itself."""
    structure = Structure(atoms.numbers, atoms.positions, np.zeros((3, 3)), np.zeros(3, bool))
    found = spread(committee(), to_batch(structure, committee().cutoff)[0])
    return float(found.forces.norm(dim=1).max())


def test_the_pool_holds_the_frames_of_highest_disagreement(tmp_path):
    collector = run(hot(tmp_path, count=1))
    frames = {atoms.info["step"]: of_frame(atoms) for atoms in read(tmp_path / "md.xyz", ":")}
    highest = sorted(frames, key=lambda step: -frames[step])[:POOL]
    assert [frame.step for frame in collector.pool] == highest and collector.considered == len(frames) == 13
    np.testing.assert_allclose([f.largest for f in collector.pool], [frames[s] for s in highest], rtol=1e-6)
    saved = read(tmp_path / "md.collected.xyz", ":")
    assert [atoms.info["step"] for atoms in saved] == highest[:1] and collector.highest_step == highest[0]
    assert saved[0].info["mlip_uncertainty"] == pytest.approx(frames[highest[0]], rel=1e-6)
    assert saved[0].calc is None, "no predictions that a training could take for labels"


def test_chosen_are_the_farthest_of_the_pool(tmp_path):
    collector = run(hot(tmp_path, count=4))
    points = [frame.point for frame in collector.pool]
    chosen = [0]
    while len(chosen) < 4:
        nearest = [min(np.linalg.norm(point - points[c]) for c in chosen) for point in points]
        chosen.append(int(np.argmax(nearest)))
    assert [frame.step for frame in collector.chosen()] == [collector.pool[place].step for place in chosen]
    assert len(read(tmp_path / "md.collected.xyz", ":")) == 4


def test_threshold_and_distance(tmp_path):
    everything = run(hot(tmp_path, "all"))
    values = sorted(frame.largest for frame in everything.pool)
    above = run(hot(tmp_path, "above", threshold=values[5]))
    assert sorted(frame.largest for frame in above.pool) == values[6:] and above.above == len(values) - 6
    some = run(hot(tmp_path, "some", distance=0.3)).chosen()
    for n, frame in enumerate(some):
        assert all(np.linalg.norm(frame.point - other.point) >= 0.3 for other in some[:n])
    assert 1 <= len(some) < len(everything.chosen()) == 13


def test_a_restart_collects_what_an_uninterrupted_run_does(tmp_path):
    run(hot(tmp_path, "whole", count=3, interval=5))
    part = hot(tmp_path, "parts", count=3, interval=5)
    part.start()
    part.run(10, quiet=True)
    again = hot(tmp_path, "parts", count=3, interval=5)
    again.restart()
    again.run(STEPS, quiet=True)
    whole, parts = (read(tmp_path / f"{name}.collected.xyz", ":") for name in ("whole", "parts"))
    assert [atoms.info for atoms in whole] == [atoms.info for atoms in parts]
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one.positions, other.positions)
    counts = [again.collector.considered, again.collector.above]
    assert counts == [STEPS // 2 + 1] * 2
    with pytest.raises(ValueError, match="belongs to a collection with count 3, not 4"):
        hot(tmp_path, "parts", count=4, interval=5).restart()


def test_a_run_begins_with_nothing(tmp_path):
    run(hot(tmp_path))
    (tmp_path / "md.xyz").unlink()
    with pytest.raises(ValueError, match="which exists"):
        hot(tmp_path).start()
    with pytest.raises(ValueError, match="collected nothing there"):
        hot(tmp_path, "other").collector.restart(0)


def test_stopped_at_the_largest_uncertainty(tmp_path):
    limit = sorted(frame.largest for frame in run(hot(tmp_path, "all")).pool)[8]
    simulation = hot(tmp_path, stop=limit)
    simulation.start()
    with pytest.raises(Unphysical, match="above --collect-stop"):
        simulation.run(STEPS, quiet=True)
    failed = read(tmp_path / "md.xyz.failed.xyz")
    assert of_frame(failed) > limit
    saved = read(tmp_path / "md.collected.xyz", ":")
    assert [atoms.info["mlip_uncertainty"] > limit for atoms in saved].count(True) == 1, "the last one is kept"


def test_a_step_between_two_looks_costs_nothing(tmp_path):
    simulation = hot(tmp_path, interval=12, **{"count": 2})
    simulation.collector.interval = 12
    calls = []
    simulation.atoms.calc._deviations, whole = (
        lambda atoms: calls.append(1) or whole(atoms),
        simulation.atoms.calc._deviations,
    )
    simulation.start()
    before = simulation.atoms.calc.evaluations
    simulation.run(STEPS, quiet=True)
    assert len(calls) == 3, "steps 0, 12, 24; the log has the same"
    assert simulation.atoms.calc.evaluations - before == STEPS + 1


@pytest.mark.parametrize(("by", "name"), [("distance", "feature_distance"), ("ranges", "extrapolation")])
def test_without_a_committee(tmp_path, by, name):
    potential = load_potential(ethanol(), dtype=torch.float64)
    collector = run(hot(tmp_path, potential=potential, measure=by, count=2))
    found = {}
    for atoms in read(tmp_path / "md.xyz", ":"):
        atoms.calc = MLIPCalculator(potential)
        found[atoms.info["step"]] = float(atoms.calc.get_property(name, atoms).max())
    above = {step for step, value in found.items() if value > 0}
    expected = sorted(above, key=lambda step: -found[step])[: 2 * POOL]
    np.testing.assert_allclose([f.largest for f in collector.pool], [found[step] for step in expected], rtol=1e-5)
    with pytest.raises(ValueError, match="needs a committee"):
        Collector(tmp_path / "x.xyz", potential)


def md(folder, *options, potential=None):
    write(folder / "start.traj", molecule())
    common = (
        "--steps",
        6,
        "--interval",
        3,
        "--output",
        folder / "md.xyz",
        "--ensemble",
        "langevin",
        "--temperature",
        900,
    )
    return mlip("md", potential or ethanol(), folder / "start.traj", *common, *options)


def test_the_commands(tmp_path):
    save_potential(tmp_path / "committee.pt", committee(), {})
    outcome = md(
        tmp_path, "--collect", tmp_path / "c.xyz", "--collect-max", 2, "--json", potential=tmp_path / "committee.pt"
    )
    found = json.loads(outcome.out)["collected"]
    assert found["measure"] == "spread" and found["considered"] == 3 and found["frames"] == 2, outcome
    assert len(read(tmp_path / "c.xyz", ":")) == 2
    rows = log_rows(tmp_path / "md.xyz")
    assert found["largest"] == pytest.approx(max(float(row["largest_forces_std"]) for row in rows), rel=1e-9)
    assert "largest_feature_distance" in rows[0]
    (tmp_path / "md.xyz").unlink()
    outcome = md(tmp_path, "--on-extrapolation", "collect", "--largest-extrapolation", 0.001, "--quiet")
    assert (
        outcome.status == 0
        and "7 frames looked at" in outcome.out
        and "uncertainty (ranges) above 0.001" in outcome.out
    )
    saved = read(tmp_path / "md.collected.xyz", ":")
    assert saved and all(atoms.info["mlip_uncertainty"] > 0.001 for atoms in saved)


def test_unfit_options(tmp_path):
    assert refused(md(tmp_path, "--collect-max", 3), "without --collect FILE")
    assert refused(md(tmp_path, "--collect", tmp_path / "c.xyz", "--collect-max", 0), "--collect-max is 0")
    assert refused(md(tmp_path, "--collect", tmp_path / "c.npz"), "ends in .xyz")
    assert refused(md(tmp_path, "--collect", tmp_path / "md.xyz"), "another option names as well")
    assert refused(md(tmp_path, "--collect", tmp_path / "c.xyz", "--collect-by", "spread"), "needs a committee")
    assert refused(md(tmp_path, "--collect", tmp_path / "c.xyz", "--collect-by", "guess"), "'guess'; known: spread")
    assert refused(md(tmp_path, "--collect", tmp_path / "c.xyz", "--collect-stop", "nan"), "--collect-stop is nan")
