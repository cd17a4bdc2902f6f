"""CPU kernels of the functions with compact support.

As in `mlip.kernels.angular` a term of a triple is a product of few factors, which are made once for a chunk of triples:
those of the angle for all functions, those of the distances for the functions of one shell. Where all factors of a
shell are zero, its functions are not looked at.
"""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np

from mlip.kernels.angular import CHUNK, add_rows, spread
from mlip.kernels.arithmetic import CHANGES, FEATURES, GRADIENTS, arc_cosine
from mlip.kernels.compile import disjoint, kernel
from mlip.kernels.neighborhoods import COMPACT_NARROW, COMPACT_RADIAL, PADDING
from mlip.kernels.shapes import find_shape, find_shell

# Of a chunk of triples: the angle and its sine; the three distances, their compact functions c, and the derivatives d
# of these divided by the distances; the product R of the three (and the weights), and that with d in place of one of
# them. Changes of the cosine and of the distances (times these), or the gradients by them (divided by these); p, q and
# x are scratch.
Compact = namedtuple(
    "Compact",
    "theta sine r_j r_k r_jk c_j c_k c_jk d_j d_k d_jk R R_j R_k R_jk of_cos of_j of_k of_jk p q x",
)


@kernel(allocates=True)
def room_for_compact(real, functions):
    """Empty arrays for a chunk; none if there are no such functions."""
    wanted = 0
    for g in range(functions.groups.shape[0] - 1):
        wanted |= functions.groups[g, 0] == COMPACT_RADIAL or functions.groups[g, 0] >= COMPACT_NARROW
    c = np.zeros((22, (CHUNK + PADDING) * wanted), real)
    return Compact(
        c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], c[12], c[13], c[14], c[15], c[16],
        c[17], c[18], c[19], c[20], c[21],
    )  # fmt: skip


@kernel
def compact_radial(product, group, element, row, first, n, m, given, result):
    """Add what the neighbors of a center, those from first[e] to first[e + 1] of element e, give to a product."""
    real = n.r.dtype.type
    for e in range(first.shape[0] - 1):
        of_class = group.class_of[element, e, e]
        if of_class < 0:
            continue
        columns = group.columns[of_class]
        for begin in range(first[e], first[e + 1], CHUNK):
            end = min(begin + CHUNK, first[e + 1])
            c, d, weight, motion = m.c_j[: end - begin], m.d_j[: end - begin], n.fc[begin:end], n.motion[begin:end]
            for s in range(group.shells.shape[0]):
                order, inner, column = group.shells[s, 0], group.shells[s, 1], columns[s]
                find_shell(order, inner, group.cutoff, n.r[begin:end], m.x[: end - begin], c, d)
                total = real(0.0)
                if product == FEATURES:
                    for t in range(end - begin):
                        total += weight[t] * c[t]
                    result[row, column] += total
                elif product == GRADIENTS:
                    for t in range(end - begin):
                        motion[t, 0] += real(given[row, column]) * weight[t] * d[t]
                elif product == CHANGES:
                    for t in range(end - begin):
                        total += motion[t, 0] * weight[t] * d[t]
                    result[row, column] += total
                else:
                    for t in range(end - begin):
                        q, along = begin + t, weight[t] * d[t]
                        result[3 * n.pair[q], column] += along * n.x[q]
                        result[3 * n.pair[q] + 1, column] += along * n.y[q]
                        result[3 * n.pair[q] + 2, column] += along * n.z[q]


@kernel
def compact_angular(product, group, first, last, runs, n, t, f, m, given, result):
    """Add what the triples of some runs, which lie between first and last, give to a product."""
    run = 0
    for begin in range(first, last, CHUNK):
        end = min(begin + CHUNK, last)
        stop = run
        while stop < runs.shape[0] and runs[stop, 3] < end:
            stop += 1
        _find_distances(group, begin, end - begin, n, t, m)
        _find_angles(group, t.cos[begin:end], m, f)
        if product == CHANGES:
            _find_changes(begin, end - begin, n, t, m)
        elif product == GRADIENTS:
            m.of_cos[:], m.of_j[:], m.of_k[:], m.of_jk[:] = 0.0, 0.0, 0.0, 0.0
        for s in range(group.shells.shape[0]):
            _find_factors(product, group, s, t.outer[begin:end], m)
            for here in range(run, stop):
                low, high = max(runs[here, 3], begin) - begin, min(runs[here, 4], end) - begin
                row, columns = runs[here, 2], group.columns[runs[here, 1]]
                if not _is_any(m.R[low:high]):
                    continue
                if product == FEATURES:
                    _add_features(group, s, columns, low, high, f, m, result[row])
                elif product == GRADIENTS:
                    _add_gradients(group, s, columns, low, high, f, m, given[row])
                elif product == CHANGES:
                    _add_changes(group, s, columns, low, high, f, m, result[row])
                else:
                    _add_jacobian(group, s, columns, low, high, begin, n, t, f, m, result)
        if product == GRADIENTS:
            _scatter(begin, 0, end - begin, n, t, m)
        while run < stop and runs[run, 4] <= end:
            run += 1


