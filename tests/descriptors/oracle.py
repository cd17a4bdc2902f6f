"""Symmetry functions written straight from the papers' formulas, one number at a time, in plain Python."""

from __future__ import annotations

import math
from itertools import combinations, product

from mlip.descriptors.functions import (
    AxilrodTeller,
    Bessel,
    Chebyshev,
    LogNormal,
    Narrow,
    Radial,
    Shifted,
    ShiftedAxilrodTeller,
    SymmetryFunction,
    Wide,
)
from mlip.structure import Structure

Point = tuple[float, float, float]


def cutoff_function(name: str, r: float, r_c: float, r_ci: float = 0.0) -> float:
    if r >= r_c:
        return 0.0
    if name.startswith("tanh"):
        return (math.tanh(1 - r / r_c) / (math.tanh(1) if name == "tanh_normalized" else 1.0)) ** 3
    if r < r_ci or name == "hard":
        return 1.0
    x = (r - r_ci) / (r_c - r_ci)
    return {
        "cosine": lambda: 0.5 * (math.cos(math.pi * x) + 1),
        "exponential": lambda: math.exp(1 - 1 / (1 - x**2)),
        "polynomial_1": lambda: (2 * x - 3) * x**2 + 1,
        "polynomial": lambda: 1 - 10 * x**3 + 15 * x**4 - 6 * x**5,
        "polynomial_3": lambda: (x * (x * (20 * x - 70) + 84) - 35) * x**4 + 1,
        "polynomial_4": lambda: (x * (x * ((315 - 70 * x) * x - 540) + 420) - 126) * x**5 + 1,
    }[name]()


def neighbors(structure: Structure, i: int, cutoff: float) -> list[tuple[int, Point]]:
    """(atomic number, vector from atom i) of everything nearer than the cutoff, images included."""
    found = []
    ranges = [range(-4, 5) if periodic else (0,) for periodic in structure.pbc]
    for j, shift in product(range(len(structure)), product(*ranges)):
        if j == i and shift == (0, 0, 0):
            continue
        moved = structure.positions[j] + sum(n * row for n, row in zip(shift, structure.cell, strict=True))
        vector = tuple(float(x) for x in moved - structure.positions[i])
        if math.hypot(*vector) < cutoff:
            found.append((int(structure.numbers[j]), vector))
    return found


def value(function: SymmetryFunction, structure: Structure, i: int) -> float:
    """The function for atom i."""
    if function.center not in (None, structure.numbers[i]):
        return 0.0
    near = neighbors(structure, i, function.cutoff)
    weights = dict(function.weights)

    def factor(*elements: int) -> float:
        if weights:
            return math.prod(weights.get(z, 0.0) for z in elements)
        return float(tuple(sorted(elements)) == function.neighbors)

    if function.order == 1:
        return sum(factor(z) * _pair(function, v) for z, v in near)
    return sum(factor(z_j, z_k) * _triple(function, a, b) for (z_j, a), (z_k, b) in combinations(near, 2))


def _pair(f: SymmetryFunction, vector: Point) -> float:
    r = math.hypot(*vector)
    fc = cutoff_function(f.cutoff_function, r, f.cutoff, f.inner_cutoff)
    if isinstance(f, LogNormal):
        return r**-f.power * math.exp(-(math.log(r / f.r_s) ** 2) / (2 * f.width**2)) * fc
    if isinstance(f, Bessel):
        return math.sqrt(2 / f.cutoff) * math.sin(f.n * math.pi * r / f.cutoff) / r * fc
    assert isinstance(f, Radial)
    return math.exp(-f.eta * (r - f.r_s) ** 2) * fc


def _triple(f: SymmetryFunction, a: Point, b: Point) -> float:
    def fc(r: float) -> float:
        return cutoff_function(f.cutoff_function, r, f.cutoff, f.inner_cutoff)

    r_ij, r_ik, r_jk = math.hypot(*a), math.hypot(*b), math.dist(a, b)
    cosine = sum(x * y for x, y in zip(a, b, strict=True)) / (r_ij * r_ik)
    weight = 1.0
    if isinstance(f, AxilrodTeller | ShiftedAxilrodTeller):  # the other angles by the law of cosines
        cos_j = (r_ij**2 + r_jk**2 - r_ik**2) / (2 * r_ij * r_jk)
        cos_k = (r_ik**2 + r_jk**2 - r_ij**2) / (2 * r_ik * r_jk)
        weight = (1 + 3 * cosine * cos_j * cos_k) / (r_ij * r_ik * r_jk) ** f.power
    if isinstance(f, Chebyshev | AxilrodTeller):
        theta = math.acos(max(-1.0, min(1.0, cosine)))
        radial = math.exp(-f.eta * ((r_ij + r_ik) / 2 - f.r_s) ** 2) * fc(r_ij) * fc(r_ik)
        return math.cos(f.n * theta) * radial * weight
    factor = 2 ** (1 - f.zeta)
    if isinstance(f, Narrow):
        radial = math.exp(-f.eta * ((r_ij - f.r_s) ** 2 + (r_ik - f.r_s) ** 2 + (r_jk - f.r_s) ** 2))
        radial *= fc(r_ij) * fc(r_ik) * fc(r_jk)
        return factor * (1 + f.lambda_ * cosine) ** f.zeta * radial
    if isinstance(f, Wide):
        radial = math.exp(-f.eta * ((r_ij - f.r_s) ** 2 + (r_ik - f.r_s) ** 2)) * fc(r_ij) * fc(r_ik)
        return factor * (1 + f.lambda_ * cosine) ** f.zeta * radial
    assert isinstance(f, Shifted | ShiftedAxilrodTeller)
    theta = math.acos(0.95 * cosine)
    radial = math.exp(-f.eta * ((r_ij + r_ik) / 2 - f.r_s) ** 2) * fc(r_ij) * fc(r_ik)
    return factor * (1 + math.cos(theta - f.theta_s)) ** f.zeta * radial * weight
