"""CPU kernel of the descriptor: its products for a range of centers, block by block."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from mlip.kernels.angular import angular, room_for_factors
from mlip.kernels.arithmetic import CHANGES, GRADIENTS
from mlip.kernels.compact import compact_angular, compact_radial, room_for_compact
from mlip.kernels.compile import kernel
from mlip.kernels.moments import by_moments, moments, room_for_moments
from mlip.kernels.neighborhoods import (
    COMPACT_NARROW,
    COMPACT_RADIAL,
    NARROW,
    RADIAL,
    add_neighbors,
    add_triples,
    group_at,
    room_for_neighbors,
    room_for_triples,
)
from mlip.kernels.radial import radial
from mlip.kernels.radial_curves import radial_curves

TRIPLES = 2048  # of a block of more than one center: their geometry stays in the second-level cache

# What a block of centers needs: neighbors, triples, factors of a chunk of triples, moments of a center, and compact
# functions of a chunk of triples.
Room = namedtuple("Room", "neighbors triples factors moments compact")


@kernel(allocates=True)
def products(product, bounds, pairs, functions, given, result):
    """Add a product for blocks of centers."""
    room = room_for(result.dtype, bounds, pairs.start, functions)
    _add_blocks(product, bounds, pairs, functions, room, given, result)


@kernel
def _add_blocks(product, bounds, pairs, functions, room, given, result):
    """Add a product, block by block."""
    for block in range(bounds.shape[0] - 1):
        begin, end = bounds[block], bounds[block + 1]
        filled = 0
        for i in range(begin, end):
            a, b = pairs.start[i], pairs.start[i + 1]
            filled = add_neighbors(
                i - begin, a, pairs.neighbor[a:b], pairs.vectors[a:b], functions, room.neighbors, filled
            )  # fmt: skip
        used = find_triples(pairs.element[begin:end], functions, room)
        n = room.neighbors
        if product == CHANGES:
            for q in range(filled):
                p = n.pair[q]
                x, y, z = given[p, 0], given[p, 1], given[p, 2]
                n.motion[q, 0] = x * n.x[q] + y * n.y[q] + z * n.z[q]
                n.motion[q, 1], n.motion[q, 2], n.motion[q, 3] = x, y, z
        elif product == GRADIENTS:
            add_product(product, pairs.element[begin:end], functions, room, used, filled, given[begin:end], result)
            continue
        rows = result[begin:end] if product <= CHANGES else result
        add_product(product, pairs.element[begin:end], functions, room, used, filled, given, rows)


@kernel(allocates=True)
def block_bounds(start, angular_groups):
    """First center of each block, and the number of centers.

    Centers are taken together up to TRIPLES triples. That does not depend on threads, so the results do not either.
    """
    bounds = np.zeros(start.shape[0], np.int64)
    blocks = triples = 0
    for i in range(start.shape[0] - 1):
        more = _triples_at_most(start[i + 1] - start[i], angular_groups)
        if i > bounds[blocks] and triples + more > TRIPLES:
            blocks += 1
            bounds[blocks], triples = i, 0
        triples += more
    bounds[blocks + 1] = start.shape[0] - 1
    return bounds[: blocks + 2]


@kernel(inline="always")
def _triples_at_most(neighbors, angular_groups):
    """How many triples a center may have, all groups together."""
    return angular_groups * (neighbors * (neighbors - 1) // 2)


@kernel(allocates=True)
def room_for(real, bounds, start, functions):
    """Room for any of these blocks."""
    spheres, elements, groups = functions.cutoff.shape[0], functions.class_of.shape[1], functions.groups.shape[0] - 1
    centers = neighbors = most = triples = shells = angles = angular_groups = 0
    for g in range(groups):
        angular_groups += functions.groups[g, 0] >= NARROW
        shells = max(shells, functions.groups[g + 1, 2] - functions.groups[g, 2])
        angles = max(angles, functions.groups[g + 1, 3] - functions.groups[g, 3])
    for block in range(bounds.shape[0] - 1):
        begin, end = bounds[block], bounds[block + 1]
        centers, neighbors = max(centers, end - begin), max(neighbors, start[end] - start[begin])
        here = 0
        for i in range(begin, end):
            most = max(most, start[i + 1] - start[i])
            here += _triples_at_most(start[i + 1] - start[i], angular_groups)
        triples = max(triples, here)
    return Room(
        room_for_neighbors(real, neighbors * spheres, centers, spheres, elements),
        room_for_triples(real, triples, centers * groups * elements * elements),
        room_for_factors(real, angles, shells),
        room_for_moments(real, functions, angles, most),
        room_for_compact(real, functions),
    )  # fmt: skip


@kernel
def find_triples(element, functions, room):
    """Triples of a block's centers, group by group; returns how many runs there are."""
    used = filled = 0
    for g in range(functions.groups.shape[0] - 1):
        group = group_at(functions, g)
        if group.kind >= NARROW:
            for i in range(element.shape[0]):
                first = room.neighbors.first[i, group.sphere]
                if by_moments(group, first):
                    continue
                used, filled = add_triples(g, group, element[i], i, first, room.neighbors, room.triples, used, filled)
    return used


@kernel
def add_product(product, element, functions, room, used, filled, given, result):
    """Add a product of a block's centers, whose features have the rows 0, 1, ... in what is given or the result."""
    n, t, run = room.neighbors, room.triples, 0
    if product != CHANGES:
        n.motion[:filled] = 0.0
    for g in range(functions.groups.shape[0] - 1):
        group = group_at(functions, g)
        if group.kind == RADIAL:
            for i in range(element.shape[0]):
                radial(product, group, element[i], i, n.first[i, group.sphere], n, room.factors, given, result)
            continue
        if group.kind == COMPACT_RADIAL:
            for i in range(element.shape[0]):
                compact_radial(product, group, element[i], i, n.first[i, group.sphere], n, room.compact, given, result)
            continue
        if group.kind < NARROW:
            for i in range(element.shape[0]):
                radial_curves(product, group, element[i], i, n.first[i, group.sphere], n, room.factors, given, result)
            continue
        if group.degree > 0:
            moments(product, group, element, n, room.moments, given, result)
        begin = run
        while run < used and t.runs[run, 0] == g:
            run += 1
        if run == begin:
            continue
        runs = t.runs[begin:run]
        first, last = runs[0, 3], runs[run - begin - 1, 4]
        if group.kind >= COMPACT_NARROW:
            compact_angular(product, group, first, last, runs, n, t, room.factors, room.compact, given, result)
        else:
            angular(product, group, first, last, runs, n, t, room.factors, given, result)
    if product == GRADIENTS:
        for q in range(filled):
            p = n.pair[q]
            result[p, 0] += n.motion[q, 0] * n.x[q] + n.motion[q, 1]
            result[p, 1] += n.motion[q, 0] * n.y[q] + n.motion[q, 2]
            result[p, 2] += n.motion[q, 0] * n.z[q] + n.motion[q, 3]
