"""CPU kernels of energies and forces in one pass: of each block of atoms, features, networks, and gradients."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from mlip.kernels.arithmetic import FEATURES, GRADIENTS
from mlip.kernels.compile import disjoint, kernel
from mlip.kernels.curves import add_pair_terms
from mlip.kernels.neighborhoods import add_neighbors
from mlip.kernels.network import block_energies, room_for_networks
from mlip.kernels.products import add_product, find_triples, room_for
from mlip.kernels.ranges import find_outside

# Pairs by center: start (N+1), element (N,), center and neighbor (P,), element of the neighbor (P,), shifts (P,3).
Topology = namedtuple("Topology", "start element center neighbor of_neighbor shifts")
# Of a block: pair vectors, features, and the energies' gradient by the features.
Scratch = namedtuple("Scratch", "vectors features by_features")


@kernel(allocates=True)
def evaluate_blocks(
    bounds, topology, positions, cell, functions, networks, pair_terms, watch, energies, gradients, virials
):  # fmt: skip
    """Energies of the atoms in some blocks, gradients of their pairs, and each block's sum of vector times gradient."""
    real, width = networks.weights.dtype, networks.widths[:, 0].max()
    room = room_for(real, bounds, topology.start, functions)
    most, neighbors = room.neighbors.first.shape[0], room.neighbors.x.shape[0] // functions.cutoff.shape[0]
    layers = room_for_networks(networks, most)
    scratch = Scratch(np.empty((neighbors, 3)), np.empty((most, width), real), np.empty((most, width), real))
    _evaluate(
        bounds, topology, positions, cell, functions, networks, pair_terms, watch,
        room, layers, scratch, energies, gradients, virials
    )  # fmt: skip


@kernel
def _evaluate(
    bounds, topology, positions, cell, functions, networks, pair_terms, watch,
    room, layers, scratch, energies, gradients, virials
):  # fmt: skip
    """The same in arrays that are there.

    The triples of a block and what they depend on are found once, for features and gradients.
    """
    start, (vectors, features, by_features) = topology.start, scratch
    for block in range(bounds.shape[0] - 1):
        begin, end = bounds[block], bounds[block + 1]
        a, b, filled = start[begin], start[end], 0
        _pair_vectors(positions, cell, topology.center[a:b], topology.neighbor[a:b], topology.shifts[a:b], vectors)
        for i in range(begin, end):
            p, q = start[i], start[i + 1]
            filled = add_neighbors(
                i - begin, p, topology.of_neighbor[p:q], vectors[p - a : q - a], functions, room.neighbors, filled
            )  # fmt: skip
        element, count = topology.element[begin:end], end - begin
        used = find_triples(element, functions, room)
        features[:count] = 0.0
        add_product(FEATURES, element, functions, room, used, filled, by_features, features[:count])
        if watch.severity.shape[0] > 0:
            find_outside(watch, begin, element, features[:count])
        block_energies(networks, element, features[:count], layers, energies[begin:end], by_features[:count])
        gradients[a:b] = 0.0
        add_product(GRADIENTS, element, functions, room, used, filled, by_features, gradients)
        of_neighbor, added = topology.of_neighbor[a:b], energies[begin:end]
        add_pair_terms(pair_terms, element, start[begin : end + 1], of_neighbor, vectors, added, gradients[a:b])
        _add_virial(vectors[: b - a], gradients[a:b], virials[block])


@kernel(allocates=True)
def evaluate_pair_terms(bounds, topology, positions, cell, pair_terms, energies, gradients, virials):
    """The same where nothing is made of features: functions of pairs are all there is."""
    start, most = topology.start, 0
    for block in range(bounds.shape[0] - 1):
        most = max(most, start[bounds[block + 1]] - start[bounds[block]])
    _evaluate_pair_terms(
        bounds, topology, positions, cell, pair_terms, np.empty((most, 3)), energies, gradients, virials
    )  # fmt: skip


@kernel
def _evaluate_pair_terms(bounds, topology, positions, cell, pair_terms, vectors, energies, gradients, virials):
    """The same in arrays that are there."""
    start = topology.start
    for block in range(bounds.shape[0] - 1):
        begin, end = bounds[block], bounds[block + 1]
        a, b = start[begin], start[end]
        _pair_vectors(positions, cell, topology.center[a:b], topology.neighbor[a:b], topology.shifts[a:b], vectors)
        energies[begin:end] = 0.0
        gradients[a:b] = 0.0
        add_pair_terms(
            pair_terms, topology.element[begin:end], start[begin : end + 1], topology.of_neighbor[a:b], vectors,
            energies[begin:end], gradients[a:b],
        )  # fmt: skip
        _add_virial(vectors[: b - a], gradients[a:b], virials[block])


@kernel
def _pair_vectors(positions, cell, center, neighbor, shifts, vectors):
    """Vectors from each center to its neighbor through the periodic boundary."""
    disjoint()
    for p in range(center.shape[0]):
        i, j = center[p], neighbor[p]
        for x in range(3):
            vectors[p, x] = positions[j, x] - positions[i, x] + (
                shifts[p, 0] * cell[0, x] + shifts[p, 1] * cell[1, x] + shifts[p, 2] * cell[2, x]
            )  # fmt: skip


@kernel
def _add_virial(vectors, gradients, virial):
    """Add the sum of vector times gradient."""
    disjoint()
    for x in range(3):
        for y in range(3):
            total = 0.0
            for p in range(vectors.shape[0]):
                total += vectors[p, x] * gradients[p, y]
            virial[x, y] += total


@kernel
def add_forces(center, neighbor, gradients, forces):
    """Add each pair's gradient to its center's force, and take it from its neighbor's."""
    disjoint()
    for p in range(center.shape[0]):
        i, j = center[p], neighbor[p]
        for x in range(3):
            forces[i, x] += gradients[p, x]
            forces[j, x] -= gradients[p, x]
