"""The command evaluate, and the options of all commands that evaluate a potential."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlip.inspection import Command


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parser of evaluate; `add` makes one from name, command and help."""
    p = add("evaluate", _evaluate, "errors of a potential on a data file, and its predictions")
    p.add_argument("potential", help="run folder or potential file")
    p.add_argument("data", help="file with labelled structures, any format that train reads")
    p.add_argument(
        "overrides", nargs="*", metavar="data.key=value", help="how to read it, such as data.energy_key=REF_energy"
    )
    p.add_argument(
        "--by", metavar="NAME", help="errors for each value of this entry as well, such as config_type or group"
    )
    p.add_argument("--shift", action="store_true", help="take the mean error of the energy per atom from all energies")
    p.add_argument("--worst", type=int, default=0, metavar="N", help="name the N structures with the largest errors")
    p.add_argument("--output", type=Path, metavar="FILE", help="write structures with predictions as extxyz")
    add_device_options(p)


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Where and how precisely a potential is evaluated."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; more help large cells only (default: 1)")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="precision (default: as trained)")


def add_extrapolation_options(parser: argparse.ArgumentParser) -> None:
    """What dynamics does about atoms outside of the training set's features."""
    parser.add_argument(
        "--on-extrapolation",
        default="warn",
        metavar="WHAT",
        help="features outside of the training set's: ignore, warn (a line at the end), stop; in md also collect "
        "(default: warn)",
    )
    parser.add_argument(
        "--largest-extrapolation",
        type=float,
        default=1.0,
        metavar="WIDTHS",
        help="how far outside of a function's range, in its widths, stop allows (default: 1)",
    )


def use_threads(options: argparse.Namespace) -> None:
    """Take as many threads as --threads says, and round nothing on a GPU.

    Raises:
        ValueError: that is no number of threads.
    """
    from mlip.arithmetic import round_products
    from mlip.device import configure_cpu

    if options.threads < 1:
        raise ValueError(f"--threads is {options.threads}; expected at least 1")
    configure_cpu(options.threads)
    round_products(False)


def _evaluate(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    import torch

    from mlip.configfile import data_section
    from mlip.data.read import read_structures
    from mlip.device import device_of
    from mlip.evaluation import (
        committee_spreads,
        evaluate_structures,
        worst_structures,
        worst_table,
        write_predictions,
    )
    from mlip.model.checkpoint import load_potential
    from mlip.model.density import Distance
    from mlip.model.extrapolation import ExtrapolationCount
    from mlip.model.sparsity import SparsityCount, with_density
    from mlip.reading import read_options
    from mlip.training.metrics import table

    use_threads(options)
    if options.worst < 0:
        raise ValueError(f"--worst is {options.worst}; expected a number of structures")
    data = data_section(options.data, options.overrides)
    if options.output is not None:
        if options.output.is_dir() or not options.output.parent.is_dir():
            raise ValueError(f"--output is {options.output}; expected a file name in a folder that exists")
        if options.output.exists() and options.output.samefile(options.data):
            raise ValueError(f"--output is {options.output}, the data itself; choose another file")
    dtype = getattr(torch, options.dtype) if options.dtype else None
    potential = load_potential(options.potential, device=device_of(options.device), dtype=dtype)
    structures = read_structures(data.train, read_options(data, index=data.index))
    extrapolation, sparsity = ExtrapolationCount(potential, "structure"), SparsityCount(potential, "structure")
    spreads = committee_spreads(potential, structures)
    distances: list[Distance] = []
    results, predictions = evaluate_structures(
        potential,
        structures,
        by=options.by,
        shift=options.shift,
        quiet=options.quiet or options.json,
        spreads=spreads,
        extrapolation=extrapolation,
        sparsity=sparsity,
        distances=distances,
    )
    if options.output:
        write_predictions(options.output, structures, predictions, spreads, distances)
    text, offset = table(results), results["all"].get("energy_shift_per_atom", 0.0)
    if options.shift:
        text += f"\nenergies after taking {1e3 * offset:+.2f} meV/atom from all of them"
    text += f"\n{sparsity.text()}\n{extrapolation.text()}"
    found: dict[str, Any] = {**results, "extrapolation": with_density(extrapolation.results(), sparsity)}
    if options.worst:
        worst = worst_structures(structures, predictions, options.worst, offset)
        return {**found, "worst": worst}, f"{text}\n{worst_table(worst)}"
    return found, text
