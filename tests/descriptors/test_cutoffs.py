import pytest
import torch

from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS

RADIUS = 4.3
functions = pytest.mark.parametrize("name", sorted(set(CUTOFF_FUNCTIONS) - {"hard"}))


def slope(name, r):
    r = torch.tensor([r - 1e-6, r + 1e-6], dtype=torch.float64)
    low, high = CUTOFF_FUNCTIONS[name](r, RADIUS)
    return float(high - low) / 2e-6


@functions
def test_zero_at_the_cutoff_and_beyond(name):
    r = torch.tensor([RADIUS, RADIUS + 1e-9, 2 * RADIUS, 1e6], dtype=torch.float64)
    assert CUTOFF_FUNCTIONS[name](r, RADIUS).abs().max() < 1e-15
    assert CUTOFF_FUNCTIONS[name](torch.tensor([0.5 * RADIUS]), RADIUS) > 0.05


@pytest.mark.parametrize(("name", "start"), [("cosine", 1.0), ("polynomial", 1.0), ("tanh", 0.44175)])
def test_value_at_the_center(name, start):
    assert float(CUTOFF_FUNCTIONS[name](torch.zeros(1), RADIUS)) == pytest.approx(start, abs=1e-4)


@functions
def test_no_slope_at_the_cutoff(name):
    assert abs(slope(name, RADIUS)) < 1e-5
    assert abs(slope(name, 0.5 * RADIUS)) > 0.05


@pytest.mark.parametrize("name", ["cosine", "polynomial"])
def test_no_slope_at_the_center(name):
    assert abs(slope(name, 1e-6)) < 1e-5


@pytest.mark.parametrize("name", ["tanh", "polynomial"])
def test_no_curvature_at_the_cutoff(name):
    assert abs(slope(name, RADIUS - 1e-3)) < 1e-5, "the slope falls as the square of the distance to the cutoff"
    assert abs(slope("cosine", RADIUS - 1e-3)) > 1e-4, "the cosine's does not"


@functions
def test_falls_all_the_way(name):
    values = CUTOFF_FUNCTIONS[name](torch.linspace(0, RADIUS, 500, dtype=torch.float64), RADIUS)
    assert (values[1:] <= values[:-1]).all() and (values[50:-50].diff() < 0).all()


@functions
def test_only_the_share_of_the_cutoff_matters(name):
    r = torch.rand(20, dtype=torch.float64)
    a, b = (CUTOFF_FUNCTIONS[name](r * length, length) for length in (1.0, 7.7))
    assert torch.allclose(a, b, rtol=1e-12, atol=1e-14)
