"""A set of symmetry functions from training structures: lengths from their distances, then those that tell most.

1. A sample of the structures says where neighbors are: the shortest distance, the usual nearest one, their number.
2. Cutoffs and the start of the grids follow from that, the resolution of the grids from the budget: `candidates`.
3. Of these the functions are kept that differ most on the sample: `mlip.descriptors.selection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from mlip.batch import AtomsBatch, collate, pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.backends import fastest
from mlip.descriptors.functions import SymmetryFunction
from mlip.descriptors.parameters import angular_grid, radial_grid
from mlip.descriptors.selection import METHODS, gram_matrix
from mlip.structure import Structure

CENTERS = 2000  # atoms that are looked at
OF_AN_ELEMENT = 100  # of them at least, if the data have so many
FEWEST = 500  # below it, the sample is filled with slightly distorted copies
DISPLACEMENT, STRAIN = 0.03, 0.01  # Å, of each coordinate, and of each component of the cell; standard deviations
CENTERS_AT_ONCE = 64
RADIAL, ANGULAR = 6.0, 5.0  # Å, cutoffs where the data do not ask for others
RADIAL_REACH, ANGULAR_REACH = 2.2, 1.7  # the least cutoffs, in distances to the nearest neighbor
RADIAL_NEIGHBORS, ANGULAR_NEIGHBORS = 100, 40  # the most neighbors within a cutoff
START = 0.85  # of the grids, in shortest distances
FIRST_SEARCH, LAST_SEARCH = 3.0, 24.0  # Å
CROWDED = 0.9  # share of the centers that the limits of neighbors hold for
# Radial shells, angular shells and angles, from fine to coarse.
GRIDS = ((32, 6, 10), (28, 5, 9), (24, 4, 8), (20, 4, 6), (16, 3, 6), (12, 3, 4), (10, 2, 4), (8, 2, 3), (6, 1, 3))
SPARE = 3  # candidates for each function of the budget at most


class Lengths(NamedTuple):
    """What the distances in the data say about a set (Å)."""

    start: float  # of the grids, below the shortest distance
    radial: float  # cutoff
    angular: float  # cutoff


class Sample(NamedTuple):
    """Some structures, and the centers among their atoms that are looked at."""

    structures: list[Structure]
    centers: Int[np.ndarray, "C"]  # counted through all structures

    def batch(self, cutoff: float) -> AtomsBatch:
        """The structures with the pairs of the centers."""
        batch = collate([to_batch(structure, cutoff)[0] for structure in self.structures])
        keep = torch.isin(batch.pairs[0], torch.from_numpy(self.centers))
        return batch._replace(pairs=batch.pairs[:, keep], shifts=batch.shifts[keep])

    def distances(self, cutoff: float) -> list[Float[np.ndarray, "_"]]:
        """Ascending distances (Å) of each center's neighbors."""
        batch = self.batch(cutoff)
        center, lengths = batch.pairs[0].numpy(), pair_vectors(batch).norm(dim=1).numpy()
        order = np.lexsort((lengths, center))
        return np.split(lengths[order], np.searchsorted(center, self.centers)[1:])


def chosen_functions(
    structures: Sequence[Structure],
    elements: Sequence[int],
    *,
    budget: int,
    cutoff: float | None = None,
    cutoff_function: str = "cosine",
    inner_cutoff: float = 0.0,
    pruning: str = "farthest",
    seed: int = 1,
) -> list[SymmetryFunction]:
    """At most `budget` symmetry functions for these structures, always the same for the same seed.

    They hold for centers of any element: a network reads all functions of the descriptor, so what is chosen for each
    element apart would make every network wider.

    Raises:
        ValueError: no atom has a neighbor.
    """
    taken = sample(structures, elements, seed)
    lengths = lengths_of(taken, cutoff)
    functions = candidates(elements, lengths, budget, cutoff_function, inner_cutoff)
    kept = METHODS[pruning](gram_matrix(_features(taken, elements, functions)), budget)
    if not kept:
        raise ValueError(
            f"no symmetry function varies on the training structures with cutoffs of {lengths.radial} and "
            f"{lengths.angular} Å. Give a larger cutoff in model.descriptor, or check data.units.length"
        )
    return [functions[d] for d in sorted(kept)]


