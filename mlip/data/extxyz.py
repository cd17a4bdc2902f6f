"""Everything that ASE reads: extxyz, traj, db, OUTCAR, vasprun.xml and many more."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase
import ase.db
import ase.io
import numpy as np
from ase.io.extxyz import key_val_str_to_dict
from ase.io.formats import filetype

from mlip.data.labels import find_key, listing, looks_like
from mlip.data.options import SIGNS, Factors, ReadOptions, unit_factors
from mlip.data.selection import parse_index, selected
from mlip.data.xyz_frames import DIGITS, read_frames
from mlip.structure import Structure

log = logging.getLogger("mlip.data")

FULL_STRESS = "stress as written"  # ASE would keep only one triangle of a matrix named "stress"
PROPERTIES = re.compile(r"""Properties=["']?([^\s"']+)""")
VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])  # place in xx, yy, zz, yz, xz, xy of each entry of the matrix
SYMMETRIC = 1e-6  # how far, relative to its largest entry, a stress may be from symmetric


def read(path: Path, options: ReadOptions) -> list[Structure]:
    """Structures in eV, Å and eV/Å³ (what ASE gives), unless the user names other units.

    Raises:
        ValueError: ASE cannot read the file, a label has the wrong shape or an unusual name, or a stress is asymmetric.
    """
    factors = unit_factors(options, energy="eV", length="Ang")
    wanted = parse_index(options.index)
    frames = _read_database(path, options) if path.suffix.lower() == ".db" else _read_atoms(path, wanted)
    chosen = selected(options.index, len(frames), path.name)
    held = {f"{path.name}#{place}": _everything(frames[place]) for place in chosen}
    keys = _label_keys(path.name, held, options)
    _check_stress_unit(path.name, keys, options)
    open_ended = sum(not frames[place].pbc.all() for place in chosen)
    if open_ended and ("stress" in keys or "virial" in keys):
        log.warning(
            "%s: %d structures are not periodic in three directions; their stress is not read", path, open_ended
        )
    return [
        _structure(origin, frames[place], values, keys, options, factors)
        for place, (origin, values) in zip(chosen, held.items(), strict=True)
    ]


def _read_atoms(path: Path, wanted: slice) -> list[ase.Atoms]:
    """The structures of the file from its first up to the last wanted one."""
    ahead = (wanted.start or 0) >= 0 and wanted.stop is not None and wanted.stop >= 0
    name = str(path.absolute())  # ASE takes relative names such as "mysql..." for a server
    how: dict[str, Any] = {}
    try:
        kind = filetype(name)
    except Exception as error:  # each of ASE's readers fails in its own way
        raise ValueError(_unreadable(path, error)) from error
    if kind == "extxyz":
        _check_columns(path)
        how["properties_parser"] = _parse_comment
    try:  # not in parallel: each process reads for itself
        frames = ase.io.read(
            name,
            slice(0, wanted.stop if ahead else None),
            format=kind,
            parallel=False,
            do_not_split_by_at_sign=True,
            **how,
        )
    except Exception as error:
        raise ValueError(_unreadable(path, error)) from error
    assert isinstance(frames, list)
    if not frames:
        raise ValueError(f"{path}: ASE finds no structure in it. Check that the file is complete")
    return frames


def _check_columns(path: Path) -> None:
    """ASE passes over columns that `Properties` does not name; forces could be among them."""
    for place, frame in enumerate(read_frames(path)):
        match = PROPERTIES.search(frame.comment)
        columns = [len(text.split()) for text in frame.atoms]
        if match is None:
            if max(columns, default=0) >= 7:
                raise ValueError(
                    f"{path.name}#{place}: {max(columns)} columns, but no Properties= in line {frame.line + 1} names "
                    "them. Name them there, or set data.format=md17_xyz for element, position and force"
                )
            continue
        named = sum(
            int(width) for width in match.group(1).split(":")[2::3] if width.isdecimal() and len(width) <= DIGITS
        )
        for offset, count in enumerate(columns):
            if count != named:
                raise ValueError(
                    f"{path.name}#{place}: line {frame.line + 2 + offset} has {count} columns; "
                    f"Properties={match.group(1)} names {named}"
                )


def _parse_comment(line: str) -> dict[str, Any]:
    values = key_val_str_to_dict(line)
    if "stress" in values:
        values[FULL_STRESS] = values.pop("stress")
    return values


def _read_database(path: Path, options: ReadOptions) -> list[ase.Atoms]:
    """Rows of an ASE database; key-value pairs and data, where some programs put labels, go to `info`."""
    try:
        with ase.db.connect(str(path.absolute()), type="db", serial=True) as database:
            rows = list(database.select())
            said = {key: database.metadata.get(key) for key in ("_property_unit_dict", "_distance_unit")}
    except Exception as error:  # SQLite's and ASE's
        raise ValueError(_unreadable(path, error)) from error
    if any(said.values()) and not (options.energy_unit and options.length_unit):
        raise ValueError(f"{path}: the database says its units, {said}. Set data.units.energy and data.units.length")
    frames = []
    for row in rows:
        atoms = row.toatoms()
        atoms.info.update(row.data)
        atoms.info.update(row.key_value_pairs)
        frames.append(atoms)
    return frames


def _unreadable(path: Path, error: Exception) -> str:
    return (
        f"{path}: ASE cannot read it ({type(error).__name__}: {error}). "
        "Check that the file is complete and that data.format and its extension say what it is"
    )


def _everything(atoms: ase.Atoms) -> dict[str, Any]:
    """All a structure holds by name: what ASE put into its calculator, its info and its arrays."""
    values = {**atoms.info, **atoms.arrays, **getattr(atoms.calc, "results", {})}
    if FULL_STRESS in values:
        values["stress"] = values.pop(FULL_STRESS)
    return {key: value for key, value in values.items() if key not in ("numbers", "positions")}


