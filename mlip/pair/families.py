"""How each form is fitted: what is bounded by what, and which of its curves others are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.pair.forms import EXPONENT, LENGTH, most_dispersion
from mlip.units import COULOMB

SHORTEST = 0.6  # the least distance of a minimum, in units of the sum of covalent radii
LEAST = 1e-3  # eV, the least strength: every pair of elements has a wall


@dataclass(frozen=True)
class Place:
    """What is known of each of T pairs of elements before the fit."""

    size: Float[Tensor, "T"]  # Å, sum of the covalent radii
    nearest: Float[Tensor, "T"]  # Å, the smallest distance in the data, infinite if they do not meet
    charges: Float[Tensor, "T"]  # product of the atomic numbers
    powers: Float[Tensor, "T"]  # sum of the atomic numbers to the power of ZBL
    cutoff: float  # Å

    @property
    def shortest(self) -> Tensor:
        """The least distance of a minimum (Å)."""
        return (SHORTEST * self.size).clamp(max=0.5 * self.cutoff)


class Family(ABC):
    """Coordinates of a form: numbers (T,Q) between bounds, that any physical curve has, and no other.

    For each trial of what does not enter linearly, some curves (`rays`) are given of which those with other
    coordinates are sums with strengths that are not negative; these are found by bounded linear least squares.
    """

    trials: ClassVar[Sequence[float]]  # of what does not enter linearly
    linear = False  # whether the sums of `rays` are all there is

    @abstractmethod
    def bounds(self, place: Place) -> tuple[list[Tensor], list[Tensor]]:
        """Lowest and highest value of each coordinate (T,)."""

    @abstractmethod
    def rays(self, trial: float, place: Place) -> list[list[Tensor]]:
        """Coordinates (T,) of each of R curves of unit strength."""

    @abstractmethod
    def sum_of(self, strengths: Float[Tensor, "R T"], trial: float, place: Place) -> list[Tensor]:
        """Coordinates of the sum of the rays with these strengths."""

    def row(self, coordinates: Sequence[Tensor], place: Place) -> Float[Tensor, "T K"]:
        """The form's table."""
        return torch.stack(list(coordinates), dim=1)


class LennardJonesFamily(Family):
    """epsilon and sigma; linear in A = 4 epsilon sigma^12 and B = 4 epsilon sigma^6."""

    trials = (1.0,)
    linear = True

    def bounds(self, place: Place) -> tuple[list[Tensor], list[Tensor]]:
        """Lowest and highest coordinates."""
        size = place.size
        return [0 * size, place.shortest], [torch.full_like(size, torch.inf), torch.full_like(size, place.cutoff)]

    def rays(self, trial: float, place: Place) -> list[list[Tensor]]:
        """Coordinates of curves of unit strength."""
        one = torch.ones_like(place.size)
        return [[one, place.shortest], [one, place.cutoff * one]]

    def sum_of(self, strengths: Tensor, trial: float, place: Place) -> list[Tensor]:
        """Coordinates of their sum."""
        sigma = torch.stack([place.shortest, torch.full_like(place.size, place.cutoff)])
        twelve, six = (strengths * sigma**12).sum(dim=0), (strengths * sigma**6).sum(dim=0)
        return [six**2 / twelve, (twelve / six) ** (1 / 6)]


class MorseFamily(Family):
    """Depth, a and r0; for a given a linear in the two exponentials."""

    trials = (1.0, 2.0, 3.0, 4.5, 7.0)  # a, in units of one over the size

    def bounds(self, place: Place) -> tuple[list[Tensor], list[Tensor]]:
        """Lowest and highest coordinates."""
        size = place.size
        low = [torch.full_like(size, 0.1 * LEAST), 0.2 / size, place.shortest]
        return low, [torch.full_like(size, torch.inf), 20 / size, torch.full_like(size, place.cutoff)]

    def rays(self, trial: float, place: Place) -> list[list[Tensor]]:
        """Coordinates of curves of unit strength."""
        one = torch.ones_like(place.size)
        return [[one, trial / place.size, place.shortest], [one, trial / place.size, place.cutoff * one]]

    def sum_of(self, strengths: Tensor, trial: float, place: Place) -> list[Tensor]:
        """Coordinates of their sum."""
        a = trial / place.size
        grown = torch.exp(a * torch.stack([place.shortest, torch.full_like(a, place.cutoff)]))
        wall, well = (strengths * grown**2).sum(dim=0), (strengths * grown).sum(dim=0)
        return [well**2 / wall, a, torch.log(wall / well) / a]


