"""Symmetry functions with compact support: polynomials of a distance or an angle that are zero outside an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.descriptors.cutoffs import CutoffFunction
from mlip.descriptors.symmetry_function import SymmetryFunction, Triples

# Name of a shape -> order n of the polynomial, 0 of the exponential; negative if distances have the narrow form. n2p2
# reads "ea" as "e": only its polynomials have one.
SHAPES = {"p1": 1, "p1a": -1, "p2": 2, "p2a": -2, "p3": 3, "p3a": -3, "p4": 4, "p4a": -4, "e": 0, "ea": 0}


def core(x: Float[Tensor, "*M F"], order: Float[Tensor, "F"]) -> Float[Tensor, "*M F"]:
    r"""The shape of one side of a compact function, 1 at x = 0 and 0 at x = 1, with zero slope at both ends.

    .. math:: f_n(x) = (1 - x)^{n+1} \sum_{k=0}^{n} \binom{n+k}{k} x^k, \qquad f_0(x) = e^{1 - 1 / (1 - x^2)}

    The first n derivatives are zero at both ends. Source: Bircher, Singraber, Dellago, Mach. Learn.: Sci. Technol. 2,
    035026 (2021), section 2.
    """
    value = torch.zeros_like(x)
    for n in map(int, order.unique().tolist()):
        if n == 0:
            inside = x < 1
            of_order = torch.where(inside, torch.exp(-(x**2) / torch.where(inside, 1 - x**2, 1.0)), 0.0)
        else:
            of_order = (1 - x) ** (n + 1) * sum(math.comb(n + k, k) * x**k for k in range(n + 1))
        value = torch.where(order == n, of_order, value)
    return value


def of_distance(
    r: Float[Tensor, "M 1"], order: Float[Tensor, "F"], inner: Float[Tensor, "F"], cutoff: float
) -> Float[Tensor, "M F"]:
    """The compact function of a distance between two edges (Å)."""
    x = _side(r, inner, cutoff + torch.zeros_like(inner))
    return core(torch.where(order < 0, (2 - x) * x, x), order.abs())


def of_angle(
    cos_theta: Float[Tensor, "T 1"], order: Float[Tensor, "F"], low: Float[Tensor, "F"], high: Float[Tensor, "F"]
) -> Float[Tensor, "T F"]:
    r"""The compact function of an angle between two edges (degrees).

    The slope of a function C of the angle is zero at 0° and at 180°, since it is even there or zero. So its derivative
    by the cosine, :math:`-C' / \sin\theta`, has a limit there, which is :math:`\mp C''`: atoms on a line have it.
    """
    order = order.abs()
    bent = cos_theta.abs() < 1
    theta = torch.rad2deg(torch.acos(torch.where(bent, cos_theta, 0.0)))
    side = torch.where(cos_theta > 0, 1.0, -1.0)
    line = core(_side(90 - 90 * side, low, high), order)
    line = line - side * torch.where(cos_theta > 0, *end_curvatures(order, low, high)) * (cos_theta - side)
    return torch.where(bent, core(_side(theta, low, high), order), line)


def end_curvatures(
    order: Float[Tensor, "F"], low: Float[Tensor, "F"], high: Float[Tensor, "F"]
) -> tuple[Float[Tensor, "F"], Float[Tensor, "F"]]:
    """Second derivative of the compact function of an angle by it (radian) at 0° and at 180°."""
    at_center = torch.where(order == 1, -6.0, torch.where(order == 0, -2.0, 0.0))
    at_edge = torch.where(order == 1, 6.0, 0.0)
    per_square = torch.deg2rad(0.5 * (high - low)) ** -2
    at_0 = torch.where(low < 0, at_center, torch.where(low == 0, at_edge, 0.0))
    at_180 = torch.where(high > 180, at_center, torch.where(high == 180, at_edge, 0.0))
    return at_0 * per_square, at_180 * per_square


def _side(x: Float[Tensor, "*M 1"], left: Float[Tensor, "F"], right: Float[Tensor, "F"]) -> Float[Tensor, "*M F"]:
    """Distance from the center of an interval: 1 at both edges, and beyond."""
    return ((2 * x - left - right).abs() / (right - left)).clamp(max=1.0)


@dataclass(frozen=True, kw_only=True)
class CompactFunction(SymmetryFunction):
    r"""What the functions with compact support share: an interval of distances from `inner` to `cutoff`, and a shape.

    .. math:: C(r) = f\left(\frac{|r - r_0|}{w}\right), \quad r_0 = \frac{r_h + r_l}{2}, \; w = \frac{r_h - r_l}{2}
              \quad (r_l < r < r_h), \qquad 0 \text{ outside}

    with the left edge :math:`r_l` (`inner`), which may be negative (-`cutoff` gives a function that is even), and the
    right edge :math:`r_h` (`cutoff`). f is `core`; shapes with an "a" take :math:`f(2x - x^2)` of distances. There is
    no cutoff function.

    Raises:
        ValueError: a parameter is outside its range; the message names it.
    """

    inner: float  # Å
    shape: str
    cutoff_function: str = "hard"

    parameters: ClassVar[tuple[str, ...]] = ("inner",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape not in SHAPES:
            raise ValueError(f"shape is '{self.shape}'; known: {', '.join(SHAPES)}")
        if self.cutoff_function != "hard":
            raise ValueError(
                f"cutoff_function is '{self.cutoff_function}'; a {self.kind} function ends by itself: leave it out"
            )
        if not self.inner < self.cutoff:
            raise ValueError(f"inner is {self.inner} Å and cutoff {self.cutoff} Å; expected inner < cutoff")

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers the formula takes: the order of the shape, then those in `parameters`."""
        return (float(SHAPES[self.shape]), *super().values)

    def __str__(self) -> str:
        return f"{super().__str__()}, shape {self.shape}"


