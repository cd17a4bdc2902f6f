"""Structures as a model sees them, and the labels and predictions that go with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.neighbors import neighbor_pairs
from mlip.pair_search import search_pairs
from mlip.structure import CHEMICAL_ELEMENTS, Structure

CLOSEST = 0.2  # Å; no two nuclei of a chemical system come nearer, so a smaller distance is a mistake in the data


class OverlappingAtoms(ValueError):  # noqa: N818 (what it is)
    """Two atoms lie on top of each other."""


class AtomsBatch(NamedTuple):
    """Structures as a model sees them. N atoms of S structures, P directed pairs within the cutoff."""

    numbers: Int[Tensor, "N"]  # atomic numbers
    positions: Float[Tensor, "N 3"]  # Å, always float64: differences of large coordinates are formed before rounding
    cell: Float[Tensor, "S 3 3"]  # Å, rows are lattice vectors, zeros where not periodic, float64
    structure: Int[Tensor, "N"]  # structure of each atom, ascending
    pairs: Int[Tensor, "2 P"]  # (center, neighbor), sorted by center, both directions
    shifts: Float[Tensor, "P 3"]  # whole lattice vectors added to the neighbor, float64

    def to(self, device: torch.device) -> AtomsBatch:
        """The same batch on another device."""
        return AtomsBatch(*(field.to(device) for field in self))


class Properties(NamedTuple):
    """Labels and predictions alike. A label that the data do not have is NaN; a quantity nobody asked for is None."""

    energy: Float[Tensor, "S"]  # eV, always float64
    forces: Float[Tensor, "N 3"] | None = None  # eV/Å
    stress: Float[Tensor, "S 3 3"] | None = None  # eV/Å³, dE/dstrain / volume (ASE's sign); NaN without a volume
    atomic_energies: Float[Tensor, "N"] | None = None  # eV, float64, predictions only

    def to(self, device: torch.device) -> Properties:
        """The same properties on another device."""
        return self.mapped(lambda field: field.to(device))

    def detach(self) -> Properties:
        """The same values without their history."""
        return self.mapped(Tensor.detach)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Properties:
        """The same properties after a change of each field."""
        rest = (None if field is None else change(field) for field in self[1:])
        return Properties(change(self.energy), *rest)


def to_batch(structure: Structure, cutoff: float) -> tuple[AtomsBatch, Properties]:
    """One structure as a batch of one, with all its pairs, and its labels.

    Raises:
        OverlappingAtoms: two atoms lie on top of each other; the message names the structure and the atoms.
    """
    positions, cell = structure.positions.astype(np.float64), structure.cell.astype(np.float64)
    try:
        pairs, shifts, distances = neighbor_pairs(positions, cell, structure.pbc, cutoff, torch.get_num_threads())
    except ValueError as error:
        raise ValueError(f"{structure.origin}: {error}") from error
    if len(distances) and distances.min() < CLOSEST:
        center, neighbor = pairs[:, distances.argmin()]
        raise OverlappingAtoms(
            f"{structure.origin}: atoms {center} and {neighbor} are {distances.min():.3g} Å apart; expected at least "
            f"{CLOSEST} Å. Check the positions, their unit, the cell and pbc"
        )
    batch = AtomsBatch(
        numbers=torch.from_numpy(structure.numbers.astype(np.int64)),
        positions=torch.from_numpy(positions),
        cell=torch.from_numpy(np.where(structure.pbc[:, None], cell, 0.0))[None],
        structure=torch.zeros(len(structure), dtype=torch.int64),
        pairs=torch.from_numpy(pairs),
        shifts=torch.from_numpy(shifts),
    )
    return batch, labels_of(structure)


def labels_of(structure: Structure) -> Properties:
    """The labels of one structure, NaN where there is none."""
    energy = np.nan if structure.energy is None else structure.energy
    forces = np.full((len(structure), 3), np.nan) if structure.forces is None else structure.forces
    stress = np.full((3, 3), np.nan) if structure.stress is None else structure.stress
    return Properties(
        energy=torch.tensor([energy], dtype=torch.float64),
        forces=torch.from_numpy(forces.astype(np.float64)),
        stress=torch.from_numpy(stress.astype(np.float64))[None],
    )


def collate(batches: Sequence[AtomsBatch]) -> AtomsBatch:
    """Several batches as one; atoms and structures keep their order."""
    if not batches:
        empty = torch.zeros(0, dtype=torch.int64)
        rows = torch.zeros(0, 3, dtype=torch.float64)
        return AtomsBatch(empty, rows, rows.view(0, 3, 3), empty, empty.view(2, 0), rows)
    atoms = _starts([len(batch.numbers) for batch in batches])[:-1].tolist()
    structures = _starts([len(batch.cell) for batch in batches])[:-1].tolist()
    return AtomsBatch(
        numbers=torch.cat([batch.numbers for batch in batches]),
        positions=torch.cat([batch.positions for batch in batches]),
        cell=torch.cat([batch.cell for batch in batches]),
        structure=torch.cat([batch.structure + first for batch, first in zip(batches, structures, strict=True)]),
        pairs=torch.cat([batch.pairs + first for batch, first in zip(batches, atoms, strict=True)], dim=1),
        shifts=torch.cat([batch.shifts for batch in batches]),
    )


class Collection:
    """Many structures as one batch, from which any can be taken quickly.

    `atom_start` and `pair_start` (S+1,) tell where each structure's atoms and pairs begin in `whole`.
    """

    def __init__(self, batches: Sequence[AtomsBatch]) -> None:
        self.whole = collate(batches)
        self.atom_start = _starts([len(batch.numbers) for batch in batches])
        self.pair_start = _starts([batch.pairs.shape[1] for batch in batches])

    @classmethod
    def of(cls, whole: AtomsBatch, atom_start: Int[np.ndarray, "_"], pair_start: Int[np.ndarray, "_"]) -> Collection:
        """What is one batch already; its pairs are sorted by structure."""
        made = cls.__new__(cls)
        made.whole, made.atom_start, made.pair_start = whole, atom_start, pair_start
        return made

    def __len__(self) -> int:
        return len(self.atom_start) - 1

    def take(self, structures: Sequence[int]) -> AtomsBatch:
        """These structures as a batch, in this order."""
        chosen = np.asarray(structures, dtype=np.int64)
        atoms, pairs = ranges(self.atom_start, chosen), ranges(self.pair_start, chosen)
        counts = np.diff(self.atom_start)[chosen]
        moved = np.cumsum(counts) - counts - self.atom_start[chosen]  # how far each structure's atoms move
        by_pair = torch.from_numpy(np.repeat(moved, np.diff(self.pair_start)[chosen]))
        rows, columns = torch.from_numpy(atoms), torch.from_numpy(pairs)
        whole = self.whole
        return AtomsBatch(
            numbers=whole.numbers[rows],
            positions=whole.positions[rows],
            cell=whole.cell[torch.from_numpy(chosen)],
            structure=torch.from_numpy(np.repeat(np.arange(len(chosen)), counts)),
            pairs=whole.pairs[:, columns] + by_pair,
            shifts=whole.shifts[columns],
        )


def ranges(start: Int[np.ndarray, "_"], chosen: Int[np.ndarray, "_"]) -> Int[np.ndarray, "_"]:
    """The numbers from start[c] to start[c+1] of each chosen c, one after the other."""
    counts = start[chosen + 1] - start[chosen]
    return np.repeat(start[chosen] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


def collate_labels(labels: Sequence[Properties]) -> Properties:
    """The labels that belong to `collate` of the same structures."""
    if not labels:
        rows = torch.zeros(0, 3, dtype=torch.float64)
        return Properties(rows.view(0), rows, rows.view(0, 3, 3))
    forces = [label.forces for label in labels if label.forces is not None]
    stress = [label.stress for label in labels if label.stress is not None]
    return Properties(
        energy=torch.cat([label.energy for label in labels]),
        forces=torch.cat(forces) if forces else None,
        stress=torch.cat(stress) if stress else None,
    )


def with_pairs(batch: AtomsBatch, cutoff: float) -> AtomsBatch:
    """The same atoms with all pairs at their present positions, searched on the device where the batch is."""
    pairs, shifts = search_pairs(batch.positions, batch.cell, batch.structure, cutoff)
    return batch._replace(pairs=pairs, shifts=shifts)


def pair_vectors(batch: AtomsBatch) -> Float[Tensor, "P 3"]:
    """From each center to its neighbor, through the periodic boundary (Å)."""
    center, neighbor = batch.pairs
    cell = batch.cell[batch.structure[center]]
    offset = torch.einsum("pk,pkx->px", batch.shifts, cell)
    return batch.positions[neighbor] + offset - batch.positions[center]


def sum_per_structure(values: Float[Tensor, "N *rest"], batch: AtomsBatch) -> Float[Tensor, "S *rest"]:
    """Sum of a per-atom quantity over the atoms of each structure."""
    total = values.new_zeros(len(batch.cell), *values.shape[1:])
    return total.index_add(0, batch.structure, values)


def _starts(counts: Sequence[int]) -> Int[np.ndarray, "_"]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def index_of_number(elements: Sequence[int]) -> Int[Tensor, "Z"]:
    """The place of each atomic number among these elements, -1 for others."""
    index = torch.full((CHEMICAL_ELEMENTS + 1,), -1)
    index[list(elements)] = torch.arange(len(elements))
    return index
