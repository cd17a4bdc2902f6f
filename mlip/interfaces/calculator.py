"""The ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mlip.device import device_of
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

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties of the atoms."""
        super().calculate(atoms, properties, system_changes)
        a = self.atoms
        assert a is not None, "ASE has stored a copy"
        batch = self.pairs.batch(a.numbers, a.positions, a.cell.array, a.pbc)
        predicted = evaluate(self.potential, batch.to(self.potential.device), stress=bool(a.pbc.all()))
        self.evaluations += 1
        assert predicted.forces is not None and predicted.atomic_energies is not None
        energy = float(predicted.energy[0])
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": predicted.atomic_energies.cpu().numpy(),
            "forces": predicted.forces.double().cpu().numpy(),
        }
        if predicted.stress is not None:
            stress = predicted.stress[0].double().cpu().numpy()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
