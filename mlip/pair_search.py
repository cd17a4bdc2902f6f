"""All pairs within a cutoff of a whole batch, in PyTorch: on the device, for many molecules or a large box alike."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

AT_ONCE = 1 << 24  # candidates of pairs held in memory


def search_pairs(
    positions: Float[Tensor, "N 3"],
    cell: Float[Tensor, "S 3 3"],
    structure: Int[Tensor, "N"],
    cutoff: float,
    *,
    at_once: int = AT_ONCE,
) -> tuple[Int[Tensor, "2 P"], Float[Tensor, "P 3"]]:
    """Directed pairs closer than the cutoff (Å) within each structure, as `neighbor_pairs` finds them one by one.

    Positions, cell (rows are lattice vectors, zeros where not periodic) and structure are those of an `AtomsBatch`.
    Atoms are sorted into bins no narrower than the cutoff, or as wide as the cell, and compared with those of the bins
    around.

    Returns:
        pairs (center, neighbor), sorted by center, then neighbor, then shift; shifts, the whole lattice vectors added
        to the neighbor.

    Raises:
        ValueError: the cutoff is not a positive, finite length.
    """
    if not (math.isfinite(cutoff) and cutoff > 0):
        raise ValueError(f"cutoff is {cutoff} Å; it must be a positive, finite length")
    atoms = _Bins(positions, cell, structure, cutoff)
    chunk = max(1, int(at_once // (len(atoms.offsets) * atoms.occupation)))
    found = [atoms.pairs_of(centers) for centers in torch.arange(len(positions), device=cell.device).split(chunk)]
    pairs, shifts = zip(*found, strict=True)
    return torch.cat(pairs, dim=1), torch.cat(shifts)


class _Bins:
    """Atoms sorted into the bins of their structures."""

    def __init__(self, positions: Tensor, cell: Tensor, structure: Tensor, cutoff: float) -> None:
        self.positions, self.cell, self.structure, self.cutoff = positions, cell, structure, cutoff
        reach = cutoff * (1 + 1e-9)  # rounding puts no atom into a bin too far away
        self.periodic = (cell != 0).any(dim=2)
        inverse = torch.linalg.inv(_completed(cell, self.periodic))
        place = torch.einsum("nx,nxk->nk", positions, inverse[structure])
        self.turns = torch.where(self.periodic[structure], place.floor(), 0.0)  # whole lattice vectors out of the cell
        place = place - self.turns
        index = structure[:, None].expand(-1, 3)
        low, high = (
            torch.zeros_like(cell[:, 0]).scatter_reduce(0, index, place, bound, include_self=False)
            for bound in ("amin", "amax")
        )
        low = torch.where(self.periodic, 0.0, low)
        length = torch.where(self.periodic, 1.0, high - low)  # in lattice vectors, or in Å along an open direction
        extent = length / inverse.norm(dim=1)
        self.bins = (extent / reach).floor().clamp(min=1).long()
        self.range = torch.where(self.periodic, (reach * self.bins / extent).ceil(), 1.0).long()
        place = (place - low[structure]) / torch.where(length > 0, length, 1.0)[structure]
        self.bin = (place * self.bins[structure]).long().clamp(min=0).minimum(self.bins[structure] - 1)
        self.first = self.bins.prod(dim=1).cumsum(0) - self.bins.prod(dim=1)
        number, self.order = torch.sort(self._number(self.bin, structure))
        self.number, counts = torch.unique_consecutive(number, return_counts=True)
        self.end = counts.cumsum(0)
        self.start = self.end - counts
        self.occupation = float(counts.double().mean()) if len(counts) else 1.0
        most = self.range.amax(dim=0).tolist() if len(cell) else [1, 1, 1]
        steps = [torch.arange(-m, m + 1, device=cell.device) for m in most]
        self.offsets = torch.cartesian_prod(*steps)

    def pairs_of(self, centers: Int[Tensor, "C"]) -> tuple[Int[Tensor, "2 P"], Float[Tensor, "P 3"]]:
        """Pairs of some atoms, in order."""
        structure = self.structure[centers][:, None]
        target = self.bin[centers][:, None] + self.offsets
        image = target.div(self.bins[structure], rounding_mode="floor")
        there = (self.offsets.abs() <= self.range[structure]) & (self.periodic[structure] | (image == 0))
        row, offset = there.all(dim=2).nonzero().T
        image, target = image[row, offset], target[row, offset]
        own = structure[row, 0]
        number = self._number(target - image * self.bins[own], own)
        at = torch.searchsorted(self.number, number).clamp(max=len(self.number) - 1)
        count = torch.where(self.number[at] == number, self.end[at] - self.start[at], 0)
        visit = torch.arange(len(row), device=row.device).repeat_interleave(count)
        step = torch.arange(len(visit), device=row.device) - (count.cumsum(0) - count)[visit]
        i, j = centers[row[visit]], self.order[self.start[at[visit]] + step]
        image = image[visit]
        shift = image.to(self.turns) - self.turns[j] + self.turns[i]
        offset_of = torch.einsum("pk,pkx->px", shift, self.cell[self.structure[i]])
        vector = self.positions[j] + offset_of - self.positions[i]
        near = (vector.square().sum(dim=1) < self.cutoff**2) & ((i != j) | (shift != 0).any(dim=1))
        i, j, image, shift = i[near], j[near], image[near], shift[near]
        # For one pair of atoms the order of images is that of shifts.
        most = self.range.amax(dim=0) + 1
        x, y, z = (image + most).unbind(1)
        wide = 2 * most + 1
        key = (((i * len(self.positions) + j) * wide[0] + x) * wide[1] + y) * wide[2] + z
        order = key.argsort()
        return torch.stack([i[order], j[order]]), shift[order]

    def _number(self, bins: Int[Tensor, "M 3"], structure: Int[Tensor, "M"]) -> Int[Tensor, "M"]:
        """One number for each bin of each structure."""
        _, b, c = self.bins[structure].unbind(1)
        return self.first[structure] + (bins[:, 0] * b + bins[:, 1]) * c + bins[:, 2]


def _completed(cell: Float[Tensor, "S 3 3"], periodic: Bool[Tensor, "S 3"]) -> Float[Tensor, "S 3 3"]:
    """The cells with each open direction replaced by a unit vector orthogonal to the periodic ones."""
    _, _, directions = torch.linalg.svd(cell)  # the last ones, as many as rows of zeros, are orthogonal to all others
    rank = periodic.sum(dim=1, keepdim=True)
    row = torch.where(periodic, 0, rank + (~periodic).cumsum(dim=1) - 1)
    open_rows = directions.gather(1, row[:, :, None].expand(-1, -1, 3))
    return torch.where(periodic[:, :, None], cell, open_rows)
