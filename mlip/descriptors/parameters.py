"""Named sets of symmetry functions, each with its paper.

Every set is made for each neighbor element or pair of them; with `weighted` it is made once, for all neighbors, each
with its atomic number over the mean of the elements as its weight (wACSF).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement, product
from typing import Any

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


def radial_grid(
    elements: Sequence[int],
    *,
    cutoff: float,
    count: int,
    start: float = 0.8,
    eta: float | None = None,
    spacing: str = "even",
    cutoff_function: str = "cosine",
    inner_cutoff: float = 0.0,
    weighted: bool = False,
) -> list[SymmetryFunction]:
    r"""Shells for every neighbor element, evenly spaced in a coordinate x of the distance, the last one step inside.

    .. math:: x(r_s) = x(r_0) + n \Delta, \quad \Delta = \left[x(r_c) - x(r_0)\right] / N, \quad
              \eta = \left[x'(r_s) / \Delta\right]^2 \text{ unless given}

    with x = r ("even"), ln r ("log") or 1/r ("inverse"): near the center shells are nearer and narrower.

    Source: Gastegger et al., J. Chem. Phys. 148, 241709 (2018), section II B ("shifted" functions).
    """
    to, back, slope = _COORDINATES[spacing]
    if spacing != "even" and start <= 0:
        raise ValueError(f"the grid starts at {start} Å; spacing '{spacing}' needs a positive start")
    _spacing(start, cutoff, count)
    step = (to(cutoff) - to(start)) / count
    shells = [back(to(start) + n * step) for n in range(count)]
    return [
        Radial(**of, eta=slope(r_s) ** 2 / step**2 if eta is None else eta, r_s=r_s)
        for of in _neighborhoods(Radial, elements, weighted, cutoff, cutoff_function, inner_cutoff)
        for r_s in shells
    ]


def log_normal_grid(
    elements: Sequence[int],
    *,
    cutoff: float,
    count: int,
    start: float = 0.8,
    width: float | None = None,
    power: float = 0.0,
    cutoff_function: str = "cosine",
    inner_cutoff: float = 0.0,
    weighted: bool = False,
) -> list[SymmetryFunction]:
    r"""Shells evenly spaced in ln r for every neighbor element, with an inverse power of the distance.

    .. math:: \ln r_s = \ln r_0 + n \Delta, \quad \Delta = \ln(r_c / r_0) / N, \quad
              \sigma = \Delta / \sqrt 2 \text{ unless given}

    Source: Christensen et al., J. Chem. Phys. 152, 044107 (2020), section II.
    """
    _spacing(start, cutoff, count)
    if start <= 0:
        raise ValueError(f"the grid starts at {start} Å; a logarithmic one needs a positive start")
    step = math.log(cutoff / start) / count
    sigma = step / math.sqrt(2) if width is None else width
    return [
        LogNormal(**of, r_s=start * math.exp(n * step), width=sigma, power=power)
        for of in _neighborhoods(LogNormal, elements, weighted, cutoff, cutoff_function, inner_cutoff)
        for n in range(count)
    ]


def bessel_waves(
    elements: Sequence[int],
    *,
    cutoff: float,
    count: int,
    cutoff_function: str = "polynomial",
    inner_cutoff: float = 0.0,
    weighted: bool = False,
) -> list[SymmetryFunction]:
    """The first `count` spherical waves for every neighbor element.

    Source: Gasteiger, Groß, Günnemann, ICLR 2020 (DimeNet), eq. 7.
    """
    return [
        Bessel(**of, n=n)
        for of in _neighborhoods(Bessel, elements, weighted, cutoff, cutoff_function, inner_cutoff)
        for n in range(1, count + 1)
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
    power: float | None = None,
    cutoff_function: str = "cosine",
    inner_cutoff: float = 0.0,
    weighted: bool = False,
) -> list[SymmetryFunction]:
    r"""Evenly spaced angles times evenly spaced mean distances for every pair of neighbor elements.

    .. math:: \theta_s = (m + \tfrac12) \pi / M, \quad \zeta = M^2 / 4 \text{ (rounded)}, \qquad
              r_s = r_0 + n \Delta, \quad \Delta = (r_c - r_0) / N, \quad \eta = 3 / (2 \Delta^2) \text{ unless given}

    Both are half of what would give the widths of ANI-1x; broader functions were better on validation data. With
    a power they have the weight of Axilrod, Teller and Muto.

    Source: Smith, Isayev, Roitberg, Chem. Sci. 8, 3192 (2017), eq. 4.
    """
    spacing = _spacing(start, cutoff, shells)
    if angles < 1:
        raise ValueError(f"angles is {angles}; an angular grid needs at least one")
    numbers = {
        "eta": 1.5 / spacing**2 if eta is None else eta,
        "zeta": float(max(1, round(angles**2 / 4))) if zeta is None else zeta,
    }
    kind: Any = Shifted
    if power is not None:
        kind, numbers["power"] = ShiftedAxilrodTeller, power
    return [
        kind(**of, **numbers, r_s=start + n * spacing, theta_s=(m + 0.5) * math.pi / angles)
        for of in _neighborhoods(kind, elements, weighted, cutoff, cutoff_function, inner_cutoff)
        for n, m in product(range(shells), range(angles))
    ]


def chebyshev_grid(
    elements: Sequence[int],
    *,
    cutoff: float,
    shells: int,
    degree: int,
    start: float = 0.8,
    eta: float | None = None,
    power: float | None = None,
    cutoff_function: str = "cosine",
    inner_cutoff: float = 0.0,
    weighted: bool = False,
) -> list[SymmetryFunction]:
    r"""Chebyshev polynomials of the angle times evenly spaced mean distances for every pair of neighbor elements.

    .. math:: n = 0 \dots N, \qquad r_s = r_0 + m \Delta, \quad \Delta = (r_c - r_0) / M, \quad
              \eta = 3 / (2 \Delta^2) \text{ unless given}

    With a power they have the weight of Axilrod, Teller and Muto.

    Source: Artrith, Urban, Ceder, Phys. Rev. B 96, 014112 (2017); with a power, Christensen et al., J. Chem. Phys. 152,
    044107 (2020), where it is 0.57.
    """
    spacing = _spacing(start, cutoff, shells)
    numbers = {"eta": 1.5 / spacing**2 if eta is None else eta}
    kind: Any = Chebyshev
    if power is not None:
        kind, numbers["power"] = AxilrodTeller, power
    return [
        kind(**of, **numbers, r_s=start + m * spacing, n=n)
        for of in _neighborhoods(kind, elements, weighted, cutoff, cutoff_function, inner_cutoff)
        for m, n in product(range(shells), range(degree + 1))
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
    inner_cutoff: float = 0.0,
    weighted: bool = False,
) -> list[SymmetryFunction]:
    """Every combination of eta (Å⁻²), zeta and lambda, `kind` "narrow" or "wide", for every pair of neighbor elements.

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), section III.
    """
    make: type[Narrow] | type[Wide] = {"narrow": Narrow, "wide": Wide}[kind]  # type: ignore[assignment]
    return [
        make(**of, eta=eta, zeta=zeta, lambda_=lambda_)
        for of in _neighborhoods(make, elements, weighted, cutoff, cutoff_function, inner_cutoff)
        for eta, zeta, lambda_ in product(etas, zetas, lambdas)
    ]


def ani1x(elements: Sequence[int]) -> list[SymmetryFunction]:
    """The 16 radial and 32 angular functions of ANI-1x for any elements (384 for H, C, N, O).

    TorchANI's numbers are the same, but for a factor 1/4 of the radial ones.

    Source: Smith et al., J. Chem. Phys. 148, 241733 (2018), parameter file of the published model.
    """
    return [
        *_ani_radial(elements, eta=16.0, start=0.9, cutoff=5.2),
        *_ani_angular(elements, eta=8.0, zeta=32.0, start=0.9, shells=4, angles=8),
    ]


def ani2x(elements: Sequence[int]) -> list[SymmetryFunction]:
    """The 16 radial and 32 angular functions of ANI-2x for any elements (1008 for H, C, N, O, F, S, Cl).

    TorchANI's numbers are the same, but for a factor 1/4 of the radial ones.

    Source: Devereux et al., J. Chem. Theory Comput. 16, 4192 (2020), parameter file of the published model.
    """
    return [
        *_ani_radial(elements, eta=19.7, start=0.8, cutoff=5.1),
        *_ani_angular(elements, eta=12.5, zeta=14.1, start=0.8, shells=8, angles=4),
    ]


def _ani_radial(elements: Sequence[int], *, eta: float, start: float, cutoff: float) -> list[SymmetryFunction]:
    step = _spacing(start, cutoff, 16)
    return [
        Radial(neighbors=(z,), eta=eta, r_s=start + n * step, cutoff=cutoff)
        for z in sorted(elements)
        for n in range(16)
    ]


def _ani_angular(
    elements: Sequence[int], *, eta: float, zeta: float, start: float, shells: int, angles: int
) -> list[SymmetryFunction]:
    return angular_grid(elements, cutoff=3.5, shells=shells, angles=angles, start=start, eta=eta, zeta=zeta)


# Of each spacing: a coordinate of the distance, its inverse, and the size of its slope.
_COORDINATES: dict[str, tuple[Any, Any, Any]] = {
    "even": (lambda r: r, lambda x: x, lambda r: 1.0),
    "log": (math.log, math.exp, lambda r: 1.0 / r),
    "inverse": (lambda r: 1.0 / r, lambda x: 1.0 / x, lambda r: 1.0 / r**2),
}


def _neighborhoods(
    kind: type[SymmetryFunction],
    elements: Sequence[int],
    weighted: bool,
    cutoff: float,
    cutoff_function: str,
    inner_cutoff: float,
) -> list[dict[str, Any]]:
    """What the functions of a set differ in by element: one entry for each combination, or one with weights."""
    common = {"cutoff": cutoff, "cutoff_function": cutoff_function, "inner_cutoff": inner_cutoff}
    if weighted:
        mean = sum(elements) / len(elements)
        return [{"weights": tuple((z, z / mean) for z in elements), **common}]
    return [{"neighbors": of, **common} for of in combinations_with_replacement(sorted(elements), kind.order)]


def _spacing(start: float, cutoff: float, count: int) -> float:
    if count < 1:
        raise ValueError(f"a grid of {count} radial shells is empty; give at least one")
    if not 0 <= start < cutoff:
        raise ValueError(f"the grid starts at {start} Å; expected between 0 and the cutoff of {cutoff} Å")
    return (cutoff - start) / count
