"""Revised MD17 files: npz with `nuclear_charges`, `coords` and, where known, `energies` and `forces`."""

from __future__ import annotations

from pathlib import Path

from mlip.data.npz import load_conformers
from mlip.data.options import ReadOptions, unit_factors
from mlip.data.selection import selected
from mlip.structure import Structure


def read(path: Path, options: ReadOptions) -> list[Structure]:
    """Molecules in kcal/mol and Å, unless the user names other units.

    Source: Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020).

    Raises:
        ValueError: an array is missing or has the wrong shape, or a unit is unknown.
    """
    factors = unit_factors(options, energy="kcal/mol", length="Ang")
    conformers = load_conformers(path, options, "nuclear_charges", "coords", "energies", "forces")
    return conformers.structures(selected(options.index, len(conformers), path.name), factors)
