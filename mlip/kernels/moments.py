r"""CPU kernel of wide angular functions with a small whole zeta: moments of the neighbors instead of triples.

The angle between two neighbors is in a product of their unit vectors u, the rest is a product w_j w_k of the weights
w = fc(r) exp[-eta (r - r_s)^2]. So the sum over all pairs of a neighbor j of one element and k of another is

.. math:: \sum_{jk} w_j w_k\, 2^{1-\zeta} (1 + \lambda u_j \cdot u_k)^\zeta
          = \sum_{d=0}^{\zeta} 2^{1-\zeta} \binom{\zeta}{d} \lambda^d D_d, \quad
          D_d = \sum_{p+q+s=d} \frac{d!}{p!\,q!\,s!} M_{pqs} M'_{pqs}, \quad
          M_{pqs} = \sum_j w_j\, u_{jx}^p u_{jy}^q u_{jz}^s,

linear in the number of neighbors. Within one element a pair counts once and nobody pairs with itself, which is
(D_d - sum of w_j^2) / 2 for every d, since u.u = 1. The moments of a center, an element and an eta serve all functions.
"""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np

from mlip.kernels.angular import add_rows
from mlip.kernels.arithmetic import CHANGES, FEATURES, GRADIENTS, exponential
from mlip.kernels.compile import disjoint, kernel
from mlip.kernels.neighborhoods import PADDING

LARGEST = 6  # zeta
FEWEST = 0, 14, 16, 19, 22, 26, 30  # neighbors for each largest zeta; with fewer, triples are faster (measured)

