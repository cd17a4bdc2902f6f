"""From structures to a data file of any format that can be written, or a message that says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlip.data.file_units import FileUnits
from mlip.data.options import Normalization
from mlip.data.paths import whole_file
from mlip.structure import Structure


class Format(NamedTuple):
    """What a file of one format can hold."""

    writer: str  # module whose `write(path, structures, units)` writes it
    suffixes: tuple[str, ...]
    cell: str = "none"  # "none", "whole": three periodic directions or none, "any"
    stress: bool = False
    several: bool = True  # more than one molecule
    labels: str = "any"  # energies and forces: "any" may be missing, "alike": all or none, "needed"
    units: tuple[FileUnits, ...] | None = None  # None: any


FORMATS = {
    "extxyz": Format("mlip.data.write", (".xyz", ".extxyz"), cell="any", stress=True, units=(FileUnits(),)),
    "npz": Format("mlip.data.write_npz", (".npz",), several=False, labels="alike"),
    "hdf5": Format("mlip.data.write_hdf5", (".h5", ".hdf5", ".hdf")),
    "input_data": Format("mlip.data.write_input_data", (".data",), cell="whole", labels="needed"),
}


def save_structures(
    path: str | Path,
    structures: Sequence[Structure],
    *,
    format: str = "auto",
    units: FileUnits | None = None,
    normalization: Normalization | None = None,
    overwrite: bool = False,
    progress: Callable[[Sequence[Structure]], Iterable[Structure]] = iter,
) -> None:
    """Write structures so that reading the file gives the same numbers; the file is whole or not there.

    Args:
        format: a key of `FORMATS`; "auto" goes by the suffix of `path`.
        units: of the file; None: eV and Å.
        normalization: of an input.data, in `units`; n2p2 itself wants physical data.
        overwrite: replace a file that exists.
        progress: what goes over the structures while they are written, such as a progress bar.

    Raises:
        ValueError: the format is unknown or cannot hold a structure, a label is missing that it needs, units or a
            normalization do not fit it, there is nothing to write, or the file exists.
    """
    path, units = Path(path), units or FileUnits()
    kind = format_to_write(path, format)
    check_target(path, kind, units, normalization, overwrite)
    if not structures:
        raise ValueError(f"{path}: no structures to write")
    reason = obstacle(kind, structures)
    if reason is not None:
        able = [name for name in FORMATS if name != kind and obstacle(name, structures) is None]
        cure = f"Formats that can hold all: {', '.join(able)}" if able else "No format here can hold all of it"
        raise ValueError(f"{path}: cannot be of format {kind}: {reason}. {cure}")
    more = {} if normalization is None else {"normalization": normalization}
    with whole_file(path) as partial:
        import_module(FORMATS[kind].writer).write(partial, progress(structures), units, **more)


def format_to_write(path: Path, format: str = "auto") -> str:
    """The format named, else that of the suffix.

    Raises:
        ValueError: there is no such format, or no format has this suffix.
    """
    if format != "auto":
        if format not in FORMATS:
            raise ValueError(f"format is '{format}'; expected auto, {', '.join(FORMATS)}")
        return format
    for name, properties in FORMATS.items():
        if path.suffix.lower() in properties.suffixes:
            return name
    known = ", ".join(suffix for properties in FORMATS.values() for suffix in properties.suffixes)
    raise ValueError(
        f"{path}: the suffix '{path.suffix}' names no format that can be written; expected {known}, or a format"
    )


def check_target(path: Path, kind: str, units: FileUnits, normalization: Normalization | None, overwrite: bool) -> None:
    """Check all that can be checked before structures are read.

    Raises:
        ValueError: the file exists, its folder does not, or units or a normalization do not fit the format.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{path}: cannot be written; expected a file name in a folder that exists")
    if path.exists() and not overwrite:
        raise ValueError(f"{path}: exists already. Choose another name, or overwrite it (--overwrite)")
    allowed = FORMATS[kind].units
    if allowed is not None and units not in allowed:
        raise ValueError(
            f"{path}: units are {units.energy} and {units.length}, but a file of format {kind} is always in "
            f"{' or '.join(f'{one.energy} and {one.length}' for one in allowed)}"
        )
    if normalization is not None and kind != "input_data":
        raise ValueError(f"{path}: a normalization is given, but only input_data is ever normalized, not {kind}")


def obstacle(kind: str, structures: Sequence[Structure]) -> str | None:
    """Why the first structure that does not fit into a format does not; None if all of them fit."""
    holds, first = FORMATS[kind], structures[0]
    for structure in structures:
        reason = _obstacle(holds, structure, first)
        if reason is not None:
            return f"{structure.origin} {reason}"
    return None


def _obstacle(holds: Format, structure: Structure, first: Structure) -> str | None:
    if structure.stress is not None and not holds.stress:
        return "has a stress, which the format cannot hold. Leave it out (--without stress)"
    periodic = int(structure.pbc.sum())
    if periodic and holds.cell == "none":
        return "is periodic, but the format holds no cell"
    if 0 < periodic < 3 and holds.cell == "whole":
        return f"is periodic in {periodic} of three directions, but the format knows only all or none"
    if not holds.several and not np.array_equal(structure.numbers, first.numbers):
        return f"has other atoms than {first.origin}, or in another order, but the format holds one molecule"
    for name in ("energy", "forces"):
        lacks = getattr(structure, name) is None
        if holds.labels == "needed" and lacks:
            return f"has no {name}, which the format needs"
        if holds.labels == "alike" and lacks != (getattr(first, name) is None):
            return f"has {'no ' * lacks}{name}, unlike {first.origin}; the format holds a label of all or of none"
    return None


def left_out(kind: str, structures: Sequence[Structure]) -> list[str]:
    """What a file of this format leaves out of structures that it can hold: names of info entries, unused cells."""
    kept = {"extxyz": None, "input_data": {"comment", "charge"}}.get(kind, set())
    names = dict.fromkeys(name for structure in structures for name in structure.info)
    lost = [] if kept is None else [f"info '{name}'" for name in names if name not in kept]
    if FORMATS[kind].cell != "any" and any(s.cell.any() and not s.pbc.any() for s in structures):
        lost.append("cells without a periodic direction")
    return lost
