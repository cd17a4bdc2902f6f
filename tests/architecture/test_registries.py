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
from mlip.descriptors.selection import METHODS
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
        (get_args(data.ForceUnit), units.FORCE),
        (get_args(data.Format), ["auto", *READERS]),
        (choices(model.Model, "scaling"), SCALINGS),
        (choices(training.LossTerm, "form"), FORMS),
        (choices(model.Function, "kind"), KINDS),
        (choices(model.Zbl, "name"), REPULSIONS),
        (choices(model.AutoSet, "pruning"), METHODS),
        (
            [name for kind in get_args(get_args(training.Optimizer)[0]) for name in choices(kind, "name")],
            OPTIMIZERS,
        ),
    ],
    ids=[
        "activation",
        "cutoff",
        "energy",
        "length",
        "pressure",
        "force",
        "format",
        "scaling",
        "form",
        "kind",
        "repulsion",
        "pruning",
        "optimizer",
    ],
)
def test_choices(offered, known):
    assert sorted(offered) == sorted(known)
    assert len(set(offered)) == len(offered)


def test_numbers_of_a_function_are_those_of_its_formula():
    for kind, formula in KINDS.items():
        numbers = dict.fromkeys(formula.parameters, 1.0)
        if "n" in numbers:
            numbers["n"] = 1
        values = {"kind": kind, "neighbors": ["H"] * formula.order, "cutoff": 3.0, **numbers}
        sets = [{"set": "explicit", "functions": [values]}]
        found = functions_of(parse_config({"data": {"train": "x"}, "model": {"descriptor": sets}}, "test"), [1])
        assert [type(f) for f in found] == [formula] and found[0].values == (1.0,) * len(formula.parameters)


SETS = {"radial": 48, "log_normal": 32, "bessel": 24, "angular": 96, "chebyshev": 96, "axilrod_teller": 96,
        "narrow": 48, "wide": 48, "ani1x": 128, "ani2x": 128}  # fmt: skip


def made(**values):
    return functions_of(parse_config({"data": {"train": "x"}, "model": {"descriptor": [values]}}, "test"), [1, 8])


@pytest.mark.parametrize("name", SETS)
def test_every_set_can_be_made(name):
    values = {"set": name} if name.startswith("ani") else {"set": name, "cutoff": 4.0}
    functions = made(**values)
    assert len(functions) == SETS[name]
    if not name.startswith("ani"):
        weighted = made(**values, weighted=True)
        assert len(weighted) == len(functions) // (2 if functions[0].order == 1 else 3)
        assert {f.weights for f in weighted} == {((1, 1 / 4.5), (8, 8 / 4.5))}


def test_a_function_of_all_elements_can_be_written_out():
    function = {"kind": "bessel", "weights": {"O": 1.6, "H": 0.2}, "cutoff": 3.0, "n": 2}
    (found,) = made(set="explicit", functions=[function])
    assert found.weights == ((1, 0.2), (8, 1.6)) and found.neighbors == ()


@pytest.mark.parametrize("of", [{}, {"neighbors": ["H"], "weights": {"H": 1.0}}])
def test_a_function_takes_neighbors_or_weights(of):
    with pytest.raises(ValueError, match="either neighbors or weights"):
        made(set="explicit", functions=[{"kind": "bessel", "cutoff": 3.0, "n": 2, **of}])
