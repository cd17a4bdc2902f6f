"""Activation functions with their derivatives: finite differences, and the kernels' own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlip.kernels.activations import KINDS, LINEAR, curve, kinds_of
from mlip.model.activations import CURVES
from mlip.model.networks import ACTIVATIONS

POINTS = np.concatenate([np.linspace(-31.3, 31.7, 41), np.linspace(-2.05, 2.03, 18)])  # not 0, where some have a kink


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_and_curvature_are_those_of_finite_differences(name):
    x, step = torch.linspace(-2.05, 2.03, 18, dtype=torch.float64), 1e-4
    value, slope, curvature = CURVES[name](x)
    (before, falling, _), (after, rising, _) = CURVES[name](x - step), CURVES[name](x + step)
    scale = float(value.abs().max())
    torch.testing.assert_close(slope, (after - before) / (2 * step), rtol=0, atol=1e-7 * scale)
    torch.testing.assert_close(curvature, (rising - falling) / (2 * step), rtol=0, atol=1e-7 * scale)


@pytest.mark.parametrize(("real", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-6)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_kernels_have_the_same_curves(name, real, tolerance):
    expected = np.array(CURVES[name](torch.from_numpy(POINTS.astype(real)).double()))
    found = np.array([curve(real(x), KINDS[name]) for x in POINTS]).T
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_every_activation_has_a_kind_and_layers_that_are_not_there_are_linear():
    assert set(KINDS) == set(ACTIVATIONS) == set(CURVES)
    kinds = kinds_of([["tanh", "linear"], ["harmonic"], ["silu", "gelu", "cosine"]])
    assert kinds.tolist() == [
        [KINDS["tanh"], LINEAR, LINEAR],
        [KINDS["harmonic"], LINEAR, LINEAR],
        [KINDS["silu"], KINDS["gelu"], KINDS["cosine"]],
    ]
