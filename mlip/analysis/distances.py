"""Radial distribution functions by pairs of elements, and coordination numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from mlip.elements import symbol
from mlip.neighbors import neighbor_pairs

PAIRS_AT_ONCE = 2_000_000  # pairs held in memory, about 100 MB
SMOOTHING = 0.05  # Å, width of the Gaussian that g(r) is smoothed with before its peaks are looked for
PROMINENT = 0.05  # of the highest value: how far a peak must stand out
NOISE = 5.0  # standard deviations of the counts by which it must be above the minimum


class Shell(NamedTuple):
    """The first shell of neighbors."""

    peak: float  # Å
    height: float  # of the first peak
    minimum: float  # Å, behind it
    coordination: float  # neighbors of an atom of the first element up to the minimum
    reverse: float  # the same seen from the second element


class PairCurve(NamedTuple):
    """A pair of elements. `g` has no unit where all frames are periodic in three directions, else it is in 1/Å."""

    r: Float[np.ndarray, "B"]  # Å, middles of bins
    g: Float[np.ndarray, "B"]
    coordination: Float[np.ndarray, "B"]  # neighbors of an atom of the first element up to the bin's end
    counts: Int[np.ndarray, "B"]  # pairs, each once
    reverse: float  # atoms of the first element for each of the second


class PairDistances:
    r"""Counts of distances between atoms, added up over frames.

    .. math:: g_{ab}(r) = \frac{\sum_t n_{ab}(r)}{\sum_t N_a N_b V^{-1}\, \tfrac{4\pi}{3}\left[(r + h)^3 - r^3\right]}

    with :math:`n_{ab}` ordered pairs from r to r + h of atoms a and b, periodic images included. Where a frame is not
    periodic in three directions there is no volume, and the curve is the number of neighbors per Å and atom a.

    Source: Allen, Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), eq. 8.15.

    Raises:
        ValueError: the cutoff or the width of bins (Å) is no positive number, or no bin fits.
    """

    def __init__(self, cutoff: float, width: float) -> None:
        for option, value in (("--cutoff", cutoff), ("--bin", width)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{option} is {value} Å; expected a positive number")
        bins = round(cutoff / width)
        if not 1 <= bins <= 100_000:
            raise ValueError(f"--cutoff is {cutoff} Å and --bin {width} Å: {bins} bins; expected 1 to 100000")
        self.width, self.bins = width, bins
        self.volumetric = True  # every frame so far has a volume
        self._atoms = np.zeros(119)  # of each element, added up over frames
        self._density = np.zeros((119, 119))  # N_a N_b / V
        self._counts: dict[tuple[int, int], np.ndarray] = {}

    @property
    def cutoff(self) -> float:
        """The end of the last bin (Å)."""
        return self.bins * self.width

    @property
    def atoms(self) -> int:
        """Number of atoms, added up over frames."""
        return int(self._atoms.sum())

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occurred, ascending."""
        return np.flatnonzero(self._atoms).tolist()

    def add(
        self,
        numbers: Int[np.ndarray, "n"],
        positions: Float[np.ndarray, "n 3"],
        cell: Float[np.ndarray, "3 3"],
        pbc: Bool[np.ndarray, "3"],
    ) -> None:
        """Count the pairs of one frame."""
        elements, kind = np.unique(numbers, return_inverse=True)
        atoms = np.bincount(kind)
        self._atoms[elements] += atoms
        volume = abs(np.linalg.det(cell)) if pbc.all() else math.nan
        self.volumetric &= bool(pbc.all())
        if pbc.all():
            self._density[np.ix_(elements, elements)] += np.outer(atoms, atoms) / volume
        found = self._histogram(kind, len(elements), positions, cell, pbc, len(numbers) / volume)
        for a, one in enumerate(elements.tolist()):
            for b, other in enumerate(elements.tolist()):
                self._counts[one, other] = self._counts.get((one, other), 0) + found[a, b]

    def _histogram(
        self, kind: np.ndarray, kinds: int, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, density: float
    ) -> np.ndarray:
        total = np.zeros(kinds * kinds * self.bins, dtype=np.int64)
        count = len(kind)
        each = density * 4 / 3 * math.pi * self.cutoff**3 if pbc.all() else count
        centers = min(count, max(1, int(PAIRS_AT_ONCE / max(1.0, each))))
        for first in range(0, count, centers):
            order = np.roll(np.arange(count), -first)  # the search takes the first atoms as centers
            some = min(centers, count - first)
            (center, neighbor), _, distances = neighbor_pairs(positions[order], cell, pbc, self.cutoff, 1, some)
            place = np.minimum((distances / self.width).astype(np.int64), self.bins - 1)
            pair = kind[order][center] * kinds + kind[order][neighbor]
            total += np.bincount(pair * self.bins + place, minlength=len(total))
        return total.reshape(kinds, kinds, self.bins)

    def curves(self) -> dict[str, PairCurve]:
        """The curve of each pair of elements, such as "Al-Cu", the lighter one first."""
        edges = self.width * np.arange(self.bins + 1)
        shells = 4 / 3 * math.pi * np.diff(edges**3)
        found = {}
        for (a, b), counts in sorted(self._counts.items()):
            if a > b:
                continue
            weight = self._density[a, b] * shells if self.volumetric else self._atoms[a] * self.width
            curve = PairCurve(
                edges[:-1] + self.width / 2, counts / weight, np.cumsum(counts) / self._atoms[a],
                counts // 2 if a == b else counts, float(self._atoms[a] / self._atoms[b]),
            )  # fmt: skip
            found[f"{symbol(a)}-{symbol(b)}"] = curve
        return found


