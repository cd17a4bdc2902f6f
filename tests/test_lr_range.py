"""`mlip lr-range`: what it prints, what it leaves alone."""

from __future__ import annotations

import json

import pytest

from tests.interfaces.command import mlip, refused


@pytest.fixture
def config(tmp_path, bundled):
    path = tmp_path / "config.yaml"
    path.write_text(
        f"""
run: {{dir: {tmp_path / "run"}, device: cpu}}
data: {{train: {bundled / "ethanol_xtb.npz"}, index: ":24", split: {{valid: 4}}}}
model:
  descriptor: [{{set: radial, cutoff: 4.0, count: 3}}]
  networks: {{hidden: [6]}}
training: {{batch_size: 4}}
""",
        encoding="utf-8",
    )
    return path


def test_prints_a_table_and_a_rate(config, tmp_path):
    outcome = mlip("lr-range", config, "--steps", "60", "--quiet")
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["rate", "mean", "loss"] and len(lines) <= 32
    assert "falls fastest at" in lines[-1] and lines[-1].endswith("training.optimizer.learning_rate is 0.003")
    assert not (tmp_path / "run").exists()


def test_json_is_repeatable(config):
    first, second = (
        json.loads(mlip("lr-range", config, "--steps", "40", "--highest", "0.1", "--json").out) for _ in range(2)
    )
    assert first == second
    assert 1e-5 < first["suggestion"] < 0.1 and first["configured"] == 0.003
    assert len(first["points"]) == 40, "several epochs of five steps"
    assert first["points"][-1]["mean"] < first["points"][0]["mean"]


def test_refuses_what_has_no_rate(config):
    settings = ("training.optimizer.name=lbfgs", "training.schedule.name=constant", "training.batch_size=all")
    assert refused(mlip("lr-range", config, *settings), "lbfgs", "line search")
    assert refused(mlip("lr-range", config, "--lowest", "1", "--highest", "0.1", "--quiet"), "range test from 1 to 0.1")
