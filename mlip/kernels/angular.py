"""CPU kernel of the angular functions.

A term of a triple is a product fc · A(cos theta) · R(distances), with few different A and R in a set of functions. So
the kernels make each A and R once for a chunk of triples, vectorized along the triples, and what a function then costs
is one multiplication and one addition: for G and J v the sum over t of A[t] R[t] fc[t], for the transposed product the
same sum over functions.
"""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np

from mlip.kernels.arithmetic import CHANGES, FEATURES, GRADIENTS, JACOBIAN, cutoff_value, exponential
from mlip.kernels.compile import kernel

NARROW, WIDE, SHIFTED = 1, 2, 3
CHUNK = 256  # triples at once: their factors stay in the first-level cache

# Angular functions: radial (S,2) hold eta and r_s, angular (M,2) zeta and lambda or theta_s. Functions are sorted by
# their radial factor s, those from ends[s] to ends[s+1], function g with the angular factor angle_of[g]. The table
# class_of[center, a, b] gives the row of columns (C,F) or -1.
AngularGroup = namedtuple("AngularGroup", "kind cutoff cutoff_kind radial angular ends angle_of class_of columns")
# Neighbors of one center within a cutoff, sorted by element: vectors, distances, 1/r, cutoff function and its slope.
Neighbors = namedtuple("Neighbors", "x y z r inverse fc slope pair first")
# Triples of a chunk: places of their neighbors, geometry, cutoff product, (d fc_jk / d r_jk) / r_jk times the others.
Chunk = namedtuple("Chunk", "j k cos argument fc r_jk2 kappa")
# Factors of the chunk: angular A and dA/dcos, radial R and dR/dargument; scratch columns.
Factors = namedtuple("Factors", "A dA R dR u v w p q")


@kernel
def angular(product, first, last, pairs, group, given, result):
    """Angular functions of centers first to last."""
    elements = group.class_of.shape[0]
    most = 0
    for i in range(first, last):
        most = max(most, pairs.start[i + 1] - pairs.start[i])
    room = CHUNK + most
    shells, angles = group.radial.shape[0], group.angular.shape[0]
    n = Neighbors(
        np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most),
        np.empty(most, np.int64), np.empty(elements + 1, np.int64),
    )  # fmt: skip
    c = Chunk(
        np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room), np.empty(room), np.empty(room),
        np.empty(room), np.empty(room),
    )  # fmt: skip
    f = Factors(
        np.empty((angles, room)), np.empty((angles, room)), np.empty((shells, room)), np.empty((shells, room)),
        np.empty(room), np.empty(room), np.empty(room), np.empty(room), np.empty(room),
    )  # fmt: skip
    runs = np.empty((group.columns.shape[0] + 2, 2), np.int64)  # class of each run of triples in the chunk, its first
    local = np.zeros((most, 3))  # gradients or changes of the center's pairs
    for i in range(first, last):
        count = _gather(i, pairs, group, n)
        if count < 2:
            continue
        if product == GRADIENTS:
            local[:count] = 0.0
        elif product == CHANGES:
            for q in range(count):
                for axis in range(3):
                    local[q, axis] = given[n.pair[q], axis]
        filled = used = 0
        for a in range(elements):
            for b in range(a, elements):
                row = group.class_of[pairs.element[i], a, b]
                if row < 0 or n.first[a] == n.first[a + 1] or n.first[b] == n.first[b + 1]:
                    continue
                runs[used, 0], runs[used, 1] = row, filled
                used += 1
                for j in range(n.first[a], n.first[a + 1]):
                    filled = _append(group, j, max(j + 1, n.first[b]), n.first[b + 1], n, c, filled)
                    if filled >= CHUNK:
                        runs[used, 1] = filled
                        _finish(product, group, i, used, runs, n, c, f, local, given, result)
                        runs[0, 0], runs[0, 1] = row, 0
                        filled, used = 0, 1
        if filled:
            runs[used, 1] = filled
            _finish(product, group, i, used, runs, n, c, f, local, given, result)
        if product == GRADIENTS:
            for q in range(count):
                for axis in range(3):
                    result[n.pair[q], axis] += local[q, axis]


@kernel
def _gather(i, pairs, group, n):
    """Neighbors of center i within the cutoff, by element; a pair where the cutoff function is zero does not count."""
    cutoff2 = group.cutoff * group.cutoff
    count = 0
    for e in range(n.first.shape[0] - 1):
        n.first[e] = count
        for p in range(pairs.start[i], pairs.start[i + 1]):
            if pairs.neighbor[p] != e:
                continue
            x, y, z = pairs.vectors[p, 0], pairs.vectors[p, 1], pairs.vectors[p, 2]
            r2 = x * x + y * y + z * z
            if r2 < cutoff2:
                r = math.sqrt(r2)
                fc, slope = cutoff_value(r, group.cutoff, group.cutoff_kind)
                n.x[count], n.y[count], n.z[count], n.r[count], n.inverse[count] = x, y, z, r, 1.0 / r
                n.fc[count], n.slope[count], n.pair[count] = fc, slope, p
                if fc > 0.0:
                    count += 1
    n.first[n.first.shape[0] - 1] = count
    return count


