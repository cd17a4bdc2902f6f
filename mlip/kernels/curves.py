"""CPU kernel of classical pair potentials; `pair.potential` is its reference."""

from __future__ import annotations

import math
from collections import namedtuple

from mlip.kernels.compile import kernel
from mlip.kernels.repulsion import COEFFICIENTS, DECAYS, add_repulsion

FORMS = ("lennard_jones", "morse", "buckingham", "born_mayer", "zbl", "spline")
LENNARD_JONES, MORSE, BUCKINGHAM, BORN_MAYER, SCREENED_COULOMB, SPLINE = range(6)
NONE = -1
# The fixed repulsion's tables (4,E,E), and of the curves: number of the form, inner and cutoff (2,), row of each pair
# of elements (E,E), the form's numbers (T,K), and radius, decay, energy and fall of each core (T,4).
PairTerms = namedtuple("PairTerms", "repulsion form span kind table cores")


@kernel
def add_pair_terms(terms, element, start, of_neighbor, vectors, energies, gradients):
    """Add functions of pairs to the energies of a block's atoms and to the gradients of its pairs, from `start` on."""
    if terms.repulsion.shape[1] > 0:
        add_repulsion(terms.repulsion, element, start, of_neighbor, vectors, energies, gradients)
    if terms.form != NONE:
        inner, cutoff = terms.span[0], terms.span[1]
        for i in range(element.shape[0]):
            for p in range(start[i] - start[0], start[i + 1] - start[0]):
                square = vectors[p, 0] ** 2 + vectors[p, 1] ** 2 + vectors[p, 2] ** 2
                if square < cutoff * cutoff:
                    r, kind = math.sqrt(square), terms.kind[element[i], of_neighbor[p]]
                    energy, slope = _continued(terms.form, terms.table[kind], terms.cores[kind], r)
                    x = max(0.0, (r - inner) / (cutoff - inner))
                    rest = (cutoff - r) / (cutoff - inner) if x > 0.0 else 1.0
                    switch = rest**3 * (1.0 + x * (3.0 + 6.0 * x))
                    slope = slope * switch - energy * 30.0 * (x * rest) ** 2 / (cutoff - inner)
                    energies[i] += 0.5 * energy * switch
                    for y in range(3):
                        gradients[p, y] += 0.5 * slope / r * vectors[p, y]


@kernel
def _continued(form, row, core, r):
    """Energy of a pair and its slope, by the curve or by what goes on inside its core."""
    if r < core[0]:
        rise = math.exp(core[1] * (core[0] - r))
        return core[2] + core[3] / core[1] * (rise - 1.0), -core[3] * rise
    return _curve(form, row, r)


@kernel
def _curve(form, row, r):
    """Energy and slope of a form with these numbers."""
    if form == LENNARD_JONES:
        sixth = (row[1] / r) ** 6
        return 4.0 * row[0] * sixth * (sixth - 1.0), -24.0 * row[0] / r * sixth * (2.0 * sixth - 1.0)
    if form == MORSE:
        x = math.exp(-row[1] * (r - row[2]))
        return row[0] * x * (x - 2.0), -2.0 * row[1] * row[0] * x * (x - 1.0)
    if form == BUCKINGHAM:
        wall, tail = row[0] * math.exp(-r / row[1]), row[2] / r**6
        return wall - tail, 6.0 * tail / r - wall / row[1]
    if form == BORN_MAYER:
        wall = row[0] * math.exp(-r / row[1])
        return wall, -wall / row[1]
    if form == SCREENED_COULOMB:
        phi, phi_by_r = 0.0, 0.0
        for k in range(len(COEFFICIENTS)):
            term = COEFFICIENTS[k] * math.exp(-DECAYS[k] * r / row[1])
            phi += term
            phi_by_r -= DECAYS[k] / row[1] * term
        return row[0] / r * phi, row[0] / r * (phi_by_r - phi / r)
    return _spline(row, r)


@kernel
def _spline(row, r):
    """Energy and slope of cubic B-splines: first knot, spacing, coefficients."""
    x = (r - row[0]) / row[1]
    interval = min(max(int(x), 0), row.shape[0] - 6)  # x is not negative, but for rounding
    t, place = x - interval, interval + 2
    rest = 1.0 - t
    energy = (
        row[place] * rest**3
        + row[place + 1] * (4.0 + t**2 * (3.0 * t - 6.0))
        + row[place + 2] * (4.0 + rest**2 * (3.0 * rest - 6.0))
        + row[place + 3] * t**3
    ) / 6.0
    slope = (
        row[place + 3] * t**2 - row[place] * rest**2
        + row[place + 1] * t * (3.0 * t - 4.0) - row[place + 2] * rest * (3.0 * rest - 4.0)
    ) / (2.0 * row[1])  # fmt: skip
    return energy, slope
