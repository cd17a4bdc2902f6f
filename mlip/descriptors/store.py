"""Features and Jacobians kept for training: positions never change while weights do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.batch import AtomsBatch, Collection, pair_vectors, ranges
from mlip.descriptors.acsf import ACSF, involves
from mlip.descriptors.backends import fastest
from mlip.descriptors.disk import ArrayFile
from mlip.descriptors.operation import differentiable
from mlip.device import denormals_are_zero
from mlip.kernels import has_kernels

PAIRS_AT_ONCE = 4096  # the dense Jacobian of so many pairs is held in float64 while the store is filled


class Rows(NamedTuple):
    """Jacobian of the R pairs that enter the same B of the D functions, structure by structure, sorted by center."""

    start: Int[np.ndarray, "_"]  # where each structure's rows begin
    pair: Int[Tensor, "R"]  # counted within the structure
    center: Int[Tensor, "R"]  # counted within the structure
    columns: Int[Tensor, "B"]
    jacobian: Float[Tensor, "R 3 B"]  # 1/Å


class BatchRows(NamedTuple):
    """The same of the structures of a batch only, whose pairs and centers are counted within the batch."""

    pair: Int[Tensor, "R"]
    center: Int[Tensor, "R"]
    columns: Int[Tensor, "B"]
    jacobian: Float[Tensor, "R 3 B"]  # 1/Å


class Stored(NamedTuple):
    """Features and Jacobians, one for each column set, that were computed before."""

    features: np.ndarray  # (N, D)
    jacobians: Sequence[np.ndarray]  # (R, 3, B) each, rows sorted by pair


class Chosen(NamedTuple):
    """Structures that are taken from a store, and where each one's atoms and pairs begin in what is asked of it."""

    structure: Int[np.ndarray, "s"]
    atom: Int[np.ndarray, "s"]
    pair: Int[np.ndarray, "s"]


