"""Angular symmetry functions: formulas of two neighbors' distances and the angle between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from mlip.descriptors.cutoffs import CutoffFunction
from mlip.descriptors.symmetry_function import SymmetryFunction, Triples


@dataclass(frozen=True, kw_only=True)
class BehlerAngular(SymmetryFunction):
    """The numbers of Behler's two angular functions, and the factor of the angle that they share."""

    eta: float  # Å⁻²
    zeta: float
    lambda_: float  # +1 or -1
    r_s: float = 0.0  # Å

    order: ClassVar[int] = 2
    parameters: ClassVar[tuple[str, ...]] = ("eta", "zeta", "lambda_", "r_s")

    @staticmethod
    def of_angle(cos_theta: Tensor, zeta: Tensor, lambda_: Tensor) -> Tensor:
        r"""The factor :math:`2^{1-\zeta} (1 + \lambda \cos\theta)^\zeta`."""
        return 2 ** (1 - zeta) * (1 + lambda_ * cos_theta).clamp(min=0) ** zeta


@dataclass(frozen=True, kw_only=True)
class Narrow(BehlerAngular):
    r"""Angles between neighbors that are near each other as well (Behler's G4).

    .. math:: G_i = 2^{1-\zeta} \sum_{j<k} (1 + \lambda \cos\theta_{ijk})^\zeta
              e^{-\eta \left[(r_{ij} - r_s)^2 + (r_{ik} - r_s)^2 + (r_{jk} - r_s)^2\right]}
              f_c(r_{ij}) f_c(r_{ik}) f_c(r_{jk})

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), eq. 8, where r_s is 0; with it RuNNer and n2p2 have the function
    (Singraber, Behler, Dellago, J. Chem. Theory Comput. 15, 1827 (2019)).
    """

    kind: ClassVar[str] = "narrow"

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        eta, zeta, lambda_, r_s = values
        r_ij, r_ik, r_jk, cos_theta = cast(Triples, geometry)
        radial = torch.exp(-eta * ((r_ij - r_s) ** 2 + (r_ik - r_s) ** 2 + (r_jk - r_s) ** 2))
        return (
            BehlerAngular.of_angle(cos_theta, zeta, lambda_)
            * radial
            * (fc(r_ij, cutoff) * fc(r_ik, cutoff) * fc(r_jk, cutoff))
        )


@dataclass(frozen=True, kw_only=True)
class Wide(BehlerAngular):
    r"""Angles between all neighbors of the center (Behler's G5).

    .. math:: G_i = 2^{1-\zeta} \sum_{j<k} (1 + \lambda \cos\theta_{ijk})^\zeta
              e^{-\eta \left[(r_{ij} - r_s)^2 + (r_{ik} - r_s)^2\right]} f_c(r_{ij}) f_c(r_{ik})

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), eq. 9, where r_s is 0; see `Narrow`.
    """

    kind: ClassVar[str] = "wide"

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        eta, zeta, lambda_, r_s = values
        r_ij, r_ik, _, cos_theta = cast(Triples, geometry)
        radial = torch.exp(-eta * ((r_ij - r_s) ** 2 + (r_ik - r_s) ** 2))
        return BehlerAngular.of_angle(cos_theta, zeta, lambda_) * radial * (fc(r_ij, cutoff) * fc(r_ik, cutoff))


@dataclass(frozen=True, kw_only=True)
class Shifted(SymmetryFunction):
    r"""Angles near theta_s between neighbors at a mean distance near r_s (ANI's angular function).

    .. math:: G_i = 2^{1-\zeta} \sum_{j<k} \left[1 + \cos(\theta_{ijk} - \theta_s)\right]^\zeta
              e^{-\eta \left(\frac{r_{ij} + r_{ik}}{2} - r_s\right)^2} f_c(r_{ij}) f_c(r_{ik})

    The angle is taken from :math:`\cos\theta = 0.95\, \hat r_{ij} \cdot \hat r_{ik}`, as the published ANI code does:
    without the factor the derivative is infinite for three atoms on a line. Each pair counts once, as in TorchANI: the
    published formula sums over both orders of j and k, and its numbers are twice these.

    Source: Smith, Isayev, Roitberg, Chem. Sci. 8, 3192 (2017), eq. 4.
    """

    eta: float  # Å⁻²
    r_s: float  # Å
    zeta: float
    theta_s: float  # radian

    kind: ClassVar[str] = "shifted"
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


