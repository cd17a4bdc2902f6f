"""Symmetry functions one by one: their parameters and their formulas.

A formula is a term of one pair or of one triple (center i, neighbors j and k, each unordered pair j, k once). The
symmetry function is the sum of the terms over the pairs or triples whose neighbors have the given elements:
`descriptors/acsf.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS, CutoffFunction
from mlip.elements import symbol


class Triples(NamedTuple):
    """Geometry of T triples as columns, so that F functions broadcast along the second axis."""

    r_ij: Float[Tensor, "T 1"]  # Å
    r_ik: Float[Tensor, "T 1"]  # Å
    r_jk: Float[Tensor, "T 1"]  # Å
    cos_theta: Float[Tensor, "T 1"]  # cosine of the angle j-i-k


@dataclass(frozen=True, kw_only=True)
class SymmetryFunction:
    """What every symmetry function has; `terms` of a subclass is its formula for one pair or triple.

    Raises:
        ValueError: a parameter is outside its range; the message names it.
    """

    neighbors: tuple[int, ...]  # atomic numbers, ascending
    cutoff: float  # Å
    cutoff_function: str = "cosine"
    center: int | None = None  # atomic number of the center, None for any

    order: ClassVar[int]  # number of neighbors in a term
    parameters: ClassVar[tuple[str, ...]]  # names of the numbers the formula takes

    def __post_init__(self) -> None:
        object.__setattr__(self, "neighbors", tuple(sorted(self.neighbors)))
        if len(self.neighbors) != self.order:
            raise ValueError(f"{type(self).__name__}: neighbors are {self.neighbors}; expected {self.order} elements")
        if not (math.isfinite(self.cutoff) and self.cutoff > 0):
            raise ValueError(f"cutoff is {self.cutoff} Å; it must be a positive, finite length")
        if self.cutoff_function not in CUTOFF_FUNCTIONS:
            raise ValueError(f"cutoff_function is '{self.cutoff_function}'; known: {', '.join(CUTOFF_FUNCTIONS)}")
        for name in self.parameters:
            value = getattr(self, name)
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}; it must be a finite number")
            if name == "eta" and value < 0:
                raise ValueError(f"eta is {value} Å⁻²; it must not be negative")
            if name == "zeta" and value < 1:
                raise ValueError(f"zeta is {value}; at least 1 is needed for smooth forces")

    @staticmethod
    def terms(
        geometry: Float[Tensor, "M 1"] | Triples, fc: CutoffFunction, cutoff: float, values: Float[Tensor, "K F"]
    ) -> Float[Tensor, "M F"]:
        """The formula for M pairs (their distances) or triples; K rows of `values` hold the numbers of F functions."""
        raise NotImplementedError

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers the formula takes, in the order of `parameters`."""
        return tuple(float(getattr(self, name)) for name in self.parameters)

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.parameters, self.values, strict=True))
        center = "any" if self.center is None else symbol(self.center)
        neighbors = "-".join(symbol(number) for number in self.neighbors)
        return f"{KIND_OF[type(self)]} around {center} of {neighbors}: {numbers}, cutoff {self.cutoff:g}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values that make the same function again with `function_from_dict`."""
        return {"kind": KIND_OF[type(self)], **{f.name: getattr(self, f.name) for f in fields(self)}}


@dataclass(frozen=True, kw_only=True)
class Radial(SymmetryFunction):
    r"""Density of one element's atoms in a soft shell around the center (G2).

    .. math:: G_i = \sum_j e^{-\eta (r_{ij} - r_s)^2} f_c(r_{ij})

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), eq. 6.
    """

    eta: float  # Å⁻²
    r_s: float = 0.0  # Å

    order: ClassVar[int] = 1
    parameters: ClassVar[tuple[str, ...]] = ("eta", "r_s")

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of M pairs with distances (M,1) for F functions."""
        r = cast(Tensor, geometry)
        eta, r_s = values
        return torch.exp(-eta * (r - r_s) ** 2) * fc(r, cutoff)


@dataclass(frozen=True, kw_only=True)
class BehlerAngular(SymmetryFunction):
    """The numbers of Behler's two angular functions, and the factor of the angle that they share."""

    eta: float  # Å⁻²
    zeta: float
    lambda_: float  # +1 or -1

    order: ClassVar[int] = 2
    parameters: ClassVar[tuple[str, ...]] = ("eta", "zeta", "lambda_")

    @staticmethod
    def of_angle(cos_theta: Tensor, zeta: Tensor, lambda_: Tensor) -> Tensor:
        r"""The factor :math:`2^{1-\zeta} (1 + \lambda \cos\theta)^\zeta`."""
        return 2 ** (1 - zeta) * (1 + lambda_ * cos_theta).clamp(min=0) ** zeta


