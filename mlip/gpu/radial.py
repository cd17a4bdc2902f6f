"""Kernel of the radial functions: one program for each center and neighbor element."""

from __future__ import annotations

import triton
import triton.language as tl

from mlip.gpu.names import BESSEL, CHANGES, FEATURES, GRADIENTS, RADIAL
from mlip.gpu.pairs import dot, neighbor


@triton.jit
def _curve(r, inverse, a, b, c, mask, KIND: tl.constexpr):
    """The functions without the cutoff function, and their derivatives by the distance, over the distance."""
    if KIND == RADIAL:
        d = r - b
        value = tl.exp(-a * d * d)
        return value, -2.0 * a * d * inverse * value
    elif KIND == BESSEL:
        value = b * tl.sin(c * r) * inverse
        return value, (b * c * tl.cos(c * r) - value) * inverse * inverse
    else:
        logarithm = tl.log(tl.where(mask, r, 1.0))
        d = logarithm - b
        value = tl.exp(-a * d * d - c * logarithm)
        return value, (-2.0 * a * d - c) * inverse * inverse * value


@triton.jit
def radial(
    element, start, order, table, given, result, values, class_of, columns, pairs, elements, width,
    PRODUCT: tl.constexpr, KIND: tl.constexpr, FUNCTIONS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One of the products of F functions: `values` (3,F) are their numbers, `columns` (C,F) is -1 where there is none.

    `given` is g (N,D), or v (P,3) in the order of the table. Features and changes are written, gradients are added to
    `result`.
    """
    i, e = tl.program_id(0), tl.program_id(1)
    first, last = tl.load(start + i * elements + e), tl.load(start + i * elements + e + 1)
    row = tl.load(class_of + tl.load(element + i) * elements + e)
    if (row < 0) | (first == last):
        return
    function = tl.arange(0, FUNCTIONS)
    column = tl.load(columns + row * FUNCTIONS + function)
    used = column >= 0
    own = i.to(tl.int64) * width + column
    if PRODUCT == GRADIENTS:
        weight = tl.load(given + own, mask=used, other=0.0)
    # Pairs are the last axis: a thread has a pair and all functions of it.
    a, b = tl.load(values + function)[:, None], tl.load(values + FUNCTIONS + function)[:, None]
    c = tl.load(values + 2 * FUNCTIONS + function)[:, None]
    total = tl.zeros((FUNCTIONS, BLOCK), table.dtype.element_ty)
    for q0 in range(first, last, BLOCK):
        q = q0 + tl.arange(0, BLOCK)
        mask = q < last
        x, y, z, r, inverse, fc, slope = neighbor(table, pairs, q, mask)
        value, of_r = _curve(r[None, :], inverse[None, :], a, b, c, mask[None, :], KIND)
        if PRODUCT == FEATURES:
            total += fc[None, :] * value
        else:
            # The derivative by the distance, over the distance: its product with the vector is the gradient.
            derivative = slope[None, :] * value + fc[None, :] * of_r
            p = tl.load(order + q, mask=mask, other=0).to(tl.int64)
            if PRODUCT == GRADIENTS:
                along = tl.sum(weight[:, None] * derivative, axis=0)
                to = result + 3 * p
                tl.store(to, tl.load(to, mask=mask) + along * x, mask=mask)
                tl.store(to + 1, tl.load(to + 1, mask=mask) + along * y, mask=mask)
                tl.store(to + 2, tl.load(to + 2, mask=mask) + along * z, mask=mask)
            elif PRODUCT == CHANGES:
                total += dot(given, q, x, y, z, mask)[None, :] * derivative
            else:
                to = result + (3 * p * width)[None, :] + column[:, None]
                both = mask[None, :] & used[:, None]
                tl.store(to, derivative * x[None, :], mask=both)
                tl.store(to + width, derivative * y[None, :], mask=both)
                tl.store(to + 2 * width, derivative * z[None, :], mask=both)
    if (PRODUCT == FEATURES) | (PRODUCT == CHANGES):
        tl.store(result + own, tl.sum(total, axis=1), mask=used)
