"""Radial symmetry functions: formulas of one neighbor's distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from mlip.descriptors.cutoffs import CutoffFunction
from mlip.descriptors.symmetry_function import SymmetryFunction, Triples


@dataclass(frozen=True, kw_only=True)
class Radial(SymmetryFunction):
    r"""Density of one element's atoms in a soft shell around the center (G2).

    .. math:: G_i = \sum_j e^{-\eta (r_{ij} - r_s)^2} f_c(r_{ij})

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), eq. 6.
    """

    eta: float  # Å⁻²
    r_s: float = 0.0  # Å

    kind: ClassVar[str] = "radial"
    order: ClassVar[int] = 1
    parameters: ClassVar[tuple[str, ...]] = ("eta", "r_s")

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of M pairs with distances (M,1) for F functions."""
        r = cast(Tensor, geometry)
        eta, r_s = values
        return torch.exp(-eta * (r - r_s) ** 2) * fc(r, cutoff)


@dataclass(frozen=True, kw_only=True)
class LogNormal(SymmetryFunction):
    r"""Gaussian in the logarithm of the distance, weighted with an inverse power of it: narrow near the center.

    .. math:: G_i = \sum_j r_{ij}^{-p} \exp\left[-\frac{(\ln r_{ij} - \ln r_s)^2}{2 \sigma^2}\right] f_c(r_{ij})

    with distances in Å. The log-normal form and the power are those of FCHL19, whose width, however, depends on the
    distance; here it is the same for all, which suits shells that are evenly spaced in ln r.

    Source: Christensen et al., J. Chem. Phys. 152, 044107 (2020), section II.
    """

    r_s: float  # Å
    width: float  # sigma, of ln r
    power: float = 0.0

    kind: ClassVar[str] = "log_normal"
    order: ClassVar[int] = 1
    parameters: ClassVar[tuple[str, ...]] = ("r_s", "width", "power")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("r_s", "width"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; a log_normal function needs it positive")

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of M pairs with distances (M,1) for F functions."""
        r = cast(Tensor, geometry)
        r_s, width, power = values
        return torch.exp(-power * r.log() - (r.log() - r_s.log()) ** 2 / (2 * width**2)) * fc(r, cutoff)


@dataclass(frozen=True, kw_only=True)
class Bessel(SymmetryFunction):
    r"""Spherical waves in the cutoff sphere: n = 1, 2, ... are orthogonal there (without the cutoff function).

    .. math:: G_i = \sum_j \sqrt{\frac{2}{r_c}} \frac{\sin(n \pi r_{ij} / r_c)}{r_{ij}} f_c(r_{ij})

    Source: Gasteiger, Groß, Günnemann, ICLR 2020 (DimeNet), eq. 7.
    """

    n: int

    kind: ClassVar[str] = "bessel"
    order: ClassVar[int] = 1
    parameters: ClassVar[tuple[str, ...]] = ("n",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n < 1:
            raise ValueError(f"n is {self.n}; a bessel function needs at least 1")

    @staticmethod
    def terms(geometry: Tensor | Triples, fc: CutoffFunction, cutoff: float, values: Tensor) -> Tensor:
        """Terms of M pairs with distances (M,1) for F functions."""
        r = cast(Tensor, geometry)
        (n,) = values
        return math.sqrt(2 / cutoff) * torch.sin(n * math.pi * r / cutoff) / r * fc(r, cutoff)