def sample(structures: Sequence[Structure], elements: Sequence[int], seed: int) -> Sample:
    """About CENTERS atoms of structures in random order, about as many of each element."""
    generator = np.random.default_rng(seed)
    found = dict.fromkeys(elements, 0)
    taken: list[Structure] = []
    for place in generator.permutation(len(structures)).tolist():
        kinds, counts = np.unique(structures[place].numbers, return_counts=True)
        if sum(found.values()) < CENTERS or any(found[z] < OF_AN_ELEMENT for z in kinds.tolist()):
            taken.append(structures[place])
            for z, count in zip(kinds.tolist(), counts.tolist(), strict=True):
                found[z] += count
    copies = FEWEST // sum(found.values())
    taken += [_distorted(structure, generator) for _ in range(copies) for structure in list(taken)]
    numbers = np.concatenate([structure.numbers for structure in taken])
    share = max(OF_AN_ELEMENT, CENTERS // len(elements))
    centers = [generator.permutation(np.flatnonzero(numbers == z))[:share] for z in elements]
    return Sample(taken, np.sort(np.concatenate(centers)))


def _distorted(structure: Structure, generator: np.random.Generator) -> Structure:
    """A structure near the given one; of few structures it shows what the functions tell apart."""
    strain = np.eye(3) + STRAIN * generator.standard_normal((3, 3))
    displacement = DISPLACEMENT * generator.standard_normal(structure.positions.shape)
    positions = structure.positions @ strain + displacement
    return replace(structure, positions=positions, cell=structure.cell @ strain, energy=None, forces=None, stress=None)


def lengths_of(taken: Sample, cutoff: float | None = None) -> Lengths:
    """Start of the grids and cutoffs: those of molecules unless neighbors are farther apart, or crowd together.

    `cutoff` is that of the radial functions, and the largest that the angular ones may have.

    Raises:
        ValueError: no atom has a neighbor.
    """
    search = FIRST_SEARCH
    while True:  # until most atoms have a neighbor, but lone atoms may be among them
        nearest = [found[0] for found in taken.distances(search) if len(found)]
        if search >= LAST_SEARCH or len(nearest) > len(taken.centers) // 2:
            break
        search *= 2
    if not nearest:
        raise ValueError(
            f"no training structure has two atoms within {search} Å, so no symmetry functions can be chosen. "
            "Check data.units.length, or give model.descriptor"
        )
    usual = float(np.median(nearest))
    radial = max(RADIAL, RADIAL_REACH * usual) if cutoff is None else cutoff
    distances = taken.distances(radial)
    if cutoff is None:
        radial = min(radial, _radius_of(distances, RADIAL_NEIGHBORS))
    angular = min(max(ANGULAR, ANGULAR_REACH * usual), radial, _radius_of(distances, ANGULAR_NEIGHBORS))
    start = min(START * min(nearest), 0.5 * angular)
    return Lengths(*(round(float(length), 2) for length in (start, radial, angular)))


def candidates(
    elements: Sequence[int],
    lengths: Lengths,
    budget: int,
    cutoff_function: str = "cosine",
    inner_cutoff: float = 0.0,
) -> list[SymmetryFunction]:
    """The finest grids of radial and angular functions with not many more functions than the budget."""
    count = len(elements)
    shells, angular_shells, angles = next(
        (g for g in GRIDS if count * g[0] + count * (count + 1) // 2 * g[1] * g[2] <= SPARE * budget), GRIDS[-1]
    )
    falling: dict[str, Any] = {"cutoff_function": cutoff_function, "inner_cutoff": inner_cutoff}
    radial = radial_grid(elements, cutoff=lengths.radial, count=shells, start=lengths.start, **falling)
    angular = angular_grid(
        elements,
        cutoff=lengths.angular,
        shells=angular_shells,
        angles=angles,
        start=lengths.start,
        **falling,
    )
    return [_rounded(function) for function in (*radial, *angular)]


def _rounded(function: SymmetryFunction) -> SymmetryFunction:
    """The function with numbers that a person can read, and that a config file gives back."""
    numbers = zip(function.parameters, function.values, strict=True)
    return replace(function, **{name: float(f"{value:.4g}") for name, value in numbers})  # type: ignore[arg-type]


def _radius_of(distances: Sequence[Float[np.ndarray, "_"]], most: int) -> float:
    """Distance (Å) within which all but a few centers have at most so many neighbors; infinite if they have fewer."""
    beyond = [found[most] if len(found) > most else np.inf for found in distances]
    return float(np.quantile(beyond, 1 - CROWDED, method="lower"))


def _features(
    taken: Sample, elements: Sequence[int], functions: Sequence[SymmetryFunction]
) -> list[Float[np.ndarray, "_ D"]]:
    """Features of the centers of each element, in float64; of their neighbors only the element counts."""
    descriptor = ACSF(elements, functions)
    backend = fastest(descriptor, torch.device("cpu"))
    batch = taken.batch(descriptor.cutoff)
    vectors = pair_vectors(batch)
    centers = torch.from_numpy(taken.centers)
    neighbor = descriptor.index_of_number[batch.numbers[batch.pairs[1]]]
    rows = []
    for some in centers.split(CENTERS_AT_ONCE):
        first, last = torch.searchsorted(batch.pairs[0], torch.stack([some[0], some[-1] + 1])).tolist()
        numbers = torch.cat([batch.numbers[some], torch.tensor(descriptor.elements)])
        local = torch.searchsorted(some, batch.pairs[0, first:last])
        pairs = torch.stack([local, neighbor[first:last] + len(some)])
        rows.append(backend(numbers, pairs, vectors[first:last])[: len(some)].numpy())
    features = np.concatenate(rows)
    of_centers = batch.numbers[centers].numpy()
    return [features[of_centers == z] for z in descriptor.elements]
