"""What the config offers is what the code can do, no more and no less."""

from dataclasses import replace
from typing import get_args

import pytest

from mlip import units
from mlip.assembly import explicit_set, functions_of
from mlip.config import data, descriptor, gpr, model, networks, pair, training
from mlip.configfile import parse_config
from mlip.data.read import READERS
from mlip.descriptors.compact_functions import SHAPES
from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS
from mlip.descriptors.functions import KINDS
from mlip.descriptors.selection import METHODS
from mlip.kernels import curves
from mlip.model.covariance import PARAMETERS
from mlip.model.networks import ACTIVATIONS
from mlip.model.repulsion import REPULSIONS
from mlip.model.scaling import SCALINGS
from mlip.pair.forms import FORMS as FORMS_OF_PAIRS
from mlip.training.loss import FORMS
from mlip.training.optimizers import OPTIMIZERS


def choices(section, field):
    return get_args(section.model_fields[field].annotation)


@pytest.mark.parametrize(
    ("offered", "known"),
    [
        (get_args(networks.Activation), ACTIVATIONS),
        (get_args(descriptor.CutoffName), CUTOFF_FUNCTIONS),
        (get_args(data.EnergyUnit), units.ENERGY),
        (get_args(data.LengthUnit), units.LENGTH),
        (get_args(data.PressureUnit), units.PRESSURE),
        (get_args(data.ForceUnit), units.FORCE),
        (get_args(data.Format), ["auto", *READERS]),
        (choices(model.Model, "scaling"), SCALINGS),
        (choices(training.LossTerm, "form"), FORMS),
        (choices(descriptor.Function, "kind"), KINDS),
        (get_args(descriptor.Shape), SHAPES),
        (choices(model.Zbl, "name"), REPULSIONS),
        (get_args(pair.FormName), FORMS_OF_PAIRS),
        (curves.FORMS, FORMS_OF_PAIRS),
        (choices(descriptor.AutoSet, "pruning"), METHODS),
        (choices(gpr.Kernel, "name"), PARAMETERS),
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
        "shape",
        "repulsion",
        "pair form",
        "kernel of a pair form",
        "pruning",
        "covariance",
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
        if "theta_high" in numbers:
            numbers["theta_high"] = 2.0
        shape = {"shape": "p1"} if kind.startswith("compact") else {}
        values = {"kind": kind, "neighbors": ["H"] * formula.order, "cutoff": 3.0, **numbers, **shape}
        sets = [{"set": "explicit", "functions": [values]}]
        found = functions_of(parse_config({"data": {"train": "x"}, "model": {"descriptor": sets}}, "test"), [1])
        assert [type(f) for f in found] == [formula]
        assert {name: getattr(found[0], name) for name in formula.parameters} == numbers


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


@pytest.mark.parametrize("name", [name for name in SETS if not name.startswith("ani")])
def test_every_set_can_have_an_inner_cutoff(name):
    values = {"set": name, "cutoff": 4.0, "cutoff_function": "polynomial_3"}
    assert {f.inner_cutoff for f in made(**values)} == {0.0}
    assert {f.inner_cutoff for f in made(**values, inner_cutoff=1.5)} == {1.5}
    with pytest.raises(ValueError, match=r"inner_cutoff is 4\.0 Å; expected from 0 to less than the cutoff of 4\.0 Å"):
        made(**values, inner_cutoff=4.0)


@pytest.mark.parametrize("kind", ["narrow", "wide"])
def test_the_distance_of_an_angular_function_may_be_left_out(kind):
    values = {"kind": kind, "neighbors": ["H", "O"], "cutoff": 3.0, "eta": 0.1, "zeta": 2.0, "lambda_": 1.0}
    assert [f.r_s for f in made(set="explicit", functions=[values, {**values, "r_s": 1.5}])] == [0.0, 1.5]


def test_functions_read_back_from_the_config_that_lists_them():
    functions = made(set="wide", cutoff=4.0, inner_cutoff=1.5) + made(set="radial", cutoff=4.0)
    functions[:3] = [replace(f, r_s=0.7) for f in functions[:3]]
    listed = explicit_set(functions).model_dump()
    assert made(**listed) == functions
    assert ["inner_cutoff" in f for f in listed["functions"]] == [f.inner_cutoff > 0 for f in functions]


def test_a_function_of_all_elements_can_be_written_out():
    function = {"kind": "bessel", "weights": {"O": 1.6, "H": 0.2}, "cutoff": 3.0, "n": 2}
    (found,) = made(set="explicit", functions=[function])
    assert found.weights == ((1, 0.2), (8, 1.6)) and found.neighbors == ()


@pytest.mark.parametrize("of", [{}, {"neighbors": ["H"], "weights": {"H": 1.0}}])
def test_a_function_takes_neighbors_or_weights(of):
    with pytest.raises(ValueError, match="either neighbors or weights"):
        made(set="explicit", functions=[{"kind": "bessel", "cutoff": 3.0, "n": 2, **of}])
