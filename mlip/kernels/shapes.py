"""CPU kernels of the shapes of compact functions."""

from __future__ import annotations

from mlip.kernels.arithmetic import exponential, is_single
from mlip.kernels.compile import disjoint, kernel


@kernel
def find_shape(order, x, value, slope):
    """A shape and its derivative at distances x from the center, 1 or more at the edge; order < 0: narrow.

    The derivative of the polynomial of order n is -(2n + 1)! / (n!)^2 x^n (1 - x)^n.
    """
    disjoint()
    real = x.dtype.type
    narrow, n = order < 0, abs(int(order))
    if n == 0:
        for t in range(x.shape[0]):
            y = min(x[t], real(1.0))
            left = real(1.0) - y * y
            inside = y * y < real(34.0 if is_single(y) else 600.0) * left  # where the exponential is not at its end
            left = left if inside else real(1.0)
            value[t] = exponential(-y * y / left) if inside else real(0.0)
            slope[t] = real(-2.0) * y / (left * left) * value[t]
    elif n == 1:
        for t in range(x.shape[0]):
            y, z, factor = _bent(narrow, min(x[t], real(1.0)))
            value[t] = z * z * (real(1.0) + real(2.0) * y)
            slope[t] = real(-6.0) * factor * y * z
    elif n == 2:
        for t in range(x.shape[0]):
            y, z, factor = _bent(narrow, min(x[t], real(1.0)))
            value[t] = z * z * z * (real(1.0) + y * (real(3.0) + real(6.0) * y))
            slope[t] = real(-30.0) * factor * (y * z) * (y * z)
    elif n == 3:
        for t in range(x.shape[0]):
            y, z, factor = _bent(narrow, min(x[t], real(1.0)))
            z2 = z * z
            value[t] = z2 * z2 * (real(1.0) + y * (real(4.0) + y * (real(10.0) + real(20.0) * y)))
            slope[t] = real(-140.0) * factor * (y * z) * (y * z) * (y * z)
    else:
        for t in range(x.shape[0]):
            y, z, factor = _bent(narrow, min(x[t], real(1.0)))
            z2, yz2 = z * z, (y * z) * (y * z)
            sum_of_powers = y * (real(5.0) + y * (real(15.0) + y * (real(35.0) + real(70.0) * y)))
            value[t] = z2 * z2 * z * (real(1.0) + sum_of_powers)
            slope[t] = real(-630.0) * factor * yz2 * yz2


@kernel(inline="always")
def _bent(narrow, x):
    """2x - x^2 or x, one less it, and its derivative."""
    z = type(x)(1.0) - x
    return (x + x * z, z * z, z + z) if narrow else (x, z, type(x)(1.0))


@kernel
def find_shell(order, left, right, r, x, value, slope):
    """A compact function of distances between two edges, and its derivative divided by the distance; x is scratch."""
    disjoint()
    real = x.dtype.type
    center, per_width = real(0.5 * (left + right)), real(2.0 / (right - left))
    for t in range(r.shape[0]):
        x[t] = abs(r[t] - center) * per_width
    find_shape(order, x, value, slope)
    for t in range(r.shape[0]):
        slope[t] *= (per_width if r[t] > center else -per_width) / r[t]
