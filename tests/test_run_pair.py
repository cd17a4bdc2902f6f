"""Pair potentials through the command line: alone, and under networks."""

import json

import numpy as np
import pytest
import torch
from ase.io import read
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, ETHANOL, train

from mlip.batch import collate, to_batch
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.atomic import NoModel
from mlip.model.checkpoint import load_potential
from mlip.model.evaluate import evaluate
from mlip.structure import Structure

SMALL = ("data.index=:40", "data.split={valid: 8, test: 8}")


def pairs(folder, data, *overrides):
    config = folder / "pair.yaml"
    config.write_text(f"run: {{dir: {folder / 'run'}}}\ndata: {{train: {data}}}\nmodel: pair\n", encoding="utf-8")
    return mlip("train", config, *SMALL, *overrides)


@pytest.mark.parametrize("form", ["morse", "spline"])
def test_a_pair_potential_goes_the_whole_way(form, tmp_path):
    outcome = pairs(tmp_path, ALCU, f"model.pair.form={form}", "model.pair.cutoff=5.0")
    assert outcome.status == 0, outcome.err
    assert f"fitted {form}" in outcome.err and "leaves" in outcome.err and "best epoch" not in outcome.out
    folder = tmp_path / "run"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["test"]["forces_mae"] < 0.1 and {"train", "valid", "test"} < set(results)
    potential = load_potential(folder)
    assert isinstance(potential.atomic, NoModel) and potential.cutoff == 5.0 and potential.dtype == torch.float64
    again = json.loads(mlip("evaluate", folder, ALCU, "data.index=:40", "--json").out)["all"]
    mean = sum(results[part]["energy_mae"] * results[part]["structures"] for part in ("train", "valid", "test")) / 40
    assert again["energy_mae"] == pytest.approx(mean, rel=1e-6)
    assert mlip("train", "--resume", folder).status == 0
    ran = mlip("md", folder, ALCU, "--steps", 5, "--output", tmp_path / "md.xyz", "--json")
    assert ran.status == 0, ran.err
    atoms = read(ALCU, 0)
    atoms.calc = MLIPCalculator(potential)
    batch, _ = to_batch(Structure(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc), 5.0)
    np.testing.assert_allclose(atoms.get_forces(), evaluate(potential, batch).forces, atol=1e-11)


def test_check_and_report_know_it(tmp_path):
    assert pairs(tmp_path, ALCU, "--quiet").status == 0
    checked = mlip("check", tmp_path / "pair.yaml", *SMALL, "run.dir=other", "--json")
    assert checked.status == 0, checked.err
    assert "depth" in json.loads(checked.out)["curves"]["Al-Cu"]
    reported = mlip("report", tmp_path / "run")
    assert reported.status == 0, reported.err


def test_a_network_learns_the_rest(tmp_path):
    outcome = train(tmp_path, ALCU, "model.baseline=morse", options=())
    assert outcome.status == 0, outcome.err
    folder = tmp_path / "run"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    baseline = load_potential(folder).baseline
    assert baseline.form.name == "morse" and baseline.cutoff == 4.0 and baseline.inner == 3.0
    evaluated = json.loads(mlip("evaluate", folder, ALCU, "data.index=:60", "--json").out)["all"]
    parts = [results[part] for part in ("train", "valid", "test")]
    mean = sum(part["stress_mae"] * part["structures"] for part in parts) / 60
    assert evaluated["stress_mae"] == pytest.approx(mean, rel=1e-4), "errors are those of the whole potential"
    for pair in ([13, 13], [13, 29], [29, 29]):
        r = np.arange(0.3, 2.2, 0.1)
        dimers = [Structure(np.array(pair), np.array([[0.0, 0, 0], [x, 0, 0]])) for x in r]
        batch = collate([to_batch(dimer, 4.0)[0] for dimer in dimers])
        assert (evaluate(load_potential(folder), batch).forces[1::2, 0] > 0).all(), "repelled to 0.3 Å"
    tuned = tmp_path / "tuned"
    tuned.mkdir()
    start = f"training.start_from={folder}"
    assert train(tuned, ALCU, start, "training.epochs=1").status == 0
    assert load_potential(tuned / "run").baseline.as_dict() == baseline.as_dict(), "it is kept, not fitted again"
    (tmp_path / "other").mkdir()
    outcome = train(tmp_path / "other", ALCU, start, "model.baseline=spline", "training.epochs=1")
    assert refused(outcome, "model.baseline is spline, and the potential that this goes on from has morse")


def test_what_is_refused(tmp_path):
    outcome = pairs(tmp_path, ETHANOL, "model.baseline=morse")
    assert refused(outcome, "baseline is for the other kinds")
    assert refused(pairs(tmp_path, ETHANOL, "model.committee.members=2"), "no committee of it")
    assert refused(pairs(tmp_path, ETHANOL, "model.pair={cutoff: 4, inner: 5}"), "expected inner < cutoff")
    assert refused(train(tmp_path, ETHANOL, "model.baseline={form: morse, cutoff: 9}"), "beyond the descriptor's")
    assert refused(train(tmp_path, ETHANOL, "model.baseline={form: zbl, parameters: {C-C: {q: 1}}}"), "strength")
