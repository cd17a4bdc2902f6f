"""Every training structure is held out once; the validation and test sets of the config are never held out."""

import json
import statistics

import pytest
from ase import Atoms
from ase.io import write
from interfaces.command import refused
from interfaces.trained import ethanol

from studies.small import results, saved, split, study


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    return folder, study("cross-validate", folder, "--folds", "3", "training.epochs=1")


def test_folds_divide_the_training_structures(folds):
    folder, outcome = folds
    assert outcome.status == 0, outcome.err
    splits = [split(folder / "study" / f"fold_{n}_of_3") for n in (1, 2, 3)]
    everything = sorted(split(ethanol())["train"])
    assert sorted(place for s in splits for place in s["test"]) == everything
    for s in splits:
        assert sorted(s["train"] + s["test"]) == everything and 13 <= len(s["test"]) <= 14
        assert s["valid"] == split(ethanol())["valid"]


def test_the_table_is_of_the_folds(folds):
    folder, outcome = folds
    found = saved(folder, "cross_validation")
    values = [results(folder / "study" / f"fold_{n}_of_3")["test"]["forces_mae"] for n in (1, 2, 3)]
    assert found["errors"]["forces_mae"]["mean"] == pytest.approx(statistics.mean(values))
    assert found["errors"]["forces_mae"]["spread"] == pytest.approx(statistics.stdev(values))
    last = outcome.out.splitlines()[-2]
    assert last.split()[:3] == ["mean", "±", "spread"]
    assert f"{1e3 * statistics.mean(values):.0f} ± {1e3 * statistics.stdev(values):.0f}" in last


def test_the_test_file_is_not_read(tmp_path):
    arguments = ("--folds", "2", "training.epochs=1", "data.split={valid: 10}", "data.test=nowhere.xyz")
    assert study("cross-validate", tmp_path, *arguments).status == 0


@pytest.mark.parametrize("count", [1, 41])
def test_number_of_folds(tmp_path, count):
    assert refused(study("cross-validate", tmp_path, "--folds", count), f"--folds is {count}; expected 2 to 40")


def test_an_element_that_only_one_fold_has_is_refused_before_the_first_training(tmp_path):
    frames = [Atoms("OH", [[0, 0, 0], [0, 0, 0.9 + 0.01 * n]], info={"energy": float(n)}) for n in range(12)]
    frames[3].symbols[0] = "N"
    write(tmp_path / "data.xyz", frames, format="extxyz")
    places = {"train": list(range(11)), "valid": [11], "test": []}
    (tmp_path / "split.json").write_text(json.dumps(places), encoding="utf-8")
    given = (f"data.train={tmp_path / 'data.xyz'}", "data.index=':'", f"data.split={{file: {tmp_path / 'split.json'}}}")
    outcome = study("cross-validate", tmp_path, *given)
    assert refused(outcome, "data.xyz#3", "holds N", "structure of the training set of fold")
    assert not list((tmp_path / "study").glob("fold*"))
