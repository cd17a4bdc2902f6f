"""Mistakes in config files and overrides: what the user reads."""

import pytest
from interfaces.command import mlip, refused
from interfaces.trained import ETHANOL, TINY


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"run: {{dir: {tmp_path / 'run'}}}\ndata: {{train: {ETHANOL}}}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("override", "essentials"),
    [
        ("training.epoch=3", ["unknown key 'training.epoch'", "did you mean 'epochs'"]),
        ("trainings.epochs=3", ["unknown key 'trainings'", "did you mean 'training'"]),
        ("data.split.vaild=3", ["unknown key 'data.split.vaild'", "did you mean 'valid'"]),
        ("model.descriptor=[{set: radial, cutof: 4}]", ["model.descriptor.0.cutof", "did you mean 'cutoff'"]),
        ("model.descriptor=[{set: radail, cutoff: 4}]", ["model.descriptor.0", "radail", "radial", "angular"]),
        ("model.descriptor=[{cutoff: 4}]", ["model.descriptor.0", "set", "radial", "angular"]),
        ("model.descriptor=[]", ["model.descriptor", "at least 1"]),
        ("training.loss.forces.wieght=3", ["unknown key 'training.loss.forces.wieght'", "did you mean 'weight'"]),
        ("training.optimizer={name: adam, momentum: 0.9}", ["training.optimizer.momentum", "learning_rate"]),
        ("training.optimizer.name=rprop", ["training.optimizer", "rprop", "adam", "sgd"]),
        ("qqq.zzz=1", ["unknown key 'qqq'", "known here: run, data, model, training"]),
        ("training.epochs=many", ["training.epochs is 'many'", "integer"]),
        ("training.epochs=2.5", ["training.epochs is 2.5", "integer"]),
        ("training.epochs=0", ["training.epochs is 0", "greater than or equal to 1"]),
        ("training.epochs=", ["training.epochs is None", "integer"]),
        ("training.epochs=true", ["training.epochs is True", "integer"]),
        ("training.optimizer.name=lbfgs", ["lbfgs", "line search", "training.schedule.name=constant"]),
        (
            "training={optimizer: {name: lbfgs}, schedule: {name: constant}}",
            ["training.batch_size is 8, set it to all"],
        ),
        ("training.batch_size=-4", ["training.batch_size is -4"]),
        ("training.optimizer={name: adam, learning_rate: .nan}", ["training.optimizer.learning_rate", "finite"]),
        ("model.networks.hidden=8", ["model.networks.hidden is 8"]),
        ("model.networks.activation=swish", ["model.networks.activation is 'swish'", "silu"]),
        ("data.units.energy=kcal", ["data.units.energy is 'kcal'", "kcal/mol", "Hartree"]),
        ("data.split.valid=2.5", ["data.split.valid is 2.5"]),
        ("data.split.valid=-1", ["data.split.valid is -1"]),
        ("run.dtype=float16", ["run.dtype is 'float16'", "float32", "float64"]),
        ("run.device=gpu", ["run.device is 'gpu'", "cpu"]),
        ("run.seed=-1", ["run.seed is -1"]),
        ("data=5", ["data is 5"]),
        ("training.epochs", ["'training.epochs' is no override", "key.path=value"]),
        ("=3", ["'=3' is no override"]),
        ("training.epochs.more=3", ["training.epochs", "more"]),
        ("training.loss=[1", ["training.loss=[1", "not valid YAML"]),
        ("data.format=csv", ["data.format is 'csv'", "md17_npz", "ase"]),
        ("model.reference_energies.method=given", ["model.reference_energies", "values"]),
        ("data.split.valid=[1, 2]", ["data.split.valid is [1, 2]"]),
    ],
)
def test_overrides(config, override, essentials):
    """One line for each wrong key, that gives the path as the user writes it."""
    outcome = mlip("train", config, override, "--quiet")
    assert refused(outcome, *essentials)
    assert "constrained" not in outcome.err and "tagged-union" not in outcome.err, "pydantic's own words"


@pytest.mark.parametrize(
    ("content", "essentials"),
    [
        (b"- run\n- data\n", ["holds list", "expected the sections run, data"]),
        (b"just words", ["holds str", "expected the sections run, data"]),
        (b"run: [1, 2\ndata: {", ["not valid YAML", "line "]),
        (b"run:\n\tdir: x\n", ["not valid YAML", "line 2"]),
        (b"data: {train: a}\nrun: {seed: 1}\ndata: {train: b}\n", ["'data' stands twice", "line "]),
        (b"data:\n  train: a\n  train: b\n", ["'train' stands twice", "line 3"]),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", ["not valid YAML"]),
        (b"\xff\xfe\x00binary", ["not valid YAML"]),
        (b"run: {seed: 3}\n", ["data is missing"]),
        (b"data: {}\n", ["data.train is missing"]),
        (b"data: {train: a}\n1: 2\n", ["keys should be strings"]),
        (b"data: {train: a}\n? [x, y]\n: 2\n", ["config.yaml"]),
        (b"data: {train: !!python/object/apply:os.system [ls]}\n", ["not valid YAML"]),
    ],
)
def test_config_files(tmp_path, content, essentials):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    assert refused(mlip("train", path, "--quiet"), str(path), *essentials)


def test_several_wrong_keys_are_all_named(config):
    outcome = mlip("train", config, "training.epoch=3", "run.sed=1", "model.networks.hidden=x", "--quiet")
    assert refused(outcome, "'training.epoch'", "'run.sed'", "model.networks.hidden is 'x'")
    assert len(outcome.err.splitlines()) == 3


def test_a_value_that_fits_neither_of_two_kinds_is_named_once(config):
    """A count or a fraction: two lines about one value contradict each other."""
    outcome = mlip("train", config, "data.split.valid=2.5", "--quiet")
    assert refused(outcome, "data.split.valid is 2.5")
    assert outcome.err.count("data.split.valid") == 1, outcome.err


def test_an_empty_config_is_called_empty(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"# nothing yet\n")
    assert refused(mlip("train", tmp_path / "config.yaml"), "config.yaml", "is empty", "run, data, model, training")


def test_a_config_that_is_not_there(tmp_path):
    assert refused(mlip("train", tmp_path / "nothing.yaml"), "nothing.yaml", "no such config file", "mlip schema")


def test_a_config_that_is_a_folder(tmp_path):
    assert refused(mlip("train", tmp_path), f"{tmp_path}: this is a folder")


def test_a_device_that_is_not_there(config):
    assert refused(mlip("train", config, *TINY, "run.device=cuda:97", "--quiet"), "cuda:97", "Use auto or cpu")


def test_exponents_without_a_point_are_numbers(config):
    outcome = mlip("check", config, *TINY, "training.optimizer={name: adam, learning_rate: 1e-3}", "--quiet")
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("override", ["data.index=20:30", "data.index=5:59", "training.cache=off"])
def test_words_that_yaml_would_read_as_something_else(config, override):
    """YAML 1.1 takes 20:30 for a time of 1230 seconds, and off for false; both are values that the schema names."""
    outcome = mlip("check", config, *TINY, "data.split={valid: 2}", override, "--quiet")
    assert outcome.status == 0, outcome.err
