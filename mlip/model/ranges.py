"""Ranges of the features in the training set: outside of them a potential extrapolates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mlip.model.moments import Moments, moments_of
from mlip.model.scaling import FLOOR

TOLERANCE = 0.1  # of a range's width, up to which nothing counts: `FeatureRanges.outside` has what led to it
LARGEST = 1.0  # severity beyond which a run that is to stop does so; rare in structures like the training set
ROUNDING = 1e-3  # of a function's largest value; a range that is narrower is wide as that


class Outside(NamedTuple):
    """Where a potential extrapolates: how far each atom's features lie outside of the training set's."""

    severity: Float[np.ndarray, "N"]  # distance of the worst function, in widths of its range; 0 inside
    function: Int[np.ndarray, "N"]  # column of the worst function, -1 inside
    functions: Int[np.ndarray, "N"]  # how many are outside

    def split(self, sizes: Sequence[int]) -> list[Outside]:
        """The atoms of a batch, one structure at a time."""
        ends = np.cumsum(sizes)[:-1]
        return [Outside(*fields) for fields in zip(*(np.split(field, ends) for field in self), strict=True)]

    @classmethod
    def of(cls, atoms: int) -> Outside:
        """Room for so many atoms."""
        return cls(np.empty(atoms), np.empty(atoms, np.int64), np.empty(atoms, np.int64))


class FeatureRanges(nn.Module):
    r"""The smallest and the largest value of each function, for centers of each element apart.

    .. math:: l_{ed} = \min_i G_{id}, \qquad h_{ed} = \max_i G_{id}
              \qquad \text{over the training atoms } i \text{ of element } e

    Minus and plus infinity where they are not known. They make no predictions.

    Raises:
        ValueError: the values are no two tables of one shape, or a lowest value is above the highest.
    """

    def __init__(
        self,
        lowest: Sequence[Sequence[float]] | Float[Tensor, "E D"],
        highest: Sequence[Sequence[float]] | Float[Tensor, "E D"],
    ) -> None:
        super().__init__()
        low, high = (torch.as_tensor(values, dtype=torch.float64).clone() for values in (lowest, highest))
        if low.dim() != 2 or low.shape != high.shape:
            raise ValueError(
                f"lowest and highest features have the shapes {tuple(low.shape)} and {tuple(high.shape)}; "
                "expected a row for each element and a column for each function in both"
            )
        wrong = (~(low <= high)).nonzero()
        if len(wrong):
            e, d = wrong[0].tolist()
            raise ValueError(
                f"function {d} of element {e} (both from 0) has values from {float(low[e, d])} to "
                f"{float(high[e, d])}; expected the lowest first, or minus and plus infinity where they are not known"
            )
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("lowest", low, persistent=False)  # a potential's state is what makes its predictions
        self.register_buffer("highest", high, persistent=False)

    @property
    def known(self) -> bool:
        """Whether any function of any element has a range."""
        return bool(torch.isfinite(self.lowest).any() or torch.isfinite(self.highest).any())

    @property
    def widths(self) -> Float[Tensor, "E D"]:
        r"""What distances from a range are measured in, positive and finite; 1 where it is not known.

        .. math:: w_{ed} = \max\left(h_{ed} - l_{ed},\; 0.01 \max_{d'} (h_{ed'} - l_{ed'}),\;
                  0.001 \max(|l_{ed}|, |h_{ed}|)\right)

        A function that hardly varies in the training set is not worse than it is to a network, whose scaling has the
        same floor, nor is rounding.
        """
        spread = self.highest - self.lowest
        finite = torch.isfinite(spread)
        largest = torch.where(finite, spread, 0.0).amax(dim=1, keepdim=True)
        floor = FLOOR * torch.where(largest > 0, largest, 1.0)
        size = torch.maximum(self.lowest.abs(), self.highest.abs())
        return torch.where(finite, torch.maximum(torch.maximum(spread, floor), ROUNDING * size), 1.0)

    def outside(
        self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"], tolerance: float = TOLERANCE
    ) -> Outside:
        r"""How far atoms with these features, of the elements with these rows, lie outside.

        .. math:: s_i = \max_d \frac{\max(l_{ed} - G_{id},\; G_{id} - h_{ed})}{w_{ed}}

        where this is more than `tolerance`, else 0. The widths w are `widths`. In hundreds of functions one or another
        is a little outside in many a structure like those of the training set, so what tells is how far: of ethanol's
        dynamics at 500 K, 500 structures and 250 functions, 40 % of other structures have an atom outside at all, 9 %
        by more than 0.1 and under 1 % by more than 1; with a bond of a hydrogen atom 0.3 Å shorter or 0.5 Å longer all
        have one outside by more than 0.1 and 95 % by more than 1.
        """
        if not features.shape[1]:  # nothing is made of features
            return Outside(np.zeros(len(features)), np.full(len(features), -1), np.zeros(len(features), np.int64))
        values = features.detach().double()
        beyond = torch.maximum(self.lowest[element] - values, values - self.highest[element]) / self.widths[element]
        severity, function = beyond.max(dim=1)
        inside = severity <= tolerance
        return Outside(
            severity.masked_fill(inside, 0.0).cpu().numpy(),
            function.masked_fill(inside, -1).cpu().numpy(),
            (beyond > tolerance).sum(dim=1).cpu().numpy(),
        )

    def with_those_of(self, other: FeatureRanges) -> FeatureRanges:
        """The ranges of both training sets together, unknown where one of them is."""
        return FeatureRanges(torch.minimum(self.lowest, other.lowest), torch.maximum(self.highest, other.highest))


def unknown_ranges(elements: int, functions: int) -> FeatureRanges:
    """Ranges of a potential whose training set is not known: no atom is outside."""
    everything = torch.full((elements, functions), torch.inf, dtype=torch.float64)
    return FeatureRanges(-everything, everything)


def fitted_ranges(features: Sequence[Float[Tensor, "_ D"] | Moments]) -> FeatureRanges:
    """Ranges from the features of each element's atoms in the training set; unknown for an element without atoms."""
    known = [moments_of(values) for values in features]
    ranges = unknown_ranges(len(known), len(known[0].mean))
    for row, moments in enumerate(known):
        if moments.atoms:
            ranges.lowest[row], ranges.highest[row] = moments.lowest, moments.highest
    return ranges
