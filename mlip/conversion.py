"""The command convert: a data file from one format to another."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlip.inspection import Command

if TYPE_CHECKING:
    from mlip.structure import Structure

log = logging.getLogger("mlip.data")

UNITS = {"eV-Ang": ("eV", "Ang"), "Ha-Bohr": ("Hartree", "Bohr"), "Ha-Ang": ("Hartree", "Ang"),
         "kcal/mol-Ang": ("kcal/mol", "Ang")}  # fmt: skip
LABELS = ("energy", "forces", "stress")


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parser of convert; `add` makes one from name, command and help."""
    p = add("convert", _convert, "write a data file in another format: extxyz, npz, HDF5 or n2p2's input.data")
    p.add_argument("source", help="file to read, any format that train reads")
    p.add_argument("target", type=Path, help="file to write; .xyz, .extxyz, .npz, .h5, .hdf5 or .data names its format")
    p.add_argument(
        "overrides", nargs="*", metavar="data.key=value", help="how to read it, such as data.units.energy=Hartree"
    )
    p.add_argument("--format", default="auto", help="of the target: extxyz, npz, hdf5, input_data (default: by suffix)")
    p.add_argument(
        "--index", metavar="SLICE", help="which structures, such as :100, ::5 or, with =, --index=-20: (default: all)"
    )
    p.add_argument("--to-units", choices=UNITS, default="eV-Ang", help="of the target (default: eV-Ang)")
    p.add_argument(
        "--without",
        choices=LABELS,
        action="append",
        default=[],
        metavar="LABEL",
        help="leave out energy, forces or stress",
    )
    p.add_argument(
        "--normalize",
        type=float,
        nargs=3,
        metavar=("MEAN_ENERGY", "CONV_ENERGY", "CONV_LENGTH"),
        help="write input.data in n2p2's normalized units; the numbers are those of input.nn, in the target's units",
    )
    p.add_argument("--overwrite", action="store_true", help="replace the target if it exists")


def _convert(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from tqdm import tqdm

    from mlip.configfile import data_section
    from mlip.data.file_units import FileUnits
    from mlip.data.options import Normalization
    from mlip.data.read import read_structures
    from mlip.data.save import check_target, format_to_write, left_out, save_structures
    from mlip.reading import read_options

    overrides = options.overrides
    if options.index is not None:
        if any(override.startswith("data.index") for override in overrides):
            raise ValueError(f"--index is {options.index} and data.index is given as well; give one of them")
        overrides = [*overrides, f"data.index='{options.index}'"]
    data = data_section(options.source, overrides)
    units = FileUnits(*UNITS[options.to_units])
    kind = format_to_write(options.target, options.format)
    normalization = Normalization(*options.normalize) if options.normalize else None
    if options.target.exists() and Path(options.source).exists() and options.target.samefile(options.source):
        raise ValueError(f"{options.target}: the target is the source itself; choose another file")
    check_target(options.target, kind, units, normalization, options.overwrite)
    structures = read_structures(data.train, read_options(data, index=data.index))
    without: dict[str, Any] = dict.fromkeys(options.without)
    structures = [replace(structure, **without) for structure in structures]

    quiet = options.quiet or options.json

    def progress(these: Sequence[Structure]) -> tqdm[Structure]:
        return tqdm(these, unit="structure", delay=2, disable=quiet, dynamic_ncols=True)

    save_structures(
        options.target,
        structures,
        format=kind,
        units=units,
        normalization=normalization,
        overwrite=options.overwrite,
        progress=progress,
    )
    lost = left_out(kind, structures)
    if lost:
        log.warning(
            "%s: not written, as a file of format %s has no place for it: %s", options.target, kind, ", ".join(lost)
        )
    summary = {"source": options.source, "target": str(options.target), "format": kind, **_contents(structures)}
    summary |= {"units": dict(units._asdict()), "left_out": lost}
    return summary, _sentence(summary)


def _contents(structures: Sequence[Structure]) -> dict[str, Any]:
    """How many structures and atoms there are, of which elements, and how many have each label."""
    from mlip.elements import symbol

    elements = sorted({int(number) for structure in structures for number in structure.numbers})
    return {
        "structures": len(structures),
        "atoms": sum(map(len, structures)),
        "elements": [symbol(number) for number in elements],
        "periodic": sum(bool(structure.pbc.any()) for structure in structures),
        "labels": {name: sum(getattr(structure, name) is not None for structure in structures) for name in LABELS},
    }


def _sentence(summary: dict[str, Any]) -> str:
    labels = [
        name if count == summary["structures"] else f"{name} (of {count})"
        for name, count in summary["labels"].items()
        if count
    ]
    return (
        "{target}: {structures} structures ({periodic} periodic), {atoms} atoms of {names}; labels: {held}; "
        "format {format}, {units[energy]} and {units[length]}"
    ).format(**summary, names=", ".join(summary["elements"]), held=", ".join(labels) or "none")
