"""CPU kernel of the angular functions.

A term of a triple is a product fc · A(cos theta) · R(distances), with few different A and R in a set of functions. So
the kernel makes each A and R once for a chunk of triples, vectorized along the triples, and what a function then costs
is one multiplication and one addition: for G and J v the sum over t of A[t] R[t] fc[t], for the transposed product the
same sum over functions.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from mlip.kernels.angles import polynomials, powers
from mlip.kernels.arithmetic import CHANGES, FEATURES, GRADIENTS, exponential
from mlip.kernels.compile import disjoint, kernel
from mlip.kernels.neighborhoods import AXILROD_TELLER, CHEBYSHEV, NARROW, PADDING, SHIFTED, WIDE

CHUNK = 256  # triples at once: their factors stay in the first-level cache

# Factors of a chunk: angular A and dA/dcos (M,T), radial times cutoff R (S,T); columns along the triples: u, v and w
# are what belongs to cos, the argument of R, and the logarithm of the cutoffs; p and q are scratch.
Factors = namedtuple("Factors", "A dA R u v w p q")


@kernel(allocates=True)
def room_for_factors(real, angles, shells):
    """Empty arrays for the factors of a chunk."""
    room = CHUNK + PADDING
    c = np.empty((5, max(room, shells)), real)
    A, dA, R = np.empty((angles, room), real), np.empty((angles, room), real), np.empty((shells, room), real)
    return Factors(A, dA, R, c[0], c[1], c[2], c[3], c[4])


@kernel
def angular(product, group, first, last, runs, n, t, f, given, result):
    """Add what the triples of some runs, which lie between first and last, give to a product."""
    run = 0
    for begin in range(first, last, CHUNK):
        end = min(begin + CHUNK, last)
        if group.kind >= AXILROD_TELLER:
            polynomials(group, begin, end - begin, t, f)
        else:
            powers(group, begin, end - begin, t, f)
        _radial_factors(product, group, begin, end - begin, t, f)
        if product == CHANGES:
            _tangents(group, begin, end - begin, n, t, f)
        while run < runs.shape[0] and runs[run, 3] < end:
            low, high = max(runs[run, 3], begin), min(runs[run, 4], end)
            row, columns = runs[run, 2], group.columns[runs[run, 1]]
            if product == FEATURES:
                _add_features(group, columns, low - begin, high - begin, f, result[row])
            elif product == CHANGES:
                _add_changes(group, columns, low - begin, high - begin, begin, t, f, result[row])
            elif product == GRADIENTS:
                _add_gradients(group, columns, low - begin, high - begin, begin, t, f, given[row])
            else:
                _add_jacobian(group, columns, low - begin, high - begin, begin, n, t, f, result)
            if runs[run, 4] > end:
                break
            run += 1
        if product == GRADIENTS:
            _scatter(group, begin, 0, end - begin, n, t, f)


@kernel
def _radial_factors(product, group, begin, count, t, f):
    """R, with the cutoffs of r_ij and r_ik, and for features with that of r_jk too."""
    disjoint()
    real = f.R.dtype.type
    whole = (count + PADDING - 1) // PADDING * PADDING
    argument, outer, fc = t.argument[begin : begin + whole], t.outer[begin : begin + whole], t.fc[begin : begin + whole]
    weight = f.p
    for x in range(whole):
        weight[x] = outer[x] * fc[x] if product == FEATURES else outer[x]
    for s in range(group.shells.shape[0]):
        eta, r_s, R = real(group.shells[s, 0]), real(group.shells[s, 1]), f.R[s]
        if group.kind >= SHIFTED:
            for x in range(whole):
                d = argument[x] - r_s
                R[x] = exponential(-eta * d * d) * weight[x]
        else:
            for x in range(whole):
                R[x] = exponential(-eta * argument[x]) * weight[x]


@kernel(inline="always")
def _slope(kind, eta, r_s, argument):
    """The derivative of the logarithm of R by its argument."""
    return type(eta)(-2.0) * eta * (argument - r_s) if kind >= SHIFTED else -eta


@kernel
def _add_features(group, columns, low, high, f, result):
    """Sums over the triples of a run; two functions at once, so that R is read once for both."""
    disjoint()
    for s in range(group.shells.shape[0]):
        R, real = f.R[s, low:high], f.R.dtype.type
        for one in range(group.ends[s], group.ends[s + 1], 2):
            two = min(one + 1, group.ends[s + 1] - 1)
            A, B = f.A[group.angle_of[one], low:high], f.A[group.angle_of[two], low:high]
            of_one = of_two = real(0.0)
            for x in range(high - low):
                of_one += R[x] * A[x]
                of_two += R[x] * B[x]
            result[columns[one]] += of_one
            if two > one:
                result[columns[two]] += of_two


@kernel
def _add_gradients(group, columns, low, high, begin, t, f, given):
    """Sums over the functions of a run's triples, two functions at once."""
    disjoint()
    u, v, w = f.u[low:high], f.v[low:high], f.w[low:high]
    argument, real = t.argument[begin + low : begin + high], u.dtype.type
    for x in range(high - low):
        u[x] = v[x] = w[x] = real(0.0)
    for s in range(group.shells.shape[0]):
        R, eta, r_s = f.R[s, low:high], real(group.shells[s, 0]), real(group.shells[s, 1])
        for one in range(group.ends[s], group.ends[s + 1], 2):
            two = min(one + 1, group.ends[s + 1] - 1)
            a, b = real(given[columns[one]]), real(given[columns[two]])
            b = b if two > one else real(0.0)
            one_of, two_of = group.angle_of[one], group.angle_of[two]
            A, dA, B, dB = f.A[one_of, low:high], f.dA[one_of, low:high], f.A[two_of, low:high], f.dA[two_of, low:high]
            for x in range(high - low):
                p = (a * A[x] + b * B[x]) * R[x]
                u[x] += (a * dA[x] + b * dB[x]) * R[x]
                v[x] += p * _slope(group.kind, eta, r_s, argument[x])
                w[x] += p


