"""SOAP among several ranks: each turns some of the matrices, which takes as long as the gradient or longer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mlip.training.distributed import Ranks, balanced
from mlip.training.soap import SOAP


class Run(NamedTuple):
    """Matrices of a stack that a rank turns, one behind the other."""

    stack: int
    first: int
    last: int


class SharedSOAP(SOAP):
    """SOAP whose matrices are shared out among ranks by their work; all ranks make the same steps.

    Each rank has curvatures, bases and moments of its own matrices only, and tells the others how these change. The
    first layers of a committee, which share bases, are turned by all ranks alike. `state_dict` is that of `SOAP`: all
    ranks must ask for it together, and any number of them can go on from it.
    """

    def __init__(
        self, weights: nn.Parameter, matrices: Sequence[Tensor], ranks: Ranks, sharing: Sequence[int], **options: Any
    ) -> None:
        super().__init__(weights, matrices, sharing=sharing, **options)
        self._ranks, self._stacks, self._alike = ranks, list(matrices), [members > 1 for members in sharing]
        self._runs = list(self._own())
        self._take([matrices[run.stack][run.first : run.last] for run in self._runs])
        self._sharing = [sharing[run.stack] for run in self._runs]
        # What this rank gives to the sum of all: its own matrices, the first one also what all have alike.
        self._given = torch.full_like(weights, float(ranks.first)).detach()
        for matrix in self._stacks:
            torch.as_strided(self._given, matrix.shape, matrix.stride(), matrix.storage_offset()).zero_()
        for run, part in zip(self._runs, self._matrices(self._given), strict=True):
            part.fill_(float(self._gives(run.stack)))

    def _own(self) -> Iterator[Run]:
        """The runs of this rank, in the order of the stacks."""
        single = [(s, n) for s, stack in enumerate(self._stacks) if not self._alike[s] for n in range(len(stack))]
        costs = [self.work(*self._stacks[s].shape[1:]) for s, _ in single]
        mine = {single[place] for place in balanced(costs, self._ranks.size)[self._ranks.rank]}
        for s, stack in enumerate(self._stacks):
            first = 0
            for n in range(len(stack) + 1):
                if n < len(stack) and (self._alike[s] or (s, n) in mine):
                    continue
                if n > first:
                    yield Run(s, first, n)
                first = n + 1

    def _gives(self, stack: int) -> bool:
        """Whether it is this rank that tells the others of its matrices in a stack."""
        return self._ranks.first or not self._alike[stack]

    def _change(self, weights: nn.Parameter, change: Tensor, rate: float) -> None:
        self._ranks.add_up(change.mul_(self._given))
        super()._change(weights, change, rate)

    def state_dict(self) -> dict[str, Any]:
        """What a single process would have."""
        found: dict[str, Any] = super().state_dict()
        if not found["state"]:
            return found
        (state,) = found["state"].values()
        whole = {"step": state["step"]}
        for name in ("mean", "square"):
            whole[name] = state[name] * self._given
            self._ranks.add_up(whole[name])
        for name in ("curvatures", "bases"):
            whole[name] = [[None, None] for _ in self._stacks]
            for s, stack in enumerate(self._stacks):
                for axis in (0, 1):
                    whole[name][s][axis] = self._joined(state[name], s, axis, len(stack), stack.shape[1 + axis])
        return {**found, "state": {0: whole}}

    def _joined(self, sides: Sequence[Sequence[Tensor | None]], s: int, axis: int, count: int, n: int) -> Tensor | None:
        """One side of all matrices of a stack, each from the rank that has it."""
        (group,) = self.param_groups
        if not 1 < n <= group["longest"]:
            return None
        found = [(run, pair[axis]) for run, pair in zip(self._runs, sides, strict=True) if run.stack == s]
        mine = [(run, side) for run, side in found if side is not None]
        if self._alike[s]:
            count = len(mine[0][1])
        joined = self._given.new_zeros(count, n, n)
        for run, side in mine:
            if self._gives(s):
                joined[run.first : run.first + len(side)] = side
        self._ranks.add_up(joined)
        return joined

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take this rank's part of what a single process would have."""
        state = dict(state_dict["state"].get(0, {}))
        for name in state.keys() & {"curvatures", "bases"}:
            state[name] = [[self._of(run, side) for side in state[name][run.stack]] for run in self._runs]
        super().load_state_dict({**state_dict, "state": {0: state} if state else {}})

    def _of(self, run: Run, side: Tensor | None) -> Tensor | None:
        return side if side is None or self._alike[run.stack] else side[run.first : run.last]
