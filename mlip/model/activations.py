"""Activation functions with their first two derivatives, for the passes that are written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Curve = tuple[Tensor, Tensor, Tensor]  # value, slope, curvature


def silu(x: Float[Tensor, "*n"]) -> Curve:
    r"""Value :math:`x\,\sigma(x)`."""
    sigma = torch.sigmoid(x)
    value, rest = x * sigma, 1 - sigma
    slope = torch.addcmul(sigma, value, rest)
    return value, slope, rest * (2 * slope - value)


def tanh(x: Float[Tensor, "*n"]) -> Curve:
    """The hyperbolic tangent."""
    value = torch.tanh(x)
    slope = 1 - value * value
    return value, slope, -2 * value * slope


def sigmoid(x: Float[Tensor, "*n"]) -> Curve:
    r"""Value :math:`\sigma(x) = 1 / (1 + e^{-x})`."""
    value = torch.sigmoid(x)
    slope = value * (1 - value)
    return value, slope, slope * (1 - 2 * value)


def softplus(x: Float[Tensor, "*n"]) -> Curve:
    r"""Value :math:`\ln(1 + e^x)`."""
    return functional.softplus(x, threshold=40), *sigmoid(x)[:2]


def celu(x: Float[Tensor, "*n"]) -> Curve:
    """The line for positive x, an exponential below."""
    below = torch.exp(x.clamp(max=0))
    return functional.celu(x), below, torch.where(x > 0, 0.0, below)


def gelu(x: Float[Tensor, "*n"]) -> Curve:
    r"""Value :math:`x\,\Phi(x)` with the normal distribution :math:`\Phi`."""
    density = torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return functional.gelu(x), torch.special.ndtr(x) + x * density, (2 - x * x) * density


def relu(x: Float[Tensor, "*n"]) -> Curve:
    """The positive part."""
    return functional.relu(x), (x > 0).to(x.dtype), torch.zeros_like(x)


def gaussian(x: Float[Tensor, "*n"]) -> Curve:
    r"""Value :math:`e^{-x^2/2}`."""
    value = torch.exp(-0.5 * x * x)
    return value, -x * value, (x * x - 1) * value


def cosine(x: Float[Tensor, "*n"]) -> Curve:
    """The cosine."""
    value = torch.cos(x)
    return value, -torch.sin(x), -value


def linear(x: Float[Tensor, "*n"]) -> Curve:
    """The identity."""
    return x, torch.ones_like(x), torch.zeros_like(x)


def reverse_sigmoid(x: Float[Tensor, "*n"]) -> Curve:
    r"""Value :math:`1 - \sigma(x)`."""
    value, slope, curvature = sigmoid(-x)
    return value, -slope, curvature


def exponential(x: Float[Tensor, "*n"]) -> Curve:
    """Value :math:`e^{-x}`."""
    value = torch.exp(-x)
    return value, -value, value


def harmonic(x: Float[Tensor, "*n"]) -> Curve:
    """The square."""
    return x * x, 2 * x, torch.full_like(x, 2.0)


CURVES: dict[str, Callable[[Tensor], Curve]] = {
    function.__name__: function
    for function in (
        silu, tanh, sigmoid, softplus, celu, gelu, relu, gaussian, cosine,
        linear, reverse_sigmoid, exponential, harmonic,
    )
}  # fmt: skip