@kernel
def _find_distances(group, begin, count, n, t, m):
    """The three distances of each triple."""
    disjoint()
    js, ks, squares = t.j[begin : begin + count], t.k[begin : begin + count], t.argument[begin : begin + count]
    for x in range(count):
        m.r_j[x], m.r_k[x] = n.r[js[x]], n.r[ks[x]]
    if group.kind == COMPACT_NARROW:
        for x in range(count):
            m.r_jk[x] = math.sqrt(squares[x])


@kernel
def _find_angles(group, cos, m, f):
    """A and dA/dcos, which is -A' / sin; on a line the limit of it."""
    disjoint()
    count, real = cos.shape[0], cos.dtype.type
    theta, sine, scaled = m.theta[:count], m.sine[:count], m.x[:count]
    for x in range(count):
        c = max(min(cos[x], real(1.0)), real(-1.0))
        theta[x], sine[x] = arc_cosine(c), math.sqrt((real(1.0) - c) * (real(1.0) + c))
    for a in range(group.angles.shape[0]):
        center, per_width = real(group.angles[a, 1]), real(group.angles[a, 2])
        at_0, at_180 = real(group.angles[a, 3]), real(group.angles[a, 4])
        A, dA = f.A[a, :count], f.dA[a, :count]
        for x in range(count):
            scaled[x] = abs(theta[x] - center) * per_width
        find_shape(group.angles[a, 0], scaled, A, dA)
        for x in range(count):
            per_sine = real(1.0) / max(sine[x], real(1e-30))
            bent = dA[x] * (-per_width if theta[x] > center else per_width) * per_sine
            dA[x] = bent if sine[x] > real(0.0) else (at_0 if cos[x] > real(0.0) else at_180)


@kernel
def _find_factors(product, group, s, weight, m):
    """The product of the compact functions of a shell, and for derivatives those with one of them differentiated."""
    count = weight.shape[0]
    order, inner, order_jk = group.shells[s, 0], group.shells[s, 1], group.shells[s, 2]
    find_shell(order, inner, group.cutoff, m.r_j[:count], m.x[:count], m.c_j[:count], m.d_j[:count])
    find_shell(order, inner, group.cutoff, m.r_k[:count], m.x[:count], m.c_k[:count], m.d_k[:count])
    if group.kind == COMPACT_NARROW:
        find_shell(order_jk, inner, group.cutoff, m.r_jk[:count], m.x[:count], m.c_jk[:count], m.d_jk[:count])
    else:
        m.c_jk[:count], m.d_jk[:count] = 1.0, 0.0
    _multiply(product, weight, m)


@kernel
def _multiply(product, weight, m):
    """The products of what was found for the three distances."""
    disjoint()
    for x in range(weight.shape[0]):
        m.R[x] = weight[x] * m.c_j[x] * m.c_k[x] * m.c_jk[x]
    if product != FEATURES:
        for x in range(weight.shape[0]):
            far = weight[x] * m.c_jk[x]
            m.R_j[x] = far * m.d_j[x] * m.c_k[x]
            m.R_k[x] = far * m.c_j[x] * m.d_k[x]
            m.R_jk[x] = weight[x] * m.c_j[x] * m.c_k[x] * m.d_jk[x]


@kernel
def _is_any(R):
    """Whether a number is not zero."""
    found = 0
    for x in range(R.shape[0]):
        found |= R[x] != 0.0
    return found != 0


@kernel
def _add_features(group, s, columns, low, high, f, m, result):
    """Sums over the triples of a run."""
    disjoint()
    R = m.R[low:high]
    for function in range(group.ends[s], group.ends[s + 1]):
        A, total = f.A[group.angle_of[function], low:high], R.dtype.type(0.0)
        for x in range(high - low):
            total += R[x] * A[x]
        result[columns[function]] += total


