"""Features and Jacobians kept for training: positions never change while weights do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.batch import AtomsBatch, collate, pair_vectors
from mlip.descriptors.acsf import ACSF, involves
from mlip.descriptors.backends import fastest
from mlip.descriptors.operation import differentiable

PAIRS_AT_ONCE = 4096  # the dense Jacobian of so many pairs is held in float64 while the store is filled


class Block(NamedTuple):
    """Jacobian of pairs that enter the same B of the D functions."""

    columns: Int[Tensor, "B"]
    pairs: Int[Tensor, "p"]
    jacobian: Float[Tensor, "p 3 B"]  # 1/Å


class KeptFeatures:
    """Features of a batch with their Jacobian; takes the descriptor's place in `evaluate`."""

    def __init__(self, features: Float[Tensor, "N D"], blocks: Sequence[Block]) -> None:
        self.features = features
        self.blocks = blocks

    def __call__(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "N D"]:
        """The kept features; their gradient by `vectors` is a product with the kept Jacobian."""
        return differentiable(_KeptProducts(self.features, pairs[0], self.blocks), vectors)


class _KeptProducts:
    """The three products read from memory."""

    def __init__(self, features: Tensor, center: Tensor, blocks: Sequence[Block]) -> None:
        self.features, self.center, self.blocks = features, center, blocks

    def pair_gradients(self, feature_gradients: Float[Tensor, "N D"]) -> Float[Tensor, "P 3"]:
        """The product with the transposed Jacobian."""
        result = feature_gradients.new_empty(len(self.center), 3)
        for columns, pairs, jacobian in self.blocks:
            g = feature_gradients.index_select(1, columns).index_select(0, self.center[pairs])
            result[pairs] = torch.bmm(jacobian, g[:, :, None])[:, :, 0]
        return result

    def feature_changes(self, pair_changes: Float[Tensor, "P 3"]) -> Float[Tensor, "N D"]:
        """The product with the Jacobian."""
        result = torch.zeros_like(self.features)
        for columns, pairs, jacobian in self.blocks:
            change = torch.bmm(pair_changes[pairs][:, None, :], jacobian)[:, 0, :]
            total = change.new_zeros(len(result), len(columns)).index_add_(0, self.center[pairs], change)
            result[:, columns] += total
        return result


class FeatureStore:
    """Features and Jacobians of a data set, computed once in float64 and kept in `dtype` on the descriptor's device."""

    def __init__(self, descriptor: ACSF, batches: Sequence[AtomsBatch], dtype: torch.dtype) -> None:
        self.layout = _Layout(descriptor)
        self.features: list[Tensor] = []
        self.blocks: list[list[Block]] = []  # for each structure, one of each column set
        self.pairs = [batch.pairs.shape[1] for batch in batches]
        for chunk in _chunks(batches):
            self._fill(descriptor, chunk, dtype)

    def _fill(self, descriptor: ACSF, chunk: Sequence[AtomsBatch], dtype: torch.dtype) -> None:
        batch = collate(chunk).to(descriptor.index_of_number.device)
        vectors = pair_vectors(batch)
        backend = fastest(descriptor, vectors.device)
        features = backend(batch.numbers, batch.pairs, vectors).to(dtype)
        jacobian = backend.jacobian(batch.numbers, batch.pairs, vectors)
        self.features += features.split([len(part.numbers) for part in chunk])
        kinds = self.layout.kind_of_pairs(batch)
        counts = [part.pairs.shape[1] for part in chunk]
        for local_jacobian, local_kinds in zip(jacobian.split(counts), kinds.split(counts), strict=True):
            blocks = []
            for kind, columns in enumerate(self.layout.columns):
                pairs = (local_kinds == kind).nonzero().flatten()
                blocks.append(Block(columns, pairs, local_jacobian[pairs][:, :, columns].to(dtype)))
            self.blocks.append(blocks)

    def take(self, structures: Sequence[int]) -> KeptFeatures:
        """Kept features of `collate` of these structures."""
        starts = torch.tensor([0] + [self.pairs[s] for s in structures]).cumsum(0).tolist()
        blocks = []
        for kind, columns in enumerate(self.layout.columns):
            parts = [self.blocks[s][kind] for s in structures]
            pairs = torch.cat([part.pairs + start for part, start in zip(parts, starts, strict=False)])
            blocks.append(Block(columns, pairs, torch.cat([part.jacobian for part in parts])))
        return KeptFeatures(torch.cat([self.features[s] for s in structures]), blocks)


def bytes_needed(descriptor: ACSF, batches: Sequence[AtomsBatch], dtype: torch.dtype) -> int:
    """Memory that a store of these structures takes (bytes)."""
    layout = _Layout(descriptor)
    widths = torch.tensor([len(columns) for columns in layout.columns])
    numbers = sum(
        3 * int(widths[layout.kind_of_pairs(batch.to(descriptor.index_of_number.device)).cpu()].sum())
        + len(batch.numbers) * len(descriptor.functions)
        for batch in batches
    )
    return numbers * dtype.itemsize


class _Layout:
    """Which functions a pair enters, by the elements of its center and neighbor."""

    def __init__(self, descriptor: ACSF) -> None:
        count = len(descriptor.elements)
        masks = [involves(descriptor.functions, c, n) for c, n in product(descriptor.elements, repeat=2)]
        unique, kinds = torch.stack(masks).unique(dim=0, return_inverse=True)
        self.columns = [mask.nonzero().flatten().to(descriptor.index_of_number.device) for mask in unique]
        self._kind = kinds.view(count, count).to(descriptor.index_of_number.device)
        self._index = descriptor.index_of_number

    def kind_of_pairs(self, batch: AtomsBatch) -> Int[Tensor, "P"]:
        """Number of the column set of each pair."""
        element = self._index[batch.numbers]
        kinds: Tensor = self._kind[element[batch.pairs[0]], element[batch.pairs[1]]]
        return kinds


def _chunks(batches: Sequence[AtomsBatch]) -> Iterator[list[AtomsBatch]]:
    chunk: list[AtomsBatch] = []
    for batch in batches:
        if chunk and sum(part.pairs.shape[1] for part in chunk) + batch.pairs.shape[1] > PAIRS_AT_ONCE:
            yield chunk
            chunk = []
        chunk.append(batch)
    if chunk:
        yield chunk
