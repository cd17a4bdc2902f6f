"""The model interface of torch-sim: many systems at once, on the device where the potential is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

try:
    import torch_sim
    from torch_sim.models.interface import ModelInterface
except ImportError as error:
    raise ImportError("torch-sim is missing: pip install 'mlip[torchsim]'") from error

from mlip.batch import CLOSEST, AtomsBatch, OverlappingAtoms, pair_vectors, with_pairs
from mlip.device import device_of
from mlip.model.checkpoint import load_potential
from mlip.model.evaluate import evaluate
from mlip.model.potential import Potential


class TorchSimModel(ModelInterface):
    """Energy (eV), forces (eV/Å), stress (eV/Å³) and atomic energies (eV) of a trained potential for torch-sim.

    `potential` is a run folder, a potential file or a `Potential`; `device` is "auto", "cpu", "cuda" or "cuda:N";
    `precision` is that of the networks, "float32" or "float64" (None: as trained). States have a precision of their
    own, that of their positions, in which all results are handed back. `dtype`, which torch-sim gives the states that
    it makes, is float64, as forces would lose digits to rounded positions.

    torch-sim's units are ours (its "metal": eV, Å, amu, stress positive under tension); its cells have lattice vectors
    as columns. Stress is NaN for systems that are not periodic.

    Raises:
        ImportError: torch-sim is not installed.
        ValueError: the potential cannot be read, or the device is not there.
    """

    def __init__(
        self,
        potential: str | Path | Potential,
        *,
        device: str = "auto",
        precision: str | None = None,
        compute_forces: bool = True,
        compute_stress: bool = True,
    ) -> None:
        super().__init__()
        if precision not in (None, "float32", "float64"):
            raise ValueError(f"precision is {precision!r}; expected 'float32', 'float64' or None (as trained)")
        if isinstance(potential, Potential):
            if device != "auto" or precision is not None:
                raise ValueError("device and precision go with a file; a Potential in memory keeps its own")
        else:
            dtype = None if precision is None else getattr(torch, precision)
            potential = load_potential(potential, device=device_of(device), dtype=dtype)
        self.potential = potential
        self._dtype = torch.float64
        self._compute_forces, self._compute_stress = compute_forces, compute_stress

    @property
    def device(self) -> torch.device:
        """Where the potential is."""
        return self.potential.device

    @property
    def compute_forces(self) -> bool:
        """Whether forces are among the results."""
        return self._compute_forces

    @compute_forces.setter
    def compute_forces(self, wanted: bool) -> None:
        self._compute_forces = wanted

    @property
    def compute_stress(self) -> bool:
        """Whether stress is among the results."""
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, wanted: bool) -> None:
        self._compute_stress = wanted

    def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
        """The results for a `SimState`, or a dictionary of what it is made from.

        Raises:
            OverlappingAtoms: two atoms lie on top of each other; the message names the system.
            ValueError: an element that the potential does not know.
        """
        if isinstance(state, dict):
            state = torch_sim.SimState(**{"masses": torch.ones_like(state["positions"][:, 0]), **state})
        batch = with_pairs(_batch(state), self.potential.cutoff)
        _require_apart(batch)
        derivatives = self.compute_forces or self.compute_stress
        found = evaluate(self.potential, batch, forces=derivatives, stress=self.compute_stress)
        results = {"energy": found.energy, "energies": found.atomic_energies}
        if self.compute_forces:
            results["forces"] = found.forces
        if self.compute_stress:
            results["stress"] = found.stress
        return {name: value.to(state.positions.dtype) for name, value in results.items() if value is not None}


def _batch(state: Any) -> AtomsBatch:
    """The atoms of a state, without pairs."""
    positions = state.positions.detach().double()
    cell = state.row_vector_cell.detach().double()
    periodic = torch.as_tensor(state.pbc, device=cell.device).expand(3)
    return AtomsBatch(
        numbers=state.atomic_numbers.long(),
        positions=positions,
        cell=torch.where(periodic[:, None], cell, 0.0),
        structure=state.system_idx,
        pairs=state.system_idx.new_zeros(2, 0),
        shifts=positions.new_zeros(0, 3),
    )


def _require_apart(batch: AtomsBatch) -> None:
    distances = pair_vectors(batch).norm(dim=1)
    if len(distances) == 0 or distances.min() >= CLOSEST:
        return
    center, neighbor = batch.pairs[:, distances.argmin()]
    system = int(batch.structure[center])
    first = int((batch.structure < system).sum())
    raise OverlappingAtoms(
        f"system {system}: atoms {int(center) - first} and {int(neighbor) - first} are {float(distances.min()):.3g} Å "
        f"apart; expected at least {CLOSEST} Å. The system is outside of what the potential was trained on, or the "
        "timestep is too long"
    )
