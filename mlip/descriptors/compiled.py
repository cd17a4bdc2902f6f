"""Symmetry functions by the compiled CPU kernels, in the descriptor's place in `evaluate`."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.descriptors.acsf import ACSF
from mlip.descriptors.compact_functions import CompactFunction
from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS
from mlip.descriptors.factors import angular_numbers, classes, radial_numbers
from mlip.descriptors.functions import KINDS, Wide
from mlip.descriptors.operation import Products, differentiable
from mlip.kernels import arithmetic as names
from mlip.kernels import cutoffs, neighborhoods
from mlip.kernels.compile import is_compiled
from mlip.kernels.moments import LARGEST
from mlip.kernels.neighborhoods import NARROW, Functions, Pairs
from mlip.kernels.products import block_bounds, products

logger = logging.getLogger(__name__)

NUMBER_OF = {kind: getattr(neighborhoods, name.upper()) for name, kind in KINDS.items()}
ANGLE_NUMBERS = 5  # of each angle, as many as the kind with most of them has
CUTOFFS = {name: getattr(cutoffs, name.upper()) for name in CUTOFF_FUNCTIONS}
PAIRS_PER_THREAD = 1000  # below this, starting a thread costs more than it saves

_NOTHING = np.zeros((0, 0))

_made: weakref.WeakKeyDictionary[ACSF, CompiledACSF] = weakref.WeakKeyDictionary()


def compiled(descriptor: ACSF) -> CompiledACSF:
    """The descriptor's functions by the CPU kernels; made once for each descriptor."""
    if descriptor not in _made:
        _made[descriptor] = CompiledACSF(descriptor)
    return _made[descriptor]


class CompiledACSF:
    """The features of every atom, and their derivatives, by the CPU kernels; values and order are those of `ACSF`."""

    def __init__(self, descriptor: ACSF) -> None:
        self.width = len(descriptor.functions)
        self.index_of_number = descriptor.index_of_number.cpu().numpy()
        self.functions = _functions(descriptor)
        self.angular_groups = int((self.functions.groups[:-1, 0] >= NARROW).sum())
        if not is_compiled():
            logger.info("compiling the CPU kernels: once after installation, half a minute for each precision")

    def __call__(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "N D"]:
        """Features from the pair vectors (Å), differentiable by them."""
        return differentiable(self.products(numbers, pairs, vectors), vectors)

    def products(self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]) -> Products:
        """Features at these pair vectors (Å), and the products with their Jacobian."""
        return _Products(self.at(numbers, pairs, vectors))

    def jacobian(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "P 3 D"]:
        """Derivative of the center's features by each pair vector (1/Å), as `ACSF.jacobian`."""
        jacobian = self.at(numbers, pairs, vectors).made(names.JACOBIAN)
        return torch.from_numpy(jacobian).view(-1, 3, self.width)

    def at(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> AtVectors:
        """The kernels at given pair vectors, in their precision."""
        table = pair_table(self.index_of_number[numbers.numpy()], *pairs.numpy())
        dtype = np.float32 if vectors.dtype == torch.float32 else np.float64
        return AtVectors(self, table._replace(vectors=vectors.detach().double().numpy()), dtype)


def pair_table(element: Int[np.ndarray, "N"], center: Int[np.ndarray, "P"], neighbor: Int[np.ndarray, "P"]) -> Pairs:
    """Pairs as the kernels want them, still without vectors."""
    start = np.zeros(len(element) + 1, dtype=np.int64)
    np.cumsum(np.bincount(center, minlength=len(element)), out=start[1:])
    return Pairs(start, element, element[neighbor], _NOTHING)


class AtVectors:
    """The products at given pair vectors; `dtype` is the precision of the arithmetic and of the results."""

    def __init__(self, owner: CompiledACSF, pairs: Pairs, dtype: type[np.floating[Any]]) -> None:
        self.owner = owner
        self.pairs = pairs
        self.dtype = dtype

    def made(self, product: int, given: np.ndarray = _NOTHING) -> np.ndarray:
        """One of the products; `given` is what a Jacobian is multiplied with."""
        rows = {names.GRADIENTS: len(self.pairs.neighbor), names.JACOBIAN: 3 * len(self.pairs.neighbor)}
        columns = 3 if product == names.GRADIENTS else self.owner.width
        result = np.zeros((rows.get(product, len(self.pairs.element)), columns), self.dtype)
        self._run(product, given.astype(self.dtype, copy=False), result)
        return result

    def _run(self, product: int, given: np.ndarray, result: np.ndarray) -> None:
        """Add a product to `result`, with as many threads as torch has; their number does not change a bit of it."""
        bounds = block_bounds(self.pairs.start, self.owner.angular_groups)

        def add(first: int, last: int) -> None:
            products(product, bounds[first : last + 1], self.pairs, self.owner.functions, given, result)

        in_threads(len(self.pairs.neighbor), len(bounds) - 1, add)


def in_threads(pairs: int, blocks: int, work: Callable[[int, int], None]) -> None:
    """Work on ranges of blocks of centers, with as many threads as torch has if there are so many pairs."""
    threads = min(torch.get_num_threads(), 1 + pairs // PAIRS_PER_THREAD)
    if threads == 1:
        work(0, blocks)
        return
    ends = np.unique(np.linspace(0, blocks, 8 * threads + 1).astype(int)).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, ends[:-1], ends[1:]))


