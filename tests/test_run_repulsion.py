"""A training with a repulsion that reaches into the data: errors are those of the whole potential."""

import csv
import json
import shutil

import pytest
import yaml
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, ETHANOL, train

from mlip.model.checkpoint import load_potential

WIDE = "model.repulsion={name: zbl, inner: 0.5, outer: 1.1}"  # copper and aluminum come as near as 0.8


def test_what_a_run_reports_is_what_the_potential_makes(tmp_path):
    outcome = train(tmp_path, ALCU, WIDE, "data.split={valid: 10, test: 10}", options=())
    assert outcome.status == 0, outcome.err
    assert "model.repulsion reaches into" in outcome.err and "of 40 training structures" in outcome.err
    folder = tmp_path / "run"
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        best = min(csv.DictReader(file), key=lambda row: float(row["valid_loss"]))
    assert float(best["valid_forces_mae"]) == pytest.approx(found["valid"]["forces_mae"], rel=1e-5)
    assert load_potential(folder).repulsion.as_dict() == {"name": "zbl", "inner": 0.5, "outer": 1.1}
    evaluated = json.loads(mlip("evaluate", folder, ALCU, "data.index=:60", "--json").out)["all"]
    for name in ("energy_mae", "forces_mae", "stress_mae"):
        parts = [found[part] for part in ("train", "valid", "test")]
        if name != "forces_mae":  # which counts atoms, and the structures differ in size
            mean = sum(part[name] * part["structures"] for part in parts) / 60
            assert evaluated[name] == pytest.approx(mean, rel=1e-4)
        assert min(p[name] for p in parts) * 0.999 < evaluated[name] < max(p[name] for p in parts) * 1.001


def test_data_of_normal_chemistry_are_not_touched(tmp_path):
    for name, options in {"with": ("model.repulsion={name: zbl}",), "without": ()}.items():
        (tmp_path / name).mkdir()
        outcome = train(tmp_path / name, ETHANOL, *options, "training.epochs=1", options=())
        assert outcome.status == 0 and "reaches into" not in outcome.err
    one, other = (json.loads((tmp_path / name / "run" / "results.json").read_text()) for name in ("with", "without"))
    assert {part: one[part] for part in ("train", "test")} == {part: other[part] for part in ("train", "test")}


def test_a_run_goes_on_with_its_own_repulsion(tmp_path):
    assert train(tmp_path, ALCU, WIDE, "training.epochs=2").status == 0
    path = tmp_path / "run" / "config.yaml"
    kept = shutil.copy(path, tmp_path / "kept.yaml")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["model"]["repulsion"] = None
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    outcome = mlip("train", "--resume", tmp_path / "run", "--quiet")
    assert refused(outcome, "began with model.repulsion {'name': 'zbl'", "now says None")
    shutil.copy(kept, path)
    assert mlip("train", "--resume", tmp_path / "run", "--quiet").status == 0


def test_what_is_refused(tmp_path):
    assert refused(train(tmp_path, ALCU, "model.repulsion={name: zbl, inner: 0.9}"), "model.repulsion", "inner < outer")
    assert refused(train(tmp_path, ALCU, "model.repulsion={name: zbl, outer: 1.9}"), "beyond the descriptor's cutoff")
    assert refused(train(tmp_path, ALCU, "model.repulsion={outer: 0.6}", "model.repulsion.name=zlb"), "zbl")
