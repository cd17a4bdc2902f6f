"""What tells whether structures changed since they were last read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from mlip.structure import Structure


def add_structures(digest: hashlib._Hash, structures: Iterable[Structure]) -> None:
    """Have a hash see atoms, cells and labels of structures."""
    for s in structures:
        digest.update(s.numbers.tobytes() + s.positions.tobytes() + s.cell.tobytes() + s.pbc.tobytes())
        for label in (s.energy, s.forces, s.stress):
            digest.update(b"-" if label is None else np.asarray(label, dtype=np.float64).tobytes())