@kernel
def _append(group, j, first, last, n, c, filled):
    """Triples of neighbor j with neighbors first to last; returns how many the chunk then holds."""
    x, y, z, r, inverse, fc = n.x[j], n.y[j], n.z[j], n.r[j], n.inverse[j], n.fc[j]
    if group.kind == NARROW:
        cutoff2 = group.cutoff * group.cutoff
        for k in range(first, last):
            dx, dy, dz = n.x[k] - x, n.y[k] - y, n.z[k] - z
            r_jk2 = dx * dx + dy * dy + dz * dz
            c.j[filled], c.k[filled], c.r_jk2[filled] = j, k, r_jk2
            c.cos[filled] = (x * n.x[k] + y * n.y[k] + z * n.z[k]) * (inverse * n.inverse[k])
            c.argument[filled] = r * r + n.r[k] * n.r[k] + r_jk2
            c.fc[filled] = fc * n.fc[k]
            filled += r_jk2 < cutoff2  # without a branch: the next triple overwrites one that is too wide
        return filled
    for m in range(last - first):
        k, t = first + m, filled + m
        c.j[t], c.k[t] = j, k
        c.cos[t] = (x * n.x[k] + y * n.y[k] + z * n.z[k]) * (inverse * n.inverse[k])
        c.argument[t] = r * r + n.r[k] * n.r[k] if group.kind == WIDE else 0.5 * (r + n.r[k])
        c.fc[t] = fc * n.fc[k]
    return filled + max(0, last - first)


@kernel
def _make_factors(group, count, c, f):
    """A, dA/dcos, R and dR/dargument; A is 2 base^zeta with base (1 + lambda cos) / 2 or its shifted form."""
    for m in range(group.angular.shape[0]):
        zeta, other = group.angular[m, 0], group.angular[m, 1]
        if group.kind == SHIFTED:
            cosine, sine = math.cos(other), math.sin(other)
            for t in range(count):
                u = 0.95 * c.cos[t]
                w = math.sqrt(1.0 - u * u)
                f.A[m, t] = 0.5 * (1.0 + u * cosine + w * sine)
                f.dA[m, t] = 0.475 * (cosine - sine * u / w)
        else:
            for t in range(count):
                f.A[m, t] = 0.5 * max(1.0 + other * c.cos[t], 0.0)
                f.dA[m, t] = 0.5 * other
        left = int(zeta) - 1
        if left == zeta - 1.0:
            for t in range(count):
                f.u[t] = 1.0
                f.v[t] = f.A[m, t]
            while left > 0:
                if left & 1:
                    for t in range(count):
                        f.u[t] *= f.v[t]
                left >>= 1
                for t in range(count):
                    f.v[t] *= f.v[t]
        else:
            for t in range(count):
                f.u[t] = f.A[m, t] ** (zeta - 1.0)
        for t in range(count):
            f.dA[m, t] *= 2.0 * zeta * f.u[t]
            f.A[m, t] *= 2.0 * f.u[t]
    for s in range(group.radial.shape[0]):
        eta, r_s = group.radial[s, 0], group.radial[s, 1]
        if group.kind == SHIFTED:
            for t in range(count):
                d = c.argument[t] - r_s
                f.R[s, t] = exponential(-eta * d * d)
                f.dR[s, t] = -2.0 * eta * d * f.R[s, t]
        else:
            for t in range(count):
                f.R[s, t] = exponential(-eta * c.argument[t])
                f.dR[s, t] = -eta * f.R[s, t]


