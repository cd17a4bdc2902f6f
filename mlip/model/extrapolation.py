"""Extrapolation watched over many evaluations: which atoms were outside of the training set's features, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from torch import Tensor

from mlip.descriptors.backends import fastest
from mlip.descriptors.operation import Products
from mlip.elements import symbol
from mlip.model.density import Distance
from mlip.model.potential import Potential
from mlip.model.ranges import LARGEST, Outside
from mlip.structure import CHEMICAL_ELEMENTS


class WatchedFeatures:
    """The potential's features from the fastest backend, of which the last ones are compared with the training set's.

    A comparison is made when it is asked for: dynamics on a GPU asks for ranges in every step, but not for the density.
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.backend = fastest(potential.descriptor, potential.device)
        self._last: tuple[Tensor, Tensor] | None = None  # features, and the rows of elements

    def __call__(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> Tensor:
        """Features, differentiable by the pair vectors."""
        return self._watched(self.backend(numbers, pairs, vectors), numbers)

    def products(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> Products:
        """Features and the products with their Jacobian."""
        made = self.backend.products(numbers, pairs, vectors)
        self._watched(made.features, numbers)
        return made

    def outside(self) -> Outside:
        """Which of the last atoms extrapolate, by the ranges."""
        return Outside.of(0) if self._last is None else self.potential.ranges.outside(*self._last)

    def distance(self) -> Distance | None:
        """How far the last atoms are from the training set's; None if the potential does not know their density."""
        density = self.potential.density
        return None if self._last is None or density is None else density.distances(*self._last)

    def _watched(self, features: Tensor, numbers: Tensor) -> Tensor:
        self._last = features.detach(), self.potential.element_of(numbers)
        return features


def require_ranges(potential: Potential) -> None:
    """See that a potential knows the ranges of its training set's features.

    Raises:
        ValueError: it does not.
    """
    if not potential.ranges.known:
        raise ValueError(
            "extrapolation cannot be noticed: the potential has no ranges of features, as one saved by an older "
            "version or made by hand. Train it again, or let extrapolation be ignored"
        )


class Worst(NamedTuple):
    """The atom that is farthest outside."""

    atom: int
    element: str
    function: str
    severity: float  # in widths of the function's range

    def __str__(self) -> str:
        return (
            f"atom {self.atom} ({self.element}) is outside of the training set's range by {self.severity:.2g} times "
            f"its width in {self.function}"
        )


def worst_of(
    potential: Potential, numbers: Int[np.ndarray, "N"], outside: Outside, names: Int[np.ndarray, "N"] | None = None
) -> Worst | None:
    """The atom that is farthest outside, None if all are inside; atoms are called by their places, or by `names`."""
    if not outside.severity.any():
        return None
    atom = int(outside.severity.argmax())
    function = potential.descriptor.functions[outside.function[atom]]
    name = atom if names is None else int(names[atom])
    return Worst(name, symbol(int(numbers[atom])), str(function), float(outside.severity[atom]))


@dataclass
class OfElement:
    """Counts of one element's atoms."""

    atoms: int = 0
    outside: int = 0
    largest: float = 0.0


class ExtrapolationCount:
    """Counts atoms outside over many structures or steps, and remembers the worst and where it was.

    `unit` is what one `add` is: "step", "structure". Far outside is more than `LARGEST` widths of a range, which few
    structures are that were drawn like the training set; nearer ones tell that there could be more of them in it.
    """

    def __init__(self, potential: Potential, unit: str) -> None:
        self.potential, self.unit = potential, unit
        self.counted = self.outside = self.far = 0  # structures or steps
        self.first: str | int | None = None
        self.worst: Worst | None = None
        self.where: str | int | None = None  # the worst
        self.elements = {number: OfElement() for number in potential.elements}

    def add(
        self,
        numbers: Int[np.ndarray, "N"],
        outside: Outside,
        where: str | int,
        names: Int[np.ndarray, "N"] | None = None,
    ) -> Worst | None:
        """Count the atoms of one structure or step, called by their places or by `names`; returns the worst of them."""
        self.counted += 1
        atoms = np.bincount(numbers, minlength=CHEMICAL_ELEMENTS + 1)
        for number, of_element in self.elements.items():
            of_element.atoms += int(atoms[number])
        worst = worst_of(self.potential, numbers, outside, names)
        if worst is None:
            return None
        for number, of_element in self.elements.items():
            severity = outside.severity[numbers == number]
            of_element.outside += int((severity > 0).sum())
            of_element.largest = max(of_element.largest, float(severity.max(initial=0.0)))
        self.outside += 1
        self.far += worst.severity > LARGEST
        self.first = where if self.first is None else self.first
        self._remember(worst, where)
        return worst

    def merge(self, elements: Mapping[int, OfElement], worst: Worst | None, where: str | int | None) -> None:
        """Add the counts of other atoms of the same structures or steps."""
        for number, other in elements.items():
            mine = self.elements[number]
            mine.atoms += other.atoms
            mine.outside += other.outside
            mine.largest = max(mine.largest, other.largest)
        if worst is not None:
            self._remember(worst, where)

    def _remember(self, worst: Worst, where: str | int | None) -> None:
        if self.worst is None or worst.severity > self.worst.severity:
            self.worst, self.where = worst, where

    def results(self) -> dict[str, Any] | None:
        """The counts under the names of a JSON file, None if the potential does not know its ranges."""
        if not self.potential.ranges.known:
            return None
        counts: dict[str, Any] = {
            f"{self.unit}s": self.counted,
            f"{self.unit}s_outside": self.outside,
            f"{self.unit}s_far_outside": self.far,
            "elements": {symbol(number): vars(found) for number, found in self.elements.items() if found.atoms},
        }
        if self.worst is not None:
            counts |= {f"first_{self.unit}": self.first, "worst": {self.unit: self.where, **self.worst._asdict()}}
        return counts

    def text(self) -> str:
        """The counts in a line for a person."""
        if not self.potential.descriptor.functions:
            return "extrapolation not watched: a pair potential has no features"
        if not self.potential.ranges.known:
            return "extrapolation not watched: the potential's file has no ranges of features (older mlip, or by hand)"
        if self.worst is None:
            return f"no atom outside of the training set's features in {self.counted} {self.unit}s"
        found = [f"{symbol(number)} {of.outside} of {of.atoms}" for number, of in self.elements.items() if of.outside]
        return (
            f"outside of the training set's features in {self.outside} of {self.counted} {self.unit}s, {self.far} of "
            f"them by more than a range's width; first in {self.unit} {self.first}; atoms: {', '.join(found)}; "
            f"worst in {self.unit} {self.where}: {self.worst}"
        )
