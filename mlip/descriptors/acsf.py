"""Atom-centered symmetry functions in plain PyTorch: the reference every faster kernel is held to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import permutations, product
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import jvp

from mlip.batch import index_of_number
from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS
from mlip.descriptors.functions import SymmetryFunction, Triples
from mlip.descriptors.operation import ReferenceProducts


class ACSF(nn.Module):
    r"""The features of every atom: one column per symmetry function, zero where the center has another element.

    .. math:: G_{id} = \sum_{j} g_d(\mathbf r_{ij}) \quad \text{or} \quad \sum_{j<k} g_d(\mathbf r_{ij}, \mathbf r_{ik})

    over the neighbors whose elements function d names, or over all with the weights of their elements; :math:`g_d` is
    the formula of its class.

    Raises:
        ValueError: there is no function, or one names an element outside `elements`.
    """

    def __init__(
        self, elements: Sequence[int], functions: Sequence[SymmetryFunction], cutoff: float | None = None
    ) -> None:
        super().__init__()
        self.elements = tuple(sorted(set(elements)))
        self.functions = tuple(functions)
        self._cutoff = cutoff
        if not self.functions and cutoff is None:
            raise ValueError("the descriptor has no symmetry functions; give at least one")
        for column, function in enumerate(self.functions):
            strangers = {*function.elements, function.center or self.elements[0]} - set(self.elements)
            if strangers:
                raise ValueError(
                    f"symmetry function {column} ({function}) names elements {sorted(strangers)}; "
                    f"the potential knows {list(self.elements)}"
                )
        index = index_of_number(self.elements)
        groups = _grouped(self.elements, self.functions)
        columns = torch.tensor([column for group in groups for column in group.columns])
        self.groups = nn.ModuleList(groups)
        self.index_of_number: Tensor
        self.order: Tensor
        self.register_buffer("index_of_number", index, persistent=False)
        self.register_buffer("order", torch.argsort(columns), persistent=False)

    @property
    def cutoff(self) -> float:
        """Largest cutoff of any function (Å)."""
        return max((function.cutoff for function in self.functions), default=self._cutoff or 0.0)

    def forward(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "N D"]:
        """Features from the pair vectors (Å); pairs beyond a function's cutoff do not count."""
        if not self.functions:
            return vectors.sum() * vectors.new_zeros(len(numbers), 0)
        element = self.index_of_number[numbers]
        distances = vectors.norm(dim=1)
        triples = _TripleSearch(pairs[0], distances)
        features = torch.cat([group(element, pairs, vectors, distances, triples) for group in self.groups], dim=1)
        return features[:, self.order]

    def products(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> ReferenceProducts:
        """Features at these pair vectors, and the products with their Jacobian, by automatic differentiation."""
        return ReferenceProducts(lambda at: self(numbers, pairs, at), vectors)

    def jacobian(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "P 3 D"]:
        """Derivative of the center's features by each pair vector (1/Å).

        A term depends on no other center's pairs, so J[p, x, d] = dG[center(p), d] / dvector[p, x] is all there is.
        """
        element = self.index_of_number[numbers]
        distances = vectors.norm(dim=1)
        triples = _TripleSearch(pairs[0], distances)
        groups = cast(Iterable[_FunctionGroup], self.groups)
        jacobians = [group.jacobian(element, pairs, vectors, distances, triples) for group in groups]
        return torch.cat(jacobians, dim=2)[:, :, self.order]


class _FunctionGroup(nn.Module):
    """Functions of one formula and cutoff, with the same F numbers for each of C combinations of elements."""

    def __init__(
        self,
        elements: tuple[int, ...],
        kind: type[SymmetryFunction],
        cutoff: tuple[float, str, float],  # cutoff, name of its function, inner cutoff
        classes: dict[tuple, list[int]],  # (center or None, *neighbors) -> columns
        values: Sequence[tuple[float, ...]],  # F rows of the formula's numbers
        weights: dict[int, float],  # of the elements' neighbors; empty if the classes name them
    ) -> None:
        super().__init__()
        self.kind = kind
        self.cutoff, self.cutoff_name, self.inner_cutoff = cutoff
        function = CUTOFF_FUNCTIONS[self.cutoff_name]
        self.cutoff_function = partial(function, inner=self.inner_cutoff) if self.inner_cutoff else function
        self.classes = len(classes)
        self.width = len(values)
        self.columns = [column for columns in classes.values() for column in columns]
        self.values: Tensor
        self.class_of: Tensor
        self.register_buffer("values", torch.tensor(values, dtype=torch.float64).T.contiguous(), persistent=False)
        self.weights = [weights.get(element, 0.0) for element in elements] if weights else None
        known = [elements.index(element) for element in weights]
        table = torch.full((len(elements),) * (1 + kind.order), -1)
        for row, (center, *neighbors) in enumerate(classes):
            centers = range(len(elements)) if center is None else [elements.index(center)]
            named = [elements.index(element) for element in neighbors]
            for key in permutations(named) if named else product(known, repeat=kind.order):
                for c in centers:
                    table[(c, *key)] = row
        self.register_buffer("class_of", table, persistent=False)

    def forward(
        self,
        element: Int[Tensor, "N"],
        pairs: Int[Tensor, "2 P"],
        vectors: Float[Tensor, "P 3"],
        distances: Float[Tensor, "P"],
        triples: _TripleSearch,
    ) -> Float[Tensor, "N CF"]:
        """Terms of all pairs or triples, added up for each center and class."""
        terms, sides, rows = self._terms(element, pairs, distances, triples)
        center = pairs[0, sides[0]]
        total = vectors.new_zeros(len(element) * self.classes, self.width)
        total = total.index_add(0, center * self.classes + rows, terms(*(vectors[side] for side in sides)))
        return total.view(len(element), self.classes * self.width)

    def jacobian(
        self,
        element: Int[Tensor, "N"],
        pairs: Int[Tensor, "2 P"],
        vectors: Float[Tensor, "P 3"],
        distances: Float[Tensor, "P"],
        triples: _TripleSearch,
    ) -> Float[Tensor, "P 3 CF"]:
        """Derivative of each term by each of its pair vectors, in forward mode, added up for each pair and class."""
        terms, sides, rows = self._terms(element, pairs, distances, triples)
        arguments = tuple(vectors[side] for side in sides)
        total = vectors.new_zeros(3, len(vectors) * self.classes, self.width)
        for (number, side), axis in product(list(enumerate(sides)), range(3)):
            direction = torch.zeros_like(arguments[number])
            direction[:, axis] = 1.0
            tangents = tuple(direction if n == number else torch.zeros_like(v) for n, v in enumerate(arguments))
            slope = jvp(terms, arguments, tangents)[1]
            total[axis].index_add_(0, side * self.classes + rows, slope)
        return total.view(3, len(vectors), self.classes * self.width).permute(1, 0, 2)

    def _terms(
        self,
        element: Int[Tensor, "N"],
        pairs: Int[Tensor, "2 P"],
        distances: Float[Tensor, "P"],
        triples: _TripleSearch,
    ) -> tuple[Callable[..., Tensor], tuple[Tensor, ...], Tensor]:
        """The terms as a function of pair vectors, the pairs (one or two per term) these are, and their classes."""
        if self.kind.order == 1:
            sides: tuple[Tensor, ...] = ((distances < self.cutoff).nonzero().flatten(),)
        else:
            sides = triples.within(self.cutoff)
        center = pairs[0, sides[0]]
        rows = self.class_of[(element[center], *(element[pairs[1, side]] for side in sides))]
        keep = rows >= 0
        if not keep.all():
            sides, rows = tuple(side[keep] for side in sides), rows[keep]
        terms = self._pair_terms if self.kind.order == 1 else self._triple_terms
        if self.weights is None:
            return terms, sides, rows
        of_element = distances.new_tensor(self.weights)
        weight = torch.stack([of_element[element[pairs[1, side]]] for side in sides]).prod(dim=0)[:, None]
        return lambda *vectors: weight * terms(*vectors), sides, rows

    def _pair_terms(self, vectors: Float[Tensor, "M 3"]) -> Float[Tensor, "M F"]:
        r = vectors.norm(dim=1, keepdim=True)
        return self.kind.terms(r, self.cutoff_function, self.cutoff, self.values.to(r.dtype))

    def _triple_terms(self, v_ij: Float[Tensor, "T 3"], v_ik: Float[Tensor, "T 3"]) -> Float[Tensor, "T F"]:
        r_ij, r_ik, r_jk = (v.norm(dim=1, keepdim=True) for v in (v_ij, v_ik, v_ik - v_ij))
        cos_theta = (v_ij * v_ik).sum(dim=1, keepdim=True) / (r_ij * r_ik)
        geometry = Triples(r_ij, r_ik, r_jk, cos_theta)
        return self.kind.terms(geometry, self.cutoff_function, self.cutoff, self.values.to(r_ij.dtype))


class _TripleSearch:
    """Unordered pairs of neighbors of the same center within a cutoff; each cutoff is searched once."""

    def __init__(self, center: Int[Tensor, "P"], distances: Float[Tensor, "P"]) -> None:
        self.center, self.distances = center, distances
        self._found: dict[float, tuple[Tensor, Tensor]] = {}

    def within(self, cutoff: float) -> tuple[Int[Tensor, "T"], Int[Tensor, "T"]]:
        """Pair indices (i to j, i to k) of every triple, j before k."""
        if cutoff not in self._found:
            near = (self.distances < cutoff).nonzero().flatten()
            center = self.center[near]
            position = torch.arange(len(near), device=near.device)
            end = torch.searchsorted(center, center, right=True)
            partners = end - position - 1
            first = position.repeat_interleave(partners)
            start = partners.cumsum(0) - partners
            second = first + 1 + torch.arange(len(first), device=near.device) - start[first]
            self._found[cutoff] = near[first], near[second]
        return self._found[cutoff]


def _grouped(elements: tuple[int, ...], functions: Sequence[SymmetryFunction]) -> list[_FunctionGroup]:
    """Functions sorted so that equal formulas with equal numbers are evaluated once for all elements."""
    blocks: dict[tuple, list[int]] = defaultdict(list)
    for column, f in enumerate(functions):
        cutoff = f.cutoff, f.cutoff_function, f.inner_cutoff
        blocks[type(f), cutoff, f.weights, f.center, f.neighbors].append(column)
    groups: dict[tuple, dict[tuple, list[int]]] = defaultdict(dict)
    for (kind, cutoff, weights, center, neighbors), columns in blocks.items():
        columns = sorted(columns, key=lambda column: functions[column].values)
        values = tuple(functions[column].values for column in columns)
        groups[kind, cutoff, weights, values, center is None][(center, *neighbors)] = columns
    return [
        _FunctionGroup(elements, kind, cutoff, classes, values, dict(weights))
        for (kind, cutoff, weights, values, _), classes in groups.items()
    ]


def applies(function: SymmetryFunction, center: int) -> bool:
    """Whether a function has a value for centers of this element."""
    return function.center in (None, center)


def involves(functions: Sequence[SymmetryFunction], center: int, neighbor: int) -> Bool[Tensor, "D"]:
    """Functions of a center that a neighbor of this element enters."""
    return torch.tensor([applies(f, center) and neighbor in f.elements for f in functions])
