"""CPU kernels of the factors of the angle."""

from __future__ import annotations

import math

from mlip.kernels.arithmetic import is_single
from mlip.kernels.compile import disjoint, kernel
from mlip.kernels.neighborhoods import PADDING, SHIFTED


@kernel
def powers(group, begin, count, t, f):
    """A and dA/dcos; A is 2 base^zeta with base (1 + lambda cos) / 2 or its shifted form."""
    disjoint()
    real = f.A.dtype.type
    whole = (count + PADDING - 1) // PADDING * PADDING
    cos, u = t.cos[begin : begin + whole], f.u
    for m in range(group.angles.shape[0]):
        zeta, other, A, dA = group.angles[m, 0], group.angles[m, 1], f.A[m], f.dA[m]
        if group.kind >= SHIFTED:
            cosine, sine = real(math.cos(other)), real(math.sin(other))
            for x in range(whole):
                y = real(0.95) * cos[x]
                w = math.sqrt(real(1.0) - y * y)
                A[x] = real(0.5) * (real(1.0) + y * cosine + w * sine)
                dA[x] = real(0.475) * (cosine - sine * y / w)
        else:
            sign = real(other)
            for x in range(whole):
                A[x] = real(0.5) * max(real(1.0) + sign * cos[x], real(0.0))
                dA[x] = real(0.5) * sign
        less, factor = int(zeta) - 1, real(2.0 * zeta)
        tiny = real(1e-15 ** (1.0 / zeta) if is_single(u[0]) else 0.0)  # powers stay clear of denormal floats
        half = int(zeta - 1.0 - less == 0.5)
        if less + 0.5 * half != zeta - 1.0 or less > 63:
            for x in range(whole):
                u[x] = A[x] ** real(zeta - 1.0)
        elif less > 3 or half:
            for x in range(whole):
                b1 = max(A[x], tiny)
                b2 = b1 * b1
                b4 = b2 * b2
                u[x] = (
                    _chosen(half, math.sqrt(b1)) * _chosen(less & 1, b1) * _chosen(less & 2, b2) * _chosen(less & 4, b4)
                )
                b8 = b4 * b4
                b16 = b8 * b8
                u[x] *= _chosen(less & 8, b8) * _chosen(less & 16, b16) * _chosen(less & 32, b16 * b16)
        else:
            for x in range(whole):
                u[x] = _chosen(less & 1, A[x]) * _chosen(less & 2, A[x] * A[x])
        for x in range(whole):
            dA[x] *= factor * u[x]
            A[x] *= real(2.0) * u[x]


@kernel
def polynomials(group, begin, count, t, f):
    """A and dA/dcos, Chebyshev's polynomials by degree; p and q have those of one degree less than u and v."""
    disjoint()
    real = f.A.dtype.type
    whole = (count + PADDING - 1) // PADDING * PADDING
    cos, u, v, p, q = t.cos[begin : begin + whole], f.u, f.v, f.p, f.q
    for x in range(whole):
        u[x], v[x], p[x], q[x] = real(1.0), real(0.0), cos[x], real(1.0)
    degree = 0
    for m in range(group.angles.shape[0]):
        while degree < group.angles[m, 0]:
            for x in range(whole):
                T, dT = u[x], v[x]
                u[x] = real(2.0) * cos[x] * T - p[x]
                v[x] = real(2.0) * (T + cos[x] * dT) - q[x]
                p[x], q[x] = T, dT
            degree += 1
        A, dA = f.A[m], f.dA[m]
        for x in range(whole):
            A[x], dA[x] = u[x], v[x]


@kernel(inline="always")
def _chosen(bit, x):
    """x or 1: a factor of a whole power."""
    return x if bit != 0 else type(x)(1.0)
