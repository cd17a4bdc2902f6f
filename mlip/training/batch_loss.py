"""The loss of a batch and its gradient by the weights, added up over the ranks that share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from mlip.training.distributed import Wish
from mlip.training.examples import Examples
from mlip.training.loss import Loss, LossTerms
from mlip.training.members import OwnMembers
from mlip.training.step import Step


class BatchLoss:
    r"""Loss and gradient of one batch at the weights as they are, the same on all ranks.

    Each rank has the share :math:`B_r` of the structures in batch B, and divides by what all of B has, so that its
    loss and gradient are a part of the sum:

    .. math:: L = \sum_r \sum_t \frac{w_t}{n_t(B)} \sum_{i \in B_r} \ell_t(i)

    with the number :math:`n_t(B)` of components that have a label, of each term t. Where the members of a committee are
    shared out instead, each rank has all of B for its `own`, whose gradients are nobody else's, and only losses are
    added up. The others hear what this rank would do after the step: `wish`.
    """

    def __init__(
        self,
        step: Step,
        examples: Examples,
        structures: Sequence[int],
        loss: Loss,
        own: OwnMembers,
        wish: Callable[[], Wish],
    ) -> None:
        self.step, self.examples, self.loss, self.own, self.wish = step, examples, loss, own, wish
        whole = own.shared or own.ranks.alone
        mine = list(structures) if whole else own.ranks.share(structures, examples.costs)
        self._known = None if whole else examples.known[:, list(structures)].sum(dim=1).tolist()
        self._taken = examples.take(mine) if mine else None
        weights = examples.weights_of(mine)
        self._weights = None if weights is None else weights[own.first : own.last]

    def __call__(self) -> LossTerms:
        """The loss; its gradient stands in the table of weights."""
        table, examples = self.step.weights, self.examples
        assert table.weights.grad is not None
        if self._taken is None:  # fewer structures than ranks
            table.forget_gradients()
            terms = LossTerms(*torch.zeros(len(LossTerms._fields), dtype=torch.float64, device=table.weights.device))
        else:
            batch, labels, features = self._taken
            terms = self.step(
                batch,
                labels,
                self.loss,
                forces=examples.has_forces,
                stress=examples.has_stress,
                features=features,
                weights=self._weights,
                known=self._known,
            )
        gradient = table.weights.grad
        if self.own.shared:
            gradient, terms = gradient[:0], LossTerms(*(self.own.share * term for term in terms))
        return self.own.ranks.add_up_step(gradient, terms, self.wish())
