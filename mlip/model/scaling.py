"""Feature scaling, fitted on the training set, one set of numbers per element."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mlip.model.moments import Moments, moments_of

SCALINGS = ("common", "half", "standard", "minmax", "none")
FLOOR = 0.01  # of the largest spread; a function that varies less is not amplified more


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


def fitted_scaling(features: Sequence[Float[Tensor, "_ D"] | Moments], method: str) -> FeatureScaling:
    r"""Scaling from the features, or their moments, of each element's atoms in the training set.

    With the spread (standard deviation) :math:`\sigma_d`, its mean over functions :math:`\bar\sigma` and the mean
    :math:`\mu_d`:

    - "common": :math:`c = \mu, s = \sqrt{\langle\sigma^2\rangle}`; one scale for all functions keeps their proportions
    - "half": :math:`c = \mu, s = \sqrt{\sigma \bar\sigma}`; half-way from there to "standard"
    - "standard": :math:`c = \mu, s = \sigma`; every function counts the same
    - "minmax": to the interval from 0 to 1 :math:`c = \min, s = \max - \min`
    - "none": as they are

    A spread (or range) below a hundredth of the largest counts as that: a function that hardly varies on the data must
    not dominate where it does vary, as when an atom leaves a molecule.
    """
    if method not in SCALINGS:
        raise ValueError(f"scaling is '{method}'; known: {', '.join(SCALINGS)}")
    known = [moments_of(values) for values in features]
    scaling = FeatureScaling(len(known), len(known[0].mean))
    for row, moments in enumerate(known):
        if method == "none" or not moments.atoms:
            continue
        spread = moments.highest - moments.lowest if method == "minmax" else moments.deviation
        if spread.max() == 0:
            spread = torch.ones_like(spread)
        floored = spread.clamp(min=FLOOR * float(spread.max()))
        scaling.shift[row] = moments.lowest if method == "minmax" else moments.mean
        scaling.scale[row] = {
            "common": spread.square().mean().sqrt().expand_as(spread),
            "half": torch.sqrt(floored * spread.mean()),
            "standard": floored,
            "minmax": floored,
        }[method]
    return scaling
