"""Feature scaling, fitted on the training set, one set of numbers per element."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

SCALINGS = ("half", "standard", "minmax", "none")


class FeatureScaling(nn.Module):
    r"""Moves and divides each function, for centers of each element apart.

    .. math:: \tilde G_{id} = (G_{id} - c_{ed}) / s_{ed}, \qquad e = \text{element of atom } i
    """

    def __init__(self, elements: int, functions: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(elements, functions, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(elements, functions, dtype=torch.float64))
        self.shift: Tensor
        self.scale: Tensor

    def forward(self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]) -> Float[Tensor, "N D"]:
        """Scaled features."""
        return (features - self.shift.to(features)[element]) / self.scale.to(features)[element]


def fitted_scaling(features: Sequence[Float[Tensor, "_ D"]], method: str) -> FeatureScaling:
    r"""Scaling from the features of each element's atoms in the training set.

    With the spread (standard deviation) :math:`\sigma_d`, its mean over functions :math:`\bar\sigma` and the mean
    :math:`\mu_d`:

    - "standard": :math:`c = \mu, s = \sigma`; every function counts the same, noise in small ones too
    - "half": :math:`c = \mu, s = \sqrt{\sigma \bar\sigma}`; half-way to one common scale
    - "minmax": to the interval from 0 to 1 :math:`c = \min, s = \max - \min`
    - "none": as they are

    A function that is constant on the data is centered and left unscaled.
    """
    if method not in SCALINGS:
        raise ValueError(f"scaling is '{method}'; known: {', '.join(SCALINGS)}")
    scaling = FeatureScaling(len(features), features[0].shape[1])
    for row, values in enumerate(features):
        if method == "none" or not len(values):
            continue
        values = values.double()
        spread = values.std(dim=0, correction=0)
        scale = {
            "standard": spread,
            "half": torch.sqrt(spread * spread.mean()),
            "minmax": values.amax(dim=0) - values.amin(dim=0),
        }[method]
        constant = spread <= 1e-8 * spread.max()
        scaling.shift[row] = values.amin(dim=0) if method == "minmax" else values.mean(dim=0)
        scaling.scale[row] = torch.where(constant, 1.0, scale)
    return scaling
