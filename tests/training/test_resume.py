"""An interrupted run that is resumed ends exactly as one that was not interrupted, bit for bit."""

from __future__ import annotations

import csv
import json
import signal
import zipfile

import pytest
import torch

from mlip.configfile import parse_config
from mlip.model.checkpoint import TRAINING, load, load_content
from mlip.run import resume, train
from mlip.stopping import Stopped
from mlip.training.loop import Trainer
from mlip.training.saving import CHECKPOINT_FILE, METRICS_FILE, PREVIOUS_FILE

STEPS = 5  # of 8 structures, in an epoch over 36 (and 4 to validate on)
DESCRIPTOR = [
    {"set": "radial", "cutoff": 4.0, "count": 3},
    {"set": "angular", "cutoff": 3.0, "shells": 1, "angles": 3},
]
TRAININGS = {
    "adam, averaged weights": {"ema": 0.9, "gradient_clip": 5.0},
    "sgd, nesterov": {"optimizer": {"name": "sgd", "learning_rate": 1e-3}, "schedule": {"name": "exponential"}},
    "soap": {"optimizer": {"name": "soap", "basis_every": 3}},
    "muon": {"optimizer": {"name": "muon"}},
    "lbfgs": {
        "optimizer": {"name": "lbfgs", "max_iter": 3, "history_size": 4},
        "schedule": {"name": "constant"},
        "batch_size": "all",
        "epochs": 12,
    },
    "averaged at the end, solved last layer": {"average_last": 0.6, "solve_last_layer": True},
    "plateau, second stage": {
        "schedule": {"name": "plateau", "patience": 0, "factor": 0.3},
        "optimizer": {"name": "adamw", "learning_rate": 0.05, "weight_decay": 0.01},
        "second_stage": {"start": 3, "energy_weight": 30.0, "learning_rate": 0.01},
    },
    "warmup, early stopping": {
        "schedule": {"name": "cosine", "warmup": 1.5},
        "early_stopping": {"patience": 2, "min_delta": 0.5},
    },
}


def config(folder, bundled, training, **loss):
    values = {
        "run": {"dir": str(folder), "device": "cpu"},
        "data": {"train": str(bundled / "ethanol_xtb.npz"), "index": ":40"},
        "model": {"descriptor": DESCRIPTOR, "networks": {"hidden": [6]}},
        "training": {"epochs": 4, "batch_size": 8, **training, **loss},
    }
    return parse_config(values, "test")


def interrupt_at(monkeypatch, chosen, action):
    """Do something after the chosen steps of this process, counted from 1."""
    step, count = Trainer._step, [0]

    def stepped(self, structures, rate):
        terms = step(self, structures, rate)
        count[0] += 1
        if count[0] in chosen:
            action()
        return terms

    monkeypatch.setattr(Trainer, "_step", stepped)


