"""A neighbor list with a skin: structures that move a little keep their pairs."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from mlip.batch import AtomsBatch, to_batch
from mlip.kernels import has_kernels
from mlip.structure import Structure

if has_kernels():
    from mlip.kernels import neighbors as kernels


class VerletList:
    r"""Pairs within cutoff + skin, searched anew only when an atom could have come within the cutoff unseen.

    With displacements :math:`u` beyond the deformation F of the cell, the old pairs R = cutoff + skin do as long as

    .. math:: 2 \max_i |u_i| + \lVert F - 1 \rVert_2\, R < \text{skin}

    Source: Verlet, Phys. Rev. 159, 98 (1967); the term of the cell follows from the triangle inequality.

    Raises:
        ValueError: the skin is negative.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        if not (np.isfinite(skin) and skin >= 0):
            raise ValueError(f"skin is {skin} Å; it must be zero or a positive length")
        self.cutoff, self.skin = cutoff, skin
        self.searches = 0  # how often pairs were searched
        self._structure: Structure | None = None
        self._batch: AtomsBatch | None = None

    def batch(
        self,
        numbers: Int[np.ndarray, "n"],
        positions: Float[np.ndarray, "n 3"],
        cell: Float[np.ndarray, "3 3"],
        pbc: Bool[np.ndarray, "3"],
    ) -> AtomsBatch:
        """The structure as a batch of one on the CPU, with every pair within the cutoff and perhaps some beyond."""
        return self.kept(numbers, positions, cell, pbc)._replace(
            positions=torch.from_numpy(positions.copy()),
            cell=torch.from_numpy(np.where(pbc[:, None], cell, 0.0))[None],
        )

    def kept(
        self,
        numbers: Int[np.ndarray, "n"],
        positions: Float[np.ndarray, "n 3"],
        cell: Float[np.ndarray, "3 3"],
        pbc: Bool[np.ndarray, "3"],
    ) -> AtomsBatch:
        """The batch of the last search: its pairs serve this structure, its positions and cell may be older."""
        if self._batch is None or not self._still_valid(numbers, positions, cell, pbc):
            self._batch = None  # if the search fails, no old pairs are left behind
            structure = Structure(numbers.copy(), positions.copy(), cell.copy(), pbc.copy())
            self._batch = to_batch(structure, self.cutoff + self.skin)[0]
            self._structure = structure
            self.searches += 1
        return self._batch

    def _still_valid(self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> bool:
        old = self._structure
        assert old is not None
        if not (_same(numbers, old.numbers) and _same(pbc, old.pbc)):
            return False
        affine, strain = old.positions, 0.0
        if not _same(cell, old.cell) and pbc.any():
            if not pbc.all():
                return False
            deformation = np.linalg.solve(old.cell, cell)
            strain = float(np.linalg.norm(deformation - np.eye(3), 2))
            affine = old.positions @ deformation
        moved = longest_move(positions, affine)
        return 2 * moved + strain * (self.cutoff + self.skin) < self.skin


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether no bit differs; for small arrays much faster than `np.array_equal`."""
    return one.tobytes() == other.tobytes()


def longest_move(positions: np.ndarray, before: np.ndarray) -> float:
    """The longest way that an atom has gone; NaN if one is."""
    if has_kernels():
        return kernels.longest_move(positions, before)
    return float(np.linalg.norm(positions - before, axis=1).max(initial=0.0))