@kernel
def _add_gradients(group, s, columns, low, high, f, m, given):
    """Sums over the functions of a run's triples."""
    disjoint()
    p, q, R, R_j, R_k, R_jk = (
        m.p[low:high],
        m.q[low:high],
        m.R[low:high],
        m.R_j[low:high],
        m.R_k[low:high],
        m.R_jk[low:high],
    )
    of_cos, of_j, of_k, of_jk = m.of_cos[low:high], m.of_j[low:high], m.of_k[low:high], m.of_jk[low:high]
    p[:], q[:] = 0.0, 0.0
    for function in range(group.ends[s], group.ends[s + 1]):
        g, angle = R.dtype.type(given[columns[function]]), group.angle_of[function]
        A, dA = f.A[angle, low:high], f.dA[angle, low:high]
        for x in range(high - low):
            p[x] += g * A[x]
            q[x] += g * dA[x]
    for x in range(high - low):
        of_cos[x] += q[x] * R[x]
        of_j[x] += p[x] * R_j[x]
        of_k[x] += p[x] * R_k[x]
        of_jk[x] += p[x] * R_jk[x]


@kernel
def _add_changes(group, s, columns, low, high, f, m, result):
    """Sums over the triples of a run."""
    disjoint()
    p, q, R, R_j, R_k, R_jk = (
        m.p[low:high],
        m.q[low:high],
        m.R[low:high],
        m.R_j[low:high],
        m.R_k[low:high],
        m.R_jk[low:high],
    )
    of_cos, of_j, of_k, of_jk = m.of_cos[low:high], m.of_j[low:high], m.of_k[low:high], m.of_jk[low:high]
    for x in range(high - low):
        p[x] = R_j[x] * of_j[x] + R_k[x] * of_k[x] + R_jk[x] * of_jk[x]
        q[x] = R[x] * of_cos[x]
    for function in range(group.ends[s], group.ends[s + 1]):
        A, dA = f.A[group.angle_of[function], low:high], f.dA[group.angle_of[function], low:high]
        total = R.dtype.type(0.0)
        for x in range(high - low):
            total += p[x] * A[x] + q[x] * dA[x]
        result[columns[function]] += total


@kernel
def _add_jacobian(group, s, columns, low, high, begin, n, t, f, m, result):
    """The Jacobian of a shell's functions, one after the other."""
    for function in range(group.ends[s], group.ends[s + 1]):
        A, dA = f.A[group.angle_of[function]], f.dA[group.angle_of[function]]
        for x in range(low, high):
            m.of_cos[x], m.of_j[x] = dA[x] * m.R[x], A[x] * m.R_j[x]
            m.of_k[x], m.of_jk[x] = A[x] * m.R_k[x], A[x] * m.R_jk[x]
        _scatter(begin, low, high, n, t, m)
        for x in range(low, high):
            for q in (t.j[begin + x], t.k[begin + x]):
                add_rows(q, n, columns[function], result)


@kernel
def _find_changes(begin, count, n, t, m):
    """What the changes of the vectors change in the cosine and in the distances."""
    disjoint()
    js, ks, cos = t.j[begin : begin + count], t.k[begin : begin + count], t.cos[begin : begin + count]
    for x in range(count):
        j, k = js[x], ks[x]
        jj, kk, ij, ik = n.motion[j, 0], n.motion[k, 0], n.inverse[j], n.inverse[k]
        cross = n.x[j] * n.motion[k, 1] + n.y[j] * n.motion[k, 2] + n.z[j] * n.motion[k, 3]
        cross += n.x[k] * n.motion[j, 1] + n.y[k] * n.motion[j, 2] + n.z[k] * n.motion[j, 3]
        m.of_cos[x] = cross * ij * ik - cos[x] * (jj * ij * ij + kk * ik * ik)
        m.of_j[x], m.of_k[x], m.of_jk[x] = jj, kk, jj + kk - cross


@kernel
def _scatter(begin, low, high, n, t, m):
    """Gradients of the neighbors from those by the cosine and the distances of each triple."""
    disjoint()
    js, ks, cos = t.j[begin + low : begin + high], t.k[begin + low : begin + high], t.cos[begin + low : begin + high]
    of_cos, of_j, of_k, of_jk = m.of_cos[low:high], m.of_j[low:high], m.of_k[low:high], m.of_jk[low:high]
    along_j, along_k, across = m.p[low:high], m.q[low:high], m.x[low:high]
    for x in range(high - low):
        ij, ik = n.inverse[js[x]], n.inverse[ks[x]]
        along_j[x] = of_j[x] + of_jk[x] - of_cos[x] * cos[x] * ij * ij
        along_k[x] = of_k[x] + of_jk[x] - of_cos[x] * cos[x] * ik * ik
        across[x] = of_cos[x] * ij * ik - of_jk[x]
    spread(js, ks, along_j, along_k, across, n)
