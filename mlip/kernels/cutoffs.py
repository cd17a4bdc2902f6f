"""CPU kernel of the cutoff functions (mlip.descriptors.cutoffs).

The polynomials are written in powers of y = 1 - x, which have no rounding error next to the cutoff:
f = y^(n+1) sum over k <= n of binomial(n + k, k) x^k, with the derivative -(2n + 1)! / (n!)^2 (x y)^n by x.
"""

from __future__ import annotations

import math

from mlip.kernels.arithmetic import exponential, half_cosine, is_single
from mlip.kernels.compile import disjoint, kernel

# Their numbers are those of n2p2.
HARD, COSINE, TANH, TANH_NORMALIZED, EXPONENTIAL, POLYNOMIAL_1, POLYNOMIAL, POLYNOMIAL_3, POLYNOMIAL_4 = range(9)
NORMALIZATION = math.tanh(1.0) ** -3


@kernel
def cutoff_values(squares, cutoff, inner, kind, value, slope):
    """Cutoff function at distances with these squares, all below the cutoff's, and its derivative divided by r."""
    disjoint()
    real = squares.dtype.type
    per_square = real(1.0 / (cutoff * cutoff))
    if kind == COSINE and inner == 0.0:  # cos^2(pi/2 x) is half of 1 + cos(pi x)
        for t in range(squares.shape[0]):
            c, b = half_cosine(squares[t] * per_square)
            value[t] = c * c
            slope[t] = real(-math.pi) * per_square * c * b
    elif kind == HARD:
        for t in range(squares.shape[0]):
            value[t], slope[t] = real(1.0), real(0.0)
    elif kind in (TANH, TANH_NORMALIZED):
        height = real(NORMALIZATION if kind == TANH_NORMALIZED else 1.0)
        for t in range(squares.shape[0]):
            x = math.sqrt(squares[t] * per_square)
            e = exponential(real(2.0) * x - real(2.0))
            h = (real(1.0) - e) / (real(1.0) + e)
            value[t] = height * h * h * h
            slope[t] = real(-3.0) * height * per_square * h * h * (real(1.0) - h * h) / x
    else:
        _fall_from_the_inner_cutoff(squares, cutoff, inner, kind, value, slope)


@kernel
def _fall_from_the_inner_cutoff(squares, cutoff, inner, kind, value, slope):
    """Those that depend on x = (r - inner) / (cutoff - inner)."""
    disjoint()
    real = squares.dtype.type
    end, per = real(cutoff), real(1.0 / (cutoff - inner))
    for t in range(squares.shape[0]):  # first y, and the derivative of x divided by r
        r = math.sqrt(squares[t])
        value[t] = min((end - r) * per, real(1.0))
        slope[t] = per / r
    if kind == COSINE:
        for t in range(squares.shape[0]):
            x = real(1.0) - value[t]
            c, b = half_cosine(x * x)
            value[t] = c * c
            slope[t] *= real(-math.pi) * x * c * b
    elif kind == EXPONENTIAL:
        least = real(-34.0 if is_single(squares[0]) else -600.0)  # where `exponential` ends
        for t in range(squares.shape[0]):
            y = value[t]
            x = real(1.0) - y
            per_d = real(1.0) / max(y * (real(1.0) + x), real(1e-3))  # d = 1 - x^2
            e = exponential(real(1.0) - per_d)
            e = e if real(1.0) - per_d > least else real(0.0)
            value[t] = e
            slope[t] *= real(-2.0) * x * per_d * per_d * e
    elif kind == POLYNOMIAL_1:
        for t in range(squares.shape[0]):
            y = value[t]
            x = real(1.0) - y
            value[t] = y * y * (real(1.0) + real(2.0) * x)
            slope[t] *= real(-6.0) * x * y
    elif kind == POLYNOMIAL:
        for t in range(squares.shape[0]):
            y = value[t]
            x = real(1.0) - y
            value[t] = y * y * y * (real(1.0) + x * (real(3.0) + real(6.0) * x))
            slope[t] *= real(-30.0) * x * x * y * y
    elif kind == POLYNOMIAL_3:
        for t in range(squares.shape[0]):
            y = value[t]
            x, y2 = real(1.0) - y, y * y
            value[t] = y2 * y2 * (real(1.0) + x * (real(4.0) + x * (real(10.0) + real(20.0) * x)))
            slope[t] *= real(-140.0) * x * x * x * y2 * y
    else:
        for t in range(squares.shape[0]):
            y = value[t]
            x, y2 = real(1.0) - y, y * y
            q = real(5.0) + x * (real(15.0) + x * (real(35.0) + real(70.0) * x))
            value[t] = y2 * y2 * y * (real(1.0) + x * q)
            slope[t] *= real(-630.0) * x * x * x * x * y2 * y2
