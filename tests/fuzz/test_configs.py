"""Mutated YAML: a config, or a message that names the file; and what a check of it with data says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.guard import calm
from fuzz.mutations import TEXT, VALUES, WORDS, cases, mutated
from fuzz.samples import sample
from mlip.configfile import as_yaml, load_config
from mlip.configreference import reference_yaml
from mlip.preparation import prepare

SMALL = """\
run: {dir: runs/small}
data:
  train: molecules.npz
  split: {valid: 1}
model:
  descriptor:
    - {set: radial, cutoff: 4.0, count: 4}
    - {set: angular, cutoff: 3.5, shells: 1, angles: 2, eta: 0.41, zeta: 2}
    - {set: explicit, functions: [{kind: radial, neighbors: [H], cutoff: 4.0, eta: 1.0, r_s: 0.5}]}
  networks: {hidden: [8, 8], activation: tanh, elements: {C: {hidden: [4]}}}
  reference_energies: {method: given, values: {H: -10.0, C: -50.0, O: -100.0}}
training:
  epochs: 2
  batch_size: 2
  optimizer: {name: adam, learning_rate: 1.e-3}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs")
    (path / "molecules.npz").write_bytes(sample("molecules.npz"))
    return path


@cases(80, 2600)
@given(content=st.sampled_from([SMALL, SMALL, reference_yaml()]), changes=TEXT)
def test_yaml(folder, content, changes):
    path = folder / "config.yaml"
    path.write_bytes(mutated(content.encode(), changes))
    config = calm(lambda: load_config(path), path.name)
    if config is not None:
        assert load_text(folder, as_yaml(config)) == config


def load_text(folder, text):
    (folder / "again.yaml").write_text(text, encoding="utf-8")
    return load_config(folder / "again.yaml")


@cases(60, 1000)
@given(changes=TEXT)
def test_checks(folder, changes):
    """All that `mlip check` does."""
    path = folder / "config.yaml"
    path.write_bytes(mutated(SMALL.replace("molecules.npz", str(folder / "molecules.npz")).encode(), changes))
    calm(lambda: prepare(load_config(path)).summary(), "")


keys = st.sampled_from([
    "run.dir", "data", "data.train", "model.descriptor.0.count", "model.descriptor.0.cutoff", "training.epochs",
    "model.networks.hidden",
    "a.b.c", "", ".", "model.descriptor.9.count", "model..x", "training.optimizer.name", "training.batch_size",
    "data.index",
])  # fmt: skip
values = st.one_of(
    st.sampled_from([value.decode("latin-1") for value in VALUES + WORDS]), st.text(max_size=20), st.integers().map(str)
)


@cases(40, 700)
@given(overrides=st.lists(st.tuples(keys, values).map("=".join), min_size=1, max_size=3))
def test_overrides(folder, overrides):
    path = folder / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    calm(lambda: load_config(path, overrides), path.name, *[repr(text)[1:20] for text in overrides], "'")


def nested(depth, width, leaf):
    return leaf if depth == 0 else [nested(depth - 1, width, leaf)] * width
