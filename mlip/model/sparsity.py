"""Distances from the training set's features counted over many evaluations: which atoms are where these are sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from mlip.elements import symbol
from mlip.model.density import Distance, FeatureDensity
from mlip.model.potential import Potential

FARTHEST = 1.0  # of the training set; atoms beyond are counted


def require_density(potential: Potential) -> FeatureDensity:
    """The density of the training set's features that a potential knows.

    Raises:
        ValueError: it does not.
    """
    if potential.density is None:
        raise ValueError(
            "distances from the training set cannot be told: the potential does not know the density of its features, "
            "as one saved by an older version or made by hand. Train it again"
        )
    return potential.density


class Farthest(NamedTuple):
    """The atom that is farthest from the training set."""

    atom: int
    element: str
    function: str  # with the largest share in the distance
    distance: float  # that of the farthest training atom is 1

    def __str__(self) -> str:
        return (
            f"atom {self.atom} ({self.element}), {self.distance:.2g} times as far from the training set's features as "
            f"any of its own, most in {self.function}"
        )


def farthest_of(potential: Potential, numbers: Int[np.ndarray, "N"], distance: Distance) -> Farthest:
    """The atom that is farthest from the training set."""
    atom = int(distance.distance.argmax())
    function = potential.descriptor.functions[distance.function[atom]]
    return Farthest(atom, symbol(int(numbers[atom])), str(function), float(distance.distance[atom]))


@dataclass
class Sparse:
    """Counts of one element's atoms."""

    atoms: int = 0
    beyond: int = 0
    largest: float = 0.0


class SparsityCount:
    """Counts atoms that are farther from the training set's features than any of its own, and remembers the worst.

    `unit` is what one `add` is: "structure", "frame".
    """

    def __init__(self, potential: Potential, unit: str) -> None:
        self.potential, self.unit = potential, unit
        self.counted = self.beyond = 0  # structures or frames
        self.first: str | int | None = None
        self.worst: Farthest | None = None
        self.where: str | int | None = None  # the worst
        self.elements = {number: Sparse() for number in potential.elements}

    def add(self, numbers: Int[np.ndarray, "N"], distance: Distance, where: str | int) -> Farthest:
        """Count the atoms of one structure or frame; returns the farthest of them."""
        farthest = farthest_of(self.potential, numbers, distance)
        self.counted += 1
        for number, found in self.elements.items():
            mine = distance.distance[numbers == number]
            found.atoms += len(mine)
            found.beyond += int((mine > FARTHEST).sum())
            found.largest = max(found.largest, float(mine.max(initial=0.0)))
        if farthest.distance > FARTHEST:
            self.beyond += 1
            self.first = where if self.first is None else self.first
        if self.worst is None or farthest.distance > self.worst.distance:
            self.worst, self.where = farthest, where
        return farthest

    def results(self) -> dict[str, Any] | None:
        """The counts under the names of a JSON file, None if the potential does not know the density."""
        if self.potential.density is None:
            return None
        counts: dict[str, Any] = {
            f"{self.unit}s": self.counted,
            f"{self.unit}s_beyond": self.beyond,
            "elements": {symbol(number): vars(found) for number, found in self.elements.items() if found.atoms},
        }
        if self.first is not None:
            counts[f"first_{self.unit}"] = self.first
        if self.worst is not None:
            counts["worst"] = {self.unit: self.where, **self.worst._asdict()}
        return counts

    def text(self) -> str:
        """The counts in a line for a person."""
        if not self.potential.descriptor.functions:
            return "distance from the training set not known: a pair potential has no features"
        if self.potential.density is None:
            return "distance from the training set not known: the potential's file has no density of features"
        if self.worst is None:
            return f"no {self.unit} was compared with the training set's features"
        if not self.beyond:
            return (
                f"no atom farther from the training set's features than its own in {self.counted} {self.unit}s; "
                f"the farthest reaches {self.worst.distance:.2g} of that"
            )
        found = [f"{symbol(number)} {of.beyond} of {of.atoms}" for number, of in self.elements.items() if of.beyond]
        return (
            f"features where the training set has none as far in {self.beyond} of {self.counted} {self.unit}s; first "
            f"in {self.unit} {self.first}; atoms: {', '.join(found)}; worst in {self.unit} {self.where}: {self.worst}"
        )


def with_density(ranges: dict[str, Any] | None, count: SparsityCount) -> dict[str, Any] | None:
    """The counts by ranges with those by density beside them, None if the potential knows neither."""
    found = count.results()
    return ranges if found is None else {**(ranges or {}), "density": found}
