"""ANI files: HDF5 with one group per molecule, each with elements, coordinates and labels of many geometries."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from mlip.archives import require_possible
from mlip.data.conformers import Conformers
from mlip.data.file_units import with_stated_units
from mlip.data.labels import find_key, listing
from mlip.data.options import ReadOptions, unit_factors
from mlip.data.selection import selected
from mlip.elements import atomic_number
from mlip.structure import Structure

log = logging.getLogger("mlip.data")

NUMBERS = ("species", "atomic_numbers")
POSITIONS = ("coordinates", "coord")
ENERGIES = ("energies", "energy")
FORCES = ("forces", "force")


def read(path: Path, options: ReadOptions) -> list[Structure]:
    """Molecules in Hartree and Å, unless the file (attributes `e_unit`, `r_unit`) or the user names other units.

    A NaN label is a missing label. Where datasets `index` number all geometries of the file, that is their order.

    Source: Smith et al., Sci. Data 4, 170193 (2017) for ANI-1; Sci. Data 7, 134 (2020) for ANI-1x.

    Raises:
        ValueError: the file is not HDF5, holds no molecule, or an array is missing or has the wrong shape.
    """
    try:
        with h5py.File(path, "r") as file:
            stated = {key: str(file.attrs[key]) for key in ("e_unit", "r_unit") if key in file.attrs}
            molecules, order = _load(path, file, options)
    except Exception as error:  # h5py raises whatever HDF5 says, as KeyError, ValueError and others
        if isinstance(error, ValueError) and path.name in str(error):  # what is said here names the file
            raise
        raise ValueError(
            f"{path}: not an HDF5 file, or damaged ({error}). Copy it again, or check data.format"
        ) from error
    options = with_stated_units(options, path.name, stated, ("e_unit", "r_unit"))
    factors = unit_factors(options, energy="Hartree", length="Ang")
    structures = []
    for conformers, chosen in molecules:
        structures += conformers.structures(chosen, factors, nan_is_missing=True)
    _report_missing(path, molecules, structures)
    return [structures[place] for place in order]


def _load(
    path: Path, file: h5py.File, options: ReadOptions
) -> tuple[list[tuple[Conformers, list[int]]], Sequence[int]]:
    """Each molecule of which something is wanted, with the places of the wanted geometries; and the order of all."""
    groups = _molecule_groups(path, file)
    energy_key, forces_key = _label_keys(path, groups, options)
    for group in groups:  # before anything is made that is as long as they say
        _require_written(path, group[_first(group, POSITIONS)])
    counts = [group[_first(group, POSITIONS)].shape[0] for group in groups]
    wanted = _numbering(path, groups, counts)[selected(options.index, sum(counts), path.name)]
    chosen = np.sort(wanted)
    molecules, start = [], 0
    for group, count in zip(groups, counts, strict=True):
        inside = chosen[(chosen >= start) & (chosen < start + count)] - start
        start += count
        if len(inside):
            molecules.append((_conformers(path, group, energy_key, forces_key), inside.tolist()))
    return molecules, np.searchsorted(chosen, wanted).tolist()


def _numbering(path: Path, groups: list[h5py.Group], counts: list[int]) -> np.ndarray:
    """Which of all geometries, group after group, is the first of the file, the second, and so on."""
    stacked = np.arange(sum(counts))
    numbers = []
    for group, count in zip(groups, counts, strict=True):
        item = group.get("index")
        if not (isinstance(item, h5py.Dataset) and item.shape == (count,) and item.dtype.kind in "iu"):
            return stacked
        numbers.append(_array(path, group, "index"))
    order = np.argsort(np.concatenate(numbers), kind="stable")
    return order if np.array_equal(np.concatenate(numbers)[order], stacked) else stacked


def _molecule_groups(path: Path, file: h5py.File) -> list[h5py.Group]:
    """All groups, the file itself among them, that hold coordinates."""
    groups: list[h5py.Group] = [file]
    file.visititems(lambda _, item: groups.append(item) if isinstance(item, h5py.Group) else None)
    molecules = [group for group in groups if any(isinstance(group.get(key), h5py.Dataset) for key in POSITIONS)]
    if not molecules:
        found = sorted({key for group in groups for key in group})[:20]
        raise ValueError(f"{path}: no group with {_either(POSITIONS)}; found {listing(found)}. Check data.format")
    for group in molecules:
        origin, positions = _origin(path, group), group[_first(group, POSITIONS)]
        if not any(isinstance(group.get(key), h5py.Dataset) for key in NUMBERS):
            raise ValueError(f"{origin}: no elements under {_either(NUMBERS)}; found {listing(group)}")
        if len(positions.shape) != 3:
            raise ValueError(
                f"{origin}: key '{_first(group, POSITIONS)}' has shape {positions.shape}; "
                "expected (structures, atoms, 3)"
            )
    return molecules


def _label_keys(path: Path, groups: list[h5py.Group], options: ReadOptions) -> tuple[str | None, str | None]:
    present: dict[str, None] = {}
    energies: dict[str, str] = {}
    forces: dict[str, str] = {}
    for group in groups:
        shape = group[_first(group, POSITIONS)].shape
        for key, item in group.items():
            if not isinstance(item, h5py.Dataset):
                continue
            present[key] = None
            if item.shape in (shape[:1], (*shape[:1], 1)) and item.dtype.kind == "f":
                energies.setdefault(key, _origin(path, group))
            if item.shape == shape and item.dtype.kind == "f":
                forces.setdefault(key, _origin(path, group))
    return (
        find_key(path.name, "energy", options.energy_key, ENERGIES, present, energies),
        find_key(path.name, "forces", options.forces_key, FORCES, present, forces),
    )


def _conformers(path: Path, group: h5py.Group, energy_key: str | None, forces_key: str | None) -> Conformers:
    numbers, positions = _first(group, NUMBERS), _first(group, POSITIONS)
    return Conformers(
        origin=_origin(path, group),
        keys={
            "numbers": numbers,
            "positions": positions,
            "energies": energy_key or ENERGIES[0],
            "forces": forces_key or FORCES[0],
        },
        numbers=_numbers(_origin(path, group), _array(path, group, numbers)),
        positions=_array(path, group, positions),
        energies=_array(path, group, energy_key) if energy_key and energy_key in group else None,
        forces=_array(path, group, forces_key) if forces_key and forces_key in group else None,
    )


def _array(path: Path, group: h5py.Group, key: str) -> np.ndarray:
    """A dataset; one that was never written would be read as zeros of any size, so that is refused."""
    item = group[key]
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{_origin(path, group)}: '{key}' is a group; expected a dataset")
    _require_written(path, item)
    return np.asarray(item[()])


def _require_written(path: Path, item: h5py.Dataset) -> None:
    """See that a dataset is in the file about as large as it says."""
    require_possible(path, item.size * item.dtype.itemsize, item.id.get_storage_size())


def _numbers(origin: str, species: np.ndarray) -> np.ndarray:
    """Atomic numbers from symbols (bytes or text); numbers stay as they are."""
    if species.dtype.kind not in "SUO":
        return species
    symbols = [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in species.ravel().tolist()]
    return np.array([atomic_number(symbol.strip(), origin) for symbol in symbols]).reshape(species.shape)


def _report_missing(path: Path, molecules: list[tuple[Conformers, list[int]]], structures: list[Structure]) -> None:
    for name, stack in (("energy", "energies"), ("forces", "forces")):
        held = sum(len(chosen) for conformers, chosen in molecules if getattr(conformers, stack) is not None)
        missing = held - sum(getattr(structure, name) is not None for structure in structures)
        if missing:
            log.info("%s: %d of %d structures have NaN for %s, taken as no label", path, missing, len(structures), name)


def _first(group: h5py.Group, keys: tuple[str, ...]) -> str:
    return next(key for key in keys if isinstance(group.get(key), h5py.Dataset))


def _either(keys: tuple[str, ...]) -> str:
    return " or ".join(f"'{key}'" for key in keys)


def _origin(path: Path, group: h5py.Group) -> str:
    return f"{path.name}{group.name}".rstrip("/")
