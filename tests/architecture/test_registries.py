"""What the config offers is what the code can do, no more and no less."""

from typing import get_args

import pytest

from mlip import units
from mlip.assembly import functions_of
from mlip.config import data, model, training
from mlip.configfile import parse_config
from mlip.data.read import READERS
from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS
from mlip.descriptors.functions import KINDS
from mlip.model.networks import ACTIVATIONS
from mlip.model.repulsion import REPULSIONS
from mlip.model.scaling import SCALINGS
from mlip.training.loss import FORMS
from mlip.training.optimizers import OPTIMIZERS


def choices(section, field):
    return get_args(section.model_fields[field].annotation)


@pytest.mark.parametrize(
    ("offered", "known"),
    [
        (get_args(model.Activation), ACTIVATIONS),
        (get_args(model.CutoffName), CUTOFF_FUNCTIONS),
        (get_args(data.EnergyUnit), units.ENERGY),
        (get_args(data.LengthUnit), units.LENGTH),
        (get_args(data.PressureUnit), units.PRESSURE),
        (get_args(data.Format), ["auto", *READERS]),
        (choices(model.Model, "scaling"), SCALINGS),
        (choices(training.LossTerm, "form"), FORMS),
        (choices(model.Function, "kind"), KINDS),
        (choices(model.Zbl, "name"), REPULSIONS),
        ([name for kind in (training.Sgd, training.Adam, training.Soap) for name in choices(kind, "name")], OPTIMIZERS),
    ],
    ids=[
        "activation",
        "cutoff",
        "energy",
        "length",
        "pressure",
        "format",
        "scaling",
        "form",
        "kind",
        "repulsion",
        "optimizer",
    ],
)
def test_choices(offered, known):
    assert sorted(offered) == sorted(known)
    assert len(set(offered)) == len(offered)


def test_numbers_of_a_function_are_those_of_its_formula():
    for kind, formula in KINDS.items():
        numbers = dict.fromkeys(formula.parameters, 1.0)
        values = {"kind": kind, "neighbors": ["H"] * formula.order, "cutoff": 3.0, **numbers}
        sets = [{"set": "explicit", "functions": [values]}]
        made = functions_of(parse_config({"data": {"train": "x"}, "model": {"descriptor": sets}}, "test"), [1])
        assert [type(f) for f in made] == [formula] and made[0].values == (1.0,) * len(formula.parameters)


@pytest.mark.parametrize("name", ["radial", "angular", "narrow", "wide", "ani1x"])
def test_every_set_can_be_made(name):
    values = {"set": name} if name == "ani1x" else {"set": name, "cutoff": 4.0}
    made = functions_of(parse_config({"data": {"train": "x"}, "model": {"descriptor": [values]}}, "test"), [1, 8])
    assert len(made) == {"radial": 48, "angular": 96, "narrow": 48, "wide": 48, "ani1x": 128}[name]
