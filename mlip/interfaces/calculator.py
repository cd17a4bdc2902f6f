"""The ASE calculator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from jaxtyping import Float
from torch import Tensor

from mlip.batch import pair_vectors
from mlip.descriptors.backends import Backend, fastest
from mlip.device import device_of
from mlip.kernels import has_kernels
from mlip.model.checkpoint import load_potential
from mlip.model.density import Distance
from mlip.model.evaluate import evaluate
from mlip.model.extrapolation import WatchedFeatures, require_ranges, worst_of
from mlip.model.potential import Potential
from mlip.model.ranges import LARGEST, Outside
from mlip.model.sparsity import require_density
from mlip.model.uncertainty import spread
from mlip.verlet import VerletList

logger = logging.getLogger(__name__)

ON_EXTRAPOLATION = ("ignore", "count", "warn", "stop")
WATCHED = ("extrapolation", "feature_distance")
DEVIATIONS = ("energy_std", "forces_std", "energies_std")  # what a committee has besides
_VOIGT = [0, 4, 8, 5, 2, 1]  # xx, yy, zz, yz, xz, xy of a symmetric matrix


class Extrapolated(ValueError):  # noqa: N818 (what it is)
    """Features of an atom are farther outside of the training set's than allowed."""


class State(NamedTuple):
    """What the potential depends on, bit by bit: quick to take and compare, and safe from changes of the atoms."""

    positions: bytes
    numbers: bytes
    cell: bytes
    pbc: bytes

    @classmethod
    def of(cls, atoms: Atoms) -> State:
        """The state of the atoms now."""
        return cls(atoms.positions.tobytes(), atoms.numbers.tobytes(), atoms.cell.array.tobytes(), atoms.pbc.tobytes())

    def atoms(self) -> Atoms:
        """Atoms in this state."""
        return Atoms(
            np.frombuffer(self.numbers, dtype=int),
            np.frombuffer(self.positions).reshape(-1, 3),
            cell=np.frombuffer(self.cell).reshape(3, 3),
            pbc=np.frombuffer(self.pbc, dtype=bool),
        )


