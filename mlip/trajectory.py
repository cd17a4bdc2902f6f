"""Trajectory files that can be cut back to a saved state, the state itself, and what their log tells."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import Trajectory, write

from mlip.archives import require_honest_zip
from mlip.durable import write_whole


class TrajectoryFile:
    """Frames appended to an extxyz or ASE .traj file, decided by its ending.

    Raises:
        ValueError: the ending is neither .xyz, .extxyz nor .traj.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in (".xyz", ".extxyz", ".traj"):
            raise ValueError(f"--output is {path}; expected a name that ends in .xyz, .extxyz or .traj")
        if not path.parent.is_dir():
            raise ValueError(f"--output is {path}; there is no folder {path.parent}")
        self.path = path
        self.frames = 0

    def write(self, atoms: Atoms, step: int, time_fs: float) -> None:
        """Append the atoms with energy, forces, momenta, stress where there is one, and what else is known."""
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=dict(atoms.info))
        frame.set_momenta(atoms.get_momenta())
        frame.info |= {"step": step, "time_fs": time_fs}
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        if atoms.pbc.all():
            results["stress"] = atoms.get_stress()
        found = getattr(atoms.calc, "results", {})
        if "forces_std" in found:
            frame.info["energy_std"] = found["energy_std"]
            for name in ("forces_std", "energies_std"):
                frame.set_array(name, found[name])
        if "feature_distance" in found:
            frame.set_array("feature_distance", found["feature_distance"])
        frame.calc = SinglePointCalculator(frame, **results)
        if self.path.suffix == ".traj":
            with Trajectory(self.path, "a") as file:
                file.write(frame)
        else:
            write(self.path, frame, format="extxyz", append=True)
        self.frames += 1

    def size(self) -> int:
        """Length of the file in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, frames: int, size: int) -> None:
        """Drop what was written after the file had so many frames and bytes.

        Raises:
            ValueError: the file is shorter than that.
        """
        if self.size() < size:
            raise ValueError(f"{self.path}: has {self.size()} bytes; the saved state expects {size}. Was it replaced?")
        if self.path.suffix == ".traj":
            with Trajectory(self.path) as file:
                kept = [file[n] for n in range(min(frames, len(file)))] if len(file) > frames else None
            if kept is not None:
                with Trajectory(self.path, "w") as file:
                    for frame in kept:
                        file.write(frame)
        else:
            os.truncate(self.path, size)
        self.frames = frames


def conservation(log: Path) -> dict[str, float]:
    """Drift and fluctuation of the conserved energy over a whole log (meV/atom).

    The drift is the slope of a straight line through the rows times the run's length: at any one moment the energy
    of Verlet's scheme also swings by an amount that goes with the square of the timestep and does not add up.
    """
    with log.open(encoding="utf-8") as file:
        rows = [(float(row["time_fs"]), float(row["change_meV_per_atom"])) for row in csv.DictReader(file)]
    times, changes = np.array(rows).T
    if len(rows) < 3:
        return {"drift_meV_per_atom": float(changes[-1] - changes[0]), "fluctuation_meV_per_atom": 0.0}
    slope, offset = np.polyfit(times - times[0], changes, 1)
    swing = changes - offset - slope * (times - times[0])
    return {
        "drift_meV_per_atom": float(slope * (times[-1] - times[0])),
        "fluctuation_meV_per_atom": float(swing.std()),
    }


def save_state(path: Path, *, generator: Mapping[str, Any], **values: Any) -> None:
    """Write arrays, numbers and a random generator's state, whole or not at all."""
    memory = io.BytesIO()
    np.savez(memory, generator=json.dumps(generator), **values)
    write_whole(path, memory.getvalue())


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises:
        ValueError: there is no such file, or it is damaged.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; there is no run to go on with. Leave --restart away to begin one")
    try:
        require_honest_zip(path)
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            values = dict(file)
        return {**values, "generator": json.loads(str(values["generator"]))}
    except Exception as error:  # NumPy, zipfile and JSON fail in many ways
        raise ValueError(f"{path}: no saved state of a run, or damaged ({error}). Begin a new run") from error