# Monomials x^p y^q z^s by degree d, those of degree d from FIRST[d] to FIRST[d + 1]: their powers, d! / (p! q! s!), and
# their products with x, y and z, which are monomials too.
_POWERS = [(p, q, d - p - q) for d in range(LARGEST + 1) for p in range(d, -1, -1) for q in range(d - p, -1, -1)]
FIRST = np.array([d * (d + 1) * (d + 2) // 6 for d in range(LARGEST + 2)])
POWERS = np.array(_POWERS)
TIMES = np.array([math.factorial(p + q + s) / math.prod(map(math.factorial, (p, q, s))) for p, q, s in _POWERS])
HIGHER = np.array(
    [[_POWERS.index(tuple(np.add(m, axis))) for axis in np.eye(3, dtype=int)] for m in _POWERS if sum(m) < LARGEST]
)

# What a center needs. Its neighbors stand by element, those of e from start[e] to start[e + 1], filled up with weights
# 0 to whole vectors: monomials (M,L); unit vectors, squares of r - r_s, weights; p, px, py, pz are the changes of
# weight and unit vector (times the weight), or the gradients by them (by the weight). Sums over the neighbors of each
# element: moments (E,M) and half the sum of squares of weights (E,), others and others_own are their changes or the
# gradients by them. Factors of the monomials in the gradients px, py, pz, or sums with these: lines (3,M). The factors
# of D_d for each angle (A,d); D_d for one pair of elements, or the gradient by it.
Moments = namedtuple(
    "Moments", "start monomials x y z square weight p px py pz sums others own others_own lines factors d"
)


@kernel(inline="always")
def by_moments(group, first):
    """Whether a center has enough neighbors for it."""
    return group.degree > 0 and first[first.shape[0] - 1] - first[0] >= FEWEST[group.degree]


@kernel(allocates=True)
def room_for_moments(real, functions, angles, most):
    """Empty arrays for a center with `most` neighbors; none if no functions want them."""
    elements, degree = functions.class_of.shape[1], functions.groups[:, 6].max()
    count, length = (FIRST[degree + 1], most + elements * PADDING) if degree > 0 else (0, 0)
    c, own = np.empty((9, length), real), np.empty((2, elements), real)
    sums, lines = np.empty((2, elements, count + 3), real), np.empty((3, count + 3), real)
    return Moments(
        np.zeros(elements + 1, np.int64), np.empty((count, length), real), c[0], c[1], c[2], c[3], c[4], c[5], c[6],
        c[7], c[8], sums[0], sums[1], own[0], own[1], lines, np.empty((angles, LARGEST + 1), real),
        np.empty(LARGEST + 1, real),
    )  # fmt: skip


@kernel
def moments(product, group, element, n, m, given, result):
    """Add what the neighbors of a block's centers give to a product."""
    degree, r_s = group.degree, m.weight.dtype.type(group.shells[0, 2])
    _find_factors(group, m.factors)
    for i in range(element.shape[0]):
        first, classes = n.first[i, group.sphere], group.class_of[element[i]]
        if not by_moments(group, first) or not _take_neighbors(r_s, first, classes, n, m):
            continue
        _find_monomials(degree, m)
        for s in range(group.shells.shape[0]):
            eta = m.weight.dtype.type(group.shells[s, 0])
            _find_sums(degree, eta, first, n, m)
            if product == CHANGES:
                _find_changes(degree, eta, r_s, first, n, m)
            else:
                m.others[:], m.others_own[:] = 0.0, 0.0
            for a in range(classes.shape[0]):
                for b in range(a, classes.shape[0]):
                    if _has_pairs(first, classes, a, b):
                        columns = group.columns[classes[a, b]]
                        if product <= CHANGES:
                            row = given[i] if product == GRADIENTS else result[i]
                            _add_pairs(product, group, s, columns, a, b, degree, m, row)
                        else:
                            _add_jacobian(group, s, columns, a, b, degree, eta, r_s, first, n, m, result)
            if product == GRADIENTS:
                for e in range(classes.shape[0]):
                    _add_motion(e, degree, eta, r_s, first, n, m)


@kernel
def _find_factors(group, factors):
    """Factors of D_d for each angle."""
    real = factors.dtype.type
    for angle in range(group.angles.shape[0]):
        zeta, sign = group.angles[angle, 0], group.angles[angle, 1]
        factor = 2.0 ** (1.0 - zeta)
        for d in range(group.degree + 1):
            factors[angle, d] = real(factor)
            factor *= sign * (zeta - d) / (d + 1.0)


@kernel
def _has_pairs(first, classes, a, b):
    """Whether there are functions of these two elements, and neighbors for them."""
    enough = first[a + 1] - first[a] > (1 if a == b else 0) and first[b] < first[b + 1]
    return classes[a, b] >= 0 and enough


@kernel
def _take_neighbors(r_s, first, classes, n, m):
    """Places and unit vectors of the neighbors that have a partner; returns whether there are any."""
    disjoint()
    real, elements = m.x.dtype.type, classes.shape[0]
    for a in range(elements):
        wanted = False
        for b in range(elements):
            wanted |= _has_pairs(first, classes, min(a, b), max(a, b))
        begin, count = m.start[a], first[a + 1] - first[a] if wanted else 0
        m.start[a + 1] = begin + (count + PADDING - 1) // PADDING * PADDING
        for t in range(count):
            q = first[a] + t
            m.x[begin + t], m.y[begin + t] = n.x[q] * n.inverse[q], n.y[q] * n.inverse[q]
            m.z[begin + t], m.square[begin + t] = n.z[q] * n.inverse[q], (n.r[q] - r_s) * (n.r[q] - r_s)
        for t in range(begin + count, m.start[a + 1]):
            m.x[t] = m.y[t] = m.z[t] = m.square[t] = real(0.0)
    return m.start[elements] > 0


@kernel
def _find_monomials(degree, m):
    """All monomials of all neighbors."""
    length = m.start[m.start.shape[0] - 1]
    m.monomials[0, :length] = 1.0
    for lower in range(FIRST[degree]):
        _multiply(m.monomials[lower, :length], m.x, m.monomials[HIGHER[lower, 0]])
        if POWERS[lower, 0] == 0:
            _multiply(m.monomials[lower, :length], m.y, m.monomials[HIGHER[lower, 1]])
            if POWERS[lower, 1] == 0:
                _multiply(m.monomials[lower, :length], m.z, m.monomials[HIGHER[lower, 2]])


@kernel
def _multiply(x, y, result):
    """Product of two columns."""
    disjoint()
    for t in range(x.shape[0]):
        result[t] = x[t] * y[t]


@kernel
def _find_sums(degree, eta, first, n, m):
    """Weights of the neighbors, their moments, and half the sum of squares of the weights."""
    disjoint()
    real = m.weight.dtype.type
    for e in range(first.shape[0] - 1):
        begin, end = m.start[e], m.start[e + 1]
        count = min(first[e + 1] - first[e], end - begin)
        weight, square, fc = m.weight[begin:end], m.square[begin:end], n.fc[first[e] : first[e] + count]
        for t in range(count):
            weight[t] = fc[t] * exponential(-eta * square[t])
        weight[count:] = 0.0
        m.own[e] = real(0.5) * _dot(weight, weight)
        _sum_up(weight, m.monomials, begin, FIRST[degree + 1], m.sums[e])


@kernel
def _sum_up(column, monomials, begin, count, result):
    """Sums of a column times each monomial of the neighbors from `begin`, four at once to read the column once."""
    disjoint()
    end = begin + column.shape[0]
    for k0 in range(0, count, 4):
        k1, k2, k3 = min(k0 + 1, count - 1), min(k0 + 2, count - 1), min(k0 + 3, count - 1)
        a, b = monomials[k0, begin:end], monomials[k1, begin:end]
        c, d = monomials[k2, begin:end], monomials[k3, begin:end]
        of_a = of_b = of_c = of_d = column.dtype.type(0.0)
        for t in range(column.shape[0]):
            of_a += column[t] * a[t]
            of_b += column[t] * b[t]
            of_c += column[t] * c[t]
            of_d += column[t] * d[t]
        result[k0], result[k1], result[k2], result[k3] = of_a, of_b, of_c, of_d


@kernel
def _expand(line, monomials, begin, count, result):
    """Add the monomials of the neighbors from `begin`, with their factors in a line, which goes on with zeros."""
    disjoint()
    end = begin + result.shape[0]
    for k0 in range(0, count, 4):
        k1, k2, k3 = min(k0 + 1, count - 1), min(k0 + 2, count - 1), min(k0 + 3, count - 1)
        a, b = monomials[k0, begin:end], monomials[k1, begin:end]
        c, d = monomials[k2, begin:end], monomials[k3, begin:end]
        of_a, of_b, of_c, of_d = line[k0], line[k0 + 1], line[k0 + 2], line[k0 + 3]
        for t in range(result.shape[0]):
            result[t] += of_a * a[t] + of_b * b[t] + of_c * c[t] + of_d * d[t]


@kernel
def _find_changes(degree, eta, r_s, first, n, m):
    """What the changes of the vectors change in the sums."""
    disjoint()
    real = m.weight.dtype.type
    for e in range(first.shape[0] - 1):
        begin, end = m.start[e], m.start[e + 1]
        count = min(first[e + 1] - first[e], end - begin)
        p, px, py, pz, weight = m.p[begin:end], m.px[begin:end], m.py[begin:end], m.pz[begin:end], m.weight[begin:end]
        x, y, z = m.x[begin:end], m.y[begin:end], m.z[begin:end]
        for t in range(count):
            q = first[e] + t
            along, inverse = n.motion[q, 0], n.inverse[q]
            turn = along * inverse * inverse
            p[t] = weight[t] * along * (n.slope[q] - real(2.0) * eta * (real(1.0) - r_s * inverse))
            px[t] = weight[t] * (n.motion[q, 1] * inverse - turn * x[t])
            py[t] = weight[t] * (n.motion[q, 2] * inverse - turn * y[t])
            pz[t] = weight[t] * (n.motion[q, 3] * inverse - turn * z[t])
        p[count:] = px[count:] = py[count:] = pz[count:] = 0.0
        m.others_own[e] = _dot(weight, p)
        _sum_up(p, m.monomials, begin, FIRST[degree + 1], m.others[e])
        _sum_up(px, m.monomials, begin, FIRST[degree], m.lines[0])
        _sum_up(py, m.monomials, begin, FIRST[degree], m.lines[1])
        _sum_up(pz, m.monomials, begin, FIRST[degree], m.lines[2])
        for k in range(FIRST[degree]):
            for axis in range(3):
                above = HIGHER[k, axis]
                m.others[e, above] += POWERS[above, axis] * m.lines[axis, k]


@kernel
def _dot(x, y):
    """Scalar product."""
    total = x.dtype.type(0.0)
    for t in range(x.shape[0]):
        total += x[t] * y[t]
    return total


@kernel
def _add_pairs(product, group, s, columns, a, b, degree, m, row):
    """Add the functions of two elements to features or their changes, or their gradient to that by the sums."""
    real = m.d.dtype.type
    begin, end = group.ends[s], group.ends[s + 1]
    if product == GRADIENTS:
        m.d[:] = 0.0
        for function in range(begin, end):
            for d in range(degree + 1):
                m.d[d] += row[columns[function]] * m.factors[group.angle_of[function], d]
        _add_gradient(a, b, degree, m)
        return
    for d in range(degree + 1):
        total = real(0.0)
        for k in range(FIRST[d], FIRST[d + 1]):
            if product == FEATURES:
                total += TIMES[k] * m.sums[a, k] * m.sums[b, k]
            else:
                total += TIMES[k] * (m.sums[a, k] * m.others[b, k] + m.others[a, k] * m.sums[b, k])
        if a == b:
            total = real(0.5) * total - (m.own[a] if product == FEATURES else m.others_own[a])
        m.d[d] = total
    for function in range(begin, end):
        total = real(0.0)
        for d in range(degree + 1):
            total += m.factors[group.angle_of[function], d] * m.d[d]
        row[columns[function]] += total


@kernel
def _add_gradient(a, b, degree, m):
    """Add to the gradient by the sums of two elements, from that by D_d, which is in d."""
    for d in range(degree + 1):
        if a == b:
            m.others_own[a] -= m.d[d]
        for k in range(FIRST[d], FIRST[d + 1]):
            m.others[a, k] += m.d[d] * TIMES[k] * m.sums[b, k]
            if a != b:
                m.others[b, k] += m.d[d] * TIMES[k] * m.sums[a, k]


@kernel
def _add_jacobian(group, s, columns, a, b, degree, eta, r_s, first, n, m, result):
    """The Jacobian of the functions of two elements, one after the other."""
    for function in range(group.ends[s], group.ends[s + 1]):
        m.others[:], m.others_own[:] = 0.0, 0.0
        for d in range(degree + 1):
            m.d[d] = m.factors[group.angle_of[function], d]
        _add_gradient(a, b, degree, m)
        for e in range(a, b + 1, max(b - a, 1)):
            _add_motion(e, degree, eta, r_s, first, n, m)
            for q in range(first[e], first[e + 1]):
                add_rows(q, n, columns[function], result)


@kernel
def _add_motion(e, degree, eta, r_s, first, n, m):
    """Gradients of an element's neighbors from that by its sums."""
    disjoint()
    real, (begin, end) = m.weight.dtype.type, (m.start[e], m.start[e + 1])
    p, px, py, pz, weight = m.p[begin:end], m.px[begin:end], m.py[begin:end], m.pz[begin:end], m.weight[begin:end]
    for t in range(end - begin):
        p[t] = m.others_own[e] * weight[t]
        px[t] = py[t] = pz[t] = real(0.0)
    m.lines[:] = 0.0
    for k in range(FIRST[degree]):
        for axis in range(3):
            above = HIGHER[k, axis]
            m.lines[axis, k] = POWERS[above, axis] * m.others[e, above]
    _expand(m.others[e], m.monomials, begin, FIRST[degree + 1], p)
    _expand(m.lines[0], m.monomials, begin, FIRST[degree], px)
    _expand(m.lines[1], m.monomials, begin, FIRST[degree], py)
    _expand(m.lines[2], m.monomials, begin, FIRST[degree], pz)
    for t in range(min(first[e + 1] - first[e], end - begin)):
        q = first[e] + t
        inverse = n.inverse[q]
        turn = px[t] * m.x[begin + t] + py[t] * m.y[begin + t] + pz[t] * m.z[begin + t]
        of_weight = p[t] * (n.slope[q] - real(2.0) * eta * (real(1.0) - r_s * inverse))
        n.motion[q, 0] += weight[t] * (of_weight - turn * inverse * inverse)
        n.motion[q, 1] += weight[t] * inverse * px[t]
        n.motion[q, 2] += weight[t] * inverse * py[t]
        n.motion[q, 3] += weight[t] * inverse * pz[t]