class KeptFeatures:
    """Features of some structures, and the products with their Jacobian; takes the descriptor's place in `evaluate`.

    The Jacobian is read where it lies: a product is one pass over it, also of K vectors at once.
    """

    def __init__(
        self, features: Float[Tensor, "N D"], rows: Sequence[Rows] | Sequence[BatchRows], chosen: Chosen, pairs: int
    ) -> None:
        self.features = features
        self._rows, self._chosen, self._pairs = rows, chosen, pairs

    def __call__(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "N D"]:
        """The kept features; their gradient by `vectors` is a product with the kept Jacobian."""
        return differentiable(self, vectors)

    def products(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> KeptFeatures:
        """Itself: the products are kept whatever the vectors."""
        return self

    def pair_gradients(self, feature_gradients: Float[Tensor, "*K N D"]) -> Float[Tensor, "*K P 3"]:
        """The product with the transposed Jacobian, of one vector or of K."""
        assert self._rows, "kept without Jacobians, so there is no force"
        given = _several(feature_gradients)
        result = given.new_zeros(len(given), self._pairs, 3)
        for rows in self._rows:
            if not isinstance(rows.jacobian, Tensor):
                from mlip.kernels import kept

                kept.kept_gradients(rows, self._chosen, given.numpy(), result.numpy())
                continue
            pair, center, columns, jacobian = self._of_batch(rows)
            g = given.index_select(2, columns).index_select(1, center)
            result[:, pair] = torch.einsum("rxb,krb->krx", jacobian, g)
        return result.view(*feature_gradients.shape[:-2], self._pairs, 3)

    def feature_changes(self, pair_changes: Float[Tensor, "*K P 3"]) -> Float[Tensor, "*K N D"]:
        """The product with the Jacobian, of one vector or of K."""
        assert self._rows, "kept without Jacobians, so there is no force"
        given = _several(pair_changes)
        result = given.new_zeros(len(given), *self.features.shape)
        for rows in self._rows:
            if not isinstance(rows.jacobian, Tensor):
                from mlip.kernels import kept

                kept.kept_changes(rows, self._chosen, given.numpy(), result.numpy())
                continue
            pair, center, columns, jacobian = self._of_batch(rows)
            change = torch.einsum("krx,rxb->krb", given[:, pair], jacobian)
            total = change.new_zeros(*result.shape[:2], len(columns)).index_add_(1, center, change)
            result[:, :, columns] += total
        return result.view(*pair_changes.shape[:-2], *self.features.shape)

    def gathered(self) -> KeptFeatures:
        """The same with the rows of these structures only, one behind the other, ready to be moved."""
        return KeptFeatures(self.features, [self._of_batch(rows) for rows in self._rows], self._chosen, self._pairs)

    def moved(self, move: Callable[[Tensor], Tensor]) -> KeptFeatures:
        """The same after a change of place; rows that were not gathered stay where they are."""
        rows = [BatchRows(*map(move, part)) if isinstance(part, BatchRows) else part for part in self._rows]
        return KeptFeatures(move(self.features), cast(list[Rows], rows), self._chosen, self._pairs)

    def _of_batch(self, rows: Rows | BatchRows) -> BatchRows:
        if isinstance(rows, BatchRows):
            return rows
        pairs, centers, columns, jacobian = map(torch.as_tensor, rows[1:])  # those for kernels are arrays
        taken = torch.from_numpy(ranges(rows.start, self._chosen.structure)).to(pairs.device)
        counts = np.diff(rows.start)[self._chosen.structure]
        atom, pair = (torch.from_numpy(np.repeat(first, counts)).to(taken.device) for first in self._chosen[1:])
        return BatchRows(pairs[taken] + pair, centers[taken] + atom, columns, jacobian.index_select(0, taken))


class JoinedFeatures(KeptFeatures):
    """Kept features of structures from several stores, one behind the other."""

    def __init__(self, parts: Sequence[KeptFeatures]) -> None:
        super().__init__(torch.cat([part.features for part in parts]), (), parts[0]._chosen, 0)
        self._parts = parts

    def moved(self, move: Callable[[Tensor], Tensor]) -> JoinedFeatures:
        """All parts after a change of place."""
        return JoinedFeatures([part.moved(move) for part in self._parts])

    def pair_gradients(self, feature_gradients: Float[Tensor, "*K N D"]) -> Float[Tensor, "*K P 3"]:
        """The products of all parts."""
        given = feature_gradients.split([len(part.features) for part in self._parts], dim=-2)
        return torch.cat([part.pair_gradients(g) for part, g in zip(self._parts, given, strict=True)], dim=-2)

    def feature_changes(self, pair_changes: Float[Tensor, "*K P 3"]) -> Float[Tensor, "*K N D"]:
        """The products of all parts."""
        given = pair_changes.split([part._pairs for part in self._parts], dim=-2)
        return torch.cat([part.feature_changes(v) for part, v in zip(self._parts, given, strict=True)], dim=-2)


class FeatureStore:
    """Features and Jacobians of a data set, computed once in float64 and kept in `dtype` on the descriptor's device.

    Of each pair it has only the functions that involve its neighbor's element. With a `file` of the `shapes_of` these
    atoms everything is in that instead of memory of its own, and this process computes what falls to its `turn`, the
    n-th of so many that fill the file together. Without `jacobians` only energies can be made of what is kept. What is
    `stored` already is taken as it is instead of computed. With `on_host` all is kept in the host's memory, whatever
    the device; what is taken is then to be `moved` there.
    """

    def __init__(
        self,
        descriptor: ACSF,
        atoms: Collection,
        dtype: torch.dtype,
        file: ArrayFile | None = None,
        *,
        turn: tuple[int, int] = (0, 1),
        jacobians: bool = True,
        stored: Stored | None = None,
        on_host: bool = False,
    ) -> None:
        self.device = descriptor.index_of_number.device
        device = torch.device("cpu") if on_host else self.device
        self._atom_start, self._pair_start = atoms.atom_start, atoms.pair_start
        layout = Layout(descriptor, jacobians)
        self._pairs_of_kind = [kind.nonzero()[0] for kind in layout.masks(atoms.whole)]
        structure = atoms.whole.structure.numpy()
        center = atoms.whole.pairs[0].numpy()
        self._file = file
        if stored is not None:
            arrays = [torch.from_numpy(array).to(device) for array in (stored.features, *stored.jacobians)]
        elif file is not None:
            arrays = [torch.from_numpy(array) for array in file.arrays.values()]
        else:
            shapes = shapes_of(descriptor, atoms, jacobians=jacobians)
            arrays = [torch.empty(shape, dtype=dtype, device=device) for shape in shapes.values()]
        self.features, *kept = arrays
        self.rows = []
        for columns, pairs, jacobian in zip(layout.columns, self._pairs_of_kind, kept, strict=True):
            owner = structure[center[pairs]]
            rows = Rows(
                start=np.searchsorted(owner, np.arange(len(atoms) + 1)),
                pair=torch.from_numpy(pairs - atoms.pair_start[owner]).to(device, torch.int32),
                center=torch.from_numpy(center[pairs] - atoms.atom_start[owner]).to(device, torch.int32),
                columns=columns,
                jacobian=jacobian,
            )
            self.rows.append(rows)
        by_kernels = self.device.type == "cpu" and has_kernels()
        self._tables = [_arrays(rows) for rows in self.rows] if by_kernels else self.rows
        if stored is not None:
            return
        vectors = pair_vectors(atoms.whole)
        number, of = turn  # portions in turn, so that all have as much to do, wherever the large structures are
        for first, last in _portions(center, len(structure))[number::of]:
            self._fill(descriptor, atoms.whole, vectors, first, last)

    @denormals_are_zero()
    def _fill(self, descriptor: ACSF, whole: AtomsBatch, vectors: Tensor, first: int, last: int) -> None:
        """Compute the features of atoms first to last; of their neighbors only the element counts."""
        center = whole.pairs[0].numpy()
        begin, end = np.searchsorted(center, [first, last])
        device = self.device
        numbers = torch.cat([whole.numbers[first:last], torch.tensor(descriptor.elements)]).to(device)
        neighbor = descriptor.index_of_number[whole.numbers[whole.pairs[1, begin:end]].to(device)] + (last - first)
        pairs = torch.stack([whole.pairs[0, begin:end].to(device) - first, neighbor])
        local = vectors[begin:end].to(device)
        backend = fastest(descriptor, device)
        self.features[first:last].copy_(backend(numbers, pairs, local)[: last - first])  # onto the host as well
        if not self.rows:
            return
        jacobian = backend.jacobian(numbers, pairs, local)
        for rows, kind in zip(self.rows, self._pairs_of_kind, strict=True):
            a, b = np.searchsorted(kind, [begin, end])
            chosen = torch.from_numpy(kind[a:b] - begin).to(device)
            rows.jacobian[a:b].copy_(jacobian.index_select(0, chosen).index_select(2, rows.columns))

    def take(self, structures: Sequence[int]) -> KeptFeatures:
        """Kept features of these structures, in this order."""
        chosen = np.asarray(structures, dtype=np.int64)
        atoms, pairs = np.diff(self._atom_start)[chosen], np.diff(self._pair_start)[chosen]
        places = Chosen(chosen, np.cumsum(atoms) - atoms, np.cumsum(pairs) - pairs)
        rows = torch.from_numpy(ranges(self._atom_start, chosen)).to(self.features.device)
        kept = KeptFeatures(self.features.index_select(0, rows), self._tables, places, int(pairs.sum()))
        return kept if self.features.device == self.device else kept.gathered()

    def read_ahead(self, structures: Sequence[int]) -> None:
        """Have what `take` of these structures will need read from the file in the background."""
        if self._file is not None:
            starts = [self._atom_start, *(rows.start for rows in self.rows)]
            for name, start in zip(self._file.arrays, starts, strict=True):
                for structure in structures:
                    self._file.read_ahead(name, int(start[structure]), int(start[structure + 1]))


def _several(vectors: Tensor) -> Tensor:
    """One vector as a stack of one."""
    return (vectors if vectors.dim() == 3 else vectors[None]).detach().contiguous()


def shapes_of(descriptor: ACSF, atoms: Collection, *, jacobians: bool = True) -> dict[str, tuple[int, ...]]:
    """The arrays of a store of these structures: features (N,D), and a Jacobian (R,3,B) for each column set."""
    layout = Layout(descriptor, jacobians)
    shapes: dict[str, tuple[int, ...]] = {"features": (len(atoms.whole.numbers), len(descriptor.functions))}
    for kind, (columns, mask) in enumerate(zip(layout.columns, layout.masks(atoms.whole), strict=True)):
        shapes[f"jacobian_{kind}"] = (int(mask.sum()), 3, len(columns))
    return shapes


def bytes_needed(descriptor: ACSF, atoms: Collection, dtype: torch.dtype, *, jacobians: bool = True) -> int:
    """Memory that a store of these structures takes (bytes)."""
    if not descriptor.functions:
        return 0
    features, *rows = shapes_of(descriptor, atoms, jacobians=jacobians).values()
    size = math.prod(features) * dtype.itemsize
    return size + sum(math.prod(shape) * dtype.itemsize + shape[0] * 2 * torch.int32.itemsize for shape in rows)


def products_of(descriptor: ACSF, atoms: Collection) -> Float[np.ndarray, "S"]:
    """For each structure, the functions that its pairs enter, added up over the pairs: the work it makes."""
    layout = Layout(descriptor, jacobians=True)
    of_pair = np.zeros(len(atoms.whole.shifts))
    for columns, mask in zip(layout.columns, layout.masks(atoms.whole), strict=True):
        of_pair[mask] = len(columns)
    return np.diff(np.concatenate([[0.0], of_pair.cumsum()])[atoms.pair_start])


class Layout:
    """Which functions a pair enters, by the elements of its center and neighbor; none without Jacobians."""

    def __init__(self, descriptor: ACSF, jacobians: bool) -> None:
        count = len(descriptor.elements)
        masks = [involves(descriptor.functions, c, n) for c, n in product(descriptor.elements, repeat=2)]
        unique, kinds = torch.stack(masks).unique(dim=0, return_inverse=True)
        self.columns = [mask.nonzero().flatten().to(descriptor.index_of_number.device) for mask in unique if jacobians]
        self._kind = kinds.view(count, count).numpy()
        self._index = descriptor.index_of_number.cpu().numpy()

    def masks(self, batch: AtomsBatch) -> list[np.ndarray]:
        """For each column set, whether each pair belongs to it."""
        element = self._index[batch.numbers.numpy()]
        center, neighbor = batch.pairs.numpy()
        kinds = self._kind[element[center], element[neighbor]]
        return [kinds == kind for kind in range(len(self.columns))]


def _portions(center: np.ndarray, atoms: int) -> list[tuple[int, int]]:
    """Ranges of atoms with about PAIRS_AT_ONCE pairs each."""
    start = np.searchsorted(center, np.arange(atoms + 1))
    cuts = [0]
    while cuts[-1] < atoms:
        following = int(np.searchsorted(start, start[cuts[-1]] + PAIRS_AT_ONCE, side="right")) - 1
        cuts.append(min(atoms, max(cuts[-1] + 1, following)))
    return list(pairwise(cuts))


def _arrays(rows: Rows) -> Any:
    fields: list[Any] = [field.numpy() if isinstance(field, Tensor) else field for field in rows]
    return Rows(*fields)
