"""MD17 and sGDML files: npz with `z`, `R` and, where known, `E` and `F`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlip.data.file_units import with_stated_units
from mlip.data.npz import load_conformers, load_npz, npz_keys
from mlip.data.options import ReadOptions, unit_factors
from mlip.data.selection import selected
from mlip.structure import Structure


def read(path: Path, options: ReadOptions) -> list[Structure]:
    """Molecules in kcal/mol and Å, unless the file (`e_unit`, `r_unit`) or the user names other units.

    Source: Chmiela et al., Sci. Adv. 3, e1603015 (2017); http://www.sgdml.org.

    Raises:
        ValueError: an array is missing or has the wrong shape, a unit is unknown, or the file holds a lattice.
    """
    present = npz_keys(path)
    if "lattice" in present:
        raise ValueError(
            f"{path.name}: holds a lattice, but files of this format are read as molecules. Convert it to extxyz"
        )
    notes = load_npz(path, [key for key in ("e_unit", "r_unit") if key in present])
    stated = {key: _text(value) for key, value in notes.items()}
    options = with_stated_units(options, path.name, stated, ("e_unit", "r_unit"))
    factors = unit_factors(options, energy="kcal/mol", length="Ang")
    conformers = load_conformers(path, options, "z", "R", "E", "F")
    return conformers.structures(selected(options.index, len(conformers), path.name), factors)


def _text(value: np.ndarray) -> str:
    text = value.item() if value.size == 1 else value.tolist()
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)
