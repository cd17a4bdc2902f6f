"""Labelled structures ready for a model, with their features if these are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from mlip.batch import AtomsBatch, Properties, collate, collate_labels, pair_vectors, to_batch
from mlip.descriptors.store import FeatureStore, KeptFeatures
from mlip.structure import Structure


class Examples:
    """Structures with their pairs, made once, and their labels.

    Raises:
        ValueError: a structure is unfit (`to_batch`); the message names it.
    """

    def __init__(self, structures: Sequence[Structure], cutoff: float, device: torch.device) -> None:
        made = [to_batch(structure, cutoff) for structure in structures]
        self.batches = [batch for batch, _ in made]
        self.labels = [labels for _, labels in made]
        self.device = device
        self.store: FeatureStore | None = None
        self.has_forces = any(structure.forces is not None for structure in structures)
        self.has_stress = any(structure.stress is not None for structure in structures)

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def shortest(self) -> float:
        """Shortest distance between two atoms (Å), infinite if there are no pairs."""
        lengths = [pair_vectors(batch).norm(dim=1) for batch in self.batches if batch.pairs.shape[1]]
        return min((float(length.min()) for length in lengths), default=float("inf"))

    @property
    def pairs(self) -> int:
        """Pairs of all structures together."""
        return sum(batch.pairs.shape[1] for batch in self.batches)

    def take(self, structures: Sequence[int]) -> tuple[AtomsBatch, Properties, KeptFeatures | None]:
        """These structures as one batch on the device, their labels, and their features if kept."""
        batch = collate([self.batches[s] for s in structures]).to(self.device)
        labels = collate_labels([self.labels[s] for s in structures]).to(self.device)
        features = self.store.take(structures) if self.store else None
        return batch, labels, features

    def chunks(self, pairs_at_once: int = 20_000) -> Iterator[list[int]]:
        """All structures in order, in groups of bounded size."""
        chunk: list[int] = []
        pairs = 0
        for structure, batch in enumerate(self.batches):
            pairs += batch.pairs.shape[1]
            if chunk and pairs > pairs_at_once:
                yield chunk
                chunk, pairs = [], batch.pairs.shape[1]
            chunk.append(structure)
        if chunk:
            yield chunk
