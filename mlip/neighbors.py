"""Neighbor pairs within a cutoff: pure geometry on top of a library."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from vesin import NeighborList


def neighbor_pairs(
    positions: Float[np.ndarray, "n 3"],
    cell: Float[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
    cutoff: float,
) -> tuple[Int[np.ndarray, "2 P"], Float[np.ndarray, "P 3"], Float[np.ndarray, "P"]]:
    """All directed pairs closer than the cutoff, with periodic images.

    Returns:
        pairs (center, neighbor), sorted by center, then neighbor, then shift; shifts, the whole lattice vectors added
        to the neighbor; distances in Å. Atoms may lie outside the cell, the cell may be shorter than the cutoff (an
        atom is then its own neighbor), and open directions need no lattice vector.

    Raises:
        ValueError: the cutoff is not a positive, finite length.
    """
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise ValueError(f"cutoff is {cutoff} Å; it must be a positive, finite length")
    box = completed_cell(cell, pbc)
    search = NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
    center, neighbor, shifts, distances = search.compute(positions, box, pbc, "ijSd")
    order = np.lexsort((*shifts.T[::-1], neighbor, center))
    pairs = np.stack([center[order], neighbor[order]]).astype(np.int64)
    return pairs, shifts[order].astype(np.float64), distances[order]


def completed_cell(cell: Float[np.ndarray, "3 3"], pbc: Bool[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The cell with each open direction replaced by a unit vector orthogonal to the periodic ones."""
    box = np.where(pbc[:, None], cell, 0.0)
    if pbc.all():
        return box
    _, _, directions = np.linalg.svd(box[pbc]) if pbc.any() else (None, None, np.eye(3))
    box[~pbc] = directions[int(pbc.sum()) :]
    return box
