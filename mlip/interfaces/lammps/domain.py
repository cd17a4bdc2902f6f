"""What one rank computes: energies of its own atoms, forces on them and on the ghosts around them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from mlip.batch import AtomsBatch
from mlip.kernels import has_kernels
from mlip.model.committee import deviations_of
from mlip.model.evaluate import evaluate
from mlip.model.extrapolation import WatchedFeatures
from mlip.model.potential import Potential
from mlip.model.ranges import Outside
from mlip.neighbors import neighbor_pairs
from mlip.verlet import longest_move

SKIN = 1.0  # Å; pairs within it beyond the cutoff are kept between steps


class DomainResult(NamedTuple):
    """Energies of a domain's N own atoms, and what they give all A atoms."""

    energies: Float[np.ndarray, "N"]  # eV
    forces: Float[np.ndarray, "A 3"]  # eV/Å
    virial: Float[np.ndarray, "3 3"]  # eV, dE/dstrain
    outside: Outside | None  # where own atoms are outside of the training set's features, if watched


class Domain:
    """The atoms of a rank, its own first, then ghosts: copies of others' atoms and periodic images, at their places.

    Pairs are searched anew when there are other atoms or one has gone half of the skin (Å). With `watch` features are
    compared with the ranges of the training set.
    """

    def __init__(self, potential: Potential, *, skin: float = SKIN, watch: bool = False) -> None:
        self.potential = potential
        self.skin, self.watch = skin, watch
        self.searches = 0
        self._searched: Float[np.ndarray, "A 3"] = np.empty((0, 3))
        self._batch: AtomsBatch | None = None
        self._fused = None
        if potential.device.type == "cpu" and potential.atomic.fused and has_kernels():
            from mlip.model.fused import FusedPotential

            self._fused = FusedPotential(potential)

    def search(self, numbers: Int[np.ndarray, "A"], own: int, positions: Float[np.ndarray, "A 3"]) -> None:
        """Find the pairs of the first atoms, `own`.

        Raises:
            ValueError: an element that the potential does not know, or a position that is not finite.
        """
        nowhere = np.zeros((3, 3))
        self._own, self._searched = own, positions.copy()  # LAMMPS moves its own array, and may give it back
        pairs, shifts, _ = neighbor_pairs(
            positions,
            nowhere,
            np.zeros(3, bool),
            self.potential.cutoff + self.skin,
            torch.get_num_threads(),
            centers=own,
        )
        self._batch = AtomsBatch(
            numbers=torch.from_numpy(numbers),
            positions=torch.from_numpy(self._searched),
            cell=torch.from_numpy(nowhere)[None],
            structure=torch.zeros(len(numbers), dtype=torch.int64),
            pairs=torch.from_numpy(pairs),
            shifts=torch.from_numpy(shifts),
        )
        if self._fused is not None:
            self._topology = self._fused.topology(self._batch.numbers, pairs, shifts, own)
        self.searches += 1

    def still_valid(self, positions: Float[np.ndarray, "A 3"]) -> bool:
        """Whether the pairs of the last search serve these positions of the same atoms."""
        if positions.shape != self._searched.shape:
            return False
        return longest_move(positions, self._searched) < self.skin / 2

    def evaluate(self, positions: Float[np.ndarray, "A 3"]) -> DomainResult:
        """Energies, forces and virial with the atoms at these positions."""
        if self._fused is not None:
            made = self._fused.evaluated(*self._topology, positions, np.zeros((3, 3)), outside=self.watch)
            return DomainResult(made.atomic_energies, made.forces, made.virial, made.outside)
        # In a cell of one Å³, which no pair crosses, the stress is the virial.
        batch = self._at(positions)._replace(cell=torch.eye(3, dtype=torch.float64)[None])
        features = WatchedFeatures(self.potential) if self.watch else None
        found = evaluate(self.potential, batch.to(self.potential.device), features=features).to(torch.device("cpu"))
        assert found.forces is not None and found.stress is not None and found.atomic_energies is not None
        return DomainResult(
            found.atomic_energies[: self._own].numpy(),
            found.forces.double().numpy(),
            found.stress[0].double().numpy(),
            Outside(*(field[: self._own] for field in features.outside())) if features else None,
        )

    def deviations(
        self, positions: Float[np.ndarray, "A 3"]
    ) -> tuple[Float[np.ndarray, "K N"], Float[np.ndarray, "A K*3"]]:
        """Of each member of a committee the energies of the own atoms, and its forces less the mean ones."""
        batch = self._at(positions).to(self.potential.device)
        energies, deviations = deviations_of(self.potential, batch)
        forces = torch.cat([deviation.double() for deviation in deviations], dim=1)
        return energies[:, : self._own].cpu().numpy(), forces.cpu().numpy()

    def _at(self, positions: np.ndarray) -> AtomsBatch:
        assert self._batch is not None, "search comes first"
        return self._batch._replace(positions=torch.from_numpy(np.array(positions)))
