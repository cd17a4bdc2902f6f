"""The networks' share of a training step by the CPU kernels; `NetworkPass` is the reference."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.kernels import training as kernels
from mlip.kernels.activations import kinds_of
from mlip.kernels.network import Networks
from mlip.model.potential import Potential
from mlip.model.weights import WeightTable


class CompiledNetworks:
    """A potential's networks as tables that share their memory with its weights."""

    def __init__(self, potential: Potential, weights: WeightTable) -> None:
        kinds = kinds_of(potential.networks.activation)
        values, gradients = weights.weights.detach(), weights.weights.grad
        assert gradients is not None
        self.networks = Networks(kinds, weights.widths.numpy(), weights.offset.numpy(), values.numpy())
        self.weight_gradients = gradients.numpy()
        self.shift = potential.scaling.shift.to(values.dtype).numpy()
        self.scale = potential.scaling.scale.to(values.dtype).numpy()
        self.widths = max(sum(widths) + 1 for widths in potential.networks.hidden)  # of a network's layers together
        self.members = potential.members
        self._pool: ThreadPoolExecutor | None = None

    def __call__(self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]) -> CompiledPass:
        """The networks applied to the features of atoms."""
        return CompiledPass(self, features, element.numpy())

    def in_threads(self, work: Callable[[int, int], None]) -> None:
        """Work on ranges of networks; those of a committee one by one in as many threads as torch has."""
        count = len(self.networks.widths)
        threads = min(torch.get_num_threads(), count)
        if self.members == 1 or threads == 1:
            work(0, count)
            return
        if self._pool is None:  # each thread has its own switch for denormal floats
            self._pool = ThreadPoolExecutor(threads, initializer=torch.set_flush_denormal, initargs=(True,))
        list(self._pool.map(work, range(count), range(1, count + 1)))


class CompiledPass:
    """What `NetworkPass` is, by the kernels."""

    def __init__(self, owner: CompiledNetworks, features: Tensor, element: Int[np.ndarray, "N"]) -> None:
        self._owner = owner
        self._order = np.argsort(element, kind="stable")
        self._start = np.searchsorted(element[self._order], np.arange(len(owner.shift) + 1))
        self._inputs = np.empty(features.shape, dtype=owner.shift.dtype)
        shape = (owner.members, len(element), owner.widths)
        self._work = tuple(np.empty(shape, dtype=owner.shift.dtype) for _ in range(6))
        self.outputs = features.new_empty(owner.members, len(element))
        self.gradients = features.new_empty(owner.members, *features.shape)
        kernels.scaled_inputs(self._start, self._order, owner.shift, owner.scale, features.numpy(), self._inputs)
        outputs, gradients = self.outputs.numpy(), self.gradients.numpy()
        owner.in_threads(
            lambda first, last: kernels.forward(
                first, last, owner.networks, self._start, self._order, owner.scale, self._inputs, self._work,
                outputs, gradients,
            )
        )  # fmt: skip

    def add_weight_gradients(self, by_outputs: Float[Tensor, "K N"], by_gradients: Float[Tensor, "K N D"]) -> None:
        """Add to each weight's `grad`, given the loss's derivatives by `outputs` and by `gradients`."""
        owner = self._owner
        of_outputs, of_gradients = by_outputs.numpy(), by_gradients.numpy()
        owner.in_threads(
            lambda first, last: kernels.backward(
                first, last, owner.networks, self._start, self._order, owner.scale, self._inputs, self._work,
                of_outputs, of_gradients, owner.weight_gradients,
            )
        )  # fmt: skip
