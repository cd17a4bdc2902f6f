"""mlip prepare, and trainings from what it wrote."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from interfaces.command import mlip
from interfaces.trained import ETHANOL

from mlip.configfile import parse_config
from mlip.data.store_file import StoreFile
from mlip.model.checkpoint import load_content
from mlip.preparation import prepare as prepare_in_memory
from mlip.run import resume, train
from mlip.streaming import StreamedPreparation, prepare
from mlip.training.loop import Stopped, Trainer
from mlip.training.streamed import StreamedExamples

DESCRIPTOR = [
    {"set": "radial", "cutoff": 4.0, "count": 3},
    {"set": "angular", "cutoff": 3.0, "shells": 1, "angles": 3},
]
LIMITS = {"plain": 1e-4, "features": 7e-4}  # GB; the structures of each store take more


def values(folder, data, **training):
    return {
        "run": {"dir": str(folder), "device": "cpu", "dtype": "float64"},
        "data": {"train": str(data), "split": {"valid": 6, "test": 6}},
        "model": {"descriptor": DESCRIPTOR, "networks": {"hidden": [6]}},
        "training": {"epochs": 3, "batch_size": 8, **training},
    }


def config(folder, data, **training):
    return parse_config(values(folder, data, **training), "test")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Stores of 48 structures, with features and without, and the config they were made with."""
    folder = tmp_path_factory.mktemp("stores")
    given = values("never", ETHANOL)
    given["data"]["index"] = ":48"
    (folder / "config.yaml").write_text(json.dumps(given), encoding="utf-8")
    for name, options in {"plain": (), "features": ("--features",)}.items():
        done = mlip(
            "prepare", folder / "config.yaml", "--output", folder / f"{name}.h5", "--chunk", "4", "--json", *options
        )
        assert done.status == 0, done.err
        assert json.loads(done.out)["chunks_made"] == 12
    return folder


def results(folder):
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {name: found[name] for name in ("train", "valid", "test")}


def state(folder):
    return load_content(folder)["state"]


def test_what_fits_into_memory_gives_the_results_of_the_file(tmp_path, made):
    given = values(tmp_path / "file", ETHANOL)
    given["data"]["index"] = ":48"
    train(parse_config(given, "test"), quiet=True)
    train(config(tmp_path / "store", made / "features.h5"), quiet=True)
    assert results(tmp_path / "file") == results(tmp_path / "store")
    assert all(
        torch.equal(a, b)
        for a, b in zip(state(tmp_path / "file").values(), state(tmp_path / "store").values(), strict=True)
    )


@pytest.mark.parametrize("name", ["plain", "features"])
def test_a_streamed_run_begins_as_one_in_memory_and_learns_as_much(tmp_path, made, name):
    small = config(tmp_path / "streamed", made / f"{name}.h5", memory_limit=LIMITS[name])
    ready, memory = prepare(small), prepare_in_memory(small)
    assert isinstance(ready, StreamedPreparation) and isinstance(ready.examples["train"], StreamedExamples)
    assert ready.examples["train"].pools > 2
    assert ready.references == pytest.approx(memory.references, rel=1e-9)
    assert ready.parts.split == memory.parts.split
    assert "streamed from" in ready.summary()
    train(small, quiet=True)
    train(config(tmp_path / "memory", made / f"{name}.h5"), quiet=True)
    ours, theirs = state(tmp_path / "streamed"), state(tmp_path / "memory")
    for key in ("scaling.shift", "scaling.scale"):
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-10, atol=1e-12)
    ranges = [load_content(tmp_path / kind)["ranges"] for kind in ("streamed", "memory")]
    for one, other in zip(ranges[0].values(), ranges[1].values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)
    one, other = results(tmp_path / "streamed"), results(tmp_path / "memory")
    for part in one:
        assert one[part]["structures"] == other[part]["structures"]
        assert one[part]["forces_rmse"] == pytest.approx(other[part]["forces_rmse"], rel=0.3)


@pytest.mark.parametrize("name", ["plain", "features"])
def test_a_streamed_run_goes_on_bit_for_bit(tmp_path, made, monkeypatch, name):
    whole = config(tmp_path / "whole", made / f"{name}.h5", memory_limit=LIMITS[name])
    stopped = config(tmp_path / "stopped", made / f"{name}.h5", memory_limit=LIMITS[name])
    train(whole, quiet=True)
    step, done = Trainer._step, []

    def interrupted(self, *arguments):
        done.append(1)
        if len(done) == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    with pytest.raises(Stopped):
        train(stopped, quiet=True)
    monkeypatch.undo()
    resume(tmp_path / "stopped", quiet=True)
    ours, theirs = state(tmp_path / "stopped"), state(tmp_path / "whole")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert results(tmp_path / "stopped") == results(tmp_path / "whole")


