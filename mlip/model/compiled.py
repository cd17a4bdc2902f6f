"""The networks' share of a training step by the CPU kernels; `NetworkPass` is the reference."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.kernels import training as kernels
from mlip.kernels.activations import KINDS
from mlip.kernels.network import Networks
from mlip.model.potential import Potential
from mlip.model.weights import WeightTable


class CompiledNetworks:
    """A potential's networks as tables that share their memory with its weights."""

    def __init__(self, potential: Potential, weights: WeightTable) -> None:
        kinds = np.array([KINDS[name] for name in potential.networks.activation])
        values, gradients = weights.weights.detach(), weights.weights.grad
        assert gradients is not None
        self.networks = Networks(kinds, weights.widths.numpy(), weights.offset.numpy(), values.numpy())
        self.weight_gradients = gradients.numpy()
        self.shift = potential.scaling.shift.to(values.dtype).numpy()
        self.scale = potential.scaling.scale.to(values.dtype).numpy()
        self.hidden = max(sum(widths) for widths in potential.networks.hidden)

    def __call__(self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]) -> CompiledPass:
        """The networks applied to the features of atoms."""
        return CompiledPass(self, features, element.numpy())


class CompiledPass:
    """What `NetworkPass` is, by the kernels."""

    def __init__(self, owner: CompiledNetworks, features: Tensor, element: Int[np.ndarray, "N"]) -> None:
        self._owner = owner
        self._order = np.argsort(element, kind="stable")
        self._start = np.searchsorted(element[self._order], np.arange(len(owner.shift) + 1))
        self._inputs = np.empty(features.shape, dtype=owner.shift.dtype)
        self._work = tuple(np.empty((len(element), owner.hidden), dtype=owner.shift.dtype) for _ in range(4))
        self.outputs, self.gradients = features.new_empty(len(element)), torch.empty_like(features)
        kernels.forward(
            owner.networks, self._start, self._order, owner.shift, owner.scale, features.numpy(),
            self._inputs, self._work, self.outputs.numpy(), self.gradients.numpy(),
        )  # fmt: skip

    def add_weight_gradients(self, by_outputs: Float[Tensor, "N"], by_gradients: Float[Tensor, "N D"]) -> None:
        """Add to each weight's `grad`, given the loss's derivatives by `outputs` and by `gradients`."""
        owner = self._owner
        kernels.backward(
            owner.networks, self._start, self._order, owner.scale, self._inputs, self._work,
            by_outputs.numpy(), by_gradients.numpy(), owner.weight_gradients,
        )  # fmt: skip
