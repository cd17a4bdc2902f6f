"""Few and different structures of many, by the symmetry functions of their atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.batch import collate, pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.backends import fastest
from mlip.diversity import SAME, Chosen, Points, farthest_structures, squared_distances, structures_by_leverage
from mlip.model.points import element_sums, mean_points
from mlip.model.scaling import FLOOR
from mlip.structure import Structure

METHODS = ("fps", "cur", "random")
OF = ("structures", "atoms")
ATOMS = 2000  # in one batch, so that memory stays small
COMPONENTS = 32  # of the features of an atom, where atoms are compared, and of structures for leverage

Step = Callable[[int], object]  # told how many structures are done


class Statistics(NamedTuple):
    """Features of each element over all atoms."""

    mean: Float[np.ndarray, "E D"]
    scale: Float[np.ndarray, "E D"]
    components: Float[np.ndarray, "E D K"]  # principal ones of scaled features


class Featured(NamedTuple):
    """Features of a batch of structures, with the place of each atom's element and structure."""

    features: Float[np.ndarray, "N D"]
    element: Int[np.ndarray, "N"]
    structure: Int[np.ndarray, "N"]


def featured(descriptor: ACSF, structures: Sequence[Structure], step: Step = lambda done: None) -> Iterator[Featured]:
    """Features in float64 of some structures after the other, never of all at once."""
    backend = fastest(descriptor, torch.device("cpu"))
    first = 0
    while first < len(structures):
        last, atoms = first, 0
        while last < len(structures) and (last == first or atoms + len(structures[last]) <= ATOMS):
            atoms += len(structures[last])
            last += 1
        batch = collate([to_batch(structure, descriptor.cutoff)[0] for structure in structures[first:last]])
        with torch.no_grad():
            features: Tensor = backend(batch.numbers, batch.pairs, pair_vectors(batch))
        element = descriptor.index_of_number[batch.numbers]
        yield Featured(features.numpy(), element.numpy(), batch.structure.numpy() + first)
        step(last - first)
        first = last


class Sums:
    """What is kept of the features of structures: sums over the atoms of each element."""

    def __init__(self, descriptor: ACSF, structures: Sequence[Structure], step: Step, *, covariance: bool) -> None:
        elements, functions = len(descriptor.elements), len(descriptor.functions)
        self.sums = np.zeros((len(structures), elements, functions))
        self.counts = np.zeros((len(structures), elements), np.int64)
        shape = (elements, functions, functions) if covariance else (elements, functions)
        self.origin = np.zeros((elements, functions))  # near the mean, so that squares lose no digits
        self.squares = np.zeros(shape)
        known = np.zeros(elements, bool)
        for values, element, structure in featured(descriptor, structures, step):
            rows = slice(structure[0], structure[-1] + 1)
            count = int(rows.stop - rows.start)
            found = element_sums(values, element, structure - rows.start, elements, count)
            self.sums[rows], self.counts[rows] = found
            for e in range(elements):
                mine = values[element == e]
                if len(mine) and not known[e]:
                    self.origin[e], known[e] = mine.mean(axis=0), True
                away = mine - self.origin[e]
                self.squares[e] += away.T @ away if covariance else (away**2).sum(axis=0)

    def statistics(self) -> Statistics:
        """Mean and scale of each function, half-way to unit spread as networks have it; and principal components."""
        atoms = np.maximum(self.counts.sum(axis=0), 1)[:, None]
        mean = self.sums.sum(axis=0) / atoms
        moved = mean - self.origin
        covariance = self.squares.ndim == 3
        square = np.einsum("edd->ed", self.squares) if covariance else self.squares
        spread = np.sqrt((square / atoms - moved**2).clip(min=0.0))
        largest = spread.max(axis=1, keepdims=True)
        floored = np.maximum(spread, FLOOR * np.where(largest > 0, largest, 1.0))
        scale = np.sqrt(floored * np.where(largest > 0, spread.mean(axis=1, keepdims=True), 1.0))
        components = np.zeros((*mean.shape, 0))
        if covariance:
            whole = self.squares / atoms[:, :, None] - moved[:, :, None] * moved[:, None, :]
            whole = whole / (scale[:, :, None] * scale[:, None, :])
            components = np.linalg.eigh(whole)[1][:, :, ::-1][:, :, :COMPONENTS]
        return Statistics(mean, scale, components)

    def points(self, statistics: Statistics) -> Points:
        """One point for each structure: `mean_points`."""
        values = mean_points(self.sums, self.counts, statistics.mean, statistics.scale)
        places = np.arange(len(values))
        return Points(values, np.zeros_like(places), places)


