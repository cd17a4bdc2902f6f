"""The commands import and export: potentials from and to the formats of other programs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlip.inspection import Command

FORMATS = ("n2p2",)


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parsers of these commands; `add` makes one from name, command and help."""
    p = add("import", _import, "make a potential file of another program's potential")
    p.add_argument("format", choices=FORMATS, help="n2p2: that of RuNNer and n2p2")
    p.add_argument("source", metavar="DIR", help="folder with input.nn, scaling.data and weights.ZZZ.data")
    p.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help="potential file to write; works as a run does"
    )
    _add_units(p, "units of the folder, whose files do not say them", required=True)
    p.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")

    p = add("export", _export, "write a potential in the format of another program")
    p.add_argument(
        "format",
        choices=(*FORMATS, "lammps"),
        help="n2p2: networks for RuNNer and n2p2, with an input for LAMMPS; lammps: tables of pair potentials",
    )
    p.add_argument("potential", metavar="RUN", help="run folder or potential file")
    p.add_argument("target", metavar="DIR", type=Path, help="folder to write; it is made if it is not there")
    _add_units(p, "units of the folder (default: eV-Ang)", required=False)
    p.add_argument("--member", type=int, metavar="N", help="which member of a committee, from 0")
    p.add_argument("--overwrite", action="store_true", help="replace files that are there")


def _add_units(parser: argparse.ArgumentParser, text: str, *, required: bool) -> None:
    parser.add_argument("--units", choices=("eV-Ang", "Ha-Bohr"), required=required, default="eV-Ang", help=text)


def _import(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from mlip.descriptors.functions import described
    from mlip.elements import symbols
    from mlip.interfaces.n2p2.reading import provenance, read_potential
    from mlip.model.checkpoint import save_potential

    output: Path = options.output
    if output.is_dir() or not output.parent.is_dir():
        raise ValueError(f"--output is {output}; expected a file name in a folder that exists")
    if output.exists() and not options.overwrite:
        raise ValueError(f"--output is {output}, which is there already. Choose another name, or say --overwrite")
    potential = read_potential(options.source, options.units)
    save_potential(output, potential, provenance(options.source, options.units))
    results = {
        "elements": list(potential.elements),
        "functions": len(potential.descriptor.functions),
        "cutoff": potential.cutoff,
        "saved": str(output),
    }
    kinds = described(potential.descriptor.functions)
    return results, f"a potential for {symbols(potential.elements)} with {kinds}; saved in {output}"


def _export(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from mlip.interfaces.lammps.tables import write_tables
    from mlip.interfaces.n2p2.writing import write_potential
    from mlip.model.checkpoint import load_potential
    from mlip.model.committee import member_of

    potential = load_potential(options.potential)
    if options.member is not None:
        potential = member_of(potential, options.member)
    if options.format == "lammps":
        if options.units != "eV-Ang":
            raise ValueError(f"--units is {options.units}; tables are written in eV-Ang, LAMMPS's units metal")
        files = write_tables(potential, options.target, overwrite=options.overwrite)
        names = [path.name for path in files]
        return {"folder": str(options.target), "files": names}, f"{', '.join(names)} written to {options.target}"
    files = write_potential(potential, options.target, options.units, overwrite=options.overwrite)
    names = [path.name for path in files]
    return {"folder": str(options.target), "files": names}, f"{', '.join(names)} written to {options.target}"
