"""Neighbors and triples of a few centers, as structures of arrays: what the symmetry functions are computed from.

Vectors are float64; all else is kept in the precision of the arithmetic, that of the arrays.
"""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np

from mlip.kernels.arithmetic import exponential, logarithm
from mlip.kernels.compile import disjoint, kernel
from mlip.kernels.cutoffs import cutoff_values

# Kinds of functions: those of one neighbor first, then those of two, then among these those of the mean distance.
RADIAL, LOG_NORMAL, BESSEL, COMPACT_RADIAL = range(4)
NARROW, WIDE, SHIFTED, SHIFTED_AXILROD_TELLER, AXILROD_TELLER, CHEBYSHEV, COMPACT_NARROW, COMPACT_WIDE = range(4, 12)
PADDING = 16  # what is computed for triples is computed in whole vectors

# All functions of a descriptor. A sphere is a cutoff with its function, cutoff, cutoff_kind and inner cutoff (K,), and
# whether it is weighted (K,), with weights (K,E) of the elements: then all its neighbors stand as if of element 0, and
# their cutoff functions have the weights. Row g of groups (G+1,7) says what the functions of group g are (kind,
# sphere), where its shells and angles (mlip.descriptors.factors), functions and columns begin; they end where those of
# the next row begin; and the largest zeta if they can be computed from moments of the neighbors, 0 if not
# (mlip.kernels.moments). Functions are sorted by shell, those of shell s from ends[s] to ends[s+1], function f with the
# angle angle_of[f]; columns has a row of functions for each class. class_of (G,E,E,E) is the class of a center and two
# neighbors (or twice the one), -1 if there is none.
Functions = namedtuple(
    "Functions", "cutoff cutoff_kind inner weighted weights groups class_of columns shells angles ends angle_of"
)
# One group's part of these tables.
Group = namedtuple("Group", "kind sphere cutoff cutoff_kind inner class_of columns shells angles ends angle_of degree")
# Pairs by center: start (N+1), element (N,), element of the neighbor (P,), vectors (P,3).
Pairs = namedtuple("Pairs", "start element neighbor vectors")
# Neighbors by center, sphere and element: vector, distance, 1/r, cutoff function f, f'/(f r), place among all pairs.
# Those of the element e are first[center, sphere, e] to first[center, sphere, e + 1]. motion (Q,4) has, for
# changes, r.v and what the vector r changes by, v; for gradients two parts: what is multiplied with r, and the rest.
Neighbors = namedtuple("Neighbors", "x y z r inverse fc slope pair motion first search")
# Scratch of the search: squares of distances, those kept, their cutoff function and slope, their places.
Search = namedtuple("Search", "squares kept fc slope place")
# Triples: places of their neighbors, cos theta, argument of the radial factor, f_ij f_ik, f_jk and f_jk' / r_jk (or
# another factor of a triple, and its derivatives by r_jk, and in by_j and by_k by r_ij and r_ik, divided by these).
# Row n of runs has triples first to last of one center (a row of the features) with the same functions: group, class,
# row, first, last. Narrow functions with r_s have 1 / r_jk in by_j.
Triples = namedtuple("Triples", "j k cos argument outer fc slope by_j by_k runs")


@kernel
def group_at(functions, g):
    """One group of functions."""
    kind, sphere, shell, angle, function, column, degree = functions.groups[g]
    _, _, shell_end, angle_end, function_end, column_end, _ = functions.groups[g + 1]
    columns = functions.columns[column:column_end].reshape((-1, function_end - function))
    ends = functions.ends[shell + g : shell_end + g + 1]
    shells, angles = functions.shells[shell:shell_end], functions.angles[angle:angle_end]
    angle_of = functions.angle_of[function:function_end]
    return Group(
        kind, sphere, functions.cutoff[sphere], functions.cutoff_kind[sphere], functions.inner[sphere],
        functions.class_of[g], columns, shells, angles, ends, angle_of, degree,
    )  # fmt: skip


@kernel(allocates=True)
def room_for_neighbors(real, most, centers, spheres, elements):
    """Empty arrays for `most` neighbors."""
    rows, search = np.empty((7, most), real), np.empty((4, most))
    return Neighbors(
        rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], np.empty(most, np.int64),
        np.zeros((most, 4), real), np.empty((centers, spheres, elements + 1), np.int64),
        Search(search[0], search[1], search[2], search[3], np.empty(most + 1, np.int64)),
    )  # fmt: skip


