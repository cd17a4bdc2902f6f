"""The frames of a trajectory file, one at a time, and the times they belong to."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.io import iread

from mlip.data.paths import existing_file
from mlip.data.selection import parse_index

logger = logging.getLogger(__name__)

TIMES = {"time_fs": 1.0, "time_ps": 1e3}  # entries of a frame that say their unit, in fs
SAME = 1e-6  # relative difference of two intervals that count as equal


class Frame(NamedTuple):
    """Atoms and their time (fs), None where times are not asked for."""

    atoms: Atoms
    time: float | None


class TrajectoryFrames:
    """The chosen frames of any file that ASE reads, evenly spaced in time unless `static`.

    A frame's time is its entry `time_fs` (as of `mlip md`) or `time_ps`, or follows from `time_step`, the time (fs)
    between two frames of the file. A last frame out of step, as `mlip md` writes it where --steps is no multiple of
    --interval, is left out.

    Raises:
        ValueError: the file cannot be read or holds no such frames; it has no times and no time_step is given, or both;
            times do not rise evenly; atoms change from frame to frame. Nothing is checked that `static` does not need.
    """

    def __init__(
        self, path: str | Path, *, index: str = ":", time_step: float | None = None, static: bool = False,
        option: str = "--time-step",
    ) -> None:  # fmt: skip
        self.path = existing_file(path)
        self.index, self.time_step, self.static, self.option = index, time_step, static, option
        self.stride = parse_index(index, "--index").step or 1
        if time_step is not None and not (math.isfinite(time_step) and time_step > 0):
            raise ValueError(f"{option} is {time_step} fs; expected a positive number")

    def __iter__(self) -> Iterator[Frame]:
        first: Atoms | None = None
        last = step = math.nan
        out_of_step = ""
        for number, atoms in enumerate(self._atoms()):
            origin = f"{self.path.name}, chosen frame {number}"
            _require_sense(atoms, origin)
            if self.static:
                yield Frame(atoms, None)
                continue
            if out_of_step:
                raise ValueError(f"{out_of_step}. Choose frames with --index, or leave times aside with --static")
            if first is not None and not np.array_equal(atoms.numbers, first.numbers):
                raise ValueError(
                    f"{origin}: has other atoms than the first ({len(atoms)}, {len(first)}); expected one system that "
                    "moves. Use --static for a set of structures"
                )
            time = self._time(atoms, number, origin)
            if first is None:
                first, last = atoms, time
                yield Frame(atoms, time)
                continue
            if not time > last:
                raise ValueError(
                    f"{origin}: its time is {time:g} fs, that of the one before {last:g} fs; expected times that rise. "
                    "Is the file made of several runs? Choose one with --index"
                )
            step = time - last if math.isnan(step) else step
            if not math.isclose(time - last, step, rel_tol=SAME):
                out_of_step = (
                    f"{origin}: is {time - last:g} fs after the one before, others {step:g} fs; expected even steps"
                )
                continue
            last = time
            yield Frame(atoms, time)
        if out_of_step:
            logger.info("%s: the last frame is out of step and left out", self.path)

    def _time(self, atoms: Atoms, number: int, origin: str) -> float:
        known = [float(atoms.info[name]) * unit for name, unit in TIMES.items() if name in atoms.info]
        if self.time_step is not None:
            if known:
                raise ValueError(f"{origin}: has a time of its own, {known[0]:g} fs; leave {self.option} away")
            return number * self.stride * self.time_step
        if not known or not math.isfinite(known[0]):
            raise ValueError(
                f"{origin}: no time, an entry {' or '.join(TIMES)}. Give {self.option}, the time in fs between two "
                "frames of the file, or --static for what needs no time"
            )
        return known[0]

    def _atoms(self) -> Iterator[Atoms]:
        count = 0
        frames = iread(str(self.path.absolute()), index=self.index, do_not_split_by_at_sign=True)
        while True:
            try:
                atoms = next(frames)
            except StopIteration:
                break
            except Exception as error:  # ASE's readers raise whatever comes up
                raise ValueError(
                    f"{self.path}: ASE cannot read it ({type(error).__name__}: {error}). Give a trajectory, and choose "
                    "frames that are there with --index"
                ) from error
            count += 1
            yield atoms
        if not count:
            raise ValueError(f"{self.path}: --index '{self.index}' selects no frame")


def _require_sense(atoms: Atoms, origin: str) -> None:
    if not len(atoms):
        raise ValueError(f"{origin}: no atoms; expected at least one")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise ValueError(f"{origin}: a coordinate or the cell is not finite. Choose other frames with --index")
    if atoms.pbc.any() and np.linalg.matrix_rank(atoms.cell.array[atoms.pbc], tol=1e-3) < atoms.pbc.sum():
        raise ValueError(f"{origin}: pbc is {atoms.pbc.tolist()}, but the cell has no lattice vector there")
