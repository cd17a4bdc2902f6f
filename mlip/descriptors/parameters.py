"""Named sets of symmetry functions, each with its paper, and what data say about a set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement, product

import numpy as np
from jaxtyping import Float

from mlip.descriptors.functions import Narrow, Radial, Shifted, SymmetryFunction, Wide


def radial_grid(
    elements: Sequence[int],
    *,
    cutoff: float,
    count: int,
    start: float = 0.8,
    eta: float | None = None,
    cutoff_function: str = "cosine",
) -> list[SymmetryFunction]:
    r"""Evenly spaced shells for every neighbor element, the last one spacing inside the cutoff.

    .. math:: r_s = r_0 + n \Delta, \quad \Delta = (r_c - r_0) / N, \quad \eta = 1 / \Delta^2 \text{ unless given}

    Source: Gastegger et al., J. Chem. Phys. 148, 241709 (2018), section II B ("shifted" functions).
    """
    spacing = _spacing(start, cutoff, count)
    width = 1.0 / spacing**2 if eta is None else eta
    return [
        Radial(neighbors=(z,), eta=width, r_s=start + n * spacing, cutoff=cutoff, cutoff_function=cutoff_function)
        for z in sorted(elements)
        for n in range(count)
    ]


def angular_grid(
    elements: Sequence[int],
    *,
    cutoff: float,
    shells: int,
    angles: int,
    start: float = 0.8,
    eta: float | None = None,
    zeta: float | None = None,
    cutoff_function: str = "cosine",
) -> list[SymmetryFunction]:
    r"""Evenly spaced angles times evenly spaced mean distances for every pair of neighbor elements.

    .. math:: \theta_s = (m + \tfrac12) \pi / M, \quad \zeta = M^2 / 4 \text{ (rounded)}, \qquad
              r_s = r_0 + n \Delta, \quad \Delta = (r_c - r_0) / N, \quad \eta = 3 / (2 \Delta^2) \text{ unless given}

    Both are half of what would give the widths of ANI-1x; broader functions were better on validation data.

    Source: Smith, Isayev, Roitberg, Chem. Sci. 8, 3192 (2017), eq. 4.
    """
    spacing = _spacing(start, cutoff, shells)
    if angles < 1:
        raise ValueError(f"angles is {angles}; an angular grid needs at least one")
    width = 1.5 / spacing**2 if eta is None else eta
    sharpness = float(max(1, round(angles**2 / 4))) if zeta is None else zeta
    return [
        Shifted(
            neighbors=pair,
            eta=width,
            r_s=start + n * spacing,
            zeta=sharpness,
            theta_s=(m + 0.5) * math.pi / angles,
            cutoff=cutoff,
            cutoff_function=cutoff_function,
        )
        for pair in combinations_with_replacement(sorted(elements), 2)
        for n, m in product(range(shells), range(angles))
    ]


def behler_angular(
    elements: Sequence[int],
    *,
    kind: str,
    cutoff: float,
    etas: Sequence[float],
    zetas: Sequence[float],
    lambdas: Sequence[float] = (-1.0, 1.0),
    cutoff_function: str = "cosine",
) -> list[SymmetryFunction]:
    """Every combination of eta (Å⁻²), zeta and lambda, `kind` "narrow" or "wide", for every pair of neighbor elements.

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), section III.
    """
    make: type[Narrow] | type[Wide] = {"narrow": Narrow, "wide": Wide}[kind]  # type: ignore[assignment]
    return [
        make(neighbors=pair, eta=eta, zeta=zeta, lambda_=lambda_, cutoff=cutoff, cutoff_function=cutoff_function)
        for pair in combinations_with_replacement(sorted(elements), 2)
        for eta, zeta, lambda_ in product(etas, zetas, lambdas)
    ]


def ani1x(elements: Sequence[int]) -> list[SymmetryFunction]:
    """The 16 radial and 32 angular functions of ANI-1x for any elements (384 for H, C, N, O).

    Source: Smith et al., J. Chem. Phys. 148, 241733 (2018), parameter file of the published model.
    """
    radial = [
        Radial(neighbors=(z,), eta=16.0, r_s=0.9 + 0.26875 * n, cutoff=5.2) for z in sorted(elements) for n in range(16)
    ]
    angular = [
        Shifted(neighbors=pair, eta=8.0, zeta=32.0, r_s=r_s, theta_s=(m + 0.5) * math.pi / 8, cutoff=3.5)
        for pair in combinations_with_replacement(sorted(elements), 2)
        for r_s, m in product((0.9, 1.55, 2.2, 2.85), range(8))
    ]
    return [*radial, *angular]


def redundant_functions(
    features: Float[np.ndarray, "N D"], functions: Sequence[SymmetryFunction], *, tolerance: float = 1e-8
) -> list[str]:
    """What the training data say against a set: functions that are constant on them, and pairs with the same values.

    `features` are those of the centers of one element, in float64; `tolerance` is relative to the largest spread.
    """
    spread = features.std(axis=0)
    constant: np.ndarray = spread <= tolerance * max(float(spread.max()), np.finfo(float).tiny)
    messages = [
        f"function {d} is constant ({features[0, d]:.3g}): {functions[d]}" for d in np.flatnonzero(constant).tolist()
    ]
    varying = np.flatnonzero(~constant)
    # Equal columns have equal projections, so only neighbors among the sorted projections need to be compared.
    weights = np.random.default_rng(0).standard_normal(len(features))
    projections = weights @ features[:, varying]
    order = varying[np.argsort(projections)]
    close = tolerance * np.abs(weights).sum() * spread.max()
    for place, a in enumerate(order):
        for b in order[place + 1 :]:
            if weights @ (features[:, b] - features[:, a]) > close:
                break
            if np.abs(features[:, a] - features[:, b]).max() <= tolerance * spread[a]:
                first, second = sorted((int(a), int(b)))
                messages.append(f"functions {first} and {second} have the same values: {functions[first]}")
                break
    return messages


def _spacing(start: float, cutoff: float, count: int) -> float:
    if count < 1:
        raise ValueError(f"a grid of {count} radial shells is empty; give at least one")
    if not 0 <= start < cutoff:
        raise ValueError(f"the grid starts at {start} Å; expected between 0 and the cutoff of {cutoff} Å")
    return (cutoff - start) / count
