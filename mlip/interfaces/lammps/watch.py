"""Atoms outside of the training set's features, counted over all ranks and steps of a LAMMPS run."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from mlip.model.extrapolation import ExtrapolationCount, require_ranges
from mlip.model.potential import Potential
from mlip.model.ranges import LARGEST, Outside


class Watch:
    """Counts what the atoms of this rank do; `stop` says whether LAMMPS is to stop where one is too far outside.

    Raises:
        ValueError: it is to stop, but the potential does not know its ranges.
    """

    def __init__(self, potential: Potential, *, stop: bool = False, largest: float = LARGEST) -> None:
        if stop:
            require_ranges(potential)
        self.stop, self.largest = stop, largest
        self.stopped_at: int | None = None
        self._count = ExtrapolationCount(potential, "step")
        self._first: int | None = None
        self._steps = self._far = 0

    def add(
        self, numbers: Int[np.ndarray, "N"], tags: Int[np.ndarray, "N"], outside: Outside, step: int
    ) -> tuple[int, int, int]:
        """Count the atoms of this rank; returns how many are outside, far outside, and so far that LAMMPS stops."""
        self._count.add(numbers, outside, step, tags)
        limits = 0.0, LARGEST, self.largest if self.stop else np.inf
        some, far, too_far = (int((outside.severity > limit).sum()) for limit in limits)
        return some, far, too_far

    def of_all(self, outside: int, far: int, step: int) -> None:
        """Learn how many atoms of all ranks are outside at this step, and far outside."""
        if outside:
            self._steps += 1
            self._far += far > 0
            self._first = step if self._first is None else self._first

    def gathered(self, ranks: Any) -> ExtrapolationCount:
        """The counts of all ranks; collective."""
        count = self._count
        if ranks is not None:
            found = ranks.allgather((count.elements, count.worst, count.where))
            for others in found[: ranks.rank] + found[ranks.rank + 1 :]:
                count.merge(*others)
        count.outside, count.far, count.first = self._steps, self._far, self._first
        return count
