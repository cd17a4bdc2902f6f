"""One labelled configuration as read from a file; it checks itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

CHEMICAL_ELEMENTS = 118


@dataclass(frozen=True)
class Structure:
    """Atoms with whatever labels their file holds, in eV and Å.

    Raises:
        ValueError: a shape is wrong, a number is not finite, an atomic number is unknown, or a periodic direction has
            no lattice vector; the message starts with `origin`.
    """

    numbers: Int[np.ndarray, "n"]  # atomic numbers
    positions: Float[np.ndarray, "n 3"]  # Å
    cell: Float[np.ndarray, "3 3"] = field(default_factory=lambda: np.zeros((3, 3)))  # Å, rows are lattice vectors
    pbc: Bool[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3, dtype=bool))
    energy: float | None = None  # eV
    forces: Float[np.ndarray, "n 3"] | None = None  # eV/Å
    stress: Float[np.ndarray, "3 3"] | None = None  # eV/Å³, dE/dstrain / volume, positive under tension (ASE's sign)
    info: dict[str, Any] = field(default_factory=dict)
    origin: str = "structure"  # "file.xyz#17", for messages

    def __post_init__(self) -> None:
        atoms = len(self.numbers)
        if atoms == 0:
            raise ValueError(f"{self.origin}: no atoms; a structure needs at least one")
        for name, shape in {"positions": (atoms, 3), "cell": (3, 3), "forces": (atoms, 3), "stress": (3, 3)}.items():
            value = getattr(self, name)
            if value is None:
                continue
            if value.shape != shape:
                raise ValueError(f"{self.origin}: {name} have shape {value.shape}; expected {shape} for {atoms} atoms")
            if not np.isfinite(value).all():
                row = int(np.argwhere(~np.isfinite(value))[0][0])
                raise ValueError(
                    f"{self.origin}: {name} hold {value[row]} in row {row}; every value must be a finite number. "
                    "Mend or remove this structure"
                )
        if self.energy is not None and not np.isfinite(self.energy):
            raise ValueError(
                f"{self.origin}: energy is {self.energy}; it must be finite. Mend or remove this structure"
            )
        wrong = (self.numbers < 1) | (self.numbers > CHEMICAL_ELEMENTS)
        if wrong.any():
            atom = int(np.argmax(wrong))
            raise ValueError(
                f"{self.origin}: atom {atom} has atomic number {self.numbers[atom]}; expected 1 to {CHEMICAL_ELEMENTS}"
            )
        self._check_cell()
        if self.stress is not None and not self.pbc.all():
            raise ValueError(
                f"{self.origin}: has a stress, but pbc is {self.pbc.tolist()}; it needs three periodic directions. "
                "Set pbc, or remove the stress"
            )

    def _check_cell(self) -> None:
        vectors = self.cell[self.pbc]
        if len(vectors) and np.linalg.matrix_rank(vectors, tol=1e-3) < len(vectors):
            raise ValueError(
                f"{self.origin}: pbc is {self.pbc.tolist()} but the cell {self.cell.tolist()} has no independent "
                "lattice vector for each periodic direction. Give the cell, or set pbc to false there"
            )

    def __len__(self) -> int:
        return len(self.numbers)