@dataclass(frozen=True, kw_only=True)
class Narrow(BehlerAngular):
    r"""Angles between neighbors that are near each other as well (Behler's G4).

    .. math:: G_i = 2^{1-\zeta} \sum_{j<k} (1 + \lambda \cos\theta_{ijk})^\zeta
              e^{-\eta (r_{ij}^2 + r_{ik}^2 + r_{jk}^2)} f_c(r_{ij}) f_c(r_{ik}) f_c(r_{jk})

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), eq. 8.
    """

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        eta, zeta, lambda_ = values
        r_ij, r_ik, r_jk, cos_theta = cast(Triples, geometry)
        radial = torch.exp(-eta * (r_ij**2 + r_ik**2 + r_jk**2))
        return (
            BehlerAngular.of_angle(cos_theta, zeta, lambda_)
            * radial
            * (fc(r_ij, cutoff) * fc(r_ik, cutoff) * fc(r_jk, cutoff))
        )


@dataclass(frozen=True, kw_only=True)
class Wide(BehlerAngular):
    r"""Angles between all neighbors of the center (Behler's G5).

    .. math:: G_i = 2^{1-\zeta} \sum_{j<k} (1 + \lambda \cos\theta_{ijk})^\zeta
              e^{-\eta (r_{ij}^2 + r_{ik}^2)} f_c(r_{ij}) f_c(r_{ik})

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), eq. 9.
    """

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        eta, zeta, lambda_ = values
        r_ij, r_ik, _, cos_theta = cast(Triples, geometry)
        radial = torch.exp(-eta * (r_ij**2 + r_ik**2))
        return BehlerAngular.of_angle(cos_theta, zeta, lambda_) * radial * (fc(r_ij, cutoff) * fc(r_ik, cutoff))


@dataclass(frozen=True, kw_only=True)
class Shifted(SymmetryFunction):
    r"""Angles near theta_s between neighbors at a mean distance near r_s (ANI's angular function).

    .. math:: G_i = 2^{1-\zeta} \sum_{j<k} \left[1 + \cos(\theta_{ijk} - \theta_s)\right]^\zeta
              e^{-\eta \left(\frac{r_{ij} + r_{ik}}{2} - r_s\right)^2} f_c(r_{ij}) f_c(r_{ik})

    The angle is taken from :math:`\cos\theta = 0.95\, \hat r_{ij} \cdot \hat r_{ik}`, as the published ANI code does:
    without the factor the derivative is infinite for three atoms on a line. (The published formula sums over j and k in
    both orders; here each pair counts once, the factor :math:`2^{1-\zeta}` is Behler's.)

    Source: Smith, Isayev, Roitberg, Chem. Sci. 8, 3192 (2017), eq. 4.
    """

    eta: float  # Å⁻²
    r_s: float  # Å
    zeta: float
    theta_s: float  # radian

    order: ClassVar[int] = 2
    parameters: ClassVar[tuple[str, ...]] = ("eta", "r_s", "zeta", "theta_s")

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        eta, r_s, zeta, theta_s = values
        r_ij, r_ik, _, cos_theta = cast(Triples, geometry)
        cos_theta = 0.95 * cos_theta
        sin_theta = torch.sqrt(1 - cos_theta**2)
        angular = 2 ** (1 - zeta) * (1 + cos_theta * torch.cos(theta_s) + sin_theta * torch.sin(theta_s)) ** zeta
        radial = torch.exp(-eta * (0.5 * (r_ij + r_ik) - r_s) ** 2)
        return angular * radial * (fc(r_ij, cutoff) * fc(r_ik, cutoff))


KINDS: dict[str, type[SymmetryFunction]] = {"radial": Radial, "narrow": Narrow, "wide": Wide, "shifted": Shifted}
KIND_OF = {kind: name for name, kind in KINDS.items()}


def function_from_dict(values: dict[str, Any]) -> SymmetryFunction:
    """The inverse of `SymmetryFunction.as_dict`."""
    values = dict(values)
    return KINDS[values.pop("kind")](**{**values, "neighbors": tuple(values["neighbors"])})


def described(functions: Sequence[SymmetryFunction]) -> str:
    """How many functions of which kind up to which cutoff, such as "48 radial to 6 Å, 96 shifted to 5 Å"."""
    counts = Counter((KIND_OF[type(function)], function.cutoff) for function in functions)
    return ", ".join(f"{count} {kind} to {cutoff:g} Å" for (kind, cutoff), count in counts.items())