@kernel(allocates=True)
def room_for_triples(real, most, runs):
    """Empty arrays for `most` triples."""
    rows, places = np.empty((7, most + PADDING), real), np.empty((2, most + PADDING), np.uint32)
    runs = np.empty((runs, 5), np.int64)
    return Triples(places[0], places[1], rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], runs)


@kernel
def add_neighbors(center, first_pair, element, vectors, functions, n, filled):
    """Neighbors of a center in each sphere, of all its pairs; returns how many there are then in all."""
    disjoint()
    count = element.shape[0]
    squares, kept, fc, slope, place = n.search
    for p in range(count):
        squares[p] = vectors[p, 0] ** 2 + vectors[p, 1] ** 2 + vectors[p, 2] ** 2
    for sphere in range(functions.cutoff.shape[0]):
        first, cutoff = n.first[center, sphere], functions.cutoff[sphere]
        weighted, weights = functions.weighted[sphere], functions.weights[sphere]
        found = 0
        for e in range(first.shape[0] - 1):
            first[e] = filled + found
            for p in range(0 if weighted else count):
                place[found] = p
                found += (element[p] == e) & (squares[p] < cutoff * cutoff)
            for p in range(count if weighted and e == 0 else 0):
                place[found] = p
                found += (weights[element[p]] != 0.0) & (squares[p] < cutoff * cutoff)
        first[first.shape[0] - 1] = filled + found
        for q in range(found):
            kept[q] = squares[place[q]]
        cutoff_values(kept[:found], cutoff, functions.inner[sphere], functions.cutoff_kind[sphere], fc, slope)
        for q in range(found):
            p, r = place[q], math.sqrt(kept[q])
            n.x[filled + q], n.y[filled + q], n.z[filled + q] = vectors[p, 0], vectors[p, 1], vectors[p, 2]
            n.r[filled + q], n.inverse[filled + q], n.fc[filled + q] = r, 1.0 / r, fc[q]
            n.slope[filled + q] = slope[q] / fc[q] if fc[q] != 0.0 else 0.0
            n.pair[filled + q] = first_pair + p
        for q in range(found if weighted else 0):
            n.fc[filled + q] *= weights[element[place[q]]]
        filled += found
    return filled


@kernel
def add_triples(g, group, element, row, first, n, t, used, filled):
    """Triples of a center for one group; returns how many runs and triples there are then in all."""
    before, near = filled, group.kind == NARROW or group.kind == COMPACT_NARROW
    for a in range(first.shape[0] - 1):
        for b in range(a, first.shape[0] - 1):
            of_class, begin = group.class_of[element, a, b], filled
            if of_class < 0 or first[b] == first[b + 1]:
                continue
            for j in range(first[a], first[a + 1]):
                low, high = max(j + 1, first[b]), first[b + 1]
                end = _add_near(group, j, low, high, n, t, filled) if near else filled + high - low
                for m in range(end - filled):
                    t.j[filled + m] = j
                if not near:
                    for m in range(high - low):
                        t.k[filled + m] = low + m
                filled = max(filled, end)
            if filled > begin:
                t.runs[used] = g, of_class, row, begin, filled
                used += 1
    _shape(group, before, filled, n, t)
    return used, filled


@kernel
def _add_near(group, j, low, high, n, t, filled):
    """Triples of neighbor j with those from low to high that are within the cutoff of it; cos keeps r_ij . r_ik."""
    disjoint()
    square, dot = t.fc[filled : filled + high - low], t.slope[filled : filled + high - low]
    xs, ys, zs = n.x[low:high], n.y[low:high], n.z[low:high]
    x, y, z = n.x[j], n.y[j], n.z[j]
    for m in range(high - low):
        dx, dy, dz = xs[m] - x, ys[m] - y, zs[m] - z
        square[m] = dx * dx + dy * dy + dz * dz
        dot[m] = x * xs[m] + y * ys[m] + z * zs[m]
    cutoff2, place = square.dtype.type(group.cutoff * group.cutoff), np.uint64(filled)
    for m in range(high - low):  # without a branch: the next triple overwrites one that is too wide
        t.k[place], t.argument[place], t.cos[place] = low + m, square[m], dot[m]
        place += np.uint64(square[m] < cutoff2)
    return np.int64(place)


