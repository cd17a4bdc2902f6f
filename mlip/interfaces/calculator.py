"""The ASE calculator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mlip.batch import AtomsBatch
from mlip.device import device_of
from mlip.kernels import has_kernels
from mlip.model.checkpoint import load_potential
from mlip.model.evaluate import evaluate
from mlip.model.potential import Potential
from mlip.verlet import VerletList


class MLIPCalculator(Calculator):
    """Energy, forces, stress and atomic energies of a trained potential for ASE.

    `potential` is a run folder, a potential file or a `Potential`; `device` is "auto", "cpu", "cuda" or "cuda:N";
    `dtype` is "float32" or "float64" (None: as trained); pairs within `skin` (Å) beyond the cutoff are kept between
    steps. One evaluation makes all properties, whatever is asked first. Stress needs three periodic directions.

    Raises:
        ValueError: the potential cannot be read, the device is not there, or an element is unknown.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012 (as ASE declares it)

    def __init__(
        self,
        potential: str | Path | Potential,
        *,
        device: str = "auto",
        dtype: str | None = None,
        skin: float = 0.5,
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
        self._evaluate = _evaluator(potential)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties of the atoms."""
        if atoms is not None:
            self.atoms = atoms.copy()
        a = self.atoms
        assert a is not None, "ASE has stored a copy"
        self.results = self._evaluate(self.pairs.batch(a.numbers, a.positions, a.cell.array, a.pbc))
        self.evaluations += 1

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last evaluation; only what the potential depends on."""
        old = self.atoms
        if old is None or not self.results:
            return list(all_changes)
        same = {
            "positions": np.array_equal(old.positions, atoms.positions),
            "numbers": np.array_equal(old.numbers, atoms.numbers),
            "cell": np.array_equal(old.cell.array, atoms.cell.array),
            "pbc": np.array_equal(old.pbc, atoms.pbc),
        }
        return [name for name, value in same.items() if not value]

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """A property of the atoms; ASE's own way with one copy of the atoms for each evaluation and none else."""
        if name not in self.implemented_properties:
            raise PropertyNotImplementedError(f"{name} is not what a potential predicts")
        if atoms is not None and self.check_state(atoms):
            self.results = {}
            if not allow_calculation:
                return None
            self.calculate(atoms)
        if name not in self.results:
            raise PropertyNotImplementedError(f"{name} needs three periodic directions and a calculation")
        value = self.results[name]
        return value.copy() if isinstance(value, np.ndarray) else value


def _evaluator(potential: Potential) -> Callable[[AtomsBatch], dict[str, Any]]:
    """From one structure to ASE's results: fused on a CPU with kernels, else by `evaluate`."""
    if potential.device.type == "cpu" and has_kernels():
        from mlip.model.fused import FusedPotential

        fused = FusedPotential(potential)

        def by_kernels(batch: AtomsBatch) -> dict[str, Any]:
            made = fused(batch)
            return _results(made.energy, made.forces, made.atomic_energies, made.stress)

        return by_kernels

    def by_evaluate(batch: AtomsBatch) -> dict[str, Any]:
        predicted = evaluate(potential, batch.to(potential.device)).to(torch.device("cpu"))
        assert predicted.forces is not None and predicted.atomic_energies is not None and predicted.stress is not None
        stress = predicted.stress[0].double().numpy()
        return _results(
            float(predicted.energy[0]),
            predicted.forces.double().numpy(),
            predicted.atomic_energies.numpy(),
            stress if np.isfinite(stress).all() else None,
        )

    return by_evaluate


def _results(
    energy: float, forces: np.ndarray, atomic_energies: np.ndarray, stress: np.ndarray | None
) -> dict[str, Any]:
    results = {"energy": energy, "free_energy": energy, "energies": atomic_energies, "forces": forces}
    if stress is not None:
        results["stress"] = full_3x3_to_voigt_6_stress(stress)
    return results
