"""Activation functions with their slope and curvature, in float64 and float32."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlip.kernels.arithmetic import exponential
from mlip.kernels.compile import kernel

NAMES = (
    "linear", "silu", "tanh", "sigmoid", "softplus", "celu", "gelu", "relu", "gaussian", "cosine",
    "reverse_sigmoid", "exponential", "harmonic",
)  # fmt: skip
KINDS = {name: kind for kind, name in enumerate(NAMES)}
(
    LINEAR, SILU, TANH, SIGMOID, SOFTPLUS, CELU, GELU, RELU, GAUSSIAN, COSINE,
    REVERSE_SIGMOID, EXPONENTIAL, HARMONIC,
) = range(len(NAMES))  # fmt: skip


def kinds_of(activation: Sequence[Sequence[str]]) -> np.ndarray:
    """Kinds of the layers of each element's networks (E,L), the output included, from their names."""
    kinds = np.full((len(activation), max(map(len, activation))), LINEAR)
    for row, names in zip(kinds, activation, strict=True):
        row[: len(names)] = [KINDS[name] for name in names]
    return kinds


@kernel(inline="always")
def curve(x, kind):
    """Activation function, its slope and its curvature; what is not used costs nothing."""
    real = type(x)
    one, two, zero = real(1.0), real(2.0), real(0.0)
    if kind == LINEAR:
        return x, one, zero
    if kind == HARMONIC:
        return x * x, two * x, two
    if kind == EXPONENTIAL:
        y = math.exp(-x)
        return y, -y, y
    if kind == RELU:
        return max(x, zero), one if x > zero else zero, zero
    if kind == GAUSSIAN:
        y = exponential(real(-0.5) * x * x)
        return y, -x * y, (x * x - one) * y
    if kind == COSINE:
        y = math.cos(x)
        return y, -math.sin(x), -y
    if kind == GELU:
        half = real(0.5) * math.erfc(x * real(-math.sqrt(0.5)))
        density = exponential(real(-0.5) * x * x) * real(1.0 / math.sqrt(2.0 * math.pi))
        return x * half, half + x * density, (two - x * x) * density
    e = exponential(-abs(x))
    if kind == CELU:
        return x if x > zero else e - one, one if x > zero else e, zero if x > zero else e
    if kind == TANH:
        size = (one - e * e) / (one + e * e)
        y = size if x > zero else -size
        return y, one - y * y, -two * y * (one - y * y)
    sigmoid = (one if x > zero else e) / (one + e)
    slope = sigmoid * (one - sigmoid)
    if kind == SIGMOID:
        return sigmoid, slope, slope * (one - two * sigmoid)
    if kind == REVERSE_SIGMOID:
        return (e if x > zero else one) / (one + e), -slope, slope * (two * sigmoid - one)
    if kind == SOFTPLUS:
        return max(x, zero) + math.log1p(e), sigmoid, slope
    value = x * sigmoid
    rise = sigmoid + value * (one - sigmoid)
    return value, rise, (one - sigmoid) * (two * rise - value)