def _label_keys(file: str, held: Mapping[str, Mapping[str, Any]], options: ReadOptions) -> dict[str, str]:
    """Which key holds "energy", "forces", and "stress" or "virial"; a label that the file lacks is left out."""
    present = {key: None for values in held.values() for key in values}
    scalars: dict[str, str] = {}
    vectors: dict[str, str] = {}
    matrices: dict[str, str] = {}
    for origin, values in held.items():
        for key, value in values.items():
            shape = np.shape(value) if _is_numeric(value) else None
            if shape in ((), (1,)):
                scalars.setdefault(key, origin)
            elif shape is not None and len(shape) == 2 and shape[1] == 3:
                vectors.setdefault(key, origin)
            if shape in ((6,), (9,), (3, 3)):
                matrices.setdefault(key, origin)
    keys = {
        "energy": find_key(file, "energy", options.energy_key, ["energy"], present, scalars),
        "forces": find_key(file, "forces", options.forces_key, ["forces"], present, vectors),
    }
    if options.virial_key:
        keys["virial"] = find_key(file, "virial", options.virial_key, [], present, {})
    else:
        keys["stress"] = find_key(file, "stress", options.stress_key, ["stress"], present, {})
        if keys["stress"] is None:
            _point_at_stress(file, matrices)
    return {quantity: key for quantity, key in keys.items() if key is not None}


def _point_at_stress(file: str, matrices: Mapping[str, str]) -> None:
    for quantity in ("stress", "virial"):
        alike = [key for key in matrices if looks_like(quantity, key)]
        if alike:
            log.warning("%s: %s is not read; set data.%s_key to use it", file, listing(alike), quantity)


def _check_stress_unit(file: str, keys: Mapping[str, str], options: ReadOptions) -> None:
    others = (options.energy_unit or "eV") != "eV" or (options.length_unit or "Ang") != "Ang"
    if others and "stress" in keys and options.stress_unit is None:
        raise ValueError(
            f"{file}: data.units.energy is {options.energy_unit or 'eV'} and data.units.length is "
            f"{options.length_unit or 'Ang'}, and the file holds a stress. Set data.units.stress"
        )


@np.errstate(all="ignore")  # of numbers that are not finite, which Structure reports
def _structure(
    origin: str,
    atoms: ase.Atoms,
    values: Mapping[str, Any],
    keys: Mapping[str, str],
    options: ReadOptions,
    factors: Factors,
) -> Structure:
    cell = np.array(atoms.cell, dtype=np.float64) * factors.length
    energy = forces = stress = None
    labels = {quantity: values[key] for quantity, key in keys.items() if values.get(key) is not None}
    if "energy" in labels:
        energy = float(_numbers(origin, keys["energy"], labels["energy"], [(), (1,)]).reshape(())) * factors.energy
    if "forces" in labels:
        forces = _numbers(origin, keys["forces"], labels["forces"], [(len(atoms), 3)]) * factors.forces
    if "stress" in labels and atoms.pbc.all():
        stress = _matrix(origin, keys["stress"], labels["stress"]) * SIGNS[options.stress_positive] * factors.stress
    volume = abs(np.linalg.det(cell))
    if "virial" in labels and atoms.pbc.all() and volume > 0:  # a flat cell is an error that Structure reports
        virial = _matrix(origin, keys["virial"], labels["virial"]) * SIGNS[options.virial_positive] * factors.energy
        stress = virial / volume
    return Structure(
        numbers=atoms.numbers.astype(np.int64),
        positions=atoms.positions * factors.length,
        cell=cell,
        pbc=atoms.pbc.copy(),
        energy=energy,
        forces=forces,
        stress=stress,
        info=_plain_info(atoms.info, set(keys.values())),
        origin=origin,
    )


def _matrix(origin: str, key: str, value: Any) -> np.ndarray:
    """A symmetric 3x3 matrix from itself, from nine numbers or from six in Voigt order xx, yy, zz, yz, xz, xy."""
    numbers = _numbers(origin, key, value, [(6,), (9,), (3, 3), (1, 6), (1, 9), (1, 3, 3)]).ravel()
    matrix = numbers[VOIGT] if len(numbers) == 6 else numbers.reshape(3, 3)
    difference = float(np.abs(matrix - matrix.T).max())
    if difference > SYMMETRIC * float(np.abs(matrix).max()):
        raise ValueError(
            f"{origin}: '{key}' is {matrix.tolist()}, asymmetric by {difference:.3g}; a stress is symmetric. "
            "Mend or remove it"
        )
    return 0.5 * (matrix + matrix.T)


def _numbers(origin: str, key: str, value: Any, shapes: list[tuple[int, ...]]) -> np.ndarray:
    if not _is_numeric(value):
        raise ValueError(f"{origin}: '{key}' is {value!r}; expected numbers")
    if np.shape(value) not in shapes:
        raise ValueError(f"{origin}: '{key}' has shape {np.shape(value)}; expected {' or '.join(map(str, shapes))}")
    return np.asarray(value, dtype=np.float64)


def _is_numeric(value: Any) -> bool:
    return isinstance(value, (int, float, np.number, np.ndarray)) and np.asarray(value).dtype.kind in "fiu"


def _plain_info(info: Mapping[str, Any], labels: set[str]) -> dict[str, Any]:
    """Entries that are one number, one truth value or one text, less the labels."""
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in info.items()}
    return {
        key: value for key, value in plain.items() if isinstance(value, (bool, int, float, str)) and key not in labels
    }