def test_a_store_for_another_descriptor_is_refused(tmp_path, made):
    other = values(tmp_path, made / "features.h5", memory_limit=LIMITS["features"])
    other["model"]["descriptor"] = [{**DESCRIPTOR[0], "count": 4}, DESCRIPTOR[1]]
    with pytest.raises(
        ValueError, match=r"another descriptor\. The config now has \d+ functions instead of \d+.*cache=off"
    ):
        prepare(parse_config(other, "test"))
    other["training"]["cache"] = "off"
    assert prepare(parse_config(other, "test")).examples["train"].window.source.descriptor is None
    other["model"]["descriptor"] = [{**DESCRIPTOR[0], "cutoff": 4.5}, DESCRIPTOR[1]]
    with pytest.raises(ValueError, match=r"has cutoff 4\.5 instead of 4\.0\. Make the store again: mlip prepare"):
        prepare(parse_config(other, "test"))


def test_functions_chosen_when_it_was_made_are_taken(tmp_path, made):
    auto = values(tmp_path, made / "plain.h5", memory_limit=LIMITS["plain"])
    auto["model"]["descriptor"] = [{"set": "auto", "budget": 10}]
    with StoreFile(made / "plain.h5") as store:
        stored = store.plan["functions"]
    ready = prepare(parse_config(auto, "test"))
    assert json.loads(json.dumps([f.as_dict() for f in ready.descriptor.functions])) == stored


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"batch_size": "all"}, "batch_size is all, which needs all structures at once"),
        ({"memory_limit": 1e-6}, "Raise the limit, or prepare the store with fewer than 4 structures"),
    ],
)
def test_what_cannot_be_streamed_is_said(tmp_path, made, training, message):
    with pytest.raises(ValueError, match=message):
        prepare(config(tmp_path, made / "plain.h5", **{"memory_limit": LIMITS["plain"], **training}))


def test_features_of_another_precision_are_computed(tmp_path, made, caplog):
    single = values(tmp_path, made / "features.h5", memory_limit=LIMITS["features"])
    single["run"]["dtype"] = "float32"
    caplog.set_level("INFO")
    assert prepare(parse_config(single, "test")).examples["train"].window.source.descriptor is None
    assert "the store's features are float64 and run.dtype is float32" in caplog.text


def test_mistakes_of_the_command_are_named(tmp_path, made):
    again = mlip("prepare", made / "config.yaml", "--output", made / "plain.h5", "--chunk", "5")
    assert again.status == 2 and "now it would be chunk 5 instead of 4" in again.err
    assert mlip("prepare", made / "config.yaml", "--workers", "0").status == 2
    itself = mlip("prepare", made / "config.yaml", "--output", ETHANOL)
    assert itself.status == 2 and "the data itself" in itself.err


def test_a_killed_preparation_goes_on_and_leaves_no_processes(tmp_path, made):
    """SIGKILL while two workers write; the same command then makes what is missing, and the file is the same."""
    path = tmp_path / "s.h5"
    arguments = ["prepare", made / "config.yaml", "data.index=:300", "--chunk", "2", "--features", "--quiet"]
    command = [sys.executable, "-m", "mlip", *arguments, "--output", path, "--workers", "2"]
    with subprocess.Popen(command) as process:
        limit = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < limit:
            if path.exists() and 0 < len(StoreFile(path).unwritten()) < 148:
                break
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    time.sleep(1.0)
    missing = len(StoreFile(path).unwritten())
    assert 0 < missing < 150
    time.sleep(0.5)
    assert len(StoreFile(path).unwritten()) == missing, "workers end with the process that started them"
    for target in (path, tmp_path / "alone.h5"):
        assert mlip(*arguments, "--output", target).status == 0
    assert StoreFile(path).fingerprint() == StoreFile(tmp_path / "alone.h5").fingerprint()
    assert not StoreFile(path).unwritten()


def test_a_signal_to_all_processes_of_a_preparation(tmp_path, made):
    """SLURM warns each process of a step: the first one says that the same command goes on, and how to requeue."""
    path = tmp_path / "s.h5"
    arguments = ["prepare", made / "config.yaml", "data.index=:300", "--chunk", "2", "--features", "--quiet"]
    command = [sys.executable, "-m", "mlip", *arguments, "--output", path, "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        limit = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < limit:
            if path.exists() and 0 < len(StoreFile(path).unwritten()) < 148:
                break
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGUSR1)
        _, message = process.communicate(timeout=60)
    assert process.returncode == 75 and "stopped by SIGUSR1" in message, message
    assert "Traceback" not in message
    assert 0 < len(StoreFile(path).unwritten()) < 150
    assert mlip(*arguments, "--output", path).status == 0
    assert not StoreFile(path).unwritten()


def test_metrics_of_a_streamed_run_fall(tmp_path, made):
    train(config(tmp_path, made / "features.h5", memory_limit=LIMITS["features"], epochs=12), quiet=True)
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
