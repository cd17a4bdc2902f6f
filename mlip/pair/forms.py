"""The curves of classical pair potentials: energy and slope of two atoms at a distance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

# The universal screening function: coefficients, decay in units of the screening length, and that length (Å).
COEFFICIENTS = (0.18175, 0.50986, 0.28022, 0.02817)
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
LENGTH, EXPONENT = 0.46850, 0.23
NEAREST_MINIMUM = 8.0  # of Buckingham's curve, in units of its decay length: its inner maximum is well inside of it


class Form(ABC):
    """A curve V(r) with some numbers for each of T pairs of elements, given as a table (T,K)."""

    name: str
    units: ClassVar[dict[str, str]]  # of the parameters that a user may give, in the order of the table's columns

    @abstractmethod
    def curve(
        self, r: Float[Tensor, "P"], table: Float[Tensor, "T K"], kind: Int[Tensor, "P"]
    ) -> tuple[Float[Tensor, "P"], Float[Tensor, "P"]]:
        """Energy (eV) and slope (eV/Å) at distances r (Å) of pairs whose numbers are in row `kind` of the table."""

    def core(self, table: Float[Tensor, "T K"]) -> tuple[Float[Tensor, "T"], Float[Tensor, "T"]]:
        """Where the curve stops being used on the way in (Å), and the decay of what goes on from there (1/Å).

        The radius is zero for a curve that repels by itself all the way.
        """
        return torch.zeros_like(table[:, 0]), torch.ones_like(table[:, 0])

    def require_sense(self, row: Sequence[float]) -> None:
        """See that the numbers of a pair make a curve that repels at short distances.

        Raises:
            ValueError: they do not.
        """
        if len(row) != len(self.units):
            raise ValueError(f"{self.name} takes {', '.join(self.units)}; found {len(row)} numbers")
        for name, value in zip(self.units, row, strict=True):
            if not value > 0:
                raise ValueError(f"{name} of {self.name} is {value}; expected a positive number")


class LennardJones(Form):
    r"""Dispersion and the usual wall.

    .. math:: V(r) = 4 \epsilon \left[(\sigma / r)^{12} - (\sigma / r)^6\right]
    """

    name = "lennard_jones"
    units: ClassVar = {"epsilon": "eV", "sigma": "Å"}

    def curve(self, r: Tensor, table: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Energy (eV) and slope (eV/Å)."""
        epsilon, sigma = table[kind].unbind(dim=1)
        sixth = (sigma / r) ** 6
        return 4 * epsilon * sixth * (sixth - 1), -24 * epsilon / r * sixth * (2 * sixth - 1)


