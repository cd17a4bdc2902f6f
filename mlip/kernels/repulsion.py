"""CPU kernel of the repulsion of atoms that come very near; `model.repulsion` is its reference."""

from __future__ import annotations

import math

from mlip.kernels.compile import kernel

# ZBL's universal screening function: coefficients, and decays in units of the inverse screening length.
COEFFICIENTS = (0.18175, 0.50986, 0.28022, 0.02817)
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
STRENGTH, DECAY, INNER, OUTER = 0, 1, 2, 3  # tables (4,E,E) of each pair of elements; no elements, no repulsion


@kernel
def add_repulsion(tables, element, start, of_neighbor, vectors, energies, gradients):
    """Add a block's repulsion to the energies of its atoms and to the gradients of its pairs, which go from `start`."""
    for i in range(element.shape[0]):
        for p in range(start[i] - start[0], start[i + 1] - start[0]):
            square = vectors[p, 0] ** 2 + vectors[p, 1] ** 2 + vectors[p, 2] ** 2
            outer = tables[OUTER, element[i], of_neighbor[p]]
            if square < outer * outer:
                r = math.sqrt(square)
                energy, slope = _of_pair(tables[:, element[i], of_neighbor[p]], r)
                energies[i] += 0.5 * energy
                for x in range(3):
                    gradients[p, x] += 0.5 * slope / r * vectors[p, x]


@kernel
def _of_pair(table, r):
    """Energy of a pair and its slope."""
    phi, phi_by_r = 0.0, 0.0
    for k in range(len(COEFFICIENTS)):
        decay = DECAYS[k] * table[DECAY]
        term = COEFFICIENTS[k] * math.exp(-decay * r)
        phi += term
        phi_by_r -= decay * term
    width = table[OUTER] - table[INNER]
    x = max(0.0, (r - table[INNER]) / width)
    switch, switch_by_r = 1.0 + x**3 * (-10.0 + x * (15.0 - 6.0 * x)), -30.0 * (x * (1.0 - x)) ** 2 / width
    coulomb = table[STRENGTH] / r
    bare, bare_by_r = coulomb * phi, coulomb * (phi_by_r - phi / r)
    return bare * switch, bare_by_r * switch + bare * switch_by_r