def points_of_atoms(descriptor: ACSF, structures: Sequence[Structure], statistics: Statistics, step: Step) -> Points:
    """A point for each atom: the principal components of its scaled features, compared with its element's only."""
    parts = []
    for values, element, structure in featured(descriptor, structures, step):
        scaled = (values - statistics.mean[element]) / statistics.scale[element]
        rows = np.empty((len(scaled), statistics.components.shape[2]))
        for e, components in enumerate(statistics.components):
            rows[element == e] = scaled[element == e] @ components / np.sqrt(scaled.shape[1])
        parts.append((rows, element, structure))
    return Points(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def pick(
    descriptor: ACSF,
    structures: Sequence[Structure],
    count: int,
    *,
    method: str = "fps",
    of: str = "structures",
    exclude: Sequence[Structure] = (),
    seed: int = 1,
    reading: Step = lambda done: None,
    choosing: Callable[[], object] = lambda: None,
) -> Chosen:
    """At most `count` structures that differ from each other and from those to exclude, in the order of choice.

    By "fps" (`farthest_structures`), by "cur" (`structures_by_leverage`), or at random, to compare with. What is
    compared are the mean environments of structures (`mean_points`), or all of their atoms: a structure then is as far
    as its most unusual atom, however many others it has.

    Raises:
        ValueError: there is no such method, or nothing to choose.
    """
    if method not in METHODS:
        raise ValueError(f"--method is '{method}'; known: {', '.join(METHODS)}")
    if of not in OF:
        raise ValueError(f"--of is '{of}'; known: {', '.join(OF)}")
    if of == "atoms" and method == "cur":
        raise ValueError("--of atoms goes with --method fps; cur compares structures")
    if count < 1:
        raise ValueError(f"-n is {count}; expected at least 1 structure")
    if method == "random" and not exclude:
        places = np.random.default_rng(seed).permutation(len(structures))[:count].tolist()
        return Chosen(places, [float("nan")] * len(places))
    by_atoms = of == "atoms" and method == "fps"
    sums = Sums(descriptor, structures, reading, covariance=by_atoms)
    statistics = sums.statistics()
    points = sums.points(statistics)
    others = Sums(descriptor, exclude, reading, covariance=False).points(statistics) if exclude else None
    if method == "fps":
        if by_atoms:
            points = points_of_atoms(descriptor, structures, statistics, reading)
            others = points_of_atoms(descriptor, exclude, statistics, reading) if exclude else None
        return farthest_structures(points, count, others, choosing)
    free = np.flatnonzero(_unlike(points.values, others))
    if method == "cur":
        centered = points.values[free] - points.values.mean(axis=0)
        components = np.linalg.eigh(centered.T @ centered)[1][:, ::-1][:, :COMPONENTS]
        places = structures_by_leverage(centered @ components, count, choosing)
    else:
        places = np.random.default_rng(seed).permutation(len(free))[:count].tolist()
    return Chosen([int(free[place]) for place in places], [float("nan")] * len(places))


def _unlike(values: Float[np.ndarray, "S K"], others: Points | None) -> np.ndarray:
    """Which structures are none of the others."""
    if others is None:
        return np.ones(len(values), bool)
    away: np.ndarray = squared_distances(values, others.values) > SAME**2
    return away


def summary(structures: Sequence[Structure], chosen: Chosen) -> list[dict[str, Any]]:
    """Where the chosen structures stand and how far each was from those before it."""
    return [
        {"structure": structures[place].origin, "index": place} | ({"distance": far} if np.isfinite(far) else {})
        for place, far in zip(*chosen, strict=True)
    ]
