"""A training that was stopped goes on as if it had not been: the same weights, bit for bit, and the same table."""

import csv
import signal
import subprocess
import sys
import time

import pytest
import torch
from interfaces.command import mlip
from interfaces.trained import ETHANOL, TINY, train

from mlip.model.checkpoint import load_content
from mlip.training.loop import Trainer

LENGTH = ("training.epochs=40", "data.index=:24", "data.split={valid: 4, test: 4}", "training.batch_size=4")


def state(folder):
    return load_content(folder)["state"]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def metrics(folder):
    """All but the time."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_sigterm_to_the_process(tmp_path):
    for name in ("stopped", "whole"):
        (tmp_path / name).mkdir()
    assert train(tmp_path / "whole", ETHANOL, *LENGTH).status == 0
    folder = tmp_path / "stopped" / "run"
    config = tmp_path / "stopped" / "tiny.yaml"
    config.write_text(f"run: {{dir: {folder}}}\ndata: {{train: {ETHANOL}}}\n", encoding="utf-8")
    command = [sys.executable, "-m", "mlip", "train", config, *TINY, *LENGTH, "--quiet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 60
        while not (folder / "metrics.csv").exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        message = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM == 143, message
    rows = len(metrics(folder))  # the signal may come just when one is written
    assert f"stopped by SIGTERM in epoch {rows + 1}" in message or f"stopped by SIGTERM after epoch {rows}" in message
    assert f"mlip train --resume {folder}" in message and "Traceback" not in message
    assert 0 < len(metrics(folder)) < 40 and not (folder / "results.json").exists()
    assert not same(state(folder), state(tmp_path / "whole" / "run"))
    outcome = mlip("train", "--resume", folder, "--quiet")
    assert outcome.status == 0, outcome.err
    assert same(state(folder), state(tmp_path / "whole" / "run"))
    assert metrics(folder) == metrics(tmp_path / "whole" / "run")


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("training.ema=0.9", "training.schedule={name: plateau, patience: 1}"),
        (
            "training.optimizer={name: sgd, learning_rate: 1e-6}",
            "training.second_stage.start=3",
            "training.cache='off'",
        ),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_in_the_middle_of_an_epoch(tmp_path, monkeypatch, overrides, number):
    short = ("training.epochs=4", "data.index=:24", "data.split={valid: 4}", "training.batch_size=4", *overrides)
    for name in ("stopped", "whole"):
        (tmp_path / name).mkdir()
    assert train(tmp_path / "whole", ETHANOL, *short).status == 0
    step, done = Trainer._step, []

    def interrupted(self, *arguments):
        terms = step(self, *arguments)
        done.append(1)
        if len(done) in (7, 13):  # of five steps in an epoch
            signal.raise_signal(number)
        return terms

    monkeypatch.setattr(Trainer, "_step", interrupted)
    folder = tmp_path / "stopped" / "run"
    before = signal.getsignal(number)
    outcome = train(tmp_path / "stopped", ETHANOL, *short)
    assert outcome.status == 128 + number and "in epoch 2" in outcome.err, outcome
    assert signal.getsignal(number) == before
    assert mlip("train", "--resume", folder, "--quiet").status == 128 + number, "stopped once more"
    assert mlip("train", "--resume", folder, "--quiet").status == 0
    assert len(done) == 20, "no step is lost or done twice"
    assert same(state(folder), state(tmp_path / "whole" / "run"))
    assert metrics(folder) == metrics(tmp_path / "whole" / "run")


def test_resume_of_a_finished_run_changes_nothing(tmp_path):
    short = ("training.epochs=2", "data.index=:24", "data.split={valid: 4}")
    assert train(tmp_path, ETHANOL, *short).status == 0
    before, table = state(tmp_path / "run"), metrics(tmp_path / "run")
    assert mlip("train", "--resume", tmp_path / "run", "--quiet").status == 0
    assert same(state(tmp_path / "run"), before) and metrics(tmp_path / "run") == table
