"""Mistakes with run folders and potential files."""

import shutil

import numpy as np
import pytest
import torch
from ase.io import write
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, ETHANOL, alcu, ethanol, molecule, train


@pytest.fixture
def run(tmp_path):
    """A copy of a finished run that a test may spoil."""
    return shutil.copytree(ethanol(), tmp_path / "run")


def test_a_folder_that_holds_a_run(tmp_path, run):
    outcome = train(tmp_path, ETHANOL)
    assert refused(outcome, f"run.dir is {run}", "earlier run", f"--resume {run}", "run.overwrite=true")
    assert (run / "results.json").read_bytes() == (ethanol() / "results.json").read_bytes()


def test_resume_without_the_checkpoint_touches_nothing(tmp_path):
    folder = shutil.copytree(ethanol(), tmp_path / "run")
    (folder / "training.pt").unlink()
    (folder / "training.previous.pt").unlink()
    before = (folder / "potential.pt").read_bytes()
    assert refused(mlip("train", "--resume", folder, "--quiet"), str(folder), "training.pt is missing")
    assert (folder / "potential.pt").read_bytes() == before


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "run").write_text("a file", encoding="utf-8")
    assert refused(train(tmp_path, ETHANOL), f"run.dir is {tmp_path / 'run'}", "which is a file", "expected a folder")


def test_a_folder_inside_of_a_file(tmp_path):
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    outcome = train(tmp_path, ETHANOL, f"run.dir={tmp_path / 'file' / 'run'}")
    assert refused(outcome, str(tmp_path / "file"), "run.dir")


@pytest.mark.parametrize(
    "mistake",
    ["data.train=nothing.npz", "data.index=nonsense", "data.split={valid: 200}", "model.networks.elements={Cu: {}}"],
)
def test_overwrite_deletes_nothing_before_the_new_run_can_begin(tmp_path, run, mistake):
    before = (run / "potential.pt").read_bytes()
    assert refused(train(tmp_path, ETHANOL, "run.overwrite=true", mistake))
    assert (run / "potential.pt").is_file(), "a mistake in the config cost the user an earlier potential"
    assert (run / "potential.pt").read_bytes() == before
    assert (run / "config.yaml").read_bytes() == (ethanol() / "config.yaml").read_bytes()


def test_resume_of_no_run(tmp_path):
    assert refused(mlip("train", "--resume", tmp_path), str(tmp_path), "no config.yaml", "run folder")
    assert refused(mlip("train", "--resume", tmp_path / "nothing"), "nothing", "no config.yaml")
    assert refused(mlip("train"), "config file", "--resume RUN")
    assert refused(mlip("train", "a.yaml", "--resume", tmp_path), "config file", "--resume RUN")


def test_resume_after_the_data_changed(tmp_path):
    with np.load(ETHANOL) as file:
        arrays = {key: file[key] for key in file.files}
    data = tmp_path / "ethanol.npz"
    np.savez(data, **arrays)
    assert train(tmp_path, data, "training.epochs=1").status == 0
    arrays["E"] = arrays["E"] + 1e-4
    np.savez(data, **arrays)
    outcome = mlip("train", "--resume", tmp_path / "run", "--quiet")
    assert refused(outcome, str(tmp_path / "run"), "the data changed", str(data), "Restore the files")


@pytest.mark.parametrize("name", ["potential.pt", "config.yaml"])
def test_resume_of_a_damaged_run(run, name):
    (run / name).write_bytes((run / name).read_bytes()[:100])
    assert refused(mlip("train", "--resume", run, "--quiet"), str(run / name))


@pytest.mark.parametrize(
    ("content", "essentials"),
    [
        (b"", ["damaged"]),
        (b"just text\n" * 50, ["not an mlip potential file"]),
        (b"\x80\x02}q\x00.", ["not an mlip potential file"]),
        (b"PK\x03\x04 torn", ["not an mlip potential file"]),
        (bytes(range(256)) * 10, ["not an mlip potential file"]),
    ],
)
def test_files_that_are_no_potential(tmp_path, content, essentials):
    (tmp_path / "p.pt").write_bytes(content)
    assert refused(mlip("evaluate", tmp_path / "p.pt", ETHANOL), str(tmp_path / "p.pt"), *essentials)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_a_potential_that_was_cut_short(tmp_path, share):
    whole = (ethanol() / "potential.pt").read_bytes()
    (tmp_path / "p.pt").write_bytes(whole[: int(share * len(whole))])
    assert refused(mlip("evaluate", tmp_path / "p.pt", ETHANOL), str(tmp_path / "p.pt"), "damaged", "Copy it again")


