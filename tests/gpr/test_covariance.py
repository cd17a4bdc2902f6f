"""Covariance functions: their derivatives, what makes them covariances, and the formula of the polynomial."""

import pytest
import torch

from gpr.small import COVARIANCES
from mlip.model.coordinates import half_squares, on_sphere
from mlip.model.covariance import Covariance, covariance_from

EACH = pytest.mark.parametrize("covariance", COVARIANCES.values(), ids=COVARIANCES)


@EACH
def test_derivatives(covariance):
    q = torch.linspace(0.0, 1.7, 40, dtype=torch.float64, requires_grad=True)
    value, slope, curvature = covariance(q)
    first = torch.autograd.grad(value.sum(), q, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), q)[0]
    torch.testing.assert_close(slope, first, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(curvature, second, rtol=1e-13, atol=1e-13)
    assert covariance(torch.zeros(1, dtype=torch.float64)).value == 1.0


@EACH
@pytest.mark.parametrize("width", [1, 3, 20])
def test_positive_definite(covariance, width):
    points = 2.0 * torch.randn(60, width, dtype=torch.float64)
    points = on_sphere(points) if covariance.on_sphere else points
    matrix = covariance(half_squares(points, points)).value
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


@pytest.mark.parametrize("zeta", [1, 2, 5])
def test_the_polynomial_is_a_power_of_the_normalized_dot_product(zeta):
    u, v = (torch.cat([torch.randn(30, 4), torch.ones(30, 1)], dim=1).double() for _ in range(2))
    dots = (u @ v.T) / (u.norm(dim=1)[:, None] * v.norm(dim=1))
    found = Covariance("polynomial", zeta=float(zeta))(half_squares(on_sphere(u[:, :-1]), on_sphere(v[:, :-1]))).value
    assert dots.min() < 0.0, "far apart as well"
    torch.testing.assert_close(found, dots**zeta, rtol=1e-12, atol=1e-12)


def test_names_and_parameters():
    for covariance in COVARIANCES.values():
        again = covariance_from(covariance.as_dict())
        assert (again.name, again.parameters) == (covariance.name, covariance.parameters)
    for name, parameters, message in (
        ("gaussian", {}, "known: squared_exponential"),
        ("rational_quadratic", {}, "parameters"),
        ("polynomial", {"zeta": 2.5}, "whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            Covariance(name, **parameters)
