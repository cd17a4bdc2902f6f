"""A search goes on where it stopped, its best settings can be pasted, and it reads no test data."""

import csv
import shlex
import signal
import sys

import pytest
import yaml
from interfaces.command import mlip, refused

from mlip.training.loop import Trainer
from studies.small import saved, split, study

pytest.importorskip("optuna")

SPACE = {
    "training.optimizer": [{"name": "adam"}, {"name": "sgd"}],
    "training.optimizer.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "training.batch_size": {"low": 4, "high": 16},
    "model.networks.hidden": [[8], [4, 4]],
}


def tune(folder, *arguments, space=SPACE, quiet=("--quiet",)):
    folder.mkdir(exist_ok=True)
    (folder / "space.yaml").write_text(yaml.safe_dump(space), encoding="utf-8")
    return study("tune", folder, "--space", folder / "space.yaml", *arguments, quiet=quiet)


def metrics(folder):
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    return folder, tune(folder, "--trials", "8", "--objective", "forces", "training.epochs=5", "data.test=nowhere.xyz")


def test_the_best_is_the_smallest_validation_error(searched):
    folder, outcome = searched
    assert outcome.status == 0, outcome.err
    found = saved(folder, "tuning")
    assert len(found["trials"]) == 8 and {t["state"] for t in found["trials"]} == {"COMPLETE", "PRUNED"}
    values = {}
    for n in range(8):
        rows = metrics(folder / "study" / f"trial_{n}")
        if len(rows) == 5:
            best = min(rows, key=lambda row: float(row["valid_loss"]))
            values[n] = float(best["valid_forces_mae"])
    assert {t["number"]: t["value"] for t in found["trials"] if t["state"] == "COMPLETE"} == values
    assert found["best"]["value"] == min(values.values()) and len(values) < 8, "some are pruned"


def test_its_settings_can_be_pasted(searched):
    folder, outcome = searched
    program, *words = shlex.split(outcome.out.splitlines()[-1])
    assert program == "mlip" and words[-1] == f"run.dir={folder / 'study' / 'best'}"
    words[words.index("data.test=nowhere.xyz")] = "data.test=null"
    again = mlip(*words, "--quiet")
    assert again.status == 0, again.err
    found = saved(folder, "tuning")["best"]
    best = min(metrics(folder / "study" / "best"), key=lambda row: float(row["valid_loss"]))
    assert float(best["valid_forces_mae"]) == found["value"]


def test_nothing_is_tested_and_the_validation_set_is_the_same(searched):
    splits = [split(path.parent) for path in (searched[0] / "study").glob("trial_*/split.json")]
    assert len(splits) == 8 and all(s["test"] == [] and s == splits[0] for s in splits)


def test_more_trials_go_on(searched):
    folder, _ = searched
    before = saved(folder, "tuning")["trials"]
    arguments = ("--objective", "forces", "training.epochs=5", "data.test=nowhere.xyz")
    assert tune(folder, "--trials", "9", *arguments).status == 0
    after = saved(folder, "tuning")["trials"]
    assert len(after) == 9 and after[:8] == before
    assert after[8]["overrides"] not in [t["overrides"] for t in before], "another seed"
    assert refused(tune(folder, "--trials", "10", "--objective", "energy", *arguments[2:]), "objective", "run.dir")
    small = {"training.batch_size": [4, 8]}
    assert refused(tune(folder, *arguments, space=small), "other settings (space)", "run.overwrite=true")


def test_a_stopped_trial_goes_on(tmp_path, monkeypatch):
    step, done = Trainer._step, []

    def interrupted(self, *arguments):
        done.append(1)
        if len(done) == 13:  # five steps in an epoch, four epochs in a trial
            signal.raise_signal(signal.SIGINT)
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    space = {"training.optimizer.learning_rate": {"low": 1e-4, "high": 1e-3}}
    outcome = tune(tmp_path, "--trials", "2", space=space)
    assert outcome.status == 128 + signal.SIGINT and "go on with the same command" in outcome.err
    outcome = tune(tmp_path, "--trials", "2", space=space)
    assert outcome.status == 0, outcome.err
    assert len(done) == 2 * 4 * 5, "no step is lost or done twice"
    found = saved(tmp_path, "tuning")["trials"]
    assert len(found) == 2 and found[0]["folder"].endswith("trial_0")


def test_a_trial_that_diverges_is_no_reason_to_stop(tmp_path):
    space = {"training.optimizer": [{"name": "sgd", "learning_rate": 1e30}, {"name": "adam"}]}
    outcome = tune(tmp_path, "--trials", "6", "training.epochs=2", space=space)
    assert outcome.status == 0 and "failed" in outcome.err and "the loss is" in outcome.err
    found = saved(tmp_path, "tuning")
    assert {t["state"] for t in found["trials"]} >= {"FAIL", "COMPLETE"} and "adam" in found["best"]["overrides"][0]


@pytest.mark.parametrize(
    ("space", "essentials"),
    [
        ({"training.optimiser.learning_rate": {"low": 1e-4, "high": 1e-2}}, ("unknown key 'training.optimiser'",)),
        ({"training.batch_size": {"low": 0, "high": 8}}, ("training.batch_size is 0",)),
        ({"training.batch_size": {"low": 8, "high": 8}}, ("training.batch_size", "low < high")),
        ({"training.batch_size": {"low": 0, "high": 8, "log": True}}, ("logarithmic", "low > 0")),
        ({"training.batch_size": {"lo": 1, "high": 8}}, ("training.batch_size", "{low, high, log, step}")),
        ({"training.batch_size": {"low": "few", "high": 8}}, ("must be numbers",)),
        ({"training.batch_size": {"low": 1, "high": None}}, ("expected numbers low and high",)),
        ({"training.batch_size": {"low": 1, "high": 8, "log": "yes"}}, ("log true or false",)),
        ({"training.batch_size": {"low": 1, "high": 8, "step": 0}}, ("step > 0",)),
        ({"training.batch_size": {"low": 1, "high": 8, "step": 0.5}}, ("needs a whole step",)),
        ({"model.scaling": ["half"]}, ("at least two different choices",)),
        ({"data.split.seed": {"low": 1, "high": 8}}, ("data.split.seed", "only keys of model and training")),
        ({"run.seed": [1, 2]}, ("run.seed", "only keys of model and training")),
        ({"training.loss.forces.weight": [1.0, 2.0]}, ("what the loss is", "--objective forces or energy")),
        ([], ("expected key.path",)),
    ],
)
def test_spaces_that_are_refused(tmp_path, space, essentials):
    assert refused(tune(tmp_path, space=space), *essentials)
    assert not (tmp_path / "study").exists()


def test_other_refusals(tmp_path, monkeypatch):
    assert refused(study("tune", tmp_path, "--space", "nowhere.yaml"), "nowhere.yaml: no such file with a space")
    assert refused(tune(tmp_path, "--trials", "0"), "--trials is 0")
    assert refused(tune(tmp_path, "data.split={valid: 0}"), "needs validation structures")
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert refused(tune(tmp_path), "Optuna", "pip install 'mlip[tune]'")


def test_the_default_space_is_allowed(tmp_path):
    outcome = study("tune", tmp_path, "--trials", "1", "training.epochs=1", "data.index=:20", "data.split={valid: 4}")
    assert outcome.status == 0, outcome.err
