"""Atomic energies of a potential and their derivatives, without automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.model.atomic import AtomicModel
from mlip.model.backpropagation import NetworkPass
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.scaling import FeatureScaling


@runtime_checkable
class Pass(Protocol):
    """The networks of K members applied to atoms: `NetworkPass`, or the same by kernels."""

    outputs: Tensor  # (K,N)
    gradients: Tensor  # (K,N,D)

    def add_weight_gradients(self, by_outputs: Tensor, by_gradients: Tensor) -> None:
        """Add to each weight's `grad`, given the loss's derivatives by `outputs` and by `gradients`."""


class PotentialPass:
    """`Potential.by_member` by hand: `energies` (K,N) in eV, float64, and their `gradients` by the features (K,N,D).

    `networks` makes the pass from features and elements; `NetworkPass`, or what other models have, if none is given.
    """

    def __init__(
        self,
        potential: Potential,
        features: Float[Tensor, "N D"],
        numbers: Int[Tensor, "N"],
        networks: Callable[[Tensor, Tensor], Pass] | None = None,
    ) -> None:
        self._scale = potential.energy_scale
        self._element = potential.element_of(numbers)
        apply = networks or partial(_pass, potential.atomic, potential.scaling)
        self._pass = apply(features, self._element)
        self._lone: Pass | None = None  # the networks at no neighbors, if they are anchored there
        outputs = self._pass.outputs.double()
        if potential.anchored:
            nothing = torch.zeros_like(potential.scaling.shift, dtype=features.dtype)
            self._lone = apply(nothing, torch.arange(len(nothing)).to(self._element))
            outputs -= self._lone.outputs.double()[:, self._element]
        self.energies = self._scale * outputs + potential.reference_energies[self._element]
        self.gradients = self._pass.gradients.mul_(self._scale)

    def mean(self) -> tuple[Float[Tensor, "N"], Float[Tensor, "N D"]]:
        """Energies and gradients of the committee's mean."""
        if len(self.energies) == 1:
            return self.energies[0], self.gradients[0]
        return self.energies.mean(dim=0), self.gradients.mean(dim=0)

    def add_weight_gradients(self, by_energies: Float[Tensor, "K N"], by_gradients: Float[Tensor, "K N D"]) -> None:
        """Add to each weight's `grad`, given a loss's derivatives by `energies` and by `gradients`; these change."""
        by_outputs = (self._scale * by_energies).to(by_gradients.dtype)
        self._pass.add_weight_gradients(by_outputs, by_gradients.mul_(self._scale))
        if self._lone is not None:
            by_lone = torch.zeros_like(self._lone.outputs).index_add_(1, self._element, by_outputs, alpha=-1)
            self._lone.add_weight_gradients(by_lone, torch.zeros_like(self._lone.gradients))


def _pass(model: AtomicModel, scaling: FeatureScaling, features: Tensor, element: Tensor) -> Pass:
    if isinstance(model, AtomicNetworks):
        return NetworkPass(model, scaling, features, element)
    return _FixedPass(model, scaling, features, element)


class _FixedPass:
    """A model that is not trained step by step applied to atoms."""

    def __init__(self, model: AtomicModel, scaling: FeatureScaling, features: Tensor, element: Tensor) -> None:
        self.outputs, gradients = model.with_gradients(scaling(features, element), element)
        self.gradients = gradients.div_(scaling.scale.to(features)[element])

    def add_weight_gradients(self, by_outputs: Tensor, by_gradients: Tensor) -> None:
        raise NotImplementedError("the weights of such a model are solved for, not trained")
