"""What makes an atom's energy from its features: networks, kernels, or nothing at all."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class AtomicModel(nn.Module):
    """A function of an atom's scaled features and element; a committee has K of them, a single model one."""

    members: int = 1
    deviates = False  # whether it knows by itself how unsure it is
    most_deviating: float = math.inf  # atoms of a structure up to which it does
    fused = True  # whether the CPU kernels go from positions to its forces at once

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the features it takes."""
        return torch.float64

    def forward(self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]) -> Float[Tensor, "K N"]:
        """Output of each atom; `element` counts 0 to E-1."""
        raise NotImplementedError

    def with_gradients(
        self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]
    ) -> tuple[Float[Tensor, "K N"], Float[Tensor, "K N D"]]:
        """The same with its gradients by the features; networks have `NetworkPass` for this instead."""
        raise NotImplementedError


class NoModel(AtomicModel):
    """Nothing is made of features: the atoms have their reference energies and what pairs of them have."""

    def forward(self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]) -> Float[Tensor, "1 N"]:
        """Zeros that depend on the features, so that they can be differentiated."""
        return (0.0 * features.sum(dim=1))[None]

    def with_gradients(
        self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]
    ) -> tuple[Float[Tensor, "1 N"], Float[Tensor, "1 N D"]]:
        """Zeros."""
        return features.new_zeros(1, len(features)), torch.zeros_like(features)[None]
