"""Cutoff functions: smooth steps from the center to zero at the cutoff."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def hard_cutoff(distances: Float[Tensor, "*M"], cutoff: float) -> Float[Tensor, "*M"]:
    r"""No smooth step, for functions that are zero at the cutoff by themselves.

    .. math:: f_c(r) = 1 \quad (r < r_c), \qquad 0 \text{ beyond}
    """
    return torch.where(distances < cutoff, 1.0, 0.0).to(distances.dtype)


def cosine_cutoff(distances: Float[Tensor, "*M"], cutoff: float) -> Float[Tensor, "*M"]:
    r"""Half a cosine wave, with zero slope at both ends.

    .. math:: f_c(r) = \tfrac12 \left[\cos(\pi r / r_c) + 1\right] \quad (r < r_c), \qquad 0 \text{ beyond}

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), eq. 4.
    """
    x = (distances / cutoff).clamp(max=1.0)
    return 0.5 * (torch.cos(torch.pi * x) + 1.0)


def tanh_cutoff(distances: Float[Tensor, "*M"], cutoff: float) -> Float[Tensor, "*M"]:
    r"""Cubed hyperbolic tangent, with zero slope and curvature at the cutoff; about 0.44 at the center.

    .. math:: f_c(r) = \tanh^3\left(1 - r / r_c\right) \quad (r < r_c), \qquad 0 \text{ beyond}

    Source: Behler, J. Chem. Phys. 134, 074106 (2011), section II.
    """
    x = (distances / cutoff).clamp(max=1.0)
    return torch.tanh(1.0 - x) ** 3


def polynomial_cutoff(distances: Float[Tensor, "*M"], cutoff: float) -> Float[Tensor, "*M"]:
    r"""Polynomial of fifth degree, with zero slope and curvature at both ends.

    .. math:: f_c(r) = 1 - 10 x^3 + 15 x^4 - 6 x^5, \quad x = r / r_c \quad (r < r_c), \qquad 0 \text{ beyond}

    Source: Singraber et al., J. Chem. Theory Comput. 15, 1827 (2019), table 1 (second polynomial).
    """
    x = (distances / cutoff).clamp(max=1.0)
    return 1.0 + x**3 * (-10.0 + x * (15.0 - 6.0 * x))


CutoffFunction = Callable[[Tensor, float], Tensor]
CUTOFF_FUNCTIONS: dict[str, CutoffFunction] = {
    "hard": hard_cutoff,
    "cosine": cosine_cutoff,
    "tanh": tanh_cutoff,
    "polynomial": polynomial_cutoff,
}
