"""Neighbor pairs within a cutoff: pure geometry."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Bool, Float, Int

from mlip.kernels import has_kernels

if has_kernels():
    from mlip.kernels import neighbors as kernels

FARTHEST = 1e9  # Å; beyond it float64 does not resolve a distance to 1e-7 Å
DIRECT = 64  # atoms; trying each pair of so few costs less than a grid
MOST_TRIALS, MOST_PER_ATOM = 1e7, 2e4  # pairs to try: below a second, and ten times what a cutoff of 12 Å needs
ATOMS_PER_THREAD = 500  # below this, starting a thread costs more than it saves

PairsShiftsDistances = tuple[Int[np.ndarray, "2 P"], Float[np.ndarray, "P 3"], Float[np.ndarray, "P"]]

_NO_LATTICE = np.eye(3), np.eye(3), np.zeros(3)


def neighbor_pairs(
    positions: Float[np.ndarray, "n 3"],
    cell: Float[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
    cutoff: float,
    threads: int = 1,
    centers: int | None = None,
) -> PairsShiftsDistances:
    """All directed pairs closer than the cutoff, with periodic images; only the first atoms, `centers`, are centers.

    Returns:
        pairs (center, neighbor), sorted by center, then neighbor, then shift; shifts, the whole lattice vectors added
        to the neighbor; distances in Å. Atoms may lie outside the cell, the cell may be shorter than the cutoff (an
        atom is then its own neighbor), and open directions need no lattice vector. The number of threads changes none
        of it.

    Raises:
        ValueError: the cutoff is not a positive, finite length; a coordinate is not finite or too large for float64;
            a periodic direction has no lattice vector.
    """
    if not 0 < cutoff < math.inf:
        raise ValueError(f"cutoff is {cutoff} Å; it must be a positive, finite length")
    positions = np.ascontiguousarray(positions, dtype=np.float64)
    farthest = kernels.largest(positions) if has_kernels() else float(np.abs(positions).max(initial=0.0))
    if not farthest <= FARTHEST:
        row = int(np.argmin((np.abs(positions) <= FARTHEST).all(axis=1)))
        raise ValueError(
            f"positions hold {positions[row]} in row {row}; expected finite numbers of at most {FARTHEST:g} Å"
        )
    centers = len(positions) if centers is None else centers
    if not has_kernels():
        pairs, shifts, distances = by_vesin(positions, cell, pbc, cutoff)
        count = int(np.searchsorted(pairs[0], centers))
        return pairs[:, :count], shifts[:count], distances[:count]
    limit = _largest_square(cutoff)
    if len(positions) <= DIRECT and not pbc.any():
        return kernels.direct(positions, *_NO_LATTICE, limit, centers)
    box = completed_cell(cell, pbc)
    inverse = _inverse(box)
    # Lattice vectors within which a neighbor is found, with room for the rounding of fractional coordinates.
    margin = cutoff * np.linalg.norm(inverse, axis=0)
    margin = margin + 1e-10 * (1 + margin + farthest * np.abs(inverse).sum(axis=0))
    _require_reasonable(len(positions), box, np.where(pbc, margin, 0.0), cutoff)
    if len(positions) <= DIRECT:
        return kernels.direct(positions, box, inverse, np.where(pbc, margin, 0.0), limit, centers)
    return _by_grid(positions, box, inverse, margin, pbc, limit, threads, centers)


def _require_reasonable(atoms: int, box: np.ndarray, margin: np.ndarray, cutoff: float) -> None:
    """See that not too many images of the cell are within the cutoff; margin is 0 along open directions."""
    looked_at = float(np.prod(np.where(margin > 0, 2 * margin + np.minimum(1, 2 * margin), 1.0)))  # cells
    if atoms * atoms * looked_at > max(MOST_TRIALS, MOST_PER_ATOM * atoms):
        raise ValueError(
            f"about {looked_at:.2g} images of a cell with {atoms} atoms are within the cutoff of {cutoff} Å; expected "
            f"a cell that is neither tiny nor nearly flat, not {box.tolist()}. Check its unit and pbc, or reduce it "
            "(ase.build.niggli_reduce)"
        )


def _inverse(box: np.ndarray) -> np.ndarray:
    with contextlib.suppress(np.linalg.LinAlgError):
        inverse = np.linalg.inv(box)
        if np.isfinite(inverse).all():
            return inverse
    raise ValueError(f"the cell has no independent lattice vector for each periodic direction: {box.tolist()}")


def _largest_square(cutoff: float) -> float:
    """The largest number whose square root is below the cutoff."""
    square = cutoff * cutoff
    while math.sqrt(square) < cutoff:
        square = math.nextafter(square, math.inf)
    while math.sqrt(square) >= cutoff:
        square = math.nextafter(square, 0.0)
    return square


def _by_grid(
    positions: np.ndarray,
    box: np.ndarray,
    inverse: np.ndarray,
    margin: np.ndarray,
    pbc: np.ndarray,
    limit: float,
    threads: int,
    centers: int,
) -> PairsShiftsDistances:
    atoms = len(positions)
    low, length = np.zeros(3), np.ones(3)
    for k in np.flatnonzero(~pbc):
        # Nearly all atoms; a few far away must not make the bins large. What lies outside goes to the outermost bins.
        begin, end = np.percentile(positions @ inverse[:, k], [1, 99])
        length[k] = max(1.2 * (end - begin), margin[k])
        low[k] = (begin + end - length[k]) / 2
    # Bins of one cutoff, and finer along the axis where the bins that are looked at follow each other in memory.
    bins = np.clip(length / margin * (1, 1, 4), 1, 4 * atoms).astype(np.int64)
    while bins.prod() > 4 * atoms:
        bins[bins.argmax()] = (bins.max() + 1) // 2
    scale = bins / length
    reach = (margin * scale).astype(np.int64) + 1
    grid = kernels.sorted_into_bins(positions, inverse, low, scale, bins, reach, pbc)

    counts, start = np.empty(centers, dtype=np.int64), np.zeros(centers + 1, dtype=np.int64)
    threads = min(threads, 1 + atoms // ATOMS_PER_THREAD)
    _in_ranges(lambda a, b: kernels.count_pairs(a, b, grid, box, limit, counts), atoms, threads)
    np.cumsum(counts, out=start[1:])
    found = int(start[-1])
    pairs, shifts, distances = np.empty((2, found), dtype=np.int64), np.empty((found, 3)), np.empty(found)
    _in_ranges(lambda a, b: kernels.fill_pairs(a, b, grid, box, limit, start, pairs, shifts, distances), atoms, threads)
    return pairs, shifts, distances


def _in_ranges(work: Callable[[int, int], None], count: int, threads: int) -> None:
    """Call `work` with ranges that make up 0 to count."""
    if threads == 1:
        work(0, count)
        return
    bounds = np.linspace(0, count, 4 * threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, bounds[:-1], bounds[1:]))


def by_vesin(
    positions: Float[np.ndarray, "n 3"], cell: Float[np.ndarray, "3 3"], pbc: Bool[np.ndarray, "3"], cutoff: float
) -> PairsShiftsDistances:
    """What `neighbor_pairs` returns, by vesin: for machines without numba, and the reference of the tests."""
    from vesin import NeighborList

    search = NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
    center, neighbor, shifts, distances = search.compute(positions, completed_cell(cell, pbc), pbc, "ijSd")
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
