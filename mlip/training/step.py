"""The loss of a batch and its gradient by the weights, without automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.batch import AtomsBatch, Properties, pair_vectors, sum_per_structure
from mlip.descriptors.backends import fastest
from mlip.descriptors.operation import Products, of_each
from mlip.descriptors.store import KeptFeatures
from mlip.kernels import has_kernels
from mlip.model.derivatives import forces_of, forces_transposed, stress_of, stress_transposed
from mlip.model.potential import Potential
from mlip.model.potential_pass import Pass, PotentialPass
from mlip.model.weights import WeightTable
from mlip.training.loss import Loss, LossTerms


class Step:
    r"""From a batch to its loss and the gradients by the weights, which `weights` holds.

    With features G, gradients :math:`g = \partial E/\partial G` and the descriptor's Jacobian J:

    .. math:: G \to E, g \qquad J^T g \to F, \sigma \qquad L(E, F, \sigma) \to
              \frac{\partial L}{\partial E}, \; v = \frac{\partial L}{\partial (J^T g)} \qquad
              u = J v = \frac{\partial L}{\partial g}

    and the gradients by the weights from :math:`\partial L/\partial E` and u (`PotentialPass`). So J is used once
    forwards and once backwards. The predictions are those of `evaluate` without repulsion, which has no weights: the
    labels come less it (`model/targets.py`). Members of a committee are trained each by its own loss, with one reading
    of kept features and their Jacobian for all of them.
    """

    def __init__(self, potential: Potential, weights: WeightTable) -> None:
        self.potential, self.weights = potential, weights
        self._networks = _fastest_networks(potential, weights)

    @torch.no_grad()
    def __call__(
        self,
        batch: AtomsBatch,
        labels: Properties,
        loss: Loss,
        *,
        forces: bool,
        stress: bool,
        features: KeptFeatures | None,
        weights: Float[Tensor, "K S"] | None = None,
        known: Sequence[int] | None = None,
    ) -> LossTerms:
        """The loss of a batch, the mean over K members, whose features are computed unless kept ones are given.

        `weights` tell how much each structure counts in each member's loss, `known` the numbers of labels that the sums
        are divided by, where the batch is a part of another (`Loss.with_slopes`).
        """
        potential = self.potential
        self.weights.forget_gradients()
        products: Products | None = features
        vectors = batch.positions[:0]
        if stress or features is None:
            vectors = pair_vectors(batch).to(potential.dtype)
        if products is None:
            products = fastest(potential.descriptor, vectors.device).products(batch.numbers, batch.pairs, vectors)
        pair_gradients, feature_changes = products.pair_gradients, products.feature_changes
        if features is None:  # only kept ones take several vectors at once
            pair_gradients, feature_changes = partial(of_each, pair_gradients), partial(of_each, feature_changes)
        model = PotentialPass(potential, products.features, batch.numbers, self._networks)
        predicted = Properties(sum_per_structure(model.energies.T, batch).T)
        if forces or stress:
            gradients = pair_gradients(model.gradients)
            predicted = predicted._replace(
                forces=of_each(lambda gradient: forces_of(batch, gradient), gradients),
                stress=of_each(lambda gradient: stress_of(batch, vectors, gradient), gradients) if stress else None,
            )
        terms, slopes = loss.with_slopes(predicted, labels, batch, weights, known)
        if slopes.forces is None:
            by_gradients = torch.zeros_like(model.gradients)
        else:
            changes = forces_transposed(batch, slopes.forces)
            if slopes.stress is not None:
                changes += stress_transposed(batch, vectors, slopes.stress)
            by_gradients = feature_changes(changes)
        model.add_weight_gradients(slopes.energy[:, batch.structure], by_gradients)
        return LossTerms(*(term / potential.members for term in terms))


def _fastest_networks(potential: Potential, weights: WeightTable) -> Callable[[Tensor, Tensor], Pass] | None:
    """The kernels on a CPU that has them."""
    if potential.device.type == "cpu" and has_kernels():
        from mlip.model.compiled import CompiledNetworks

        return CompiledNetworks(potential, weights)
    return None
