"""Activation functions with their slope and curvature, in float64 and float32."""

from __future__ import annotations

import math

from mlip.kernels.arithmetic import exponential
from mlip.kernels.compile import kernel

NAMES = ("silu", "tanh", "sigmoid", "softplus", "celu", "gelu", "relu", "gaussian", "cosine")
KINDS = {name: kind for kind, name in enumerate(NAMES)}
SILU, TANH, SIGMOID, SOFTPLUS, CELU, GELU, RELU, GAUSSIAN, COSINE = range(len(NAMES))


@kernel(inline="always")
def curve(x, kind):
    """Activation function, its slope and its curvature; what is not used costs nothing."""
    real = type(x)
    one, two, zero = real(1.0), real(2.0), real(0.0)
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
    if kind == SOFTPLUS:
        return max(x, zero) + math.log1p(e), sigmoid, slope
    value = x * sigmoid
    rise = sigmoid + value * (one - sigmoid)
    return value, rise, (one - sigmoid) * (two * rise - value)