def outcome(folder):
    with (folder / METRICS_FILE).open(encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    del results["seconds"]
    return load_content(folder), rows, results


def assert_same(folder, other):
    (a, rows, results), (b, other_rows, other_results) = outcome(folder), outcome(other)
    assert set(a["state"]) == set(b["state"])
    for name, tensor in a["state"].items():
        assert torch.equal(tensor, b["state"][name]), name
    assert rows == other_rows
    assert results == other_results


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """One whole run of each training, made when it is first asked for."""
    made = {}

    def run(name, bundled):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("whole") / "run"
            train(config(made[name], bundled, TRAININGS[name]), quiet=True)
        return made[name]

    return run


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal_in_an_epoch(training, number, uninterrupted, bundled, tmp_path, monkeypatch):
    """Stopped twice: in the second epoch, and again two steps after it went on; epochs may be of one step each."""
    steps = 1 if TRAININGS[training].get("batch_size") == "all" else STEPS
    epoch, further = (1 + (STEPS + n - 1) // steps for n in (2, 4))
    interrupt_at(monkeypatch, [STEPS + 2, STEPS + 4], lambda: signal.raise_signal(number))
    with pytest.raises(Stopped, match=f"{number.name} in epoch {epoch}"):
        train(config(tmp_path / "run", bundled, TRAININGS[training]), quiet=True)
    with pytest.raises(Stopped, match=f"in epoch {further}"):
        resume(tmp_path / "run", quiet=True)
    resume(tmp_path / "run", quiet=True)
    assert_same(tmp_path / "run", uninterrupted(training, bundled))


@pytest.mark.parametrize("step", [1, STEPS, 2 * STEPS, 2 * STEPS + 1])
def test_stopped_at_the_ends_of_epochs(step, uninterrupted, bundled, tmp_path, monkeypatch):
    training = "plateau, second stage"
    interrupt_at(monkeypatch, [step], lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        train(config(tmp_path / "run", bundled, TRAININGS[training]), quiet=True)
    resume(tmp_path / "run", quiet=True)
    assert_same(tmp_path / "run", uninterrupted(training, bundled))


class CrashError(Exception):
    """Nothing that the trainer expects."""


def crash():
    raise CrashError


def test_crash_goes_on_from_the_last_checkpoint(uninterrupted, bundled, tmp_path, monkeypatch):
    """Without a signal there is only the checkpoint of the start; rows written after it are written again."""
    interrupt_at(monkeypatch, [2 * STEPS + 3], crash)
    training = "adam, averaged weights"
    with pytest.raises(CrashError):
        train(config(tmp_path / "run", bundled, TRAININGS[training]), quiet=True)
    assert len((tmp_path / "run" / METRICS_FILE).read_text(encoding="utf-8").splitlines()) == 3
    resume(tmp_path / "run", quiet=True)
    assert_same(tmp_path / "run", uninterrupted(training, bundled))


def test_same_seed_same_run_and_another_seed_another(uninterrupted, bundled, tmp_path):
    training = "sgd, nesterov"
    train(config(tmp_path / "again", bundled, TRAININGS[training]), quiet=True)
    assert_same(tmp_path / "again", uninterrupted(training, bundled))
    other = config(tmp_path / "other", bundled, TRAININGS[training])
    train(other.model_copy(update={"run": other.run.model_copy(update={"seed": 2})}), quiet=True)
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "other", tmp_path / "again")


def test_finished_run_stays_as_it_is(uninterrupted, bundled):
    folder = uninterrupted("sgd, nesterov", bundled)
    before = outcome(folder)
    resume(folder, quiet=True)
    after = outcome(folder)
    assert all(torch.equal(tensor, after[0]["state"][name]) for name, tensor in before[0]["state"].items())
    assert before[1:] == after[1:]


def test_handlers_of_signals_are_given_back(bundled, tmp_path, monkeypatch):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    interrupt_at(monkeypatch, [1], lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        train(config(tmp_path / "run", bundled, {}), quiet=True)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def flip(path):
    """Change one bit of the largest tensor in a file, which torch alone does not notice."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
        values = archive.read(largest)
    content = path.read_bytes()
    assert content.count(values) >= 1
    path.write_bytes(content.replace(values, bytes([values[0] ^ 1]) + values[1:]))


def shorten(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, shorten, lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_damaged_checkpoint_falls_back_to_the_one_before(damage, uninterrupted, bundled, tmp_path, monkeypatch, caplog):
    """Stopped and gone on and stopped: two checkpoints of different steps."""
    training = "plateau, second stage"
    folder = tmp_path / "run"
    interrupt_at(monkeypatch, [STEPS + 1, 2 * STEPS + 2], lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        train(config(folder, bundled, TRAININGS[training]), quiet=True)
    with pytest.raises(Stopped):
        resume(folder, quiet=True)
    assert load(folder / CHECKPOINT_FILE, TRAINING)["progress"]["epoch"] == 3
    before = load(folder / PREVIOUS_FILE, TRAINING)
    assert (before["progress"]["epoch"], before["progress"]["step"]) == (2, 1)
    damage(folder / CHECKPOINT_FILE)
    warned = (folder / CHECKPOINT_FILE).exists()  # a missing one is what a kill between two renames leaves
    interrupt_at(monkeypatch, [1], lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        resume(folder, quiet=True)
    assert ("Going on from the checkpoint before it" in caplog.text) == warned
    assert load(folder / PREVIOUS_FILE, TRAINING)["progress"] == before["progress"], "the whole one is not given away"
    assert load(folder / CHECKPOINT_FILE, TRAINING)["progress"]["step"] == 2
    resume(folder, quiet=True)
    assert_same(folder, uninterrupted(training, bundled))


def test_no_whole_checkpoint_is_an_error(bundled, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, [1], lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        train(config(tmp_path / "run", bundled, {}), quiet=True)
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        flip(tmp_path / "run" / name)
    with pytest.raises(ValueError, match="not an mlip training file, or damaged"):
        resume(tmp_path / "run", quiet=True)
