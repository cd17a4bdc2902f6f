"""Where atoms have gone: unwrapped positions and velocities over time, kept on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from mlip.neighbors import completed_cell

CHUNK = 1 << 22  # numbers of one chunk of atoms that are read at once, 32 MB
LONG = 0.35  # lattice vectors from one frame to the next beyond which the way of an atom is uncertain


class Unwrapping:
    r"""Positions without the jumps of atoms that leave the cell on one side and come back on the other.

    .. math:: u_t = u_{t-1} + (s_t - s_{t-1} - \lfloor s_t - s_{t-1} \rceil)\, A_t, \qquad s_t = r_t A_t^{-1}

    What the cell itself does is not counted as displacement of atoms. Right as long as none moves by half a lattice
    vector from frame to frame.

    Source: the idea of von Bülow, Bullerjahn, Hummer, J. Chem. Phys. 153, 021101 (2020): displacements are summed up,
    never positions scaled.
    """

    def __init__(self) -> None:
        self.longest = 0.0  # way between two frames along a periodic direction, in lattice vectors
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # positions as read, cell
        self._unwrapped = np.empty((0, 3))

    def __call__(
        self, positions: Float[np.ndarray, "n 3"], cell: Float[np.ndarray, "3 3"], pbc: Bool[np.ndarray, "3"]
    ) -> Float[np.ndarray, "n 3"]:
        """Where the atoms of the next frame are."""
        box = completed_cell(cell, pbc)
        if self._before is None:
            self._unwrapped = positions.copy()
        else:
            old, old_box = self._before
            if pbc.all():
                moved = positions @ np.linalg.inv(box) - old @ np.linalg.inv(old_box)
            else:
                moved = (positions - old) @ np.linalg.inv(box)
            moved[:, pbc] -= np.round(moved[:, pbc])
            self.longest = max(self.longest, float(np.abs(moved[:, pbc]).max(initial=0.0)))
            self._unwrapped = self._unwrapped + moved @ box
        self._before = positions.copy(), box
        return self._unwrapped


class History:
    """Positions (Å) and, if all frames have them, velocities (Å/fs) of some atoms over time, in files without names.

    The motion of the center of mass of all atoms is taken out, unless `keep_drift`.
    """

    def __init__(
        self, masses: Float[np.ndarray, "n"], chosen: Int[np.ndarray, "m"], folder: Path, *, keep_drift: bool = False
    ) -> None:
        self.chosen = chosen
        self.frames = 0
        self.unwrapping = Unwrapping()
        self.has_velocities = True
        self._weights = None if keep_drift or len(masses) < 2 else masses / masses.sum()
        self._origin: np.ndarray | None = None
        self._files = {
            name: tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (open as long as the history)
            for name in ("positions", "velocities")
        }

    def add(
        self,
        positions: Float[np.ndarray, "n 3"],
        cell: Float[np.ndarray, "3 3"],
        pbc: Bool[np.ndarray, "3"],
        velocities: Float[np.ndarray, "n 3"] | None,
    ) -> None:
        """Append a frame."""
        unwrapped = self.unwrapping(positions, cell, pbc)
        if self._origin is None:
            self._origin = unwrapped.copy()
        self._append("positions", unwrapped - self._origin)  # small numbers keep their digits
        if velocities is None:
            self.has_velocities = False
        elif self.has_velocities:
            self._append("velocities", velocities)
        self.frames += 1

    def _append(self, name: str, values: np.ndarray) -> None:
        if self._weights is not None:
            values = values - self._weights @ values
        self._files[name].write(np.ascontiguousarray(values[self.chosen]).tobytes())

    def chunks(
        self, name: str, atoms: Int[np.ndarray, "k"]
    ) -> Iterator[tuple[Int[np.ndarray, "c"], Float[np.ndarray, "T c 3"]]]:
        """Places among the chosen atoms, some at a time, and their "positions" or "velocities" at all times."""
        file = self._files[name]
        file.flush()
        held = np.memmap(file, dtype=np.float64, mode="r", shape=(self.frames, len(self.chosen), 3))
        for some in np.array_split(atoms, max(1, -(-len(atoms) * self.frames * 3 // CHUNK))):
            if len(some):
                yield some, np.asarray(held[:, some])

    def close(self) -> None:
        """Give the disk back."""
        for file in self._files.values():
            file.close()
