"""Pairs of each center within a cutoff, sorted by neighbor element, with all that depends on one pair alone."""

from __future__ import annotations

import triton
import triton.language as tl

from mlip.gpu.names import COSINE, EXPONENTIAL, HARD, POLYNOMIAL, POLYNOMIAL_1, POLYNOMIAL_3, TANH_NORMALIZED

ROWS = 7  # of the table of pairs: x, y, z, r, 1/r, cutoff function, its slope over r
FACTORS = 5  # of these rows, the first that is multiplied with a neighbor's weight


@triton.jit
def cutoff_value(r, scale, CUTOFF: tl.constexpr):
    """Cutoff function and its slope at r < cutoff.

    `scale` holds the cutoff, pi over its distance from the inner cutoff, a number of the functions, the inner cutoff,
    and the height of the tanh.
    """
    cutoff = tl.load(scale)
    if CUTOFF == HARD:
        return 0.0 * r + 1.0, 0.0 * r
    elif CUTOFF == COSINE:
        turn = tl.load(scale + 1)
        d = tl.maximum(r - tl.load(scale + 3), 0.0)
        return 0.5 * (tl.cos(turn * d) + 1.0), -0.5 * turn * tl.sin(turn * d)
    elif CUTOFF <= TANH_NORMALIZED:
        height = tl.load(scale + 4)
        t = 1.0 - 2.0 / (tl.exp(2.0 - 2.0 * (r / cutoff)) + 1.0)
        return height * t * t * t, -3.0 * height * t * t * (1.0 - t * t) / cutoff
    else:
        width = cutoff - tl.load(scale + 3)
        y = tl.minimum((cutoff - r) / width, 1.0)
        value, slope = _fall(y, 1.0 - y, CUTOFF)
        return value, slope / width


@triton.jit
def _fall(y, x, CUTOFF: tl.constexpr):
    """Functions of the way x from the inner cutoff to the cutoff, and of the rest y; their slopes by x.

    Polynomials stand in powers of y, which have no rounding error next to the cutoff.
    """
    if CUTOFF == EXPONENTIAL:
        inside = y > 0.0
        d = tl.where(inside, y * (1.0 + x), 1.0)
        value = tl.where(inside, tl.exp(1.0 - 1.0 / d), 0.0)
        return value, -2.0 * x * value / (d * d)
    elif CUTOFF == POLYNOMIAL_1:
        return y * y * (1.0 + 2.0 * x), -6.0 * x * y
    elif CUTOFF == POLYNOMIAL:
        return y * y * y * (1.0 + x * (3.0 + 6.0 * x)), -30.0 * x * x * y * y
    elif CUTOFF == POLYNOMIAL_3:
        q = 1.0 + x * (4.0 + x * (10.0 + 20.0 * x))
        return y * y * y * y * q, -140.0 * x * x * x * y * y * y
    else:
        q = 1.0 + x * (5.0 + x * (15.0 + x * (35.0 + 70.0 * x)))
        return y * y * y * y * y * q, -630.0 * x * x * x * x * y * y * y * y


@triton.jit
def gather(
    first, kind, vectors, start, scale, table, order, pairs, elements, CUTOFF: tl.constexpr, BLOCK: tl.constexpr
):
    """Fill the table with the pairs of one center and one element, and `order` with their numbers.

    `kind` is the neighbor's element, -1 beyond the cutoff; `first` bounds the pairs of each center, `start` the places
    of each center and element in the table.
    """
    i, e = tl.program_id(0), tl.program_id(1)
    begin, end = tl.load(first + i), tl.load(first + i + 1)
    place = tl.load(start + i * elements + e)
    for p0 in range(begin, end, BLOCK):
        p = p0 + tl.arange(0, BLOCK)
        mine = tl.load(kind + p, mask=p < end, other=-1) == e
        vector = vectors + 3 * p.to(tl.int64)
        x = tl.load(vector, mask=mine, other=1.0)
        y = tl.load(vector + 1, mask=mine, other=0.0)
        z = tl.load(vector + 2, mask=mine, other=0.0)
        r = tl.sqrt(x * x + y * y + z * z)
        fc, slope = cutoff_value(r, scale, CUTOFF)
        to = place + tl.cumsum(mine.to(tl.int32), 0) - 1
        tl.store(order + to, p, mask=mine)
        row = table + to
        tl.store(row, x, mask=mine)
        row += pairs
        tl.store(row, y, mask=mine)
        row += pairs
        tl.store(row, z, mask=mine)
        row += pairs
        tl.store(row, r, mask=mine)
        row += pairs
        tl.store(row, 1.0 / r, mask=mine)
        row += pairs
        tl.store(row, fc, mask=mine)
        row += pairs
        tl.store(row, slope / r, mask=mine)
        place += tl.sum(mine.to(tl.int32), 0)


@triton.jit
def neighbor(table, pairs, place, mask):
    """Vector, distance, 1/r, cutoff function and its slope over r; zeros where masked."""
    row = table + place  # moved row by row: a product with the number of pairs may be too large for 32 bits
    x = tl.load(row, mask=mask, other=0.0)
    row += pairs
    y = tl.load(row, mask=mask, other=0.0)
    row += pairs
    z = tl.load(row, mask=mask, other=0.0)
    row += pairs
    r = tl.load(row, mask=mask, other=0.0)
    row += pairs
    inverse = tl.load(row, mask=mask, other=0.0)
    row += pairs
    fc = tl.load(row, mask=mask, other=0.0)
    row += pairs
    slope = tl.load(row, mask=mask, other=0.0)
    return x, y, z, r, inverse, fc, slope


@triton.jit
def dot(given, q, x, y, z, mask):
    """Products of vectors with those of `given` (P,3)."""
    v = given + 3 * q.to(tl.int64)
    total = x * tl.load(v, mask=mask, other=0.0)
    total += y * tl.load(v + 1, mask=mask, other=0.0)
    return total + z * tl.load(v + 2, mask=mask, other=0.0)
