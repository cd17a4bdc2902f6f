"""Labelled structures ready for a model, with their features if these are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.batch import Collection, Properties, collate_labels, pair_vectors, ranges, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.store import FeatureStore, products_of
from mlip.structure import Structure
from mlip.training.loss_weights import Lengths, lengths_of
from mlip.training.read_ahead import ReadAhead, Taken


class Examples:
    """Structures with their pairs, made once, and their labels; in a training those are less the repulsion.

    Raises:
        ValueError: a structure is unfit (`to_batch`); the message names it.
    """

    def __init__(self, structures: Sequence[Structure], cutoff: float, device: torch.device) -> None:
        made = [to_batch(structure, cutoff) for structure in structures]
        self._set(Collection([batch for batch, _ in made]), collate_labels([labels for _, labels in made]), device)

    def _set(self, atoms: Collection, labels: Properties, device: torch.device) -> None:
        self.atoms, self.labels, self.device = atoms, labels, device
        self.store: FeatureStore | None = None
        self.ahead = ReadAhead(device) if device.type == "cuda" else None
        self.weights: Float[Tensor, "K S"] | None = (
            None  # how much each structure counts for each member of a committee
        )
        self.known = known_labels(labels, atoms)
        self.has_energy, self.has_forces, self.has_stress = self.known.any(dim=1).tolist()
        # About the work that each structure makes: of its pairs, all alike until their functions are known.
        self.costs: Float[np.ndarray, "S"] = np.diff(atoms.pair_start) + 1.0

    @classmethod
    def of(cls, atoms: Collection, labels: Properties, device: torch.device) -> Examples:
        """Structures whose pairs and labels are there already."""
        made = cls.__new__(cls)
        made._set(atoms, labels, device)
        return made

    def weigh(self, descriptor: ACSF) -> None:
        """Learn how much work each structure makes with this descriptor; it is shared out by that."""
        self.costs = 1.0 + products_of(descriptor, self.atoms)

    def order(self, generator: torch.Generator) -> list[int]:
        """All structures in a random order, for one epoch."""
        return torch.randperm(len(self), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.atoms)

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
    def lengths(self) -> Lengths:
        """What automatic weights of the loss are made of."""
        return lengths_of(self.atoms.whole)

    @property
    def pairs(self) -> int:
        """Pairs of all structures together."""
        return self.atoms.whole.pairs.shape[1]

    def take(self, structures: Sequence[int]) -> Taken:
        """These structures as one batch on the device, their labels, and their features if kept."""
        return self.ahead.taken(structures, self.found) if self.ahead else self.found(structures)

    def read_ahead(self, structures: Sequence[int]) -> None:
        """Begin in the background with what `take` of these structures will need, if that helps."""
        if self.ahead and len(structures):
            self.ahead.begin(structures, self.found)
        if self.store:
            self.store.read_ahead(structures)

    def found(self, structures: Sequence[int]) -> Taken:
        """The same as `take` in the host's memory, but for features that are kept on the device."""
        features = self.store.take(structures) if self.store else None
        return self.atoms.take(structures), self.labels_of(structures), features

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


def known_labels(labels: Properties, atoms: Collection) -> Int[Tensor, "3 S"]:
    """How many energies, force components and stress components of each structure have a label."""
    energy, forces, stress, _ = labels
    assert forces is not None and stress is not None
    by_atom = torch.isfinite(forces).sum(dim=1)
    of_forces = torch.zeros(len(atoms), dtype=torch.int64).index_add_(0, atoms.whole.structure, by_atom)
    return torch.stack([torch.isfinite(energy).long(), of_forces, torch.isfinite(stress).sum(dim=(1, 2))])