class MLIPCalculator(Calculator):
    """Energy, forces, stress and atomic energies of a trained potential for ASE.

    `potential` is a run folder, a potential file or a `Potential`; `device` is "auto", "cpu", "cuda" or "cuda:N";
    `dtype` is "float32" or "float64" (None: as trained); pairs within `skin` (Å) beyond the cutoff are kept between
    steps. One evaluation makes all properties, whatever is asked first. Stress needs three periodic directions.

    A committee also has `energy_std`, `forces_std` (of each component) and `energies_std`, its calibrated standard
    deviations. They take as long as several evaluations, so they are computed when `get_property` asks for one of them,
    or always with `std`.

    `extrapolation` says what to do where features of an atom are outside of the training set's: "ignore", "count" (only
    look), "warn" (once, in the log), "stop" (raise `Extrapolated` beyond `largest_extrapolation`). The property of that
    name has how far each atom's worst function is outside, in widths of that function's range, 0 inside
    (`FeatureRanges.outside`); `outside` also has which function it is. With "ignore" it is computed when asked for.
    So is the property feature_distance, how far each atom is from the training set's features, 1 for the farthest atom
    there (`FeatureDensity`); `distance` also has which function has the largest share in it.

    Raises:
        ValueError: the potential cannot be read, the device is not there, or an element is unknown.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", *WATCHED]  # noqa: RUF012 (as ASE declares it)
    _atoms: Atoms | None = None  # made from the state when somebody asks for it
    _state: State | None = None

    def __init__(
        self,
        potential: str | Path | Potential,
        *,
        device: str = "auto",
        dtype: str | None = None,
        skin: float = 0.5,
        std: bool = False,
        extrapolation: str = "ignore",
        largest_extrapolation: float = LARGEST,
    ) -> None:
        super().__init__()
        if dtype not in (None, "float32", "float64"):
            raise ValueError(f"dtype is {dtype!r}; expected 'float32', 'float64' or None (as trained)")
        if isinstance(potential, Potential):
            if device != "auto" or dtype is not None:
                raise ValueError("device and dtype go with a file; a Potential in memory keeps its own")
        else:
            precision = None if dtype is None else getattr(torch, dtype)
            potential = load_potential(potential, device=device_of(device), dtype=precision)
        self.potential = potential
        self.pairs = VerletList(potential.cutoff, skin)
        self.evaluations = 0  # how often the potential was evaluated
        if extrapolation not in ON_EXTRAPOLATION:
            raise ValueError(f"extrapolation is {extrapolation!r}; known: {', '.join(ON_EXTRAPOLATION)}")
        self.extrapolation, self.largest_extrapolation = extrapolation, largest_extrapolation
        self._outside: Outside | None = None  # of the last evaluation
        self._distance: Distance | None = None
        self._warned = False
        if extrapolation == "stop":
            require_ranges(potential)
        self._evaluate = _evaluator(potential, watch=extrapolation != "ignore")
        self.std = std
        if potential.deviates:
            self.implemented_properties = [*self.implemented_properties, *DEVIATIONS]
        elif std:
            raise ValueError(
                "std is for committees and Gaussian processes; this potential is neither. Train with "
                "model.committee.members=4"
            )

    @property
    def atoms(self) -> Atoms | None:
        """The structure that the results belong to, as ASE wants to find it; None before the first evaluation."""
        if self._atoms is None and self._state is not None:
            self._atoms = self._state.atoms()
        return self._atoms

    @atoms.setter
    def atoms(self, atoms: Atoms | None) -> None:
        self._atoms = atoms
        self._state = None if atoms is None else State.of(atoms)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties of the atoms."""
        if atoms is None:
            atoms = self.atoms
        assert atoms is not None, "without atoms there is nothing to calculate"
        self._atoms, self._state, self.results = None, State.of(atoms), {}
        self.results, self._outside = self._evaluate(self.pairs, atoms)
        self._distance = None
        self.evaluations += 1
        if self._outside is not None:
            self.results["extrapolation"] = self._outside.severity
            self._judge(atoms, self._outside)
        if self.std:
            self.results |= self._deviations(atoms)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last evaluation; only what the potential depends on."""
        if self._state is None or not self.results:
            return list(all_changes)
        now = State.of(atoms)
        return [name for name, old, new in zip(State._fields, self._state, now, strict=True) if old != new]

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """A property of the atoms; ASE's own way without its copies of the atoms, which cost more than a molecule."""
        if name not in self.implemented_properties:
            raise PropertyNotImplementedError(f"{name} is not what a potential predicts")
        if atoms is not None and not (self.results and State.of(atoms) == self._state):
            self.results = {}
            if not allow_calculation:
                return None
            self.calculate(atoms)
        if name in DEVIATIONS and name not in self.results and self.atoms is not None:
            if not allow_calculation:
                return None
            self.results |= self._deviations(self.atoms)
        if name in WATCHED and name not in self.results and self.atoms is not None:
            if not allow_calculation:
                return None
            self._watch(name, self.atoms)
        if name not in self.results:
            raise PropertyNotImplementedError(f"{name} needs three periodic directions and a calculation")
        value = self.results[name]
        return value.copy() if isinstance(value, np.ndarray) else value

    @property
    def outside(self) -> Outside:
        """Where the potential extrapolates in the structure of the last evaluation.

        Raises:
            ValueError: there was none, or nobody asked for the property extrapolation.
        """
        if self._outside is None:
            raise ValueError("extrapolation was not looked at; ask for the property, or give extrapolation='count'")
        return self._outside

    @property
    def distance(self) -> Distance:
        """How far the atoms of the last evaluation are from the training set's features.

        Raises:
            ValueError: there was none, or nobody asked for the property feature_distance.
        """
        if self._distance is None:
            raise ValueError("distances were not looked at; ask for the property feature_distance")
        return self._distance

    def features(self, atoms: Atoms) -> Float[np.ndarray, "N D"]:
        """The symmetry functions' values at each atom."""
        return self._features(atoms)[0].double().cpu().numpy()

    def _judge(self, atoms: Atoms, outside: Outside) -> None:
        """Warn of atoms outside or stop, as asked."""
        if self.extrapolation not in ("warn", "stop"):
            return
        worst = worst_of(self.potential, atoms.numbers, outside)
        if worst is None:
            return
        if self.extrapolation == "stop" and worst.severity > self.largest_extrapolation:
            self.results = {}
            raise Extrapolated(f"{worst}, and largest_extrapolation is {self.largest_extrapolation:g}")
        if self.extrapolation == "warn" and not self._warned:
            logger.warning("the potential extrapolates: %s", worst)
            self._warned = True

    def _watch(self, name: str, atoms: Atoms) -> None:
        """Compare the features of the atoms with the training set's, by its ranges or its density."""
        features, element = self._features(atoms)
        if name == "extrapolation":
            self._outside = self.potential.ranges.outside(features, element)
            self.results[name] = self._outside.severity
        else:
            self._distance = require_density(self.potential).distances(features, element)
            self.results[name] = self._distance.distance

    @torch.no_grad()
    def _features(self, atoms: Atoms) -> tuple[Tensor, Tensor]:
        """Features, and the rows of the elements in the potential's tables."""
        batch = self.pairs.batch(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc).to(self.potential.device)
        vectors = pair_vectors(batch).to(self.potential.dtype)
        return self._backend(batch.numbers, batch.pairs, vectors), self.potential.element_of(batch.numbers)

    @cached_property
    def _backend(self) -> Backend:
        """Of the symmetry functions; making it takes longer than using it."""
        return fastest(self.potential.descriptor, self.potential.device)

    def _deviations(self, atoms: Atoms) -> dict[str, Any]:
        """Standard deviations over the committee's members."""
        batch = self.pairs.batch(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        found = spread(self.potential, batch.to(self.potential.device)).to(torch.device("cpu"))
        return {
            "energy_std": float(found.energy[0]),
            "forces_std": found.forces.double().numpy(),
            "energies_std": found.atomic_energies.numpy(),
        }


Evaluated = tuple[dict[str, Any], Outside | None]


def _evaluator(potential: Potential, *, watch: bool) -> Callable[[VerletList, Atoms], Evaluated]:
    """From one structure to ASE's results: fused on a CPU with kernels, else by `evaluate`."""
    if potential.device.type == "cpu" and potential.atomic.fused and has_kernels():
        from mlip.model.fused import FusedPotential

        fused = FusedPotential(potential)

        def by_kernels(pairs: VerletList, atoms: Atoms) -> Evaluated:
            numbers, positions, cell, pbc = atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc
            kept = pairs.kept(numbers, positions, cell, pbc)
            made = fused.at(kept, positions, np.where(pbc[:, None], cell, 0.0), outside=watch)
            return _results(made.energy, made.forces, made.atomic_energies, made.stress), made.outside

        return by_kernels

    watched = WatchedFeatures(potential) if watch else None

    def by_evaluate(pairs: VerletList, atoms: Atoms) -> Evaluated:
        batch = pairs.batch(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        predicted = evaluate(potential, batch.to(potential.device), features=watched).to(torch.device("cpu"))
        assert predicted.forces is not None and predicted.atomic_energies is not None and predicted.stress is not None
        stress = predicted.stress[0].double().numpy()
        results = _results(
            float(predicted.energy[0]),
            predicted.forces.double().numpy(),
            predicted.atomic_energies.numpy(),
            stress if np.isfinite(stress).all() else None,
        )
        return results, watched.outside() if watched else None

    return by_evaluate


def _results(
    energy: float, forces: np.ndarray, atomic_energies: np.ndarray, stress: np.ndarray | None
) -> dict[str, Any]:
    results = {"energy": energy, "free_energy": energy, "energies": atomic_energies, "forces": forces}
    if stress is not None:
        results["stress"] = stress.ravel()[_VOIGT]
    return results
