"""Many geometries of one set of atoms, as MD17 and ANI files stack them, and the structures they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlip.data.options import Factors
from mlip.structure import Structure


@dataclass(frozen=True)
class Conformers:
    """Stacked arrays as a file holds them, m geometries of n atoms, in the units of the file.

    Raises:
        ValueError: a shape or a type is wrong; the message names the file, the key, the shape and what was expected.
    """

    origin: str  # "ethanol.npz" or "ani.h5/group", for messages
    keys: dict[str, str]  # "numbers", "positions", "energies", "forces" -> the key in the file
    numbers: np.ndarray  # (n,) or (m, n)
    positions: np.ndarray  # (m, n, 3)
    energies: np.ndarray | None  # (m,) or (m, 1)
    forces: np.ndarray | None  # (m, n, 3)

    def __post_init__(self) -> None:
        self._check("positions", None, "fiu")
        if self.positions.ndim != 3 or self.positions.shape[2] != 3:
            raise ValueError(self._wrong_shape("positions", "(structures, atoms, 3)"))
        count, atoms, _ = self.positions.shape
        self._check("numbers", [(atoms,), (count, atoms)], "iu")
        self._check("energies", [(count,), (count, 1)], "fiu")
        self._check("forces", [(count, atoms, 3)], "fiu")

    def __len__(self) -> int:
        return len(self.positions)

    def structures(self, chosen: Sequence[int], factors: Factors, nan_is_missing: bool = False) -> list[Structure]:
        """The chosen geometries in eV and Å.

        Args:
            chosen: places of the geometries in this stack.
            factors: from the units of the file to ours.
            nan_is_missing: take a NaN energy, or forces that are all NaN, as no label.

        Raises:
            ValueError: a structure is not valid.
        """
        count, atoms, _ = self.positions.shape
        numbers = np.broadcast_to(self.numbers.astype(np.int64), (count, atoms))
        energies = None if self.energies is None else self.energies.reshape(count).astype(np.float64) * factors.energy
        structures = []
        for place in chosen:
            energy = None if energies is None else float(energies[place])
            forces = None if self.forces is None else self.forces[place].astype(np.float64) * factors.forces
            if nan_is_missing:
                energy = None if energy is None or np.isnan(energy) else energy
                forces = None if forces is None or np.isnan(forces).all() else forces
            structures.append(
                Structure(
                    numbers=numbers[place],
                    positions=self.positions[place].astype(np.float64) * factors.length,
                    energy=energy,
                    forces=forces,
                    origin=f"{self.origin}#{place}",
                )
            )
        return structures

    def _check(self, name: str, shapes: list[tuple[int, ...]] | None, kinds: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if value.dtype.kind not in kinds:
            expected = "numbers" if "f" in kinds else "whole numbers"
            raise ValueError(f"{self.origin}: key '{self.keys[name]}' holds {value.dtype}; expected {expected}")
        if shapes is not None and value.shape not in shapes:
            raise ValueError(self._wrong_shape(name, " or ".join(str(shape) for shape in shapes)))

    def _wrong_shape(self, name: str, expected: str) -> str:
        have = f"{self.origin}: key '{self.keys[name]}' has shape {getattr(self, name).shape}; expected {expected}"
        if name == "positions":
            return have
        count, atoms, _ = self.positions.shape
        return f"{have}, as '{self.keys['positions']}' holds {count} structures of {atoms} atoms"
