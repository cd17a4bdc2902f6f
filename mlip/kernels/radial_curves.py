"""CPU kernel of the radial functions that are not Gaussians of the distance."""

from __future__ import annotations

import math

from mlip.kernels.arithmetic import CHANGES, FEATURES, GRADIENTS, exponential, logarithm, sine_and_cosine
from mlip.kernels.compile import disjoint, kernel
from mlip.kernels.neighborhoods import BESSEL


@kernel
def _find_curves(group, r, inverse, value, slope):
    """The functions without the cutoff function at a distance, and their derivatives divided by it."""
    disjoint()
    real = value.dtype.type
    inverse2 = inverse * inverse
    if group.kind == BESSEL:
        for g in range(group.shells.shape[0]):
            wave, height = real(group.shells[g, 0]), real(group.shells[g, 1])
            sine, cosine = sine_and_cosine(wave * r)
            value[g] = height * sine * inverse
            slope[g] = (height * real(math.pi) * wave * cosine - value[g]) * inverse2
    else:
        ln = logarithm(r)
        for g in range(group.shells.shape[0]):
            sharpness, power = real(group.shells[g, 0]), real(group.shells[g, 2])
            d = ln - real(group.shells[g, 1])
            value[g] = exponential(-sharpness * d * d - power * ln)
            slope[g] = (real(-2.0) * sharpness * d - power) * value[g] * inverse2


@kernel
def radial_curves(product, group, element, row, first, n, f, given, result):
    """Add what the neighbors of a center, those from first[e] to first[e + 1] of element e, give to a product."""
    disjoint()
    real = n.r.dtype.type
    width = group.shells.shape[0]
    value, slope, terms, weights = f.u, f.v, f.p, f.q
    for e in range(first.shape[0] - 1):
        of_class = group.class_of[element, e, e]
        if of_class < 0 or first[e] == first[e + 1]:
            continue
        columns = group.columns[of_class]
        for g in range(width):
            terms[g] = real(0.0)
            if product == GRADIENTS:
                weights[g] = given[row, columns[g]]
        for q in range(first[e], first[e + 1]):
            fc, of_cutoff = n.fc[q], n.slope[q]
            _find_curves(group, n.r[q], n.inverse[q], value, slope)
            if product == FEATURES:
                for g in range(width):
                    terms[g] += fc * value[g]
            elif product == GRADIENTS:
                total = real(0.0)
                for g in range(width):
                    total += weights[g] * (of_cutoff * value[g] + slope[g])
                n.motion[q, 0] += fc * total
            elif product == CHANGES:
                change = n.motion[q, 0] * fc
                for g in range(width):
                    terms[g] += change * (of_cutoff * value[g] + slope[g])
            else:
                for g in range(width):
                    along = fc * (of_cutoff * value[g] + slope[g])
                    result[3 * n.pair[q], columns[g]] += along * n.x[q]
                    result[3 * n.pair[q] + 1, columns[g]] += along * n.y[q]
                    result[3 * n.pair[q] + 2, columns[g]] += along * n.z[q]
        if product in (FEATURES, CHANGES):
            for g in range(width):
                result[row, columns[g]] += terms[g]