class Morse(Form):
    r"""A bond that can break.

    .. math:: V(r) = D\,(x^2 - 2x), \qquad x = e^{-a (r - r_0)}

    Source: Morse, Phys. Rev. 34, 57 (1929), less the depth D, so that it goes to zero.
    """

    name = "morse"
    units: ClassVar = {"depth": "eV", "a": "1/Å", "r0": "Å"}

    def curve(self, r: Tensor, table: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Energy (eV) and slope (eV/Å)."""
        depth, a, r0 = table[kind].unbind(dim=1)
        x = torch.exp(-a * (r - r0))
        return depth * x * (x - 2), -2 * a * depth * x * (x - 1)


class BornMayer(Form):
    r"""Repulsion of closed shells.

    .. math:: V(r) = A\,e^{-r / \rho}
    """

    name = "born_mayer"
    units: ClassVar = {"A": "eV", "rho": "Å"}

    def curve(self, r: Tensor, table: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Energy (eV) and slope (eV/Å)."""
        strength, rho = table[kind].unbind(dim=1)
        energy = strength * torch.exp(-r / rho)
        return energy, -energy / rho


class Buckingham(Form):
    r"""Repulsion of closed shells and dispersion.

    .. math:: V(r) = A\,e^{-r / \rho} - C / r^6

    By itself it falls without end at short distances. Where its curvature over its slope is half as large as
    :math:`1/\rho`, between the inner turning point and the minimum, it is left and goes on as an exponential of twice
    the decay length, with the same energy, slope and curvature (see `PairPotential`). C is at most so large that the
    minimum is not within :math:`8 \rho`; without a minimum there would be no wall at all.
    """

    name = "buckingham"
    units: ClassVar = {"A": "eV", "rho": "Å", "C": "eV Å^6"}

    def curve(self, r: Tensor, table: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Energy (eV) and slope (eV/Å)."""
        strength, rho, dispersion = table[kind].unbind(dim=1)
        wall, tail = strength * torch.exp(-r / rho), dispersion / r**6
        return wall - tail, 6 * tail / r - wall / rho

    def core(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Radius (Å) and decay of what goes on inside of it (1/Å)."""
        strength, rho, dispersion = table.unbind(dim=1)
        low, high = torch.zeros_like(rho), torch.full_like(rho, NEAREST_MINIMUM)
        for _ in range(60):  # bisection in t = r / rho; the root of V'' = -V' / (2 rho) below 8 is the only one
            t = 0.5 * (low + high)
            beyond = strength * rho**6 * torch.exp(-t) * t**8 > dispersion * (84 - 6 * t)
            low, high = torch.where(beyond, low, t), torch.where(beyond, t, high)
        return torch.where(dispersion > 0, high * rho, 0.0), 0.5 / rho

    def require_sense(self, row: Sequence[float]) -> None:
        """See that there is a wall."""
        super().require_sense([*row[:2], row[2] or 1.0] if len(row) == 3 else row)
        strength, rho, dispersion = row
        most = float(strength * most_dispersion(torch.tensor(rho, dtype=torch.float64)))
        if dispersion > most * (1 + 1e-9):
            raise ValueError(
                f"C of buckingham is {dispersion} eV Å^6; expected at most {most:.4g} beside A = {strength} eV and rho "
                f"= {rho} Å, where the minimum is at 8 rho: with more there is no wall worth the name"
            )


def most_dispersion(rho: Tensor, nearest: Tensor | float = float("inf")) -> Tensor:
    """The largest C over A of a Buckingham curve (Å^6) that has its minimum beyond `NEAREST_MINIMUM` decay lengths, and
    its core within the distance `nearest` (Å), so that data which come as near as that see the curve itself.
    """
    t = torch.as_tensor(NEAREST_MINIMUM, dtype=torch.float64)
    near = torch.minimum(torch.as_tensor(nearest, dtype=torch.float64) / rho, t)
    return torch.minimum(t**7 * torch.exp(-t) / 6, near**8 * torch.exp(-near) / (84 - 6 * near)) * rho**6


class ScreenedCoulomb(Form):
    r"""Repulsion of screened nuclei (ZBL), of which the screening length is fitted.

    .. math:: V(r) = \frac{s}{r} \sum_{k=1}^4 c_k e^{-d_k r / a}, \qquad s = \frac{e^2 Z_i Z_j}{4 \pi \epsilon_0}

    Source: Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids (Pergamon, 1985), with
    :math:`a = 0.4685\,\text{Å} / (Z_i^{0.23} + Z_j^{0.23})`.
    """

    name = "zbl"
    units: ClassVar = {"strength": "eV Å", "screening": "Å"}

    def curve(self, r: Tensor, table: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Energy (eV) and slope (eV/Å)."""
        strength, screening = table[kind].unbind(dim=1)
        phi, phi_by_r = torch.zeros_like(r), torch.zeros_like(r)
        for coefficient, decay in zip(COEFFICIENTS, DECAYS, strict=True):
            term = coefficient * torch.exp(-decay * r / screening)
            phi = phi + term
            phi_by_r = phi_by_r - decay / screening * term
        return strength / r * phi, strength / r * (phi_by_r - phi / r)


class Spline(Form):
    r"""A free curve: cubic B-splines on evenly spaced knots from the nearest distance of the data to the cutoff.

    .. math:: V(r) = \sum_{k=0}^{3} B_k(t)\, c_{i+k}, \qquad \frac{r - r_1}{h} = i + t, \quad 0 \le t < 1

    A row of the table holds the first knot :math:`r_1`, the spacing h (Å), and the coefficients c (eV). Inside the
    first knot it goes on as an exponential with the same energy, slope and curvature (see `PairPotential`).
    """

    name = "spline"
    units: ClassVar = {}  # none that anyone would write down

    def curve(self, r: Tensor, table: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Energy (eV) and slope (eV/Å)."""
        first, spacing = table[kind, 0], table[kind, 1]
        x = (r - first) / spacing
        interval = x.floor().clamp(min=0, max=table.shape[1] - 6)
        t, place = x - interval, interval.long() + 2
        c = [table[kind, place + k] for k in range(4)]
        values, slopes = b_splines(t)
        energy = sum((b * one for b, one in zip(values, c, strict=True)), torch.zeros_like(r))
        return energy, sum((b * one for b, one in zip(slopes, c, strict=True)), torch.zeros_like(r)) / spacing

    def core(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Radius (Å) and decay of what goes on inside of it (1/Å)."""
        fall, curvature = start_of_spline(table)
        return table[:, 0], curvature / fall

    def require_sense(self, row: Sequence[float]) -> None:
        """See that it can go on inwards."""
        if len(row) < 6 or not (row[0] >= 0 and row[1] > 0):
            raise ValueError("a spline takes its first knot, its spacing and at least 4 coefficients")
        fall, curvature = start_of_spline(torch.tensor([row], dtype=torch.float64))
        if not (float(fall) > 0 and float(curvature) > 0):
            raise ValueError("a spline that does not repel ever more steeply at its first knot cannot go on inwards")


def b_splines(t: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The four uniform cubic B-splines of an interval at t from 0 to 1, and their derivatives by t."""
    rest = 1 - t
    values = [rest**3, 4 + t**2 * (3 * t - 6), 4 + rest**2 * (3 * rest - 6), t**3]
    slopes = [-3 * rest**2, t * (9 * t - 12), -rest * (9 * rest - 12), 3 * t**2]
    return [value / 6 for value in values], [slope / 6 for slope in slopes]


def start_of_spline(table: Tensor) -> tuple[Tensor, Tensor]:
    """How steeply each spline falls at its first knot (eV/Å), and its curvature there (eV/Å²)."""
    spacing, (a, b, c) = table[:, 1], table[:, 2:5].unbind(dim=1)
    return (a - c) / (2 * spacing), (a - 2 * b + c) / spacing**2


FORMS: dict[str, Form] = {
    form.name: form for form in (LennardJones(), Morse(), Buckingham(), BornMayer(), ScreenedCoulomb(), Spline())
}
