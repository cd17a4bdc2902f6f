"""From a data file to structures in eV and Å, whatever its format."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from mlip.data.input_data import is_input_data
from mlip.data.labels import listing
from mlip.data.npz import npz_keys
from mlip.data.options import DEFAULT_OPTIONS, ReadOptions
from mlip.data.paths import existing_file
from mlip.structure import Structure

log = logging.getLogger("mlip.data")

# Format -> the module whose `read(path, options)` reads it, imported when it is needed.
READERS = {
    "md17_npz": "mlip.data.md17_npz",
    "rmd17_npz": "mlip.data.rmd17_npz",
    "md17_xyz": "mlip.data.md17_xyz",
    "ani_hdf5": "mlip.data.ani_hdf5",
    "input_data": "mlip.data.input_data",
    "store": "mlip.data.store",
    "ase": "mlip.data.extxyz",
}
LARGEST_FORCE = 1e3  # eV/Å; nothing near equilibrium comes close
LARGEST_ENERGY = 1e6  # eV per atom; the total energy of the heaviest atoms stays below it


def read_structures(path: str | Path, options: ReadOptions = DEFAULT_OPTIONS) -> list[Structure]:
    """All structures of a file that `options.index` selects, with the labels the file holds, in eV and Å.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, damaged or not of its format; an option does not fit it; a label has the wrong
            shape or an unusual name; or energies or forces are so large that their unit must be wrong.
    """
    path = existing_file(path)
    kind = detect_format(path) if options.format == "auto" else options.format
    if kind not in READERS:
        raise ValueError(f"data.format is '{kind}'; expected auto, {', '.join(READERS)}")
    if kind not in ("ase", "store"):
        for name in ("stress_key", "virial_key"):
            if getattr(options, name) is not None:
                raise ValueError(
                    f"{path}: data.{name} is '{getattr(options, name)}', but a file of format {kind} has no stress"
                )
    if options.normalization is not None and kind not in ("input_data", "store"):
        raise ValueError(
            f"{path}: data.normalization is given, but a file of format {kind} is never normalized; only input_data is"
        )
    structures: list[Structure] = import_module(READERS[kind]).read(path, options)
    for structure in structures:
        _check_magnitude(structure)
    _report(path, kind, structures)
    return structures


def detect_format(path: Path) -> str:
    """The format of a file, from its extension and, where that does not tell, its content.

    Raises:
        ValueError: an npz file is damaged or has none of the known sets of arrays.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        keys = npz_keys(path)
        if {"R", "z"} <= set(keys):
            return "md17_npz"
        if {"coords", "nuclear_charges"} <= set(keys):
            return "rmd17_npz"
        raise ValueError(
            f"{path}: not a known kind of npz file; expected arrays 'R', 'z' (MD17) or 'coords', 'nuclear_charges' "
            f"(revised MD17), found {listing(keys)}"
        )
    if suffix in (".h5", ".hdf5", ".hdf"):
        from mlip.data.store_file import is_store

        return "store" if is_store(path) else "ani_hdf5"
    if suffix == ".xyz" and _is_md17_xyz(path):
        return "md17_xyz"
    if suffix not in (".xyz", ".extxyz") and is_input_data(path):
        return "input_data"
    return "ase"


def _is_md17_xyz(path: Path) -> bool:
    """Whether the comment has no key=value and the first atom has seven columns."""
    with path.open(encoding="utf-8", errors="replace") as file:
        _, comment, atom = (file.readline() for _ in range(3))
    return "=" not in comment and len(atom.split()) == 7


def _check_magnitude(structure: Structure) -> None:
    if structure.energy is not None and abs(structure.energy) > LARGEST_ENERGY * len(structure):
        raise ValueError(
            f"{structure.origin}: an energy of {structure.energy / len(structure):.3g} eV per atom; expected below "
            f"{LARGEST_ENERGY:.0g}. Check data.units.energy"
        )
    if structure.forces is not None and (largest := float(np.abs(structure.forces).max())) > LARGEST_FORCE:
        raise ValueError(
            f"{structure.origin}: forces up to {largest:.3g} eV/Å; expected below {LARGEST_FORCE:.0f}. "
            "Check data.units.energy and data.units.length"
        )


def _report(path: Path, kind: str, structures: Sequence[Structure]) -> None:
    """Log how many structures were read, and how many lack a label that others of the file have."""
    held = {
        "energy": [structure.energy is not None for structure in structures],
        "forces": [structure.forces is not None for structure in structures],
        "stress": [structure.stress is not None for structure in structures if structure.pbc.all()],
    }
    labels = [name for name, having in held.items() if any(having)]
    log.info("%s: read %d structures (%s) with %s", path, len(structures), kind, ", ".join(labels) or "no labels")
    for name in labels:
        missing = held[name].count(False)
        if missing:
            log.warning("%s: %d of %d structures have no %s", path, missing, len(held[name]), name)
