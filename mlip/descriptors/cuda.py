"""Symmetry functions by the Triton kernels, in the descriptor's place in `evaluate`."""

from __future__ import annotations

import math
import weakref
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.descriptors.acsf import ACSF
from mlip.descriptors.cuda_groups import Group, groups_of
from mlip.descriptors.operation import Products, differentiable
from mlip.gpu import names
from mlip.gpu.angular import angular_gradients, angular_jacobian, angular_sums
from mlip.gpu.pairs import FACTORS, ROWS, gather
from mlip.gpu.radial import radial

FEATURES, GRADIENTS = names.FEATURES.value, names.GRADIENTS.value
CHANGES, JACOBIAN = names.CHANGES.value, names.JACOBIAN.value
PROGRAMS = 4096  # that keep a device busy

_made: weakref.WeakKeyDictionary[ACSF, CudaACSF] = weakref.WeakKeyDictionary()


def on_device(descriptor: ACSF) -> CudaACSF:
    """The descriptor's functions by the Triton kernels; made once for each descriptor."""
    if descriptor not in _made:
        _made[descriptor] = CudaACSF(descriptor)
    return _made[descriptor]


class CudaACSF:
    """The features of every atom, and their derivatives, by the Triton kernels; values and order are those of `ACSF`.

    The arithmetic has the precision of the pair vectors; equal input gives equal bits.
    """

    def __init__(self, descriptor: ACSF) -> None:
        self.width = len(descriptor.functions)
        self.elements = len(descriptor.elements)
        self.cutoff = descriptor.cutoff
        self.index_of_number = descriptor.index_of_number.cpu()
        self.groups = [part for group in descriptor.groups for part in groups_of(group)]
        self._at: dict[tuple[torch.device, torch.dtype], tuple[Tensor, list[Group]]] = {}

    def __call__(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "N D"]:
        """Features from the pair vectors (Å), differentiable by them."""
        return differentiable(self.products(numbers, pairs, vectors), vectors)

    def products(self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]) -> Products:
        """Features at these pair vectors (Å), and the products with their Jacobian."""
        return _Products(_AtVectors(self, numbers, pairs, vectors))

    def jacobian(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "P 3 D"]:
        """Derivative of the center's features by each pair vector (1/Å), as `ACSF.jacobian`."""
        place = _AtVectors(self, numbers, pairs, vectors)
        return place.made(JACOBIAN).view(-1, 3, self.width)

    def on(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, list[Group]]:
        """Elements by atomic number, and the groups, on a device in a precision; kept for the next call."""
        if (device, dtype) not in self._at:
            self._at[device, dtype] = self.index_of_number.to(device), [g.to(device, dtype) for g in self.groups]
        return self._at[device, dtype]


class _Products:
    """The products as `differentiable` wants them."""

    def __init__(self, place: _AtVectors) -> None:
        self.place = place
        self.features = place.made(FEATURES)

    def pair_gradients(self, feature_gradients: Tensor) -> Tensor:
        """The product with the transposed Jacobian."""
        return self.place.made(GRADIENTS, feature_gradients)

    def feature_changes(self, pair_changes: Tensor) -> Tensor:
        """The product with the Jacobian."""
        return self.place.made(CHANGES, pair_changes)


class _AtVectors:
    """The kernels at given pair vectors."""

    def __init__(self, owner: CudaACSF, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> None:
        self.owner = owner
        self.vectors = vectors.detach().contiguous()
        index, self.groups = owner.on(vectors.device, vectors.dtype)
        self.element = index[numbers]
        one_of = {group.sphere: group for group in self.groups if len(vectors)}
        self.tables = {sphere: self._table(pairs, group) for sphere, group in one_of.items()}

    def made(self, product: int, given: Tensor | None = None) -> Tensor:
        """One of the products; `given` is what a Jacobian is multiplied with."""
        rows = {GRADIENTS: len(self.vectors), JACOBIAN: 3 * len(self.vectors)}
        columns = 3 if product == GRADIENTS else self.owner.width
        result = self.vectors.new_zeros(rows.get(product, len(self.element)), columns)
        given = result if given is None else given.detach().contiguous()  # not read where there is none
        for sphere, table in self.tables.items():
            factor = given[table["order"]] if product == CHANGES else given
            for group in self.groups:
                if group.sphere == sphere:
                    self._product(product, group, {**table, **group.tables, "given": factor, "result": result})
        return result

    def _product(self, product: int, group: Group, arguments: dict[str, Any]) -> None:
        """Add a group's product to the result."""
        atoms, elements = len(self.element), arguments["elements"]
        # Neighbors of one element within the group's cutoff, if the density is even.
        neighbors = len(self.vectors) / (atoms * elements) * (group.sphere[0] / self.owner.cutoff) ** 3
        warps = 1 if neighbors <= 16 else 2
        T, K = 32 * warps, 8 if neighbors <= 8 else 32
        arguments |= {**group.constants, "PRODUCT": product, "KIND": group.kind, "CUTOFF": group.sphere[1]}
        if group.kind < names.NARROW.value:
            self._run(radial, (atoms, elements), arguments, BLOCK=32)
        elif product == GRADIENTS:
            blocks = math.ceil(2 * neighbors * K / T)
            slices = max(1, min(PROGRAMS // (atoms * elements), blocks))
            self._run(angular_gradients, (atoms, elements, slices), arguments, J=T // K, K=K, num_warps=warps)
        elif product == JACOBIAN:
            self._run(angular_jacobian, (atoms, elements), arguments, K=32)
        else:
            grid = atoms, len(group.tables["combinations"])
            self._run(angular_sums, grid, arguments, T=T, num_warps=warps)

    def _table(self, pairs: Tensor, group: Group) -> dict[str, Any]:
        """The pairs within a group's cutoff by center and element, without waiting for the device.

        Weighted neighbors stand as if of one element, and their cutoff functions have the weights.
        """
        center, neighbor = pairs
        inside = self.vectors.norm(dim=1) < group.sphere[0]
        element, weight = self.element[neighbor], None
        atoms, elements = len(self.element), self.owner.elements
        if "weights" in group.tables:
            weight, elements = group.tables["weights"][element], 1
            element = torch.where(weight != 0, 0, -1)
        element = torch.where(inside, element, -1)
        counts = center.new_zeros(atoms * elements + 1)
        counts.index_add_(0, torch.where(element < 0, 0, center * elements + element + 1), (element >= 0).long())
        first = torch.searchsorted(center.contiguous(), torch.arange(atoms + 1, device=center.device))
        table = {
            "element": self.element.clamp(min=0).int(),  # of a center: one that is unknown must not lead out of a table
            "start": counts.cumsum(0).int(),
            "order": torch.zeros_like(element, dtype=torch.int32),
            "table": self.vectors.new_empty(ROWS, len(inside)),
            "elements": elements,
        }
        given = {"first": first.int(), "kind": element.int(), "vectors": self.vectors, "scale": group.tables["scale"]}
        self._run(gather, (atoms, elements), {**table, **given}, CUTOFF=group.sphere[1], BLOCK=32)
        if weight is not None:
            table["table"][FACTORS:] *= weight[table["order"]]
        return table

    def _run(
        self, kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any], *, num_warps: int = 1, **more: int
    ) -> None:
        """A kernel with those of the arguments that it names."""
        known = {
            "pairs": len(self.vectors), "width": self.owner.width, **arguments, **more
        }  # fmt: skip
        with torch.cuda.device_of(self.vectors):
            kernel[grid](**{name: known[name] for name in kernel.arg_names}, num_warps=num_warps)
