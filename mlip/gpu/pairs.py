"""Pairs of each center within a cutoff, sorted by neighbor element, with all that depends on one pair alone."""

from __future__ import annotations

import triton
import triton.language as tl

from mlip.gpu.names import COSINE, TANH

ROWS = 7  # of the table of pairs: x, y, z, r, 1/r, cutoff function, its slope over r


@triton.jit
def cutoff_value(r, scale, CUTOFF: tl.constexpr):
    """Cutoff function and its slope at r < cutoff; `scale` holds the cutoff and pi over the cutoff."""
    cutoff = tl.load(scale)
    x = r / cutoff
    if CUTOFF == COSINE:
        turn = tl.load(scale + 1)
        return 0.5 * (tl.cos(turn * r) + 1.0), -0.5 * turn * tl.sin(turn * r)
    elif CUTOFF == TANH:
        t = 1.0 - 2.0 / (tl.exp(2.0 - 2.0 * x) + 1.0)
        return t * t * t, -3.0 * t * t * (1.0 - t * t) / cutoff
    else:
        return 1.0 + x * x * x * (-10.0 + x * (15.0 - 6.0 * x)), -30.0 * x * x * (1.0 - x) * (1.0 - x) / cutoff


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
        x = tl.load(vectors + 3 * p, mask=mine, other=1.0)
        y = tl.load(vectors + 3 * p + 1, mask=mine, other=0.0)
        z = tl.load(vectors + 3 * p + 2, mask=mine, other=0.0)
        r = tl.sqrt(x * x + y * y + z * z)
        fc, slope = cutoff_value(r, scale, CUTOFF)
        to = place + tl.cumsum(mine.to(tl.int32), 0) - 1
        tl.store(order + to, p, mask=mine)
        tl.store(table + to, x, mask=mine)
        tl.store(table + pairs + to, y, mask=mine)
        tl.store(table + 2 * pairs + to, z, mask=mine)
        tl.store(table + 3 * pairs + to, r, mask=mine)
        tl.store(table + 4 * pairs + to, 1.0 / r, mask=mine)
        tl.store(table + 5 * pairs + to, fc, mask=mine)
        tl.store(table + 6 * pairs + to, slope / r, mask=mine)
        place += tl.sum(mine.to(tl.int32), 0)


@triton.jit
def neighbor(table, pairs, place, mask):
    """Vector, distance, 1/r, cutoff function and its slope over r; zeros where masked."""
    x = tl.load(table + place, mask=mask, other=0.0)
    y = tl.load(table + pairs + place, mask=mask, other=0.0)
    z = tl.load(table + 2 * pairs + place, mask=mask, other=0.0)
    r = tl.load(table + 3 * pairs + place, mask=mask, other=0.0)
    inverse = tl.load(table + 4 * pairs + place, mask=mask, other=0.0)
    fc = tl.load(table + 5 * pairs + place, mask=mask, other=0.0)
    slope = tl.load(table + 6 * pairs + place, mask=mask, other=0.0)
    return x, y, z, r, inverse, fc, slope


@triton.jit
def dot(given, q, x, y, z, mask):
    """Products of vectors with those of `given` (P,3)."""
    v = given + 3 * q.to(tl.int64)
    total = x * tl.load(v, mask=mask, other=0.0)
    total += y * tl.load(v + 1, mask=mask, other=0.0)
    return total + z * tl.load(v + 2, mask=mask, other=0.0)
