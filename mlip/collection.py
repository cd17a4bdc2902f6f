"""Frames of a dynamics of which a potential is least sure, few and different, to be labelled and learned from."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import ase.io
import numpy as np
from ase import Atoms
from jaxtyping import Float

from mlip.data.paths import whole_file
from mlip.diversity import Points, farthest_structures
from mlip.model.extrapolation import require_ranges
from mlip.model.points import element_sums, mean_points
from mlip.model.potential import Potential
from mlip.model.sparsity import require_density

POOL = 5  # times as many frames of the highest uncertainty are kept as are chosen in the end

# What tells of each atom how unsure its force is: the calculator's property, and the unit.
MEASURES = {
    "spread": ("forces_std", "eV/Å"),
    "distance": ("feature_distance", "of the farthest training atom"),
    "ranges": ("extrapolation", "widths"),
}


class Frame(NamedTuple):
    """A frame that may be chosen."""

    step: int
    positions: Float[np.ndarray, "n 3"]
    cell: Float[np.ndarray, "3 3"]
    energy: float
    forces: Float[np.ndarray, "n 3"]
    uncertainty: Float[np.ndarray, "n"]  # of each atom
    point: Float[np.ndarray, "K"]

    @property
    def largest(self) -> float:
        """The uncertainty of the frame."""
        return float(self.uncertainty.max())


class Collector:
    r"""Keeps the frames of highest uncertainty, and of these chooses some that are far from each other.

    The uncertainty of a frame is the largest of its atoms'. By "spread" that is the length of the standard deviation of
    an atom's force over a committee (eV/Å),

    .. math:: u = \max_i \sqrt{\sum_x \sigma_{F_{ix}}^2}

    by "distance" that of its features from the training set's (`FeatureDensity`), by "ranges" how far its features are
    outside of these (`FeatureRanges`). Of frames above `threshold` the `POOL` times `count` most uncertain are a pool;
    of them the most uncertain is chosen, and then the farthest from the chosen ones (`mean_points`), until there are
    `count` or none is as far as `distance`. The file holds them in this order.

    Raises:
        ValueError: a value is out of range, the folder of the file is not there, or the potential cannot tell that
            uncertainty.
    """

    def __init__(
        self,
        path: Path,
        potential: Potential,
        *,
        measure: str = "spread",
        threshold: float = 0.0,
        count: int = 100,
        distance: float = 0.0,
        interval: int = 1,
        stop: float = np.inf,
    ) -> None:
        _require_sense(path, potential, measure, count, interval)
        for name, value in (("threshold", threshold), ("distance", distance), ("stop", stop)):
            if not value >= 0:
                raise ValueError(f"--collect-{name} is {value}; expected zero or a positive number")
        self.path, self.potential = path, potential
        self.pool_file = path.with_name(path.name + ".pool.npz")
        self.measure, self.threshold, self.count, self.distance = measure, threshold, count, distance
        self.interval, self.stop = interval, stop
        self.property, self.unit = MEASURES[measure]
        self.pool: list[Frame] = []  # the most uncertain first
        self.considered = self.above = 0
        self.highest, self.highest_step = 0.0, 0
        self._numbers, self._pbc = np.empty(0, int), np.zeros(3, bool)
        self._changed = True

    def start(self) -> None:
        """Begin with nothing.

        Raises:
            ValueError: there is a file of that name already.
        """
        if self.path.exists():
            raise ValueError(f"--collect is {self.path}, which exists. Choose another file, or remove it")
        self.pool_file.unlink(missing_ok=True)

    def restart(self, step: int) -> None:
        """Go on with what was collected up to this step; what was collected later will be found again.

        Raises:
            ValueError: there is no earlier collection, or it was made otherwise.
        """
        if not self.pool_file.is_file():
            raise ValueError(f"{self.pool_file}: no such file; the run to go on with collected nothing there")
        try:
            with np.load(self.pool_file, allow_pickle=False) as file:
                saved = dict(file)
            settings = {name: saved[name].item() for name in self._settings()}
            self._numbers, self._pbc = saved["numbers"], saved["pbc"]
            counts = [int(saved[name]) for name in ("considered", "above", "highest_step")]
            highest = float(saved["highest"])
            frames = [Frame(*row) for row in zip(*(saved[f"frame_{name}"] for name in Frame._fields), strict=True)]
        except (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.pool_file}: no frames of a collection, or damaged ({error})") from error
        for name, value in self._settings().items():
            if settings[name] != value:
                raise ValueError(
                    f"{self.pool_file}: belongs to a collection with {name} {settings[name]}, not {value}; "
                    "restart with the same options"
                )
        self.considered, self.above, self.highest_step = counts
        self.highest = highest
        self.pool = [frame._replace(step=int(frame.step)) for frame in frames if frame.step <= step]

    def consider(self, atoms: Atoms, step: int) -> tuple[float, int]:
        """Look at a frame and keep it if it is worth it; returns its uncertainty and the atom that has it."""
        found = atoms.calc.get_property(self.property, atoms)
        uncertainty = np.linalg.norm(found, axis=1) if found.ndim == 2 else found
        atom = int(uncertainty.argmax())
        largest = float(uncertainty[atom])
        self.considered += 1
        if largest > self.highest:
            self.highest, self.highest_step = largest, step
        if largest > self.threshold:
            self.above += 1
            if len(self.pool) < POOL * self.count or largest > self.pool[-1].largest:
                self._keep(atoms, step, uncertainty)
        return largest, atom

    def _keep(self, atoms: Atoms, step: int, uncertainty: Float[np.ndarray, "n"]) -> None:
        self._numbers, self._pbc = atoms.numbers.copy(), atoms.pbc.copy()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        cell = atoms.cell.array.copy()
        frame = Frame(step, atoms.positions.copy(), cell, energy, forces, uncertainty, self._point(atoms))
        place = sum(other.largest >= frame.largest for other in self.pool)
        self.pool.insert(place, frame)
        del self.pool[POOL * self.count :]
        self._changed = True

    def _point(self, atoms: Atoms) -> Float[np.ndarray, "K"]:
        scaling, elements = self.potential.scaling, len(self.potential.elements)
        element = np.searchsorted(self.potential.elements, atoms.numbers)
        nowhere = np.zeros(len(atoms), np.int64)
        sums, counts = element_sums(atoms.calc.features(atoms), element, nowhere, elements, 1)
        shift, scale = (table.cpu().numpy() for table in (scaling.shift, scaling.scale))
        point: np.ndarray = mean_points(sums, counts, shift, scale)[0]
        return point

    def chosen(self) -> list[Frame]:
        """The frames to label, in the order of choice."""
        if not self.pool:
            return []
        places = np.arange(len(self.pool))
        points = Points(np.array([frame.point for frame in self.pool]), np.zeros_like(places), places)
        found = farthest_structures(points, self.count, first=0)
        return [self.pool[place] for place, far in zip(*found, strict=True) if far >= self.distance]

    def save(self) -> None:
        """Write the chosen frames, and beside them the pool that a restart goes on with."""
        if not (self._changed or self.pool_file.exists()):
            return
        columns = zip(*self.pool, strict=True) if self.pool else [[] for _ in Frame._fields]
        values: dict[str, Any] = {
            f"frame_{name}": np.array(column) for name, column in zip(Frame._fields, columns, strict=True)
        }
        values |= {name: getattr(self, name) for name in ("considered", "above", "highest", "highest_step")}
        with whole_file(self.pool_file) as partial, partial.open("wb") as file:
            np.savez(file, numbers=self._numbers, pbc=self._pbc, **self._settings(), **values)
        if not self._changed:
            return
        chosen = [self._atoms(frame) for frame in self.chosen()]
        if chosen:
            with whole_file(self.path) as partial:
                ase.io.write(partial, chosen, format="extxyz")
        self._changed = False

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("measure", "threshold", "count", "interval")}

    def _atoms(self, frame: Frame) -> Atoms:
        """The frame with what the potential says of it under names that no reader takes for labels."""
        atoms = Atoms(self._numbers, frame.positions, cell=frame.cell, pbc=self._pbc)
        atoms.info |= {"step": frame.step, "mlip_energy": frame.energy, "mlip_uncertainty": frame.largest}
        atoms.set_array("mlip_forces", frame.forces)
        atoms.set_array("mlip_uncertainty", frame.uncertainty)
        return atoms

    def results(self) -> dict[str, Any]:
        """What came of it under the names of a JSON file."""
        return {
            "file": str(self.path),
            "frames": len(self.chosen()),
            "measure": self.measure,
            "threshold": self.threshold,
            "considered": self.considered,
            "above": self.above,
            "largest": self.highest,
            "step": self.highest_step,
        }

    def text(self) -> str:
        """What came of it in a line for a person."""
        return (
            "collected {frames} of {considered} frames looked at in {file}: {above} had an uncertainty ({measure}) "
            "above {threshold:g}, the largest {largest:.3g} " + self.unit + " in step {step}"
        ).format(**self.results())


def _require_sense(path: Path, potential: Potential, measure: str, count: int, interval: int) -> None:
    if path.suffix not in (".xyz", ".extxyz") or path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"--collect is {path}; expected a name that ends in .xyz or .extxyz in a folder that exists")
    for name, number in (("max", count), ("interval", interval)):
        if number < 1:
            raise ValueError(f"--collect-{name} is {number}; expected at least 1")
    if measure not in MEASURES:
        raise ValueError(f"--collect-by is '{measure}'; known: {', '.join(MEASURES)}")
    if measure == "spread" and not potential.deviates:
        raise ValueError("--collect-by is spread, which needs a committee; the potential has one member")
    if measure == "distance":
        require_density(potential)
    if measure == "ranges":
        require_ranges(potential)
