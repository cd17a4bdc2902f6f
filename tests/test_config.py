"""The schema and its messages; what the command line makes of them stands in test_cli_config.py."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from mlip.config import Config
from mlip.configfile import apply_override, as_yaml, load_config, parse_config
from mlip.configreference import reference_yaml

LEAST = {"data": {"train": "x.npz"}}


def changed(*overrides):
    values = json.loads(json.dumps(LEAST))
    for override in overrides:
        apply_override(values, override)
    return parse_config(values, "c.yaml")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "c.yaml: unknown key 'training.epoch'; did you mean 'epochs'?"),
        ("modle.scaling=half", "c.yaml: unknown key 'modle'; did you mean 'model'?"),
        ("data.units.enrgy=eV", "c.yaml: unknown key 'data.units.enrgy'; did you mean 'energy'?"),
        ("training.optimizer={name: sgd, momentun: 0.5}", "'training.optimizer.momentun'; did you mean 'momentum'?"),
        ("training.schedule={name: cosine, warm: 1}", "'training.schedule.warm'; did you mean 'warmup'?"),
        ("model.networks.elements={H: {hiden: [3]}}", "'model.networks.elements.H.hiden'; did you mean 'hidden'?"),
        ("zzz=1", "unknown key 'zzz'; known here: run, data, model, training"),
        ("model.descriptor=[{set: radial, cutoff: 5.0, cont: 3}]", "'model.descriptor.0.cont'; did you mean 'count'?"),
        (
            "model.descriptor=[{set: explicit, functions: [{kind: radial, neighbors: [H], cutoff: 3.0, centre: H}]}]",
            "'model.descriptor.0.functions.0.centre'; did you mean 'center'?",
        ),
        ("model.descriptor=[{set: radial}]", "model.descriptor.0.cutoff is missing; it has no default"),
        ("training.epochs='3'", "training.epochs is '3'"),
        ("training.epochs=3.0", "training.epochs is 3.0"),
        ("training.ema=1.0", "training.ema is 1.0"),
        ("training.cache_limit=.inf", "training.cache_limit is inf"),
        ("run.seed=true", "run.seed is True"),
        ("data.train=null", "data.train is None"),
        ("model.networks.hidden=[8, 0]", "model.networks.hidden.1 is 0"),
        ("model.networks.activation=null", "model.networks.activation is None; expected one of silu, tanh"),
        ("model.networks.activation=[tanh, swish, linear]", "and the output, not 'swish'"),
        ("model.networks.activation=[tanh, linear]", "has 2 names for 2 hidden layers and the output; expected 3"),
        ("model.networks.elements={O: {hidden: [4], activation: [tanh]}}", "elements.O: activation ['tanh'] has 1"),
        (
            "model.networks={activation: [silu, tanh, linear], elements: {O: {hidden: []}}}",
            "elements.O: activation ['silu', 'tanh', 'linear'] has 3 names for 0 hidden layers",
        ),
    ],
)
def test_messages(override, message):
    with pytest.raises(ValueError) as caught:
        changed(override)
    assert not isinstance(caught.value, ValidationError)
    assert message in str(caught.value) and str(caught.value).startswith("c.yaml: ")
    assert len(str(caught.value).splitlines()) == 1


def test_every_mistake_has_its_line():
    with pytest.raises(ValueError) as caught:
        changed("training.epochs=0", "run.sed=1", "data.format=csv")
    assert len(str(caught.value).splitlines()) == 3


def test_data_must_be_given():
    with pytest.raises(ValueError, match=r"c\.yaml: data is missing"):
        parse_config({}, "c.yaml")


@pytest.mark.parametrize("kind", ["radial", "narrow", "wide", "shifted"])
def test_numbers_must_fit_the_kind_of_a_function(kind):
    function = {"kind": kind, "neighbors": ["H"], "cutoff": 3.0, "eta": 1.0}
    values = {**LEAST, "model": {"descriptor": [{"set": "explicit", "functions": [function]}]}}
    with pytest.raises(ValueError, match=rf"model\.descriptor\.0\.functions\.0.*a {kind} function takes"):
        parse_config(values, "c.yaml")


@pytest.mark.parametrize(
    "override", ["model.reference_energies.method=given", "model.reference_energies.values={H: 1.0}"]
)
def test_given_energies_and_their_method_belong_together(override):
    with pytest.raises(ValueError, match=r"model\.reference_energies: values and method 'given' belong together"):
        changed(override)
    both = changed("model.reference_energies.method=given", "model.reference_energies.values={H: 1.0}")
    assert both.model.reference_energies.values == {"H": 1.0}


def test_overrides_reach_every_place():
    config = changed(
        "training.epochs=7",
        "model.descriptor=[{set: radial, cutoff: 5.0}, {set: ani1x}]",
        "model.descriptor.0.count=16",
        "model.descriptor.1={set: angular, cutoff: 3.5}",
        "model.networks.elements.Cu.hidden=[3]",
        "training.optimizer.name=sgd",
        "training.optimizer.learning_rate=1e-3",
        "data.index=::10",
    )
    assert config.training.epochs == 7 and config.data.index == "::10"
    radial, angular = config.model.descriptor
    assert (radial.set, radial.count, angular.set, angular.cutoff) == ("radial", 16, "angular", 3.5)
    assert config.model.networks.elements["Cu"].hidden == (3,)
    assert (config.training.optimizer.name, config.training.optimizer.learning_rate) == ("sgd", 1e-3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.descriptor.2.count=3", "'2' is no position of that list; expected 0 to 0"),
        ("model.descriptor.-1.count=3", "'-1' is no position"),
        ("model.descriptor.first.count=3", "'first' is no position"),
        ("model.descriptor.1=3", "'1' is no position"),
        ("data.train.name=3", "data.train is 'x.npz', which has no keys"),
        ("training.epochs", "is no override; expected key.path=value"),
        ("=1", "is no override"),
        ("training.epochs={", "not valid YAML"),
    ],
)
def test_overrides_that_lead_nowhere(override, message):
    with pytest.raises(ValueError) as caught:
        changed("model.descriptor=[{set: radial, cutoff: 5.0}]", override)
    assert message in str(caught.value) and override in str(caught.value)


def test_layers_of_an_element():
    given = (
        "{hidden: [4], activation: [tanh, sigmoid], elements: {O: {hidden: [], activation: silu}, H: {hidden: [3]}}}"
    )
    networks = changed(f"model.networks={given}").model.networks
    assert networks.of("O") == ((), "silu")
    assert networks.of("H") == ((3,), ("tanh", "sigmoid"))
    assert networks.of("Cu") == ((4,), ("tanh", "sigmoid"))


@pytest.mark.parametrize(
    "word", ["model=gpr", "model.kind=gpr model.gpr.kernel=polynomial", "model.baseline=morse model.pair=spline"]
)
def test_overrides_add_to_sections_that_a_word_stands_for(word):
    values = {"data": {"train": "x"}}
    more = "model.gpr.inducing=7 model.gpr.kernel.zeta=3 model.baseline.cutoff=4 model.pair.knots=9"
    for override in [*word.split(), *more.split()]:
        apply_override(values, override)
    model = parse_config(values, "test").model
    assert (model.gpr.inducing, model.gpr.kernel.zeta, model.baseline.cutoff, model.pair.knots) == (7, 3, 4, 9)
    assert model.kind == ("gpr" if "gpr" in word else "network")
    assert model.gpr.kernel.name == ("polynomial" if "polynomial" in word else "squared_exponential")
    assert model.pair.form == ("spline" if "spline" in word else "morse")


def test_later_overrides_win():
    assert changed("run.seed=3", "run.seed=4").run.seed == 4


def test_config_is_frozen():
    with pytest.raises(ValidationError):
        changed().run.seed = 3


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("training.optimizer.learning_rate=0.5", lambda c: c.training.optimizer.learning_rate == 0.5),
        ("training.optimizer.name=sgd", lambda c: c.training.optimizer.momentum == 0.9),
        ("training.schedule.final=0.1", lambda c: c.training.schedule.final == 0.1),
        ("model.descriptor.0.budget=90", lambda c: c.model.descriptor[0].budget == 90 and len(c.model.descriptor) == 1),
        ("training.loss.energy.weight=7", lambda c: c.training.loss.energy.weight == 7),
    ],
)
def test_overrides_change_defaults_that_the_file_does_not_name(tmp_path, override, read):
    path = tmp_path / "c.yaml"
    path.write_text("data: {train: x.npz}", encoding="utf-8")
    assert read(load_config(path, [override]))


def test_a_data_file_is_no_config(tmp_path):
    (tmp_path / "mine.xyz").write_text("1\n\nH 0 0 0\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine.xyz: is no config but a data file; write a config with data.train"):
        load_config(tmp_path / "mine.xyz")


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["training.schedule={name: plateau}", "training.optimizer={name: adamw, weight_decay: 0.1}"],
        ["model.descriptor=[{set: ani1x}, {set: wide, cutoff: 4.0, zetas: [1, 2]}]", "data.split.valid=0.25"],
        ["model.reference_energies={method: given, values: {H: -1.0, Cu: 2e3}}", "data.split.test=10"],
        [
            "model.descriptor=[{set: explicit, functions: []}]",
            "model.descriptor.0.functions=[{kind: radial, neighbors: ['No'], cutoff: 3, eta: 1, r_s: 0}]",
        ],
        ["model.networks={activation: [tanh, linear, sigmoid], elements: {O: {hidden: [], activation: harmonic}}}"],
        ["data.train=Größe.xyz", "data.energy_key='yes'", "data.forces_key='1e5'", "run.dir='null'"],
    ],
)
def test_yaml_reads_back_to_the_same_config(overrides, tmp_path):
    config = changed(*overrides)
    (tmp_path / "c.yaml").write_text(as_yaml(config), encoding="utf-8")
    assert load_config(tmp_path / "c.yaml") == config


def test_resolved_config_is_complete():
    def keys(model):
        values = {name: getattr(model, name) for name in type(model).model_fields}
        return {name: keys(value) if isinstance(value, BaseModel) else None for name, value in values.items()}

    def shape(values, like):
        return {name: shape(values[name], inner) if inner else None for name, inner in like.items()}

    resolved = yaml.safe_load(as_yaml(changed()))
    expected = keys(changed())
    assert shape(resolved, expected) == expected


def test_file_with_overrides(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("data: {train: a.npz}\ntraining: {epochs: 3}\n", encoding="utf-8")
    assert load_config(path, ["training.epochs=4", "run.seed=9"]).training.epochs == 4
    with pytest.raises(ValueError, match=r"c\.yaml: unknown key 'training\.epoc'"):
        load_config(path, ["training.epoc=4"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- 1\n", "holds list; expected the sections run, data, model, training"),
        (b"data: [", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"data: {train: a}\ndata: {train: b}\n", "key 'data' stands twice"),
        (b"data: {train: a, train: b}\n", "key 'train' stands twice"),
        (b"data: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        (b"? [a, b]\n: 1\n", ""),
        (b"~: 1\ndata: {train: a}\n", "None is None; keys should be strings"),
        (b"data: {train: a, 3: b}\n", "data.3 is 3; keys should be strings"),
    ],
)
def test_files_that_are_no_config(tmp_path, content, message):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_config(path)
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.yaml: no such config file"):
        load_config(tmp_path / "nothing.yaml")


def test_reference_is_a_config_with_every_default():
    text = reference_yaml()
    values = yaml.safe_load(text)
    assert values["data"]["train"] == "REQUIRED"
    values["data"]["train"] = "x.npz"
    assert parse_config(values, "reference") == parse_config(LEAST, "least")


def test_every_line_of_the_reference_parses_and_has_a_meaning():
    for line in reference_yaml().splitlines():
        if line and not line.lstrip().startswith("#"):
            assert isinstance(yaml.safe_load(line.strip()), dict), line
            assert len(line.partition("  # ")[2]) > 3, f"no meaning: {line}"


def test_the_choices_in_the_reference_are_keys_too():
    """The commented alternatives: each line is `key: value  # meaning`."""
    lines = [line.strip().removeprefix("#   ") for line in reference_yaml().splitlines() if "#   " in line]
    assert len(lines) > 40
    for line in lines:
        assert isinstance(yaml.safe_load(line), dict), line


def test_the_reference_in_the_repository_is_fresh():
    file = Path(__file__).parents[1] / "configs" / "reference.yaml"
    assert file.read_text(encoding="utf-8") == reference_yaml()


def test_every_key_has_a_description():
    def described(model):
        for name, field in model.model_fields.items():
            annotation = field.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                assert annotation.__doc__
                described(annotation)
            else:
                assert field.description or name in ("optimizer", "schedule"), f"{model.__name__}.{name}"

    described(Config)