@dataclass(frozen=True, kw_only=True)
class Chebyshev(SymmetryFunction):
    r"""Chebyshev polynomial of the angle's cosine, between neighbors at a mean distance near r_s.

    .. math:: G_i = \sum_{j<k} T_n(\cos\theta_{ijk})\,
              e^{-\eta \left(\frac{r_{ij} + r_{ik}}{2} - r_s\right)^2} f_c(r_{ij}) f_c(r_{ik}),
              \qquad T_n(\cos\theta) = \cos n\theta

    The polynomials are smooth for atoms on a line, and with n up to N they span all polynomials of degree N in the
    cosine.

    Source: Artrith, Urban, Ceder, Phys. Rev. B 96, 014112 (2017), section II, where the polynomials have no radial
    factor but the cutoff functions; the factor is ANI's, see `Shifted`.
    """

    eta: float  # Å⁻²
    r_s: float  # Å
    n: int

    kind: ClassVar[str] = "chebyshev"
    order: ClassVar[int] = 2
    parameters: ClassVar[tuple[str, ...]] = ("eta", "r_s", "n")

    @staticmethod
    def of_angle(cos_theta: Tensor, n: Tensor) -> Tensor:
        r"""The polynomials :math:`T_n`, by :math:`T_{n+1} = 2 \cos\theta\, T_n - T_{n-1}`."""
        before, now = cos_theta, torch.ones_like(cos_theta)
        polynomials = [now]
        for _ in range(int(n.max())):
            before, now = now, 2 * cos_theta * now - before
            polynomials.append(now)
        return torch.cat(polynomials, dim=1)[:, n.long()]

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        eta, r_s, n = values
        r_ij, r_ik, _, cos_theta = cast(Triples, geometry)
        radial = torch.exp(-eta * (0.5 * (r_ij + r_ik) - r_s) ** 2)
        return Chebyshev.of_angle(cos_theta, n) * radial * (fc(r_ij, cutoff) * fc(r_ik, cutoff))


@dataclass(frozen=True, kw_only=True)
class AxilrodTeller(SymmetryFunction):
    r"""`Chebyshev` with the weight of the triple dipole energy of Axilrod, Teller and Muto, for any power.

    .. math:: G_i = \sum_{j<k} \frac{1 + 3 \cos\theta_i \cos\theta_j \cos\theta_k}{(r_{ij} r_{ik} r_{jk})^p}\,
              T_n(\cos\theta_i)\,
              e^{-\eta \left(\frac{r_{ij} + r_{ik}}{2} - r_s\right)^2} f_c(r_{ij}) f_c(r_{ik})

    with the three angles of the triangle and distances in Å. The distance of j and k needs no cutoff: both are in the
    sphere of i, so nothing jumps where it grows, and atoms keep apart. FCHL19 has cos n theta and sin n theta of odd n;
    without the sine, whose slope jumps for atoms on a line, here are all n.

    Source: Christensen et al., J. Chem. Phys. 152, 044107 (2020), section II.
    """

    eta: float  # Å⁻²
    r_s: float  # Å
    n: int
    power: float

    kind: ClassVar[str] = "axilrod_teller"
    order: ClassVar[int] = 2
    parameters: ClassVar[tuple[str, ...]] = ("eta", "r_s", "n", "power")

    @staticmethod
    def weight(triples: Triples, power: Tensor) -> Tensor:
        """The fraction before the polynomial."""
        r_ij, r_ik, r_jk, cos_theta = triples
        cos_j = (r_ij - r_ik * cos_theta) / r_jk
        cos_k = (r_ik - r_ij * cos_theta) / r_jk
        return (1 + 3 * cos_theta * cos_j * cos_k) * (r_ij * r_ik * r_jk) ** -power

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        weight = AxilrodTeller.weight(cast(Triples, geometry), values[3])
        return weight * Chebyshev.terms(geometry, fc, cutoff, values[:3])


@dataclass(frozen=True, kw_only=True)
class ShiftedAxilrodTeller(SymmetryFunction):
    r"""`Shifted` with the weight of the triple dipole energy of Axilrod, Teller and Muto, for any power.

    .. math:: G_i = 2^{1-\zeta} \sum_{j<k} \frac{1 + 3 \cos\theta_i \cos\theta_j \cos\theta_k}{(r_{ij} r_{ik} r_{jk})^p}
              \left[1 + \cos(\theta_i - \theta_s)\right]^\zeta
              e^{-\eta \left(\frac{r_{ij} + r_{ik}}{2} - r_s\right)^2} f_c(r_{ij}) f_c(r_{ik})

    with what `Shifted` says of the angle and `AxilrodTeller` of the weight. Triples of near
    neighbors, which bind, count more than those of far ones: with few training structures the error of forces is lower.

    Source: the product of eq. 4 of Smith, Isayev, Roitberg, Chem. Sci. 8, 3192 (2017) and the weight in section II of
    Christensen et al., J. Chem. Phys. 152, 044107 (2020).
    """

    eta: float  # Å⁻²
    r_s: float  # Å
    zeta: float
    theta_s: float  # radian
    power: float

    kind: ClassVar[str] = "shifted_axilrod_teller"
    order: ClassVar[int] = 2
    parameters: ClassVar[tuple[str, ...]] = ("eta", "r_s", "zeta", "theta_s", "power")

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of T triples for F functions."""
        weight = AxilrodTeller.weight(cast(Triples, geometry), values[4])
        return weight * Shifted.terms(geometry, fc, cutoff, values[:4])
