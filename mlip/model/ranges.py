"""Ranges of the features in the training set: outside of them a potential extrapolates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


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

    def with_those_of(self, other: FeatureRanges) -> FeatureRanges:
        """The ranges of both training sets together, unknown where one of them is."""
        return FeatureRanges(torch.minimum(self.lowest, other.lowest), torch.maximum(self.highest, other.highest))


def unknown_ranges(elements: int, functions: int) -> FeatureRanges:
    """Ranges of a potential whose training set is not known: no atom is outside."""
    everything = torch.full((elements, functions), torch.inf, dtype=torch.float64)
    return FeatureRanges(-everything, everything)


def fitted_ranges(features: Sequence[Float[Tensor, "_ D"]]) -> FeatureRanges:
    """Ranges from the features of each element's atoms in the training set; unknown for an element without atoms."""
    ranges = unknown_ranges(len(features), features[0].shape[1])
    for row, values in enumerate(features):
        if len(values):
            ranges.lowest[row], ranges.highest[row] = values.amin(dim=0), values.amax(dim=0)
    return ranges