@kernel
def _add_changes(group, columns, low, high, begin, t, f, result):
    """Sums over the triples of a run, whose changes are in u, v and w."""
    disjoint()
    u, v, w, p, q = f.u[low:high], f.v[low:high], f.w[low:high], f.p[low:high], f.q[low:high]
    argument, real = t.argument[begin + low : begin + high], u.dtype.type
    for s in range(group.shells.shape[0]):
        R, eta, r_s = f.R[s, low:high], real(group.shells[s, 0]), real(group.shells[s, 1])
        for x in range(high - low):
            q[x] = R[x] * u[x]
            p[x] = R[x] * (_slope(group.kind, eta, r_s, argument[x]) * v[x] + w[x])
        for function in range(group.ends[s], group.ends[s + 1]):
            m = group.angle_of[function]
            A, dA = f.A[m, low:high], f.dA[m, low:high]
            total = real(0.0)
            for x in range(high - low):
                total += p[x] * A[x] + q[x] * dA[x]
            result[columns[function]] += total


@kernel
def _add_jacobian(group, columns, low, high, begin, n, t, f, result):
    """The Jacobian of a run's functions, one after the other."""
    real = f.u.dtype.type
    for s in range(group.shells.shape[0]):
        R, eta, r_s = f.R[s], real(group.shells[s, 0]), real(group.shells[s, 1])
        for function in range(group.ends[s], group.ends[s + 1]):
            A, dA = f.A[group.angle_of[function]], f.dA[group.angle_of[function]]
            for x in range(low, high):
                f.u[x] = dA[x] * R[x]
                f.w[x] = A[x] * R[x]
                f.v[x] = f.w[x] * _slope(group.kind, eta, r_s, t.argument[begin + x])
            _scatter(group, begin, low, high, n, t, f)
            for x in range(low, high):
                for q in (t.j[begin + x], t.k[begin + x]):
                    add_rows(q, n, columns[function], result)


@kernel
def add_rows(q, n, column, result):
    """Add the gradient that has been collected for neighbor q to a column of the Jacobian, and collect anew."""
    row = 3 * n.pair[q]
    result[row, column] += n.motion[q, 0] * n.x[q] + n.motion[q, 1]
    result[row + 1, column] += n.motion[q, 0] * n.y[q] + n.motion[q, 2]
    result[row + 2, column] += n.motion[q, 0] * n.z[q] + n.motion[q, 3]
    n.motion[q, :] = 0.0


@kernel
def _tangents(group, begin, count, n, t, f):
    """What the changes of the vectors change: u is that of cos, v of the argument, w of the logarithm of the cutoffs.

    All three are multiplied with the cutoff function of r_jk.
    """
    disjoint()
    real = f.u.dtype.type
    js, ks, cos = t.j[begin : begin + count], t.k[begin : begin + count], t.cos[begin : begin + count]
    fc, slope = t.fc[begin : begin + count], t.slope[begin : begin + count]
    by_j, by_k = t.by_j[begin : begin + count], t.by_k[begin : begin + count]
    for x in range(count):
        j, k = js[x], ks[x]
        jj, kk, ij, ik = n.motion[j, 0], n.motion[k, 0], n.inverse[j], n.inverse[k]
        cross = n.x[j] * n.motion[k, 1] + n.y[j] * n.motion[k, 2] + n.z[j] * n.motion[k, 3]
        cross += n.x[k] * n.motion[j, 1] + n.y[k] * n.motion[j, 2] + n.z[k] * n.motion[j, 3]
        f.u[x] = fc[x] * (cross * ij * ik - cos[x] * (jj * ij * ij + kk * ik * ik))
        if group.kind == NARROW:
            f.v[x] = real(2.0) * fc[x] * (real(2.0) * (jj + kk) - cross)
        elif group.kind == WIDE:
            f.v[x] = real(2.0) * fc[x] * (jj + kk)
        else:
            f.v[x] = real(0.5) * fc[x] * (jj * ij + kk * ik)
        f.w[x] = fc[x] * (n.slope[j] * jj + n.slope[k] * kk) + slope[x] * (jj + kk - cross)
        if SHIFTED < group.kind < CHEBYSHEV:
            f.w[x] += by_j[x] * jj + by_k[x] * kk
    if group.kind <= WIDE and group.shells[0, 2] != 0.0:
        twice_r_s = real(2.0 * group.shells[0, 2])
        for x in range(count):  # the squares of distances from r_s lack 2 r_s times the sum of the distances
            j, k = js[x], ks[x]
            jj, kk = n.motion[j, 0], n.motion[k, 0]
            change = jj * n.inverse[j] + kk * n.inverse[k]
            if group.kind == NARROW:
                cross = n.x[j] * n.motion[k, 1] + n.y[j] * n.motion[k, 2] + n.z[j] * n.motion[k, 3]
                cross += n.x[k] * n.motion[j, 1] + n.y[k] * n.motion[j, 2] + n.z[k] * n.motion[j, 3]
                change += (jj + kk - cross) * by_j[x]
            f.v[x] -= twice_r_s * fc[x] * change


