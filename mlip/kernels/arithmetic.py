"""What all kernels share: names of products, pairs by center, and the elementary functions."""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mlip.kernels.compile import kernel

FEATURES, GRADIENTS, CHANGES, JACOBIAN = 0, 1, 2, 3
COSINE, TANH, POLYNOMIAL = 0, 1, 2

# Pairs by center: start (N+1), element (N,), element of the neighbor (P,), vectors (P,3).
Pairs = namedtuple("Pairs", "start element neighbor vectors")


@intrinsic
def _float_of_bits(typingctx, bits):
    """The float64 with this pattern of bits."""

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@kernel(inline="always")
def exponential(x):
    """Exponential of x <= 0 by a polynomial, because the library's does not vectorize; relative error 1e-15."""
    x = max(x, -700.0)
    n = math.floor(x * 1.4426950408889634 + 0.5)
    r = x - n * 6.93147180369123816490e-01
    r = r - n * 1.90821492927058770002e-10
    p = 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 1.984126984126984e-04
    p = p * r + 1.388888888888889e-03
    p = p * r + 8.333333333333333e-03
    p = p * r + 4.1666666666666664e-02
    p = p * r + 1.6666666666666666e-01
    p = (p * r + 0.5) * r * r + r + 1.0
    return p * _float_of_bits((np.int64(n) + 1023) << 52)


@kernel(inline="always")
def cutoff_value(r, cutoff, kind):
    """Cutoff function and its slope at r < cutoff."""
    x = r / cutoff
    if kind == COSINE:
        return 0.5 * (math.cos(math.pi * x) + 1.0), -0.5 * math.pi / cutoff * math.sin(math.pi * x)
    if kind == TANH:
        t = math.tanh(1.0 - x)
        return t * t * t, -3.0 * t * t * (1.0 - t * t) / cutoff
    return 1.0 + x * x * x * (-10.0 + x * (15.0 - 6.0 * x)), -30.0 * x * x * (1.0 - x) * (1.0 - x) / cutoff
