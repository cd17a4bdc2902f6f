"""Labelled structures ready for a model, with their features if these are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.batch import AtomsBatch, Collection, Properties, collate_labels, pair_vectors, ranges, to_batch
from mlip.descriptors.store import FeatureStore, KeptFeatures
from mlip.structure import Structure


class Examples:
    """Structures with their pairs, made once, and their labels; in a training those are less the repulsion.

    Raises:
        ValueError: a structure is unfit (`to_batch`); the message names it.
    """

    def __init__(self, structures: Sequence[Structure], cutoff: float, device: torch.device) -> None:
        made = [to_batch(structure, cutoff) for structure in structures]
        self.atoms = Collection([batch for batch, _ in made])
        self.labels = collate_labels([labels for _, labels in made])
        self.device = device
        self.store: FeatureStore | None = None
        self.weights: Float[Tensor, "K S"] | None = (
            None  # how much each structure counts for each member of a committee
        )
        # About the work that each structure makes: of its pairs, all alike until their functions are known.
        self.costs: Float[np.ndarray, "S"] = np.diff(self.atoms.pair_start) + 1.0
        self.has_energy = any(structure.energy is not None for structure in structures)
        self.has_forces = any(structure.forces is not None for structure in structures)
        self.has_stress = any(structure.stress is not None for structure in structures)

    def __len__(self) -> int:
        return len(self.atoms)

    @cached_property
    def known(self) -> Int[Tensor, "3 S"]:
        """How many energies, force components and stress components of each structure have a label."""
        energy, forces, stress, _ = self.labels
        assert forces is not None and stress is not None
        by_atom = torch.isfinite(forces).sum(dim=1)
        of_forces = torch.zeros(len(self), dtype=torch.int64).index_add_(0, self.atoms.whole.structure, by_atom)
        return torch.stack([torch.isfinite(energy).long(), of_forces, torch.isfinite(stress).sum(dim=(1, 2))])

    @property
    def needs_gradients(self) -> bool:
        """Whether there are labels that are derivatives of the energy."""
        return self.has_forces or self.has_stress

    @property
    def shortest(self) -> float:
        """Shortest distance between two atoms (Å), infinite if there are no pairs."""
        lengths = pair_vectors(self.atoms.whole).norm(dim=1)
        return float(lengths.min()) if len(lengths) else float("inf")

    @property
    def pairs(self) -> int:
        """Pairs of all structures together."""
        return self.atoms.whole.pairs.shape[1]

    def take(self, structures: Sequence[int]) -> tuple[AtomsBatch, Properties, KeptFeatures | None]:
        """These structures as one batch on the device, their labels, and their features if kept."""
        batch = self.atoms.take(structures).to(self.device)
        features = self.store.take(structures) if self.store else None
        return batch, self.labels_of(structures).to(self.device), features

    def weights_of(self, structures: Sequence[int]) -> Float[Tensor, "K s"] | None:
        """How much these structures count for each member of a committee; None if all count the same."""
        return None if self.weights is None else self.weights[:, list(structures)].to(self.device)

    def labels_of(self, structures: Sequence[int]) -> Properties:
        """Labels of these structures, in this order."""
        chosen = np.asarray(structures, dtype=np.int64)
        atoms = torch.from_numpy(ranges(self.atoms.atom_start, chosen))
        energy, forces, stress, _ = self.labels
        assert forces is not None and stress is not None
        rows = torch.from_numpy(chosen)
        return Properties(energy[rows], forces[atoms], stress[rows])

    def chunks(self, structures: Sequence[int] | None = None, pairs_at_once: int = 20_000) -> Iterator[list[int]]:
        """These structures, or all of them, in order, in groups of bounded size."""
        chunk: list[int] = []
        pairs = 0
        counts = np.diff(self.atoms.pair_start).tolist()
        for structure in range(len(self)) if structures is None else structures:
            count = counts[structure]
            pairs += count
            if chunk and pairs > pairs_at_once:
                yield chunk
                chunk, pairs = [], count
            chunk.append(structure)
        if chunk:
            yield chunk
