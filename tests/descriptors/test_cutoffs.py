import math

import numpy as np
import pytest
import torch

from descriptors import oracle
from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS, WITHOUT_INNER_CUTOFF
from mlip.descriptors.functions import Radial

RADIUS = 4.3
functions = pytest.mark.parametrize("name", CUTOFF_FUNCTIONS)
smooth = pytest.mark.parametrize("name", [name for name in CUTOFF_FUNCTIONS if name != "hard"])
with_inner = pytest.mark.parametrize("name", [name for name in CUTOFF_FUNCTIONS if name not in WITHOUT_INNER_CUTOFF])
flat_at_the_center = pytest.mark.parametrize(
    "name", [name for name in CUTOFF_FUNCTIONS if not name.startswith("tanh") and name != "hard"]
)


def inners(name):
    return (0.0,) if name in WITHOUT_INNER_CUTOFF else (0.0, 1.4, 4.2)


def function(name, inner=0.0):
    extra = {"inner": inner} if inner else {}
    return lambda r: CUTOFF_FUNCTIONS[name](r, RADIUS, **extra)


def slope(name, r, inner=0.0):
    r = torch.tensor([r - 1e-6, r + 1e-6], dtype=torch.float64)
    low, high = function(name, inner)(r)
    return float(high - low) / 2e-6


def test_numbers_are_those_of_n2p2():
    assert list(CUTOFF_FUNCTIONS) == [
        "hard", "cosine", "tanh", "tanh_normalized", "exponential", "polynomial_1", "polynomial", "polynomial_3",
        "polynomial_4",
    ]  # fmt: skip


@functions
def test_values_are_those_of_the_formula(name):
    r = np.linspace(0.0, 1.1 * RADIUS, 300)
    for inner in inners(name):
        expected = [oracle.cutoff_function(name, x, RADIUS, inner) for x in r]
        rounding = 4e-15 * RADIUS / (RADIUS - inner)  # of x
        np.testing.assert_allclose(function(name, inner)(torch.from_numpy(r)), expected, rtol=0, atol=rounding)


@smooth
def test_slopes_are_those_of_finite_differences(name):
    r = torch.linspace(0.05, 1.1 * RADIUS, 200, dtype=torch.float64)
    for inner in inners(name):
        width, h = RADIUS - inner, 2e-4 * (RADIUS - inner)
        fc = function(name, inner)
        exact = torch.func.vmap(torch.func.grad(fc))(r)
        finite = (8 * (fc(r + h) - fc(r - h)) - (fc(r + 2 * h) - fc(r - 2 * h))) / (12 * h)
        # The fourth order is lost where a piece ends.
        ends = torch.minimum((r - inner).abs(), (r - RADIUS).abs()) < 2 * h
        assert ((exact - finite).abs()[~ends] < 1e-8 / width).all()
        assert ((exact - finite).abs() < 1e-2 / width).all()


@functions
def test_zero_at_the_cutoff_and_beyond(name):
    r = torch.tensor([RADIUS, RADIUS + 1e-9, 2 * RADIUS, 1e6], dtype=torch.float64)
    for inner in inners(name):
        assert function(name, inner)(r).abs().max() < 1e-15
        assert function(name, inner)(torch.tensor([0.5 * (RADIUS + inner)])) > 0.05


@functions
def test_value_at_the_center(name):
    start = math.tanh(1.0) ** 3 if name == "tanh" else 1.0
    assert float(function(name)(torch.zeros(1, dtype=torch.float64))) == pytest.approx(start, abs=1e-15)


@smooth
def test_no_slope_at_the_cutoff(name):
    for inner in inners(name):
        assert abs(slope(name, RADIUS, inner)) < 1e-5 / (RADIUS - inner) ** 2
        assert abs(slope(name, 0.5 * (RADIUS + inner), inner)) > 0.05


@flat_at_the_center
def test_no_slope_at_the_center(name):
    assert abs(slope(name, 1e-6)) < 1e-5


@with_inner
def test_one_up_to_the_inner_cutoff_and_no_step_there(name):
    inner = 1.4
    r = torch.tensor([0.0, 0.3, inner], dtype=torch.float64, requires_grad=True)
    values = function(name, inner)(r)
    assert (values == 1).all() and not torch.autograd.grad(values.sum(), r)[0].any()
    assert abs(slope(name, inner, inner)) < 1e-5
    assert slope(name, inner + 0.3, inner) < -1e-5, "beyond it falls"


@pytest.mark.parametrize(
    "name", ["tanh", "tanh_normalized", "exponential", "polynomial", "polynomial_3", "polynomial_4"]
)
def test_no_curvature_at_the_cutoff(name):
    assert abs(slope(name, RADIUS - 1e-3)) < 1e-5, "the slope falls as the square of the distance to the cutoff"
    for other in ("cosine", "polynomial_1"):
        assert abs(slope(other, RADIUS - 1e-3)) > 1e-4, f"that of {other} does not"


def test_derivatives_of_the_exponential_are_finite_next_to_the_cutoff():
    """Its exponent is infinite at the cutoff itself."""
    near = [RADIUS * (1 - x) for x in (1e-2, 1e-5, 1e-12, 1e-16)]
    r = torch.tensor([*near, RADIUS, RADIUS + 1e-12], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(function("exponential")(r).sum(), r, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), r)
    assert first.isfinite().all() and second.isfinite().all() and not first[1:].any()


@smooth
def test_falls_all_the_way(name):
    values = function(name)(torch.linspace(0, RADIUS, 500, dtype=torch.float64))
    assert (values[1:] <= values[:-1] + 1e-15).all() and (values[50:-50].diff() < 0).all()


@functions
def test_only_the_share_of_the_cutoff_matters(name):
    r = torch.rand(20, dtype=torch.float64)
    a, b = (CUTOFF_FUNCTIONS[name](r * length, length) for length in (1.0, 7.7))
    assert torch.allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("inner", [-0.1, 4.0, 5.0, math.nan])
def test_an_inner_cutoff_outside_its_range(inner):
    with pytest.raises(ValueError, match=r"inner_cutoff is .* Å; expected from 0 to less than the cutoff of 4.0 Å"):
        Radial(neighbors=(1,), cutoff=4.0, eta=1.0, inner_cutoff=inner)


@pytest.mark.parametrize("name", WITHOUT_INNER_CUTOFF)
def test_an_inner_cutoff_that_would_change_nothing(name):
    with pytest.raises(ValueError, match=f"changes nothing in the cutoff function '{name}'.*take another of cosine"):
        Radial(neighbors=(1,), cutoff=4.0, eta=1.0, cutoff_function=name, inner_cutoff=1.0)
