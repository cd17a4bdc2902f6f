"""Symmetry functions by the Triton kernels, in the descriptor's place in `evaluate`."""

from __future__ import annotations

import math
import weakref

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.descriptors.acsf import ACSF
from mlip.descriptors.cuda_groups import Group, groups_of
from mlip.descriptors.operation import differentiable
from mlip.gpu import names
from mlip.gpu.angular import angular_gradients, angular_jacobian, angular_sums
from mlip.gpu.pairs import ROWS, gather
from mlip.gpu.radial import radial

NUMBERS = 2048  # of the largest block in a program: what its registers hold
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
        return differentiable(_Products(_AtVectors(self, numbers, pairs, vectors)), vectors)

    def jacobian(
        self, numbers: Int[Tensor, "N"], pairs: Int[Tensor, "2 P"], vectors: Float[Tensor, "P 3"]
    ) -> Float[Tensor, "P 3 D"]:
        """Derivative of the center's features by each pair vector (1/Å), as `ACSF.jacobian`."""
        place = _AtVectors(self, numbers, pairs, vectors)
        return place.made(names.JACOBIAN.value).view(-1, 3, self.width)

    def on(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, list[Group]]:
        """Elements by atomic number, and the groups, on a device in a precision; kept for the next call."""
        if (device, dtype) not in self._at:
            self._at[device, dtype] = self.index_of_number.to(device), [g.to(device, dtype) for g in self.groups]
        return self._at[device, dtype]


class _Products:
    """The products as `differentiable` wants them."""

    def __init__(self, place: _AtVectors) -> None:
        self.place = place
        self.features = place.made(names.FEATURES.value)

    def pair_gradients(self, feature_gradients: Tensor) -> Tensor:
        """The product with the transposed Jacobian."""
        return self.place.made(names.GRADIENTS.value, feature_gradients)

    def feature_changes(self, pair_changes: Tensor) -> Tensor:
        """The product with the Jacobian."""
        return self.place.made(names.CHANGES.value, pair_changes)


class _AtVectors:
    """The kernels at given pair vectors."""

    def __init__(self, owner: CudaACSF, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> None:
        self.owner = owner
        self.vectors = vectors.detach().contiguous()
        index, self.groups = owner.on(vectors.device, vectors.dtype)
        self.element = index[numbers]
        cutoffs = dict.fromkeys(group.cutoff for group in self.groups)
        self.tables = {cutoff: self._table(pairs, *cutoff) for cutoff in cutoffs} if len(vectors) else {}

    def made(self, product: int, given: Tensor | None = None) -> Tensor:
        """One of the products; `given` is what a Jacobian is multiplied with."""
        rows = {names.GRADIENTS.value: len(self.vectors), names.JACOBIAN.value: 3 * len(self.vectors)}
        columns = 3 if product == names.GRADIENTS.value else self.owner.width
        result = self.vectors.new_zeros(rows.get(product, len(self.element)), columns)
        with torch.cuda.device_of(result):
            for cutoff, table in self.tables.items():
                if given is None:
                    factor = result  # any pointer: it is not read
                elif product == names.CHANGES.value:
                    factor = given.detach()[table["order"]]
                else:
                    factor = given.detach().contiguous()
                for group in self.groups:
                    if group.cutoff == cutoff:
                        self._launch(product, group, {**table, "given": factor, "result": result})
        return result

    def _table(self, pairs: Tensor, cutoff: float, kind: int) -> dict[str, Tensor]:
        """The pairs within a cutoff by center and element, without a copy to the host."""
        atoms, elements = len(self.element), self.owner.elements
        (center, neighbor), device = pairs, pairs.device
        inside = self.vectors.norm(dim=1) < cutoff
        element = torch.where(inside, self.element[neighbor], -1)
        counts = torch.zeros(atoms * elements + 1, dtype=torch.int64, device=device)
        counts.index_add_(0, torch.where(element < 0, 0, center * elements + element + 1), (element >= 0).long())
        table = {
            "element": self.element.clamp(min=0).int(),  # of a center; one unknown to the descriptor is not read
            "start": counts.cumsum(0).int(),
            "order": torch.zeros(len(inside), dtype=torch.int32, device=device),
            "table": self.vectors.new_zeros(ROWS, len(inside)),
            "scale": self.vectors.new_tensor([cutoff, math.pi / cutoff]),
        }
        first = torch.searchsorted(center.contiguous(), torch.arange(atoms + 1, device=device)).int()
        with torch.cuda.device_of(center):
            gather[atoms, elements](
                first, element.int(), self.vectors, table["start"], table["scale"], table["table"], table["order"],
                len(inside), elements, CUTOFF=kind, BLOCK=32, num_warps=1,
            )  # fmt: skip
        return table

    def _launch(self, product: int, group: Group, arguments: dict[str, Tensor]) -> None:
        """One kernel for one group of functions."""
        atoms, elements = len(self.element), self.owner.elements
        sizes = {"pairs": len(self.vectors), "elements": elements, "width": self.owner.width}
        # Neighbors of one element within the group's cutoff, if density is even.
        expected = len(self.vectors) / (atoms * elements) * (group.cutoff[0] / self.owner.cutoff) ** 3
        neighbors = 8 if expected <= 8 else 32
        if group.kind == names.RADIAL.value:
            radial[atoms, elements](
                **arguments, **group.tables, **sizes, **group.constants, PRODUCT=product, BLOCK=neighbors, num_warps=2
            )
            return
        functions = group.constants["ANGLES"] * group.constants["SHELLS"]
        block = min(max(NUMBERS // functions, 16), 64)
        constants = {**group.constants, "KIND": group.kind, "CUTOFF": group.cutoff[1]}
        constants["num_warps"] = min(max(block * functions // 512, 1), 4)
        tables = dict(group.tables)
        combinations = tables.pop("combinations")
        if product in (names.FEATURES.value, names.CHANGES.value):
            arguments.pop("order")
            angular_sums[atoms, len(combinations)](
                **arguments, **tables, combinations=combinations, **sizes, **constants, PRODUCT=product, TRIPLES=block
            )
        elif product == names.GRADIENTS.value:
            K = min(neighbors, block)
            slices = min(max(PROGRAMS // (atoms * elements), 1), 16)
            angular_gradients[atoms, elements, slices](
                **arguments, **tables, **sizes, **constants, J=block // K, K=K
            )
        else:
            arguments.pop("given")
            angular_jacobian[atoms, elements](**arguments, **tables, **sizes, **constants, K=min(neighbors, block))
