"""Nested subsets, the same validation and test sets, and nothing done twice."""

import csv
import importlib.util
import signal
import statistics
from itertools import pairwise

import pytest
from interfaces.command import refused
from interfaces.trained import ethanol

from mlip import run
from mlip.training.loop import Trainer
from studies.small import results, saved, split, study

SIZES = ("--sizes", "20,10,40", "--repeats", "2", "training.epochs=2")


@pytest.fixture(scope="module")
def curve(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curve")
    return folder, study("learning-curve", folder, *SIZES, quiet=())


def test_subsets_are_nested_and_the_other_sets_the_same(curve):
    folder, outcome = curve
    assert outcome.status == 0, outcome.err
    for repeat in (1, 2):
        splits = [split(folder / "study" / f"size_{n}_repeat_{repeat}") for n in (10, 20, 40)]
        assert [len(s["train"]) for s in splits] == [10, 20, 40]
        for small, large in pairwise(splits):
            assert set(small["train"]) < set(large["train"])
        assert all(s["valid"] == split(ethanol())["valid"] and s["test"] == split(ethanol())["test"] for s in splits)
        assert set(splits[-1]["train"]) == set(split(ethanol())["train"])
    one, other = (split(folder / "study" / f"size_10_repeat_{repeat}")["train"] for repeat in (1, 2))
    assert set(one) != set(other)


def test_the_table_is_of_the_runs(curve):
    folder, outcome = curve
    found = saved(folder, "learning_curve")
    values = [results(folder / "study" / f"size_20_repeat_{repeat}")["test"]["forces_mae"] for repeat in (1, 2)]
    point = next(p for p in found["sizes"] if p["size"] == 20)["forces_mae"]
    assert point == {"mean": pytest.approx(statistics.mean(values)), "spread": pytest.approx(statistics.stdev(values))}
    text = f"{1e3 * point['mean']:.0f} ± {1e3 * point['spread']:.0f}"
    assert any(line.split()[:1] == ["20"] and text in line for line in outcome.out.splitlines()), outcome.out
    assert f"b = {found['power_law']['forces_mae']['b']:.2f}" in outcome.out
    with (folder / "study" / "learning_curve.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(row["size"], row["repeat"]) for row in table] == [(n, r) for n in ("10", "20", "40") for r in ("1", "2")]
    assert float(table[2]["test_forces_mae"]) == values[0]


def test_what_is_done_is_not_done_again(curve, monkeypatch):
    folder, _ = curve
    trained = []
    train = run.train
    monkeypatch.setattr(run, "train", lambda config, **more: trained.append(config.run.dir) or train(config, **more))
    assert study("learning-curve", folder, "--sizes", "10,30,40", *SIZES[2:]).status == 0
    assert [name.rpartition("/")[2] for name in trained] == ["size_30_repeat_1", "size_30_repeat_2"]


def test_the_picture(curve):
    pytest.importorskip("matplotlib")
    folder, _ = curve
    assert (folder / "study" / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (folder / "study" / "learning_curve.svg").read_text(encoding="utf-8")


def test_without_matplotlib_there_is_a_note_and_no_picture(curve, monkeypatch):
    folder, _ = curve
    for suffix in ("png", "svg"):
        (folder / "study" / f"learning_curve.{suffix}").unlink(missing_ok=True)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    outcome = study("learning-curve", folder, *SIZES, quiet=())
    assert outcome.status == 0 and "matplotlib is missing (pip install 'mlip[plot]')" in outcome.err
    assert not (folder / "study" / "learning_curve.png").exists()


def test_other_settings_are_not_mixed_in(curve):
    folder, _ = curve
    outcome = study("learning-curve", folder, *SIZES, "training.batch_size=4")
    assert refused(outcome, "size_10_repeat_1", "training.batch_size", "run.overwrite=true")
    outcome = study("learning-curve", folder, "--sizes", "10", *SIZES[2:], "data.split={valid: 9, test: 10}")
    assert refused(outcome, "earlier study with other settings (data, split)")


def test_a_stopped_one_goes_on(curve, tmp_path, monkeypatch):
    step, done = Trainer._step, []

    def interrupted(self, *arguments):
        done.append(1)
        if len(done) == 6:  # two steps in an epoch of 10 structures, three in one of 20
            signal.raise_signal(signal.SIGTERM)
        return step(self, *arguments)

    arguments = ("--sizes", "10,20", "training.epochs=2")
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", interrupted)
        outcome = study("learning-curve", tmp_path, *arguments)
        assert outcome.status == 128 + signal.SIGTERM and "go on with the same command" in outcome.err
        assert study("learning-curve", tmp_path, *arguments).status == 0
    assert len(done) == 2 * 2 + 2 * 3, "no step is lost or done twice"
    whole = curve[0] / "study" / "size_20_repeat_1"
    assert results(tmp_path / "study" / "size_20_repeat_1")["valid"] == results(whole)["valid"]


def test_equal_steps(tmp_path):
    assert study("learning-curve", tmp_path, "--sizes", "10,40", "--equal-steps", "training.epochs=2").status == 0
    rows = {n: (tmp_path / "study" / f"size_{n}_repeat_1" / "metrics.csv").read_text().splitlines() for n in (10, 40)}
    assert len(rows[40]) - 1 == 2 and (len(rows[10]) - 1) * 2 == 2 * 5


@pytest.mark.parametrize(
    ("arguments", "essentials"),
    [
        (("--sizes", "10,41"), ("10 to 41", "1 to 40")),
        (("--sizes", "0"), ("expected 1 to 40",)),
        (("--repeats", "0"), ("--repeats is 0",)),
        (("training.epoch=3",), ("unknown key 'training.epoch'",)),
    ],
)
def test_refusals(tmp_path, arguments, essentials):
    assert refused(study("learning-curve", tmp_path, *arguments), *essentials)


def test_sizes_that_are_no_numbers(tmp_path):
    outcome = study("learning-curve", tmp_path, "--sizes", "many")
    assert outcome.status == 2 and "expected whole numbers such as 50,100,200" in outcome.err


def test_the_folder_of_a_training_is_no_place_for_a_study(tmp_path):
    outcome = study("learning-curve", tmp_path, f"run.dir={ethanol()}")
    assert refused(outcome, "holds a training; a study needs a folder of its own")