class BornMayerFamily(Family):
    """The energy at the sum of the covalent radii, and the decay length."""

    trials = (4.0, 6.0, 9.0, 13.0)  # the size over rho

    def bounds(self, place: Place) -> tuple[list[Tensor], list[Tensor]]:
        """Lowest and highest coordinates."""
        size = place.size
        return [torch.full_like(size, 0.1 * LEAST), size / 25], [torch.full_like(size, torch.inf), size / 2]

    def rays(self, trial: float, place: Place) -> list[list[Tensor]]:
        """Coordinates of curves of unit strength."""
        return [[torch.ones_like(place.size), place.size / trial]]

    def sum_of(self, strengths: Tensor, trial: float, place: Place) -> list[Tensor]:
        """Coordinates of their sum."""
        return [strengths[0], place.size / trial]

    def row(self, coordinates: Sequence[Tensor], place: Place) -> Tensor:
        """The table of the form."""
        energy, rho = coordinates
        return torch.stack([energy * torch.exp(place.size / rho), rho], dim=1)


class BuckinghamFamily(BornMayerFamily):
    """The same of its wall, and C as a share of the largest that leaves a wall and no data inside the core."""

    def bounds(self, place: Place) -> tuple[list[Tensor], list[Tensor]]:
        """Lowest and highest coordinates."""
        low, high = super().bounds(place)
        return [*low, 0 * place.size], [*high, torch.ones_like(place.size)]

    def rays(self, trial: float, place: Place) -> list[list[Tensor]]:
        """Coordinates of curves of unit strength."""
        (wall,) = super().rays(trial, place)
        return [[*wall, 0 * place.size], [*wall, torch.ones_like(place.size)]]

    def sum_of(self, strengths: Tensor, trial: float, place: Place) -> list[Tensor]:
        """Coordinates of their sum."""
        total = strengths.sum(dim=0)
        return [total, place.size / trial, strengths[1] / total]

    def row(self, coordinates: Sequence[Tensor], place: Place) -> Tensor:
        """The table of the form."""
        energy, rho, share = coordinates
        wall = energy * torch.exp(place.size / rho)
        return torch.stack([wall, rho, share * wall * most_dispersion(rho, place.nearest)], dim=1)


class ScreenedCoulombFamily(Family):
    """The screening length; the strength is that of the nuclei."""

    trials = (0.7, 1.0, 1.5)  # in units of the universal one

    def bounds(self, place: Place) -> tuple[list[Tensor], list[Tensor]]:
        """Lowest and highest coordinates."""
        return [0.3 * LENGTH / place.powers], [3 * LENGTH / place.powers]

    def rays(self, trial: float, place: Place) -> list[list[Tensor]]:
        """Coordinates of curves of unit strength."""
        return []  # nothing enters linearly

    def sum_of(self, strengths: Tensor, trial: float, place: Place) -> list[Tensor]:
        """Coordinates of their sum."""
        return [trial * LENGTH / place.powers]

    def row(self, coordinates: Sequence[Tensor], place: Place) -> Tensor:
        """The table of the form."""
        return torch.stack([COULOMB * place.charges, coordinates[0]], dim=1)


FAMILIES: dict[str, Family] = {
    "lennard_jones": LennardJonesFamily(),
    "morse": MorseFamily(),
    "buckingham": BuckinghamFamily(),
    "born_mayer": BornMayerFamily(),
    "zbl": ScreenedCoulombFamily(),
}


def place_of(pairs: Sequence[tuple[int, int]], size: Tensor, nearest: Tensor, cutoff: float) -> Place:
    """The place of pairs of elements (atomic numbers)."""
    numbers = torch.tensor(pairs, dtype=torch.float64)
    return Place(size, nearest, numbers.prod(dim=1), (numbers**EXPONENT).sum(dim=1), cutoff)
