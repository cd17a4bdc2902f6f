"""Committees from the config to results, files, dynamics and the command line."""

from __future__ import annotations

import csv
import json
import signal
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import read
from interfaces.command import mlip, refused
from interfaces.trained import DATA, ETHANOL, molecule

from mlip.configfile import parse_config
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.checkpoint import load_content, load_potential
from mlip.run import resume, train
from mlip.stopping import Stopped
from mlip.training.loop import Trainer

_FOLDER = tempfile.TemporaryDirectory(prefix="mlip-committee-")


def config(folder, members=3, subsets="bootstrap", **run):
    values = {
        "run": {"dir": str(folder), "device": "cpu", "dtype": "float64", **run},
        "data": {"train": str(ETHANOL), "index": ":60", "split": {"valid": 12, "test": 12}},
        "model": {
            "descriptor": [{"set": "radial", "cutoff": 4.0, "count": 4}],
            "networks": {"hidden": [6]},
            "committee": {"members": members, "subsets": subsets},
        },
        "training": {"epochs": 3, "batch_size": 8},
    }
    return parse_config(values, "test")


@cache
def run() -> Path:
    """The run folder of a small committee."""
    folder = Path(_FOLDER.name) / "run"
    train(config(folder), quiet=True)
    return folder


def test_results_and_calibration():
    results = json.loads((run() / "results.json").read_text(encoding="utf-8"))
    potential = load_potential(run())
    assert potential.members == 3
    assert results["calibration"] == potential.calibration._asdict()
    for part in ("train", "valid", "test"):
        for kind in ("energy", "forces"):
            assert 0 <= results[part][f"{kind}_within_1_std"] <= results[part][f"{kind}_within_2_std"] <= 1
            assert 0 <= results[part][f"{kind}_miscalibration"] <= 0.5
            assert results[part][f"{kind}_std_mean"] > 0
    assert (run() / "calibration.svg").is_file() and (run() / "calibration.csv").is_file()


def test_factors_make_the_ratio_on_validation_data_one():
    from mlip.configfile import load_config
    from mlip.preparation import read_parts
    from mlip.training.examples import Examples
    from mlip.training.reliability import reliability_of

    potential = load_potential(run())
    valid = Examples(read_parts(load_config(run() / "config.yaml")).valid, potential.cutoff, torch.device("cpu"))
    for factor in reliability_of(potential, valid).factors():
        assert factor == pytest.approx(1.0, rel=1e-6)


def test_first_member_starts_as_the_single_potential(tmp_path):
    """One seed, the same first weights; without a committee nothing is different."""
    from mlip.assembly import make_potential
    from mlip.featurization import features_by_element
    from mlip.preparation import prepare

    made = []
    for members, subsets in ((1, "all"), (3, "all")):
        ready = prepare(config(tmp_path, members, subsets))
        features = features_by_element(ready.descriptor, ready.examples["train"])
        made.append(make_potential(ready.config, ready.descriptor, ready.parts.train, ready.references, features))
    single, committee = made
    for name, value in single.state_dict().items():
        assert torch.equal(value, committee.state_dict()[name]), name
    count = len(single.elements)
    assert not torch.equal(committee.networks.linear(0)[0].weight, committee.networks.linear(count)[0].weight)


def test_stopped_and_resumed_bit_for_bit(tmp_path, monkeypatch):
    step, count = Trainer._step, [0]

    def stepped(self, structures, rate):
        terms = step(self, structures, rate)
        count[0] += 1
        if count[0] == 7:
            signal.raise_signal(signal.SIGTERM)
        return terms

    monkeypatch.setattr(Trainer, "_step", stepped)
    with pytest.raises(Stopped):
        train(config(tmp_path / "run"), quiet=True)
    resume(tmp_path / "run", quiet=True)
    monkeypatch.undo()
    resume(tmp_path / "run", quiet=True)
    one, other = load_content(tmp_path / "run"), load_content(run())
    assert one["calibration"] == other["calibration"]
    assert all(torch.equal(value, other["state"][name]) for name, value in one["state"].items())


