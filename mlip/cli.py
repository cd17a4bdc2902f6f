"""The command line: its parser; the commands train, evaluate, md, schema. Heavy imports stay inside the commands."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlip import (
    analysis_command,
    collecting,
    conversion,
    inspection,
    ipi_command,
    lammps_command,
    prepare_command,
    selection_command,
)
from mlip import evaluation_command as evaluation
from mlip import exchange_command as exchange
from mlip.evaluation_command import add_device_options, add_extrapolation_options, use_threads
from mlip.inspection import Command
from mlip.messages import shown
from mlip.report import command as report
from mlip.stopping import Stopped, StopSignals, exit_status, stopping_at_once
from mlip.studies import commands as studies

USER_ERROR, UNPHYSICAL = 2, 3
DEBUG = "MLIP_DEBUG"
CONDITIONS = (  # options of md
    "ensemble", "temperature", "pressure", "timestep", "friction", "seed",
    "largest_force", "on_extrapolation", "largest_extrapolation",
)  # fmt: skip

EXAMPLES = """\
a potential from a data file, and dynamics with it:
  mlip convert input.data ethanol.npz data.units='{energy: eV, length: Ang}'
  mlip check config.yaml
  mlip train config.yaml data.train=ethanol.npz run.dir=runs/ethanol training.epochs=100
  mlip evaluate runs/ethanol test.xyz --by config_type
  mlip md runs/ethanol start.xyz --ensemble langevin --temperature 300 --steps 20000

