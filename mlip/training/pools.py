"""Pools: structures of a store that are in memory together, with their pairs, labels and, if stored, their features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from mlip.batch import AtomsBatch, Collection, Properties, pair_vectors, ranges, sum_per_structure
from mlip.data.store_file import STRUCTURES, StoreFile, portions, starts_of
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.store import FeatureStore, Stored
from mlip.model.derivatives import forces_of, stress_of
from mlip.model.repulsion import ZBL
from mlip.pair.potential import PairPotential
from mlip.training.examples import Examples

# Bytes in memory of what `Examples` has: int64 and float64 throughout.
PER_STRUCTURE, PER_ATOM, PER_PAIR = 168, 64, 40
WIDE = {"numbers": np.int64, "pairs": np.int64, "shifts": np.float64}  # what the file has in fewer bytes


@dataclass(frozen=True)
class Source:
    """A store, and what is made of its structures when they are read."""

    file: StoreFile
    device: torch.device
    descriptor: ACSF | None = None  # whose features in the store are to be used; None: none
    pair_terms: tuple[ZBL | PairPotential, ...] = ()  # taken from the labels
    jacobians: bool = True  # whether to read them as well

    @property
    def bytes_per_structure(self) -> Int[np.ndarray, "S"]:
        """Memory that each structure of the store takes in a pool."""
        starts = self.file.starts
        size = PER_STRUCTURE + PER_ATOM * np.diff(starts["atom"]) + PER_PAIR * np.diff(starts["pair"])
        if self.descriptor is not None:
            itemsize = np.dtype(self.file.quantities["features"].dtype).itemsize
            size = size + itemsize * len(self.descriptor.functions) * np.diff(starts["atom"])
            for name in self._jacobians():
                quantity = self.file.quantities[name]
                size = size + (itemsize * int(np.prod(quantity.shape)) + 8) * np.diff(starts[quantity.rows])
        return size

    def _jacobians(self) -> list[str]:
        return [name for name in self.file.quantities if self.jacobians and name.startswith("jacobian_")]

    def read(self, places: Int[np.ndarray, "s"]) -> Examples:
        """Structures at these ascending places of the store, compared with the checksums.

        Raises:
            ValueError: a chunk is damaged.
        """
        names = [*STRUCTURES, *(["features", *self._jacobians()] if self.descriptor is not None else [])]
        arrays = self._arrays(names, places)
        atom_start, pair_start = (starts_of(np.diff(self.file.starts[kind])[places]) for kind in ("atom", "pair"))
        pairs = np.ascontiguousarray(arrays.pop("pairs").T)
        pairs += np.repeat(atom_start[:-1], np.diff(pair_start))
        whole = AtomsBatch(
            numbers=torch.from_numpy(arrays["numbers"]),
            positions=torch.from_numpy(arrays["positions"]),
            cell=torch.from_numpy(np.where(arrays["pbc"][:, :, None] != 0, arrays["cell"], 0.0)),
            structure=torch.from_numpy(np.repeat(np.arange(len(places)), np.diff(atom_start))),
            pairs=torch.from_numpy(pairs),
            shifts=torch.from_numpy(arrays["shifts"]),
        )
        labels = Properties(*(torch.from_numpy(arrays[name]) for name in ("energy", "forces", "stress")))
        atoms = Collection.of(whole, atom_start, pair_start)
        examples = Examples.of(atoms, less_pair_terms(whole, labels, self.pair_terms), self.device)
        if self.descriptor is not None:
            jacobians = [arrays[name] for name in self._jacobians()]
            dtype = torch.from_numpy(arrays["features"]).dtype
            stored = Stored(arrays["features"], jacobians)
            examples.store = FeatureStore(
                self.descriptor, atoms, dtype, jacobians=bool(jacobians), stored=stored, on_host=True
            )
        return examples

    def _arrays(self, names: list[str], places: Int[np.ndarray, "s"]) -> dict[str, np.ndarray]:
        """The rows of these structures in each array; read where they are to be if that is possible."""
        file = self.file
        filled = dict.fromkeys(names, 0)
        arrays = {}
        for name in names:
            quantity = file.quantities[name]
            count = len(places) if quantity.rows == "structure" else np.diff(file.starts[quantity.rows])[places].sum()
            arrays[name] = np.empty((int(count), *quantity.shape), WIDE.get(name, quantity.dtype))
        for chunk, chosen in portions(places, file.plan["chunk"]):
            first, last = file.structures_of(chunk)
            for name in names:
                quantity, begin = file.quantities[name], filled[name]
                if len(chosen) == last - first and name not in WIDE:
                    filled[name] += np.subtract(*file.rows(name, first, last)[::-1])
                    file.read_chunk(name, chunk, arrays[name][begin : filled[name]])
                    continue
                rows = chosen - first
                if quantity.rows != "structure":
                    start = file.starts[quantity.rows]
                    rows = ranges(start, chosen) - start[first]
                filled[name] += len(rows)
                arrays[name][begin : filled[name]] = file.read_chunk(name, chunk)[rows]
        return arrays


def less_pair_terms(batch: AtomsBatch, labels: Properties, terms: tuple[ZBL | PairPotential, ...]) -> Properties:
    """Labels less functions of pairs, as `model.targets.less_pair_term` takes one from structures."""
    vectors = pair_vectors(batch) if terms else None
    for term in terms:
        assert labels.forces is not None and labels.stress is not None and vectors is not None
        by_atom, gradient = term(batch.numbers, batch.pairs, vectors)
        labels = Properties(
            labels.energy - sum_per_structure(by_atom, batch),
            labels.forces - forces_of(batch, gradient),
            labels.stress - stress_of(batch, vectors, gradient),
        )
    return labels
