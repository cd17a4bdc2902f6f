"""Symmetry functions written straight from the papers' formulas, one number at a time, in plain Python."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations, product

from mlip.descriptors.functions import (
    AxilrodTeller,
    Bessel,
    Chebyshev,
    CompactNarrow,
    CompactRadial,
    CompactWide,
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
    exact = Fraction(x)  # the large terms of the polynomials cancel
    return {
        "cosine": lambda: 0.5 * (math.cos(math.pi * x) + 1),
        "exponential": lambda: math.exp(1 - 1 / (1 - x**2)),
        "polynomial_1": lambda: float((2 * exact - 3) * exact**2 + 1),
        "polynomial": lambda: float(1 - 10 * exact**3 + 15 * exact**4 - 6 * exact**5),
        "polynomial_3": lambda: float(1 - 35 * exact**4 + 84 * exact**5 - 70 * exact**6 + 20 * exact**7),
        "polynomial_4": lambda: float(
            1 - 126 * exact**5 + 420 * exact**6 - 540 * exact**7 + 315 * exact**8 - 70 * exact**9
        ),
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


def compact(shape: str, x: float, left: float, right: float) -> float:
    """A compact function, its polynomials in Bernstein's form: half the expansion of (y + 1 - y)^(2n+1)."""
    if not left < x < right:
        return 0.0
    y = abs(2 * x - left - right) / (right - left)
    if shape.startswith("e"):
        return math.e * math.exp(1 / (y * y - 1))
    if shape.endswith("a"):
        y = (2 - y) * y
    n = int(shape[1])
    return sum(math.comb(2 * n + 1, k) * y**k * (1 - y) ** (2 * n + 1 - k) for k in range(n + 1))


def _pair(f: SymmetryFunction, vector: Point) -> float:
    r = math.hypot(*vector)
    if isinstance(f, CompactRadial):
        return compact(f.shape, r, f.inner, f.cutoff)
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
    if isinstance(f, CompactNarrow | CompactWide):
        theta = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
        near = compact(f.shape, r_ij, f.inner, f.cutoff) * compact(f.shape, r_ik, f.inner, f.cutoff)
        far = compact(f.shape_jk or f.shape, r_jk, f.inner, f.cutoff) if isinstance(f, CompactNarrow) else 1.0
        return compact(f.shape[:2], theta, f.theta_low, f.theta_high) * near * far
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