exit status: 0 done; 2 a mistake in the input, said in one message; 3 dynamics left physics; 75 stopped by SIGUSR1,
state saved, put the job into the queue again; 128+N stopped by another signal N.
MLIP_DEBUG=1 shows where a message comes from."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    if any(text.startswith("-") or "overrides" not in options for text in rest):
        parser.error(f"unrecognized arguments: {' '.join(rest)}; see mlip {options.name} --help")
    if rest:  # overrides that stand behind an option
        options.overrides += rest
    level = logging.WARNING if options.quiet or options.json else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr, force=True)
    try:
        return int(options.command(options) or 0)
    except (ValueError, OSError, MemoryError) as error:
        if os.environ.get(DEBUG):
            raise
        print(f"mlip: error: {shown(str(error)) or type(error).__name__}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("mlip: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="mlip",
        description="Behler-Parrinello neural-network potentials: from a data file to molecular dynamics.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    p = _add(commands, "train", _train, "train a potential from a config file")
    p.add_argument("config", nargs="?", help="YAML file; configs/reference.yaml shows every key")
    p.add_argument("overrides", nargs="*", metavar="key.path=value", help="replaces a value of the config")
    p.add_argument("--resume", metavar="RUN", help="go on with the interrupted run in this folder")
    p.add_argument("--requeue", action="store_true", help="begin, or go on with the run in run.dir; for batch jobs")

    studies.add_commands(lambda name, command, text: _add(commands, name, _repeated(command), text))

    evaluation.add_commands(lambda name, command, text: _add(commands, name, _printed(command), text))

    p = _add(commands, "md", _md, "molecular dynamics with a potential")
    p.add_argument("potential", help="run folder or potential file")
    p.add_argument("start", help="structure to start from, any file ASE reads (the last frame counts)")
    p.add_argument(
        "--ensemble",
        default="nve",
        help="nve, langevin, nose-hoover (NVT), npt (isotropic), npt-flexible (default: nve)",
    )
    p.add_argument(
        "--temperature", type=float, default=300.0, metavar="K", help="of the start and the thermostat (default: 300)"
    )
    p.add_argument("--pressure", type=float, default=0.0, metavar="GPa", help="for npt (default: 0)")
    p.add_argument("--timestep", type=float, default=0.5, metavar="fs", help="default: 0.5")
    p.add_argument("--steps", type=int, default=2000, help="from the start, restarts included (default: 2000)")
    p.add_argument("--interval", type=int, default=10, help="steps between two frames and log rows (default: 10)")
    p.add_argument("--friction", type=float, default=0.01, metavar="1/fs", help="of langevin (default: 0.01)")
    p.add_argument("--seed", type=int, default=1, help="of velocities and noise (default: 1)")
    p.add_argument(
        "--output",
        type=Path,
        default=Path("md.xyz"),
        metavar="FILE",
        help="trajectory, .xyz or .traj (default: md.xyz)",
    )
    p.add_argument("--restart", action="store_true", help="go on where the run that wrote --output stopped")
    p.add_argument(
        "--largest-force", type=float, default=200.0, metavar="eV/Å", help="beyond it the run stops (default: 200)"
    )
    add_extrapolation_options(p)
    collecting.add_options(p)
    add_device_options(p)

    prepare_command.add_commands(lambda name, command, text: _add(commands, name, _repeated(command), text))

    parts = (report, analysis_command, selection_command, lammps_command, ipi_command, inspection, conversion, exchange)
    for part in parts:
        part.add_commands(lambda name, command, text: _add(commands, name, _printed(command), text))

    p = _add(commands, "schema", _schema, "print the JSON schema of the config")
    p.add_argument("--yaml", action="store_true", help="print a config with every key, its meaning and default instead")
    return parser


def _add(
    commands: Any, name: str, command: Callable[[argparse.Namespace], int | None], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no notes, only results and errors")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object, nothing else")
    parser.set_defaults(command=command, name=name)
    return parser


def _train(options: argparse.Namespace) -> int:
    if (options.config is None) == (options.resume is None):
        raise ValueError("mlip train takes a config file, or --resume RUN; give one of them")
    if options.requeue and options.config is None:
        raise ValueError("--requeue takes the config file, with which it begins or goes on; --resume RUN needs none")
    from mlip import requeue, run
    from mlip.configfile import load_config
    from mlip.preparation import PARTS
    from mlip.training.distributed import ALONE, joined
    from mlip.training.metrics import table

    quiet = options.quiet or options.json
    folder = options.resume
    ranks = ALONE
    try:
        with joined() as ranks, stopping_at_once():
            if folder is not None:
                results = run.resume(folder, quiet=quiet, ranks=ranks)
            else:
                config = load_config(options.config, options.overrides)
                folder = config.run.dir
                begin = requeue.begin_or_resume if options.requeue else run.train
                results = begin(config, quiet=quiet, ranks=ranks)
    except Stopped as stop:
        if ranks.first or not ranks.stop_together:
            begun = folder is not None and (Path(folder) / run.CONFIG_FILE).is_file()
            by_name = begun and not options.requeue
            cure = f"go on with: mlip train --resume {folder}" if by_name else "give the same command again"
            print(f"mlip: {stop}; {cure}", file=sys.stderr)
        return exit_status(stop.number)
    if not ranks.first:
        return 0
    parts: dict[str, Any] = {name: results[name] for name in PARTS if name in results}
    best = "" if results["best_epoch"] is None else f", best epoch {results['best_epoch']}"
    _print(
        options,
        results,
        f"{table(parts)}\n{results['seconds']:.0f} s{best}; saved in {folder}",
    )
    return 0


def _printed(command: Command) -> Callable[[argparse.Namespace], None]:
    """A command whose results are printed, nothing else."""
    return lambda options: _print(options, *command(options))


def _repeated(command: Command) -> Callable[[argparse.Namespace], int]:
    """A command of many parts, which goes on with those that are missing when it is given again."""

    def repeated(options: argparse.Namespace) -> int:
        try:
            with stopping_at_once():
                _print(options, *command(options))
        except Stopped as stop:
            print(f"mlip: {stop}; go on with the same command", file=sys.stderr)
            return exit_status(stop.number)
        return 0

    return repeated


def _md(options: argparse.Namespace) -> int:
    from mlip.data.start import read_start
    from mlip.dynamics import Simulation, Unphysical
    from mlip.ensembles import Conditions
    from mlip.interfaces.calculator import MLIPCalculator
    from mlip.model.checkpoint import fingerprint
    from mlip.model.extrapolation import require_ranges

    use_threads(options)
    conditions = Conditions(**{name: getattr(options, name) for name in CONDITIONS} | collecting.watched(options))
    atoms = read_start(options.start)
    watch = "ignore" if options.on_extrapolation == "ignore" else "count"
    atoms.calc = MLIPCalculator(options.potential, device=options.device, dtype=options.dtype, extrapolation=watch)
    if options.on_extrapolation == "stop":
        require_ranges(atoms.calc.potential)
    if options.output.exists() and options.output.samefile(options.start):
        raise ValueError(f"--output is {options.output}, the start itself; choose another file")
    simulation = Simulation(
        atoms,
        conditions,
        options.output,
        interval=options.interval,
        potential=fingerprint(atoms.calc.potential),
        collector=collecting.collector_of(options, atoms.calc.potential),
    )
    simulation.restart() if options.restart else simulation.start()
    try:
        with StopSignals() as stop:
            summary = simulation.run(options.steps, quiet=options.quiet or options.json, should_stop=stop)
    except Unphysical as error:
        print(f"mlip: stopped: {error}", file=sys.stderr)
        return UNPHYSICAL
    conserved = (
        "" if conditions.ensemble == "langevin"
        else ", energy drift {drift_meV_per_atom:+.3f} meV/atom (swing {fluctuation_meV_per_atom:.3f})"
    )  # fmt: skip
    text = (
        "{steps} steps, {time_ps:.3f} ps in {seconds:.1f} s ({ms_per_step:.2f} ms per step); mean temperature "
        "{mean_temperature:.0f} K" + conserved + "; trajectory in {output}"
    ).format(**summary, output=options.output)
    for part in (simulation.collector, simulation.sparsity, simulation.extrapolation):
        text += f"\n{part.text()}" if part else ""
    if stop.number:
        print(f"mlip: stopped at step {simulation.step}; go on with the same command and --restart", file=sys.stderr)
    _print(options, summary, text)
    return exit_status(stop.number) if stop.number else 0


def _schema(options: argparse.Namespace) -> None:
    from mlip.config import Config
    from mlip.configreference import reference_yaml

    print(
        reference_yaml() if options.yaml else json.dumps(Config.model_json_schema(), indent=1),
        end="" if options.yaml else "\n",
    )


def _print(options: argparse.Namespace, results: dict[str, Any], text: str) -> None:
    print(json.dumps(results) if options.json else text)


class _Version(argparse.Action):
    """Prints the version; looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *unused: Any) -> None:
        from importlib.metadata import version

        print(f"mlip {version('mlip')}")
        parser.exit()
