"""What scaling and ranges need to know about features, of all atoms of an element at once or batch after batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Moments(NamedTuple):
    """Of the features of some atoms, all float64; zero where there is none."""

    atoms: int
    mean: Float[Tensor, "D"]
    deviation: Float[Tensor, "D"]  # standard deviation
    lowest: Float[Tensor, "D"]
    highest: Float[Tensor, "D"]

    def with_those_of(self, other: Moments) -> Moments:
        r"""Those of both together, stable however many there are.

        .. math:: \mu = \mu_a + \delta \frac{n_b}{n}, \qquad
                  \sigma^2 = \frac{n_a \sigma_a^2 + n_b \sigma_b^2}{n} + \delta^2 \frac{n_a n_b}{n^2}, \qquad
                  \delta = \mu_b - \mu_a

        Source: Chan, Golub, LeVeque, Am. Stat. 37, 242 (1983), eq. 2.1.
        """
        if not (self.atoms and other.atoms):
            return self if self.atoms else other
        count = self.atoms + other.atoms
        a, b = self.atoms / count, other.atoms / count
        change = other.mean - self.mean
        variance = a * self.deviation**2 + b * other.deviation**2 + a * b * change**2
        return Moments(
            count,
            self.mean + b * change,
            variance.sqrt(),
            torch.minimum(self.lowest, other.lowest),
            torch.maximum(self.highest, other.highest),
        )


def moments_of(features: Float[Tensor, "n D"] | Moments) -> Moments:
    """The moments of the features of some atoms, given as they are or already as moments."""
    if isinstance(features, Moments):
        return features
    values = features.double()
    if not len(values):
        zeros = values.new_zeros(values.shape[1])
        return Moments(0, zeros, zeros, zeros, zeros)
    return Moments(
        len(values), values.mean(dim=0), values.std(dim=0, correction=0), values.amin(dim=0), values.amax(dim=0)
    )