@kernel
def _shape(group, first, last, n, t):
    """All that the triples' functions depend on."""
    disjoint()
    real = n.x.dtype.type
    js, ks, cos, argument = t.j[first:last], t.k[first:last], t.cos[first:last], t.argument[first:last]
    outer, fc, slope = t.outer[first:last], t.fc[first:last], t.slope[first:last]
    r_s = real(group.shells[0, 2]) if group.kind <= WIDE else real(0.0)
    if group.kind == NARROW:
        cutoff_values(argument, group.cutoff, group.inner, group.cutoff_kind, fc, slope)
        if r_s != 0.0:
            for m in range(first, last):
                t.by_j[m] = real(1.0) / math.sqrt(t.argument[m])
        for m in range(last - first):
            j, k = js[m], ks[m]
            cos[m] *= n.inverse[j] * n.inverse[k]
            argument[m] += n.r[j] * n.r[j] + n.r[k] * n.r[k]
            outer[m] = n.fc[j] * n.fc[k]
    elif group.kind == COMPACT_NARROW:
        for m in range(last - first):
            j, k = js[m], ks[m]
            cos[m] *= n.inverse[j] * n.inverse[k]
            outer[m] = n.fc[j] * n.fc[k]
    else:
        for m in range(last - first):
            j, k = js[m], ks[m]
            dot = n.x[j] * n.x[k] + n.y[j] * n.y[k] + n.z[j] * n.z[k]
            cos[m] = dot * (n.inverse[j] * n.inverse[k])
            outer[m] = n.fc[j] * n.fc[k]
            fc[m], slope[m] = real(1.0), real(0.0)
        if SHIFTED < group.kind < CHEBYSHEV:
            _add_dipoles(real(group.shells[0, 2]), js, ks, n, fc, slope, t.by_j[first:last], t.by_k[first:last])
        if group.kind == WIDE:
            for m in range(last - first):
                argument[m] = n.r[js[m]] * n.r[js[m]] + n.r[ks[m]] * n.r[ks[m]]
        else:
            for m in range(last - first):
                argument[m] = real(0.5) * (n.r[js[m]] + n.r[ks[m]])
    if r_s != 0.0:
        _move(group.kind, r_s, js, ks, n, argument, t.by_j[first:last])


@kernel
def _move(kind, r_s, js, ks, n, argument, per_jk):
    """Arguments of Behler's functions with distances from r_s in place of distances."""
    disjoint()
    for m in range(js.shape[0]):
        d_ij, d_ik = n.r[js[m]] - r_s, n.r[ks[m]] - r_s
        argument[m] = d_ij * d_ij + d_ik * d_ik
    if kind == NARROW:
        for m in range(js.shape[0]):
            d_jk = type(r_s)(1.0) / per_jk[m] - r_s
            argument[m] += d_jk * d_jk


@kernel
def _add_dipoles(power, js, ks, n, factor, slope, by_j, by_k):
    """Factors of Axilrod, Teller and Muto, and their derivatives by r_jk, r_ij and r_ik divided by these distances.

    With the squares a, b, c of the three distances, the scalar products d, e, f at the corners i, j, k, of which
    a = d + e, b = d + f, c = e + f, the product of the cosines is d e f / (a b c).
    """
    disjoint()
    real, three = factor.dtype.type, factor.dtype.type(3.0)
    for m in range(js.shape[0]):
        j, k = js[m], ks[m]
        dx, dy, dz = n.x[k] - n.x[j], n.y[k] - n.y[j], n.z[k] - n.z[j]
        a, b, c = n.r[j] * n.r[j], n.r[k] * n.r[k], dx * dx + dy * dy + dz * dz
        d = n.x[j] * n.x[k] + n.y[j] * n.y[k] + n.z[j] * n.z[k]
        e, f = a - d, b - d
        per_a, per_b, per_c = n.inverse[j] * n.inverse[j], n.inverse[k] * n.inverse[k], real(1.0) / c
        falloff = exponential(real(-0.5) * power * logarithm(a * b * c))
        g = three * falloff * per_a * per_b * per_c
        h = -power * falloff - (power + real(2.0)) * d * e * f * g
        factor[m] = falloff + d * e * f * g
        slope[m] = h * per_c + g * (d * e + d * f - e * f)
        by_j[m] = h * per_a + g * (d * f + e * f - d * e)
        by_k[m] = h * per_b + g * (d * e + e * f - d * f)
