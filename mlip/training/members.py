"""The members of a committee shared out among ranks: who trains which, and how all of them are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from mlip.model.committee import members_of
from mlip.model.potential import Potential
from mlip.model.weights import WeightTable
from mlip.training.distributed import Ranks
from mlip.training.soap import SOAP

SIDES = ("curvatures", "bases")  # of SOAP: two for each group of matrices, of which the right one may be common


class OwnMembers:
    """The members of a committee that this rank trains: all, or with `shared` its part of them, `first` to `last`.

    `mine` is a potential of these, which shares their weights with the whole one; the whole one has the others' as they
    were when they were last collected. All ranks must call what puts together at the same time.
    """

    def __init__(self, potential: Potential, ranks: Ranks, shared: bool) -> None:
        self.potential, self.ranks, self.count = potential, ranks, potential.members
        self.shared = shared and not ranks.alone
        self.first, self.last, self.mine = 0, self.count, potential
        if self.shared:
            assert ranks.size <= self.count, "more ranks than members"
            self.first, self.last = (self.count * rank // ranks.size for rank in (ranks.rank, ranks.rank + 1))
            self.mine = members_of(potential, self.first, self.last)
        self.weights = WeightTable(self.mine.networks, self.count)
        self._sharing = self.weights.sharing()

    @property
    def share(self) -> float:
        """How much of the committee this is."""
        return (self.last - self.first) / self.count

    def join(self, optimizer: Optimizer) -> None:
        """Let an optimizer of several ranks have what its members have in common."""
        if self.shared and isinstance(optimizer, SOAP):
            optimizer.of_member = self._of_member

    def whole(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of all members by name, from those of each rank's own."""
        if not self.shared:
            return dict(weights)
        own = torch.cat([value.detach().ravel() for value in weights.values()])
        each = len(own) // (self.last - self.first)
        everything = own.new_zeros(each * self.count)
        everything[self.first * each : self.last * each] = own
        self.ranks.add_up(everything)
        like = self.potential.networks.state_dict()
        values = everything.split([value.numel() for value in like.values()])
        return {name: found.view(value.shape) for (name, value), found in zip(like.items(), values, strict=True)}

    def part(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of `whole`: this rank's own."""
        values = list(weights.values())
        each = len(values) // self.count
        return dict(zip(self.mine.networks.state_dict(), values[self.first * each : self.last * each], strict=True))

    def collect(self) -> None:
        """Give the whole potential the weights of all members as they are."""
        if self.shared:
            self.potential.networks.load_state_dict(self.whole(self.mine.networks.state_dict()))

    def whole_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """An optimizer's state for all members, from those of each rank's own."""
        if not self.shared:
            return state
        states = self.ranks.gathered(_changed([state], lambda parts: parts[0].cpu(), []))
        found: dict[str, Any] = _changed(states, lambda parts: torch.cat(list(parts)), self._sharing)
        return found

    def part_of_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """The inverse of `whole_state`."""

        def own(parts: Sequence[Tensor]) -> Tensor:
            each = len(parts[0]) // self.count
            return parts[0][self.first * each : self.last * each].clone()  # optimizers count from where it begins

        found: dict[str, Any] = _changed([state], own, self._sharing) if self.shared else state
        return found

    def _of_member(self, matrices: Float[Tensor, "B n m"], member: int, count: int) -> Float[Tensor, "c n m"]:
        """`SOAP.of_member` where another rank may have the member."""
        found = matrices.new_zeros(count, *matrices.shape[1:])
        if self.first <= member < self.last:
            begin = (member - self.first) * count
            found.copy_(matrices[begin : begin + count])
        self.ranks.add_up(found)
        return found


def _changed(states: Sequence[Any], change: Callable[[Sequence[Tensor]], Tensor], sharing: Sequence[int]) -> Any:
    """States of equal form as one, each tensor that members have of their own `change`d; numbers are alike in all."""
    first = states[0]
    if isinstance(first, Tensor):
        return change(states) if first.dim() else first
    if isinstance(first, list):
        return [_changed(parts, change, sharing) for parts in zip(*states, strict=True)]
    if not isinstance(first, dict):
        return first
    found = {name: _changed([state[name] for state in states], change, sharing) for name in first}
    for name in SIDES:
        for n, members in enumerate(sharing if name in found else ()):
            if members > 1:
                found[name][n][1] = first[name][n][1]
    return found
