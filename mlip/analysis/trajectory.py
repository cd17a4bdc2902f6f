"""All that is said about one trajectory, in one pass over its file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from mlip.analysis.conditions import Series, row_of, summary
from mlip.analysis.displacement import Displacement, displacement
from mlip.analysis.distances import PairCurve, PairDistances, first_shell
from mlip.analysis.frames import Frame, TrajectoryFrames
from mlip.analysis.history import LONG, History
from mlip.analysis.vibrations import Vibrations, vibrations
from mlip.elements import symbol

LONGEST_WINDOW = 4.0  # ps, of velocity autocorrelations unless the user names another
CONSERVED = 2.0  # meV/atom by which a total energy that is conserved may swing
Progress = Callable[[Iterable[Frame]], Iterable[Frame]]


@dataclass(frozen=True)
class Settings:
    """What is computed, and how finely.

    Raises:
        ValueError: a number is out of range; the message names its option.
    """

    cutoff: float = 8.0  # Å, of pairs
    bin: float = 0.05  # Å
    blocks: int = 4
    fit: tuple[float, float] | None = None  # ps
    window: float | None = None  # ps, longest lag of the velocity autocorrelation
    elements: tuple[int, ...] = ()  # those whose atoms are followed in time; none: all
    keep_drift: bool = False

    def __post_init__(self) -> None:
        PairDistances(self.cutoff, self.bin)
        if self.blocks < 2:
            raise ValueError(f"--blocks is {self.blocks}; an error needs at least 2")
        if self.window is not None and not (math.isfinite(self.window) and self.window > 0):
            raise ValueError(f"--window is {self.window} ps; expected a positive number")
        if self.fit is not None and not 0 <= self.fit[0] < self.fit[1] < math.inf:
            raise ValueError(f"--fit is {self.fit[0]} {self.fit[1]} ps; expected two rising lags")


@dataclass
class Analysis:
    """Curves of one trajectory, the numbers drawn from them, and what to mind."""

    series: Series
    pairs: dict[str, PairCurve]
    displacement: dict[str, Displacement]  # by element, empty without times
    vibrations: dict[str, Vibrations]  # by element and "all", empty without times
    results: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def analyze(
    frames: TrajectoryFrames, settings: Settings, folder: Path, progress: Progress = lambda frames: frames
) -> Analysis:
    """Go through a trajectory once; positions over time are kept in `folder` as long as this takes.

    Raises:
        ValueError: the file, its times or a setting are wrong, or an element is not there.
    """
    pairs = PairDistances(settings.cutoff, settings.bin)
    rows: list[tuple[float, ...]] = []
    times: list[float] = []
    history: History | None = None
    first: Atoms | None = None
    heights = math.inf
    try:
        for frame in progress(frames):
            atoms = frame.atoms
            cell, pbc = atoms.cell.array, np.asarray(atoms.pbc)
            if first is None:
                first = atoms
                if not frames.static:
                    history = History(
                        atoms.get_masses(), _chosen(atoms, settings.elements), folder, keep_drift=settings.keep_drift
                    )
            rows.append(row_of(atoms))
            times.append(len(times) if frame.time is None else 1e-3 * frame.time)
            pairs.add(atoms.numbers, atoms.positions, cell, pbc)
            if pbc.any():
                heights = min(heights, _shortest_height(atoms))
            if history is not None:
                speeds = atoms.get_velocities() * units.fs if atoms.has("momenta") else None
                history.add(atoms.positions, cell, pbc, speeds)
        assert first is not None, "a trajectory without frames is refused"
        series = Series(np.array(times) - times[0], *np.array(rows).T)
        found = Analysis(series, pairs.curves(), {}, {}, {})
        _describe(found, frames, pairs, heights)
        if history is not None and len(times) > 1:
            _follow(found, history, first, settings)
    finally:
        if history is not None:
            history.close()
    return found


def _chosen(atoms: Atoms, elements: tuple[int, ...]) -> np.ndarray:
    missing = [symbol(number) for number in elements if number not in atoms.numbers]
    if missing:
        raise ValueError(f"--element names {', '.join(missing)}, of which the trajectory has no atom")
    return np.flatnonzero(np.isin(atoms.numbers, elements)) if elements else np.arange(len(atoms))


def _shortest_height(atoms: Atoms) -> float:
    """The shortest distance between opposite faces of the cell, of periodic directions."""
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.complete().array), axis=0)
    return float(heights[atoms.pbc].min())


def _describe(found: Analysis, frames: TrajectoryFrames, pairs: PairDistances, heights: float) -> None:
    time = found.series.time
    step = float(time[1] - time[0]) if len(time) > 1 and not frames.static else None
    shells = {name: first_shell(curve) for name, curve in found.pairs.items()}
    found.results = {
        "trajectory": str(frames.path),
        "frames": len(time),
        "atoms": pairs.atoms / len(time),
        "elements": [symbol(number) for number in pairs.elements],
        "time_ps": None if step is None else float(time[-1]),
        "step_fs": None if step is None else 1e3 * step,
        **summary(found.series, moving=step is not None),
        "pairs": {name: None if shell is None else shell._asdict() for name, shell in shells.items()},
        "diffusion": None,
        "vibrations": None,
    }
    if not pairs.volumetric:
        found.notes.append("not periodic in three directions: distances are given as neighbors per Å, not as g(r)")
    elif heights < 2 * pairs.cutoff:
        found.notes.append(
            f"beyond {heights / 2:.2f} Å, half of the cell's shortest height, atoms see images of the cell"
        )
    drift = found.results["energy_drift"]
    if drift and drift["swing_meV_per_atom"] > CONSERVED:
        found.notes.append(
            "the total energy swings as it does with a thermostat, which adds and takes energy: its drift says nothing "
            "about the integration"
        )
    if not found.results["temperature"]:
        found.notes.append("no temperature: not every frame has momenta")
    if not found.results["potential_energy"]:
        found.notes.append("no energy: not every frame has one")


def _follow(found: Analysis, history: History, first: Atoms, settings: Settings) -> None:
    """What needs times: displacements and vibrations, of each element."""
    step = float(found.series.time[-1] / (len(found.series.time) - 1))
    numbers = first.numbers[history.chosen]
    groups = {symbol(number): np.flatnonzero(numbers == number) for number in np.unique(numbers).tolist()}
    found.displacement = {
        name: displacement(history, atoms, step, blocks=settings.blocks, fit=settings.fit)
        for name, atoms in groups.items()
    }
    window = settings.window or min(LONGEST_WINDOW, step * history.frames / settings.blocks)
    lags = max(1, round(window / step))
    masses = first.get_masses()[history.chosen]
    if history.frames > 2:
        found.vibrations = vibrations(history, groups, masses, step, lags)
    found.results["diffusion"] = {
        name: curve.diffusion and curve.diffusion._asdict() for name, curve in found.displacement.items()
    }
    if found.vibrations:
        found.results["vibrations"] = {
            "velocities": "from the file" if history.has_velocities else "differences of positions",
            "window_ps": step * min(lags, history.frames),
            "highest_THz": 0.5 / step,
            "peaks_THz": {
                name: float(curve.frequencies[curve.spectrum.argmax()]) for name, curve in found.vibrations.items()
            },
        }
    if history.unwrapping.longest > LONG:
        found.notes.append(
            f"an atom moved by {history.unwrapping.longest:.2f} lattice vectors between two frames: displacements are "
            "uncertain from 0.5 on, take frames more often"
        )
    if any(curve.diffusion is None for curve in found.displacement.values()):
        found.notes.append(f"too few frames for a diffusion coefficient with {settings.blocks} blocks")
