"""Functions chosen from the data, from the command line to a list that makes the same run again."""

import json

import pytest
import torch
import yaml
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, ETHANOL, TINY, train

from mlip.config import Config
from mlip.configfile import load_config
from mlip.model.checkpoint import load_content
from mlip.training.loop import Trainer

AUTO = "model.descriptor={set: auto, budget: 20}"


def weights(folder):
    return load_content(folder)["state"]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"run: {{dir: {tmp_path / 'run'}}}\ndata: {{train: {ETHANOL}}}\n", encoding="utf-8")
    return path


def test_the_saved_and_the_printed_list_make_the_same_run(tmp_path, config):
    outcome = train(tmp_path, ETHANOL, AUTO)
    assert outcome.status == 0, outcome.err
    run = tmp_path / "run"
    saved = load_config(run / "config.yaml")
    assert [chosen.set for chosen in saved.model.descriptor] == ["explicit"]
    assert len(saved.model.descriptor[0].functions) == len(load_content(run)["functions"]) == 20
    printed = mlip("descriptor", config, *TINY, AUTO)
    assert printed.out == (run / "descriptor.yaml").read_text(encoding="utf-8")
    assert len(printed.out.splitlines()) == 4 + 20, "a line for each function"
    config.write_text(config.read_text(encoding="utf-8") + printed.out, encoding="utf-8")
    others = [text for text in TINY if not text.startswith("model.descriptor")]
    assert mlip("train", config, *others, f"run.dir={tmp_path / 'pasted'}", "--quiet").status == 0
    assert mlip("train", run / "config.yaml", f"run.dir={tmp_path / 'saved'}", "--quiet").status == 0
    for name in ("pasted", "saved"):
        assert same(weights(run), weights(tmp_path / name))
        assert not (tmp_path / name / "descriptor.yaml").exists(), "nothing was chosen"


def test_a_resumed_run_keeps_its_functions(tmp_path, monkeypatch):
    for name in ("stopped", "whole"):
        (tmp_path / name).mkdir()
    assert train(tmp_path / "whole", ALCU, AUTO).status == 0
    epoch = Trainer._epoch

    def stop(self, on_save):
        row = epoch(self, on_save)
        self.signals.number = 15
        return row

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", stop)
        assert train(tmp_path / "stopped", ALCU, AUTO).status == 128 + 15
    resumed = mlip("train", "--resume", tmp_path / "stopped" / "run", "--quiet")
    assert resumed.status == 0, resumed.err
    assert same(weights(tmp_path / "stopped" / "run"), weights(tmp_path / "whole" / "run"))


def test_overwriting_leaves_no_old_list(tmp_path):
    assert train(tmp_path, ETHANOL, AUTO, "training.epochs=1").status == 0
    assert (tmp_path / "run" / "descriptor.yaml").exists()
    assert train(tmp_path, ETHANOL, "run.overwrite=true", "training.epochs=1").status == 0
    assert not (tmp_path / "run" / "descriptor.yaml").exists()


def test_json_and_sets_that_are_not_chosen(config):
    printed = mlip("descriptor", config, *TINY, "--json")
    (chosen,) = json.loads(printed.out)["model"]["descriptor"]
    assert chosen["set"] == "explicit" and len(chosen["functions"]) == 3 * 4 + 6 * 2
    assert set(chosen["functions"][0]) == {"kind", "neighbors", "cutoff", "cutoff_function", "eta", "r_s"}
    assert yaml.safe_load(mlip("descriptor", config, *TINY).out)["model"]["descriptor"] == [chosen]


def test_check_tells_what_was_chosen(config):
    summary = json.loads(mlip("check", config, *TINY, AUTO, "--json").out)
    assert summary["symmetry functions"] == 20
    assert "radial to 6 Å" in summary["of these"] and "shifted to 5 Å" in summary["of these"]


@pytest.mark.parametrize("value", ["auto", "[auto]", "{set: auto}", "[{set: auto}]"])
def test_a_word_and_a_set_stand_for_a_list(config, value):
    (chosen,) = load_config(config, [f"model.descriptor={value}"]).model.descriptor
    assert (chosen.set, chosen.budget, chosen.cutoff) == ("auto", 250, None)
    allowed = Config.model_json_schema()["$defs"]["Model"]["anyOf"][0]["properties"]["descriptor"]["anyOf"]
    assert {"enum": ["auto", "ani1x", "ani2x"]} in allowed and allowed[0]["type"] == "array"


@pytest.mark.parametrize(
    ("value", "essentials"),
    [
        ("automatic", ["model.descriptor.0", "automatic", "radial", "auto"]),
        ("radial", ["model.descriptor.0.cutoff is missing"]),
        ("{set: auto, bugdet: 3}", ["model.descriptor.0.bugdet", "did you mean 'budget'"]),
        ("{set: auto, budget: 0}", ["model.descriptor.0.budget is 0"]),
        ("7", ["model.descriptor is 7"]),
    ],
)
def test_mistakes(config, value, essentials):
    assert refused(mlip("check", config, f"model.descriptor={value}"), *essentials)