@kernel
def _finish(product, group, i, used, runs, n, c, f, local, given, result):
    """Add what the chunk's triples give to the product; the triples of a run have the same functions."""
    count = runs[used, 1]
    _make_factors(group, count, c, f)
    if group.kind == NARROW:
        for t in range(count):
            r_jk = math.sqrt(c.r_jk2[t])
            fc, slope = cutoff_value(r_jk, group.cutoff, group.cutoff_kind)
            c.kappa[t] = c.fc[t] * slope / r_jk
            c.fc[t] *= fc
    if product == CHANGES:
        _tangents(group, count, n, c, f, local)
    for run in range(used):
        columns = group.columns[runs[run, 0]]
        first, last = runs[run, 1], runs[run + 1, 1]
        if product == GRADIENTS:
            for t in range(first, last):
                f.u[t] = f.v[t] = f.w[t] = 0.0
        for s in range(group.radial.shape[0]):
            begin, end = group.ends[s], group.ends[s + 1]
            if product == FEATURES:
                for t in range(first, last):
                    f.p[t] = f.R[s, t] * c.fc[t]
                for g in range(begin, end):
                    m = group.angle_of[g]
                    total = 0.0
                    for t in range(first, last):
                        total += f.p[t] * f.A[m, t]
                    result[i, columns[g]] += total
            elif product == CHANGES:
                for t in range(first, last):
                    f.p[t] = f.dR[s, t] * f.v[t] + f.R[s, t] * f.w[t]
                    f.q[t] = f.R[s, t] * f.u[t]
                for g in range(begin, end):
                    m = group.angle_of[g]
                    total = 0.0
                    for t in range(first, last):
                        total += f.p[t] * f.A[m, t] + f.q[t] * f.dA[m, t]
                    result[i, columns[g]] += total
            elif product == JACOBIAN:
                for g in range(begin, end):
                    m = group.angle_of[g]
                    for t in range(first, last):
                        f.u[t] = f.dA[m, t] * f.R[s, t]
                        f.v[t] = f.A[m, t] * f.dR[s, t]
                        f.w[t] = f.A[m, t] * f.R[s, t]
                    local[:] = 0.0
                    _scatter(group, first, last, n, c, f, local)
                    for q in range(n.first[n.first.shape[0] - 1]):
                        for axis in range(3):
                            result[3 * n.pair[q] + axis, columns[g]] += local[q, axis]
            else:
                for t in range(first, last):
                    f.p[t] = f.q[t] = 0.0
                for g in range(begin, end):
                    m, weight = group.angle_of[g], given[i, columns[g]]
                    for t in range(first, last):
                        f.p[t] += weight * f.A[m, t]
                        f.q[t] += weight * f.dA[m, t]
                for t in range(first, last):
                    f.u[t] += f.q[t] * f.R[s, t]
                    f.v[t] += f.p[t] * f.dR[s, t]
                    f.w[t] += f.p[t] * f.R[s, t]
    if product == GRADIENTS:
        _scatter(group, 0, count, n, c, f, local)


@kernel
def _tangents(group, count, n, c, f, local):
    """Changes that the given changes of the pairs make: u of cos times fc, v of the argument times fc, w of fc."""
    for t in range(count):
        j, k = c.j[t], c.k[t]
        jj = n.x[j] * local[j, 0] + n.y[j] * local[j, 1] + n.z[j] * local[j, 2]
        kk = n.x[k] * local[k, 0] + n.y[k] * local[k, 1] + n.z[k] * local[k, 2]
        cross = n.x[j] * local[k, 0] + n.y[j] * local[k, 1] + n.z[j] * local[k, 2]
        cross += n.x[k] * local[j, 0] + n.y[k] * local[j, 1] + n.z[k] * local[j, 2]
        ij, ik = n.inverse[j], n.inverse[k]
        f.u[t] = c.fc[t] * (cross * ij * ik - c.cos[t] * (jj * ij * ij + kk * ik * ik))
        if group.kind == NARROW:
            jk = jj + kk - cross
            f.v[t] = 2.0 * c.fc[t] * (jj + kk + jk)
            f.w[t] = c.fc[t] * (n.slope[j] / n.fc[j] * jj * ij + n.slope[k] / n.fc[k] * kk * ik) + c.kappa[t] * jk
        else:
            f.v[t] = c.fc[t] * (2.0 * (jj + kk) if group.kind == WIDE else 0.5 * (jj * ij + kk * ik))
            f.w[t] = n.slope[j] * n.fc[k] * jj * ij + n.slope[k] * n.fc[j] * kk * ik


@kernel
def _scatter(group, first, last, n, c, f, local):
    """Gradients of the center's pairs from those of cos (u), argument (v) and cutoff product (w) of each triple."""
    for t in range(first, last):
        j, k = c.j[t], c.k[t]
        ij, ik, fc = n.inverse[j], n.inverse[k], c.fc[t]
        of_cos = f.u[t] * fc
        of_argument = f.v[t] * fc
        along_j, along_k = -of_cos * c.cos[t] * ij * ij, -of_cos * c.cos[t] * ik * ik
        across, apart = of_cos * ij * ik, 0.0
        if group.kind == NARROW:
            along_j += 2.0 * of_argument + f.w[t] * fc * n.slope[j] / n.fc[j] * ij
            along_k += 2.0 * of_argument + f.w[t] * fc * n.slope[k] / n.fc[k] * ik
            apart = 2.0 * of_argument + f.w[t] * c.kappa[t]
        else:
            along_j += f.w[t] * n.slope[j] * n.fc[k] * ij
            along_k += f.w[t] * n.slope[k] * n.fc[j] * ik
            along_j += 2.0 * of_argument if group.kind == WIDE else 0.5 * of_argument * ij
            along_k += 2.0 * of_argument if group.kind == WIDE else 0.5 * of_argument * ik
        # The gradient by r_ij is along_j r_ij + across r_ik - apart r_jk, that by r_ik the same with + apart.
        local[j, 0] += (along_j + apart) * n.x[j] + (across - apart) * n.x[k]
        local[j, 1] += (along_j + apart) * n.y[j] + (across - apart) * n.y[k]
        local[j, 2] += (along_j + apart) * n.z[j] + (across - apart) * n.z[k]
        local[k, 0] += (along_k + apart) * n.x[k] + (across - apart) * n.x[j]
        local[k, 1] += (along_k + apart) * n.y[k] + (across - apart) * n.y[j]
        local[k, 2] += (along_k + apart) * n.z[k] + (across - apart) * n.z[j]