@pytest.mark.parametrize(
    ("content", "essentials"),
    [
        ({"weights": torch.zeros(3)}, ["expected an mlip potential file"]),
        ([1, 2], ["'list'", "expected an mlip potential file"]),
        ({"format": "mlip training", "version": 1}, ["'mlip training'", "expected an mlip potential file"]),
        ({"format": "mlip potential", "version": 99}, ["version 99", "Update mlip"]),
        ({"format": "mlip potential", "version": 1}, ["p.pt"]),
        (torch.nn.Linear(2, 2), ["not an mlip potential file"]),
    ],
)
def test_torch_files_that_are_no_potential(tmp_path, content, essentials):
    torch.save(content, tmp_path / "p.pt")
    assert refused(mlip("evaluate", tmp_path / "p.pt", ETHANOL), str(tmp_path / "p.pt"), *essentials)


def test_a_potential_that_is_not_there(tmp_path):
    assert refused(mlip("evaluate", tmp_path / "p.pt", ETHANOL), str(tmp_path / "p.pt"), "no such file")
    assert refused(mlip("evaluate", tmp_path, ETHANOL), str(tmp_path / "potential.pt"), "no such file", "run folder")


def test_evaluate_an_element_that_the_potential_does_not_know():
    assert refused(mlip("evaluate", ethanol(), ALCU, "--quiet"), "alcu_emt.xyz#0", "Al", "H, C, O")


def test_evaluate_by_an_entry_that_nobody_has():
    outcome = mlip("evaluate", alcu(), ALCU, "data.index=:4", "--by", "phase", "--quiet")
    assert refused(outcome, "--by phase", "no structure has that entry", "config_type", "temperature")


def test_evaluate_overrides():
    assert refused(mlip("evaluate", alcu(), ALCU, "training.epochs=3"), "'training.epochs=3'", "data.")
    assert refused(mlip("evaluate", alcu(), ALCU, "data.energy_kee=U"), "data.energy_kee", "energy_key")
    assert refused(mlip("evaluate", alcu(), ALCU, "data.energy_key=U"), "alcu_emt.xyz", "'U'", "'energy'")


@pytest.mark.parametrize("override", ["data.train=other.xyz", "data.test=other.xyz", "data.split.valid=3"])
def test_evaluate_takes_no_override_that_it_would_not_use(override):
    outcome = mlip("evaluate", alcu(), ALCU, "data.index=:2", override, "--quiet")
    assert refused(outcome, override.split("=")[0])
    assert "no such file" not in outcome.err


@pytest.mark.parametrize("name", ["nowhere/predictions.xyz", "folder"])
def test_evaluate_into_an_unfit_output(tmp_path, name):
    """Said before the structures are evaluated, which may take hours."""
    (tmp_path / "folder").mkdir()
    outcome = mlip("evaluate", alcu(), ALCU, "data.index=:2", "--output", tmp_path / name, "--quiet")
    assert refused(outcome, "--output", name.split("/")[0])


def test_evaluate_does_not_write_over_its_own_data(tmp_path):
    data = tmp_path / "data.xyz"
    write(data, [molecule()], format="extxyz")
    before = data.read_bytes()
    assert refused(mlip("evaluate", ethanol(), data, "--output", data, "--quiet"), "--output", "data.xyz")
    assert data.read_bytes() == before


def test_evaluate_on_a_device_that_is_not_there():
    outcome = mlip("evaluate", alcu(), ALCU, "--device", "cuda:97", "--quiet")
    assert refused(outcome, "cuda:97", "Use auto or cpu")
    assert refused(mlip("evaluate", alcu(), ALCU, "--device", "tpu", "--quiet"), "'tpu'", "auto, cpu, cuda")
    assert refused(mlip("evaluate", alcu(), ALCU, "--device", "cuda:x", "--quiet"), "cuda:x", "cuda:N")


@pytest.mark.parametrize(
    ("content", "essentials"),
    [
        ("{", ["not a JSON file"]),
        ("[1, 2]", ["train, valid and test", "list"]),
        ('{"train": [0], "valid": [1]}', ["train, valid and test"]),
        ('{"train": [0, 1], "valid": [1], "test": []}', ["1 is in train and again in valid"]),
        ('{"train": [0, 99], "valid": [1], "test": []}', ["train holds 99", "0 to 59"]),
        ('{"train": [0.5], "valid": [1], "test": []}', ["train holds 0.5", "whole numbers"]),
        ('{"train": [], "valid": [1], "test": []}', ["the training set is empty"]),
    ],
)
def test_split_files(tmp_path, content, essentials):
    (tmp_path / "split.json").write_text(content, encoding="utf-8")
    outcome = train(tmp_path, ETHANOL, f"data.split={{file: {tmp_path / 'split.json'}}}")
    assert refused(outcome, str(tmp_path / "split.json"), *essentials)


def test_a_training_that_diverges(tmp_path):
    outcome = train(tmp_path, ALCU, "training.optimizer={name: sgd, learning_rate: 1e6}")
    assert refused(outcome, "the loss is", "epoch", str(tmp_path / "run"), "training.optimizer.learning_rate")
