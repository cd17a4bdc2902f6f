"""CPU kernel of the Gaussian radial functions."""

from __future__ import annotations

from mlip.kernels.arithmetic import CHANGES, FEATURES, GRADIENTS, exponential
from mlip.kernels.compile import disjoint, kernel


@kernel
def radial(product, group, element, row, first, n, f, given, result):
    """Add what the neighbors of a center, those from first[e] to first[e + 1] of element e, give to a product."""
    disjoint()
    real = n.r.dtype.type
    width = group.shells.shape[0]
    eta, r_s, terms, weights = f.u, f.v, f.p, f.q
    for g in range(width):
        eta[g], r_s[g] = group.shells[g, 0], group.shells[g, 1]
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
            r, fc, slope, inverse = n.r[q], n.fc[q], n.slope[q], real(-2.0) * n.inverse[q]
            if product == FEATURES:
                for g in range(width):
                    d = r - r_s[g]
                    terms[g] += fc * exponential(-eta[g] * d * d)
            elif product == GRADIENTS:
                total = real(0.0)
                for g in range(width):
                    d = r - r_s[g]
                    total += weights[g] * ((slope + inverse * eta[g] * d) * exponential(-eta[g] * d * d))
                n.motion[q, 0] += fc * total
            elif product == CHANGES:
                change = n.motion[q, 0] * fc
                for g in range(width):
                    d = r - r_s[g]
                    terms[g] += change * (slope + inverse * eta[g] * d) * exponential(-eta[g] * d * d)
            else:
                for g in range(width):
                    d = r - r_s[g]
                    along = fc * (slope + inverse * eta[g] * d) * exponential(-eta[g] * d * d)
                    result[3 * n.pair[q], columns[g]] += along * n.x[q]
                    result[3 * n.pair[q] + 1, columns[g]] += along * n.y[q]
                    result[3 * n.pair[q] + 2, columns[g]] += along * n.z[q]
        if product in (FEATURES, CHANGES):
            for g in range(width):
                result[row, columns[g]] += terms[g]