class _Products:
    """The products as tensors."""

    def __init__(self, place: AtVectors) -> None:
        self.place = place
        self.features = torch.from_numpy(place.made(names.FEATURES))

    def pair_gradients(self, feature_gradients: Tensor) -> Tensor:
        """The product with the transposed Jacobian."""
        return self._product(names.GRADIENTS, feature_gradients)

    def feature_changes(self, pair_changes: Tensor) -> Tensor:
        """The product with the Jacobian."""
        return self._product(names.CHANGES, pair_changes)

    def _product(self, product: int, given: Tensor) -> Tensor:
        return torch.from_numpy(self.place.made(product, given.detach().contiguous().numpy()))


def _functions(descriptor: ACSF) -> Functions:
    """The descriptor's groups as the tables of the kernels."""
    spheres: list[tuple[float, int, float, Any]] = []
    rows, parts = [], []
    place = [0, 0, 0, 0]
    elements = len(descriptor.elements)
    for group in cast(Iterable[Any], descriptor.groups):
        sphere = (group.cutoff, CUTOFFS[group.cutoff_name], group.inner_cutoff, group.weights)
        if sphere not in spheres:
            spheres.append(sphere)
        class_of, table = np.full((elements,) * 3, -1), classes(group)
        known = range(table.shape[1])
        if group.kind.order == 1:
            class_of[:, known, known] = table
        else:
            class_of[:, : len(known), : len(known)] = table
        for chosen, degree in _alike(group):
            part = _factors(group, chosen)
            rows.append([NUMBER_OF[group.kind], spheres.index(sphere), *place, degree])
            parts.append((class_of, *part))
            sizes = len(part[1]), len(part[2]), len(part[4]), part[0].size
            place = [begin + size for begin, size in zip(place, sizes, strict=True)]
    class_of, columns, shells, angles, ends, angle_of = zip(*parts, strict=True)
    return Functions(
        np.array([cutoff for cutoff, *_ in spheres]),
        np.array([kind for _, kind, *_ in spheres]),
        np.array([inner for *_, inner, _ in spheres]),
        np.array([weights is not None for *_, weights in spheres]),
        np.array([weights or [1.0] * elements for *_, weights in spheres]),
        np.array([*rows, [0, 0, *place, 0]]),
        np.stack(class_of),
        np.concatenate([part.ravel() for part in columns]),
        np.concatenate(shells),
        np.concatenate(angles),
        np.concatenate(ends),
        np.concatenate(angle_of),
    )


def _alike(group: Any) -> list[tuple[np.ndarray, int]]:
    """The functions that the kernels can compute together, and the largest zeta if from moments of the neighbors."""
    if group.kind.order == 1 or issubclass(group.kind, CompactFunction):
        return [(np.ones(group.width, dtype=bool), 0)]
    of_distances, of_angles = angular_numbers(group)
    small = np.zeros(group.width, dtype=bool)
    if group.kind is Wide:
        zetas, lambdas = of_angles.T
        small = np.isin(zetas, range(1, LARGEST + 1)) & (abs(lambdas) <= 1)
    parts = []
    for common in np.unique(of_distances[:, 2]):
        alike = of_distances[:, 2] == common
        parts += [(alike & small, int(of_angles[alike & small, 0].max(initial=0))), (alike & ~small, 0)]
    return [(chosen, degree) for chosen, degree in parts if chosen.any()]


def _factors(group: Any, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of the chosen functions, columns by class, shells, angles, where those of each shell end, and their angles."""
    columns = np.array(group.columns, dtype=np.int64).reshape(group.classes, group.width)[:, chosen]
    if group.kind.order == 1:
        shells, count = radial_numbers(group)[chosen], columns.shape[1]
        return columns, shells, np.zeros((0, ANGLE_NUMBERS)), np.arange(count + 1), np.zeros(count, dtype=np.int64)
    of_distances, of_angles = angular_numbers(group)
    shells, shell_of = np.unique(of_distances[chosen], axis=0, return_inverse=True)
    angles, angle_of = np.unique(of_angles[chosen], axis=0, return_inverse=True)
    order = np.argsort(shell_of.ravel(), kind="stable")
    ends = np.searchsorted(shell_of.ravel()[order], np.arange(len(shells) + 1))
    angles = np.pad(angles, ((0, 0), (0, ANGLE_NUMBERS - angles.shape[1])))
    return np.ascontiguousarray(columns[:, order]), shells, angles, ends, angle_of.ravel()[order]