def first_shell(curve: PairCurve) -> Shell | None:
    """The first peak and the minimum behind it; None where there is no such thing, as in an ideal gas, or few counts.

    A peak stands out by a part of the highest value, and over the minimum by the noise of the counts of both. The
    minimum is the lowest place up to the next peak or, where g is as low in a whole stretch, as between the shells of a
    crystal, the middle of it.
    """
    if len(curve.r) < 2 or not curve.counts.any():
        return None
    width = float(curve.r[1] - curve.r[0])
    smooth, counts = (
        gaussian_filter1d(values.astype(float), SMOOTHING / width, mode="constant")
        for values in (curve.g, curve.counts)
    )
    # Smoothing takes some bins together; their counts have Poisson's noise, that of one where there is none.
    counts *= max(1.0, math.sqrt(2 * math.pi) * SMOOTHING / width)
    unit = np.divide(curve.g, curve.counts, out=np.zeros_like(curve.g), where=curve.counts > 0)
    unit = np.interp(curve.r, curve.r[curve.counts > 0], unit[curve.counts > 0])
    noise = np.where(counts > 1, smooth / np.sqrt(np.maximum(counts, 1.0)), unit)
    peaks, _ = find_peaks(np.append(smooth, 0.0), prominence=PROMINENT * smooth.max())
    for top, end in zip(peaks.tolist(), [*peaks[1:].tolist(), len(smooth)], strict=True):
        behind = smooth[top:end]
        low = np.flatnonzero(behind <= behind.min() + 1e-4 * smooth[top])
        low = low[: 1 + int(np.argmax(np.append(np.diff(low) > 1, True)))]  # the first stretch of them
        middle = top + int(low[len(low) // 2])
        if smooth[top] - smooth[middle] < NOISE * math.hypot(noise[top], noise[middle]):
            continue
        if middle >= len(smooth) - 1 and behind.min() > 0:
            return None  # still falling where the curve ends
        first = max(0, top - 1)
        peak = first + int(np.argmax(curve.g[first : top + 2]))
        coordination = float(curve.coordination[middle])
        return Shell(
            float(curve.r[peak]), float(curve.g[peak]), float(curve.r[middle] + width / 2), coordination,
            coordination * curve.reverse,
        )  # fmt: skip
    return None
