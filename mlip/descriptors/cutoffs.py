"""Cutoff functions: steps from the center to zero at the cutoff, all but one of them smooth.

They are those of RuNNer and n2p2, in the order of n2p2's numbers 0 to 8. Most take an inner cutoff: they are 1 up to it
and fall beyond,

.. math:: f_c(r) = f(x), \\quad x = \\frac{r - r_{ci}}{r_c - r_{ci}} \\text{ from 0 to 1}, \\qquad 1 \\text{ inside},
          \\quad 0 \\text{ beyond}

Source: Singraber, Behler, Dellago, J. Chem. Theory Comput. 15, 1827 (2019), and n2p2, `CutoffFunction`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

NORMALIZATION = math.tanh(1.0) ** -3


def hard_cutoff(distances: Float[Tensor, "*M"], cutoff: float) -> Float[Tensor, "*M"]:
    """One up to the cutoff, zero from there on: the energy jumps where an atom passes it."""
    return (distances < cutoff).to(distances.dtype)


def cosine_cutoff(distances: Float[Tensor, "*M"], cutoff: float, inner: float = 0.0) -> Float[Tensor, "*M"]:
    r"""Half a cosine wave, with zero slope at both ends.

    .. math:: f(x) = \tfrac12 \left[\cos(\pi x) + 1\right]

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), eq. 4.
    """
    return 0.5 * (torch.cos(torch.pi * _share(distances, cutoff, inner)) + 1.0)


def tanh_cutoff(distances: Float[Tensor, "*M"], cutoff: float) -> Float[Tensor, "*M"]:
    r"""Cubed hyperbolic tangent, with zero slope and curvature at the cutoff; about 0.44 at the center.

    .. math:: f_c(r) = \tanh^3\left(1 - r / r_c\right) \quad (r < r_c), \qquad 0 \text{ beyond}

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), section II.
    """
    return torch.tanh(1.0 - _share(distances, cutoff, 0.0)) ** 3


def tanh_normalized_cutoff(distances: Float[Tensor, "*M"], cutoff: float) -> Float[Tensor, "*M"]:
    r"""Cubed hyperbolic tangent that is 1 at the center, where its slope is not zero.

    .. math:: f_c(r) = \tanh^3\left(1 - r / r_c\right) / \tanh^3(1) \quad (r < r_c), \qquad 0 \text{ beyond}
    """
    return NORMALIZATION * tanh_cutoff(distances, cutoff)


def exponential_cutoff(distances: Float[Tensor, "*M"], cutoff: float, inner: float = 0.0) -> Float[Tensor, "*M"]:
    r"""Bump function, of which every derivative is zero at the cutoff.

    .. math:: f(x) = \exp\left(1 - \frac{1}{1 - x^2}\right)
    """
    x = _share(distances, cutoff, inner)
    inside = x < 1.0
    return torch.where(inside, torch.exp(1.0 - 1.0 / torch.where(inside, 1.0 - x * x, 1.0)), 0.0)


def polynomial_1_cutoff(distances: Float[Tensor, "*M"], cutoff: float, inner: float = 0.0) -> Float[Tensor, "*M"]:
    r"""Polynomial of third degree, with zero slope at both ends.

    .. math:: f(x) = 1 - 3 x^2 + 2 x^3 = (1 - x)^2 (1 + 2 x)
    """
    x, y = _shares(distances, cutoff, inner)
    return y**2 * (1.0 + 2.0 * x)


def polynomial_cutoff(distances: Float[Tensor, "*M"], cutoff: float, inner: float = 0.0) -> Float[Tensor, "*M"]:
    r"""Polynomial of fifth degree, with zero slope and curvature at both ends.

    .. math:: f(x) = 1 - 10 x^3 + 15 x^4 - 6 x^5 = (1 - x)^3 (1 + 3 x + 6 x^2)
    """
    x, y = _shares(distances, cutoff, inner)
    return y**3 * (1.0 + x * (3.0 + 6.0 * x))


def polynomial_3_cutoff(distances: Float[Tensor, "*M"], cutoff: float, inner: float = 0.0) -> Float[Tensor, "*M"]:
    r"""Polynomial of seventh degree, with three derivatives that are zero at both ends.

    .. math:: f(x) = 1 - 35 x^4 + 84 x^5 - 70 x^6 + 20 x^7 = (1 - x)^4 (1 + 4 x + 10 x^2 + 20 x^3)
    """
    x, y = _shares(distances, cutoff, inner)
    return y**4 * (1.0 + x * (4.0 + x * (10.0 + 20.0 * x)))


def polynomial_4_cutoff(distances: Float[Tensor, "*M"], cutoff: float, inner: float = 0.0) -> Float[Tensor, "*M"]:
    r"""Polynomial of ninth degree, with four derivatives that are zero at both ends.

    .. math:: f(x) = 1 - 126 x^5 + 420 x^6 - 540 x^7 + 315 x^8 - 70 x^9
              = (1 - x)^5 (1 + 5 x + 15 x^2 + 35 x^3 + 70 x^4)
    """
    x, y = _shares(distances, cutoff, inner)
    return y**5 * (1.0 + x * (5.0 + x * (15.0 + x * (35.0 + 70.0 * x))))


def _share(distances: Tensor, cutoff: float, inner: float) -> Tensor:
    """The way from the inner cutoff to the cutoff that a distance has gone, from 0 to 1."""
    return ((distances - inner) / (cutoff - inner)).clamp(min=0.0, max=1.0)


def _shares(distances: Tensor, cutoff: float, inner: float) -> tuple[Tensor, Tensor]:
    """That way x, and what is left of it, 1 - x: powers of it have no rounding error next to the cutoff."""
    rest = ((cutoff - distances) / (cutoff - inner)).clamp(min=0.0, max=1.0)
    return 1.0 - rest, rest


CutoffFunction = Callable[[Tensor, float], Tensor]  # of distances and the cutoff, as formulas call it
CUTOFF_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "hard": hard_cutoff,
    "cosine": cosine_cutoff,
    "tanh": tanh_cutoff,
    "tanh_normalized": tanh_normalized_cutoff,
    "exponential": exponential_cutoff,
    "polynomial_1": polynomial_1_cutoff,
    "polynomial": polynomial_cutoff,
    "polynomial_3": polynomial_3_cutoff,
    "polynomial_4": polynomial_4_cutoff,
}
WITHOUT_INNER_CUTOFF = ("hard", "tanh", "tanh_normalized")  # it changes nothing in them, in n2p2 either
