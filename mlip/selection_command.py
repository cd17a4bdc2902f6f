"""The command select: few structures of a file that differ as much as they can."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlip.evaluation_command import use_threads
from mlip.inspection import Command

if TYPE_CHECKING:
    from mlip.descriptors.acsf import ACSF
    from mlip.structure import Structure

SAMPLE = 200  # structures that functions are chosen for where neither a potential nor a config gives them


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parser of select; `add` makes one from name, command and help."""
    p = add("select", _select, "choose structures of a file that differ as much as they can")
    p.add_argument("data", help="file with structures, labelled or not, any format that train reads")
    p.add_argument("overrides", nargs="*", metavar="data.key=value", help="how to read it, such as data.index=::10")
    p.add_argument("-n", "--number", type=int, required=True, metavar="N", help="how many structures")
    p.add_argument(
        "--method", default="fps", metavar="WHAT", help="fps (farthest point), cur (leverage) or random (default: fps)"
    )
    p.add_argument(
        "--of",
        default="structures",
        metavar="WHAT",
        help="compare the mean environments of structures, or all of their atoms (default: structures)",
    )
    p.add_argument(
        "--potential", metavar="RUN", help="run folder or potential file whose symmetry functions to compare"
    )
    p.add_argument("--config", metavar="FILE", help="config with model.descriptor; else functions as auto chooses them")
    p.add_argument("--exclude", metavar="FILE", help="structures that are there already, to be far from as well")
    p.add_argument("--output", type=Path, metavar="FILE", help="write them, any format that convert writes")
    p.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    p.add_argument("--seed", type=int, default=1, help="of random, and of the functions that auto chooses (default: 1)")
    p.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")


def _select(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from tqdm import tqdm

    from mlip.configfile import data_section
    from mlip.data.file_units import FileUnits
    from mlip.data.read import read_structures
    from mlip.data.save import check_target, format_to_write, save_structures
    from mlip.picking import pick, summary
    from mlip.reading import read_options

    use_threads(options)
    if options.seed < 0:
        raise ValueError(f"--seed is {options.seed}; expected zero or a positive whole number")
    if options.potential and options.config:
        raise ValueError("--potential and --config both give symmetry functions; give one of them")
    data = data_section(options.data, options.overrides)
    if options.output:
        check_target(options.output, format_to_write(options.output), FileUnits(), None, options.overwrite)
        if options.output.exists() and options.output.samefile(options.data):
            raise ValueError(f"--output is {options.output}, the data itself; choose another file")
    structures = read_structures(data.train, read_options(data, index=data.index))
    exclude = read_structures(options.exclude, read_options(data)) if options.exclude else []
    descriptor = _descriptor(options, structures, exclude)
    quiet = options.quiet or options.json
    looks = {"unit": "structure", "delay": 2, "disable": quiet, "dynamic_ncols": True}
    passes = 2 if options.of == "atoms" else 1
    with (
        tqdm(total=passes * (len(structures) + len(exclude)), desc="features", **looks) as reading,
        tqdm(total=min(options.number, len(structures)), desc="choice", **looks) as choosing,
    ):
        chosen = pick(
            descriptor,
            structures,
            options.number,
            method=options.method,
            of=options.of,
            exclude=exclude,
            seed=options.seed,
            reading=reading.update,
            choosing=choosing.update,
        )
    if options.output:
        if not chosen.structures:
            raise ValueError(f"{options.data}: every structure is one of {options.exclude}; nothing is left to write")
        save_structures(options.output, [structures[n] for n in chosen.structures], overwrite=options.overwrite)
    found = {
        "data": options.data,
        "structures": len(structures),
        "chosen": summary(structures, chosen),
        "method": options.method,
        "functions": len(descriptor.functions),
        "output": str(options.output) if options.output else None,
    }
    return found, _text(options, found)


def _descriptor(options: argparse.Namespace, structures: Sequence[Structure], exclude: Sequence[Structure]) -> ACSF:
    """The symmetry functions of the potential or config, else those that auto chooses.

    Raises:
        ValueError: the structures hold an element that the potential does not know.
    """
    from mlip.assembly import functions_of, with_chosen_functions
    from mlip.configfile import load_config, parse_config
    from mlip.descriptors.acsf import ACSF
    from mlip.preparation import require_known

    elements = sorted({int(number) for structure in (*structures, *exclude) for number in structure.numbers})
    if options.potential:
        from mlip.model.checkpoint import load_potential

        descriptor = load_potential(options.potential).descriptor
        require_known(set(descriptor.elements), [*structures, *exclude], "structure the potential was trained on")
        return descriptor
    usual = {"data": {"train": options.data}, "run": {"seed": options.seed}}
    config = load_config(options.config) if options.config else parse_config(usual, "command line")
    sample = _sample(structures, exclude)
    return ACSF(elements, functions_of(with_chosen_functions(config, sample), elements))


def _sample(structures: Sequence[Structure], exclude: Sequence[Structure]) -> list[Structure]:
    """Some structures from all over the file, all elements among them."""
    every = max(1, len(structures) // SAMPLE)
    sample = list(structures[::every])
    known = {int(number) for structure in sample for number in structure.numbers}
    for structure in (*structures, *exclude):
        new = {int(number) for number in structure.numbers} - known
        if new:
            sample.append(structure)
            known |= new
    return sample


def _text(options: argparse.Namespace, found: dict[str, Any]) -> str:
    chosen = found["chosen"]
    lines = [f"{row['structure']}" + (f"  {row['distance']:.3g}" if "distance" in row else "") for row in chosen]
    head = f"{len(chosen)} of {found['structures']} structures by {options.method}, {found['functions']} functions"
    if len(chosen) < options.number:
        head += "; there are no more that differ from these and from those to exclude"
    if options.output:
        return f"{head}; written to {options.output}"
    return "\n".join([f"{head}; each with its distance from those before it", *lines])