@dataclass(frozen=True, kw_only=True)
class CompactRadial(CompactFunction):
    r"""Number of one element's atoms in a shell around the center, with soft edges.

    .. math:: G_i = \sum_j C(r_{ij})

    Source: Bircher, Singraber, Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021), section 2; types 20 and, with
    atomic numbers as weights, 23 of n2p2.
    """

    kind: ClassVar[str] = "compact_radial"
    order: ClassVar[int] = 1

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of M pairs with distances (M,1) for F functions."""
        order, inner = values
        return of_distance(cast(Tensor, geometry), order, inner, cutoff)


@dataclass(frozen=True, kw_only=True)
class CompactAngular(CompactFunction):
    r"""What the two angular functions share: an interval of angles from `theta_low` to `theta_high` (degrees).

    .. math:: A(\theta) = f\left(\frac{|\theta - \theta_0|}{w}\right), \quad
              \theta_0 = \frac{\theta_h + \theta_l}{2}, \; w = \frac{\theta_h - \theta_l}{2}

    with f itself, whether the shape has an "a" or not. The interval may reach below 0° or beyond 180° if it is
    symmetric about it: A must be an even function there. (n2p2 leaves out triples whose cosine is 1 or -1 in floating
    point; here they have the limit, so that nothing jumps.)
    """

    theta_low: float  # degrees
    theta_high: float  # degrees

    order: ClassVar[int] = 2
    parameters: ClassVar[tuple[str, ...]] = ("inner", "theta_low", "theta_high")

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.theta_low, self.theta_high
        interval = f"theta_low is {low}° and theta_high {high}°"
        if not 0 < high - low <= 360:
            raise ValueError(f"{interval}; expected theta_low < theta_high, at most 360° apart")
        if (low < 0 and abs(low + high) > 1e-9) or (high > 180 and abs(low + high - 360) > 1e-9):
            raise ValueError(
                f"{interval}; an interval that leaves 0° to 180° must be symmetric about 0° or 180°, "
                f"such as {-abs(high)} to {abs(high)}"
            )


@dataclass(frozen=True, kw_only=True)
class CompactWide(CompactAngular):
    r"""Angles between all neighbors at such a distance from the center.

    .. math:: G_i = \sum_{j<k} A(\theta_{ijk})\, C(r_{ij})\, C(r_{ik})

    Source: Bircher, Singraber, Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021), section 2; types 22 and, with
    atomic numbers as weights, 25 of n2p2.
    """

    kind: ClassVar[str] = "compact_wide"

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        order, inner, low, high = values
        r_ij, r_ik, _, cos_theta = cast(Triples, geometry)
        near = of_distance(r_ij, order, inner, cutoff) * of_distance(r_ik, order, inner, cutoff)
        return of_angle(cos_theta, order, low, high) * near


@dataclass(frozen=True, kw_only=True)
class CompactNarrow(CompactAngular):
    r"""Angles between neighbors that are at such a distance from each other as well.

    .. math:: G_i = \sum_{j<k} A(\theta_{ijk})\, C(r_{ij})\, C(r_{ik})\, C(r_{jk})

    The last factor has a shape of its own if `shape_jk` names one: n2p2 makes some potentials so.

    Source: Bircher, Singraber, Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021), section 2; types 21 and, with
    atomic numbers as weights, 24 of n2p2.
    """

    shape_jk: str | None = None

    kind: ClassVar[str] = "compact_narrow"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape_jk not in (None, *SHAPES):
            raise ValueError(f"shape_jk is '{self.shape_jk}'; known: {', '.join(SHAPES)}, or none: that of the others")

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers the formula takes: as other compact functions, and the order of the shape in r_jk."""
        return (*super().values, float(SHAPES[self.shape_jk or self.shape]))

    def __str__(self) -> str:
        return super().__str__() + (f", of r_jk {self.shape_jk}" if self.shape_jk else "")

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        _, inner, _, _, order_jk = values
        triples = cast(Triples, geometry)
        far = of_distance(triples.r_jk, order_jk, inner, cutoff)
        return far * CompactWide.terms(triples, fc, cutoff, values[:4])