def test_threads_give_the_same_committee(tmp_path):
    try:
        train(config(tmp_path / "run", threads=2), quiet=True)
    finally:
        from mlip.device import configure_cpu

        configure_cpu(1)
    one, other = load_content(tmp_path / "run"), load_content(run())
    assert all(torch.equal(value, other["state"][name]) for name, value in one["state"].items())


def test_evaluate_tells_and_writes_the_deviations(tmp_path):
    output = tmp_path / "predictions.xyz"
    outcome = mlip("evaluate", run(), ETHANOL, "data.index='60:72'", "--output", output, "--json")
    assert outcome.status == 0, outcome.err
    found = json.loads(outcome.out)["all"]
    frames = read(output, ":")
    energies = [frame.info["mlip_energy_std"] for frame in frames]
    forces = np.array([frame.arrays["mlip_forces_std"] for frame in frames])
    assert found["energy_std_mean"] == pytest.approx(np.mean(energies), rel=1e-6)
    assert found["forces_std_mean"] == pytest.approx(forces.mean(), rel=1e-5)
    errors = np.array([frame.arrays["mlip_forces"] - frame.get_forces() for frame in frames])
    assert found["forces_within_1_std"] == pytest.approx((np.abs(errors) <= forces).mean(), abs=2e-3)
    calculator = MLIPCalculator(run())
    for frame, energy in zip(frames[:3], energies, strict=False):
        atoms = frame.copy()
        assert calculator.get_property("energy_std", atoms) == pytest.approx(energy, rel=1e-5)
        found_here = calculator.get_property("energies_std", atoms)
        np.testing.assert_allclose(found_here, frame.arrays["mlip_energies_std"], rtol=1e-4, atol=1e-8)
    printed = mlip("evaluate", run(), ETHANOL, "data.index='60:72'", "--quiet").out.splitlines()
    assert "energy std (meV/atom), errors within 1 / 2" not in printed[0]
    assert "energy std (meV), errors within 1 / 2" in printed[0] and "forces std (meV/Å)" in printed[0]
    assert printed[2].count("%") == 4


def test_a_single_potential_is_evaluated_as_before(tmp_path):
    train(config(tmp_path / "run", 1, "all"), quiet=True)
    found = json.loads(mlip("evaluate", tmp_path / "run", ETHANOL, "data.index=:4", "--json").out)["all"]
    assert not any("std" in name for name in found)
    assert "calibration" not in json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert not (tmp_path / "run" / "calibration.svg").exists()


def test_dynamics_logs_the_deviations(tmp_path):
    start, output = tmp_path / "start.xyz", tmp_path / "md.xyz"
    molecule().write(start)
    outcome = mlip("md", run(), start, "--steps", 4, "--interval", 2, "--output", output, "--quiet")
    assert outcome.status == 0, outcome.err
    with (tmp_path / "md.xyz.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    calculator = MLIPCalculator(run())
    for row, frame in zip(rows, read(output, ":"), strict=True):
        atoms = frame.copy()
        assert float(row["energy_std"]) == pytest.approx(calculator.get_property("energy_std", atoms), rel=1e-4)
        forces = calculator.get_property("forces_std", atoms)
        assert float(row["largest_forces_std"]) == pytest.approx(np.linalg.norm(forces, axis=1).max(), rel=1e-4)
        assert frame.info["energy_std"] == pytest.approx(float(row["energy_std"]), rel=1e-6)
        np.testing.assert_allclose(frame.arrays["forces_std"], forces, rtol=1e-3, atol=1e-6)
    outcome = mlip("md", run(), start, "--steps", 8, "--interval", 2, "--output", output, "--restart", "--quiet")
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("subsets", ["bootstrap", "kfold"])
def test_subsets_need_a_committee(subsets, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"data: {{train: {DATA / 'ethanol_xtb.npz'}}}\n", encoding="utf-8")
    outcome = mlip("check", file, f"model.committee.subsets={subsets}")
    assert refused(outcome, "model.committee", subsets, "members to at least 2")