@kernel
def _scatter(group, begin, low, high, n, t, f):
    """Gradients of the neighbors from those of cos (u), argument (v) and logarithm of the cutoffs (w) of each triple.

    The gradient by r_ij is (along_j + apart) r_ij + (across - apart) r_ik; that by r_ik has j and k exchanged.
    """
    disjoint()
    real = f.u.dtype.type
    js, ks, cos = t.j[begin + low : begin + high], t.k[begin + low : begin + high], t.cos[begin + low : begin + high]
    fc, slope = t.fc[begin + low : begin + high], t.slope[begin + low : begin + high]
    u, v, w, p = f.u[low:high], f.v[low:high], f.w[low:high], f.p[low:high]
    by_j, by_k = t.by_j[begin + low : begin + high], t.by_k[begin + low : begin + high]
    narrow, wide, weighted = group.kind == NARROW, group.kind == WIDE, SHIFTED < group.kind < CHEBYSHEV
    twice_r_s = real(2.0 * group.shells[0, 2] if narrow or wide else 0.0)
    for x in range(high - low if twice_r_s != 0.0 else 0):
        f.q[x] = twice_r_s * v[x] * fc[x]
    for x in range(high - low):
        j, k = js[x], ks[x]
        ij, ik = n.inverse[j], n.inverse[k]
        of_cos, of_argument, of_cutoffs = u[x] * fc[x], v[x] * fc[x], w[x] * fc[x]
        along_j = of_cutoffs * n.slope[j] - of_cos * cos[x] * ij * ij
        along_k = of_cutoffs * n.slope[k] - of_cos * cos[x] * ik * ik
        apart = w[x] * slope[x]
        if narrow:
            apart += real(2.0) * of_argument
        if narrow or wide:
            along_j += real(2.0) * of_argument
            along_k += real(2.0) * of_argument
        else:
            along_j += real(0.5) * of_argument * ij
            along_k += real(0.5) * of_argument * ik
        if weighted:
            along_j += w[x] * by_j[x]
            along_k += w[x] * by_k[x]
        p[x] = of_cos * ij * ik - apart
        u[x] = along_j + apart
        v[x] = along_k + apart
    if twice_r_s != 0.0:
        _subtract_sum_of_distances(narrow, js, ks, n, f.q[: high - low], by_j, u, v, p)
    spread(js, ks, u, v, p, n)


@kernel
def spread(js, ks, along_j, along_k, across, n):
    """Add the gradients of triples to those of their neighbors.

    That by r_ij is along_j r_ij + across r_ik; that by r_ik has j and k exchanged.
    """
    disjoint()
    real, count = across.dtype.type, js.shape[0]
    x = 0
    while x < count:
        j = js[x]
        xj, yj, zj = n.x[j], n.y[j], n.z[j]
        along = gx = gy = gz = real(0.0)
        while x < count and js[x] == j:
            k, p = ks[x], across[x]
            n.motion[k, 0] += along_k[x]
            n.motion[k, 1] += p * xj
            n.motion[k, 2] += p * yj
            n.motion[k, 3] += p * zj
            along += along_j[x]
            gx += p * n.x[k]
            gy += p * n.y[k]
            gz += p * n.z[k]
            x += 1
        n.motion[j, 0] += along
        n.motion[j, 1] += gx
        n.motion[j, 2] += gy
        n.motion[j, 3] += gz


@kernel
def _subtract_sum_of_distances(narrow, js, ks, n, of_sum, per_jk, along_j, along_k, across):
    """What the squares of distances from r_s lack, in the gradients: 2 r_s times the sum of the distances."""
    disjoint()
    for x in range(js.shape[0]):
        along_j[x] -= of_sum[x] * n.inverse[js[x]]
        along_k[x] -= of_sum[x] * n.inverse[ks[x]]
    if narrow:
        for x in range(js.shape[0]):
            apart = of_sum[x] * per_jk[x]
            along_j[x] -= apart
            along_k[x] -= apart
            across[x] += apart
