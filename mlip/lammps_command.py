"""The command lammps."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mlip.evaluation_command import add_device_options, add_extrapolation_options, use_threads
from mlip.inspection import Command
from mlip.stopping import StopSignals, exit_status

if TYPE_CHECKING:
    from mlip.interfaces.lammps.attachment import Attachment
    from mlip.interfaces.lammps.script import Script
    from mlip.model.potential import Potential

USER_ERROR, UNPHYSICAL = 2, 3
EXTRAPOLATED = "extrapolated.data"


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parser of lammps; `add` makes one from name, command and help."""
    p = add(
        "lammps", _lammps, "run a LAMMPS input with a potential, alone or on many ranks (mpiexec -n N mlip lammps ...)"
    )
    p.add_argument("potential", help="run folder or potential file")
    p.add_argument("input", type=Path, help="LAMMPS input; where it has no pair_style, the potential is all there is")
    p.add_argument(
        "--elements", nargs="+", default=[], metavar="X",
        help="element of each atom type, in their order; or write pair_style mlip and pair_coeff * * Si O in the input",
    )  # fmt: skip
    p.add_argument(
        "-var", nargs="+", action="append", default=[], metavar=("NAME", "VALUE"), help="variable for LAMMPS's input"
    )
    p.add_argument("-log", default="log.lammps", metavar="FILE", help="LAMMPS's log (default: log.lammps)")
    p.add_argument("-screen", default=None, metavar="FILE", help="what LAMMPS prints goes there; none for nowhere")
    p.add_argument(
        "--std", type=int, default=0, metavar="N",
        help="every N steps compute a committee's deviations, d_mlip_forces_std and d_mlip_energy_std in dumps",
    )  # fmt: skip
    add_extrapolation_options(p)
    add_device_options(p)


def _lammps(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from mlip.interfaces.lammps.library import start

    use_threads(options)
    if options.std < 0:
        raise ValueError(f"--std is {options.std}; expected a number of steps, or 0 for never")
    screen = options.screen or ("none" if options.quiet or options.json else None)
    arguments = ["-log", options.log, *(["-screen", screen] if screen else [])]
    for words in options.var:
        arguments += ["-var", *words]
    lammps, ranks = start(arguments)
    potential, script = _together(ranks, lambda: _potential_and_script(options))
    _together(ranks, lambda: _read(lammps, ranks, options.input, script.before))
    with StopSignals() as stop:
        attached = _together(ranks, lambda: _attached(lammps, ranks, potential, options, script.elements, stop))
        begin = time.perf_counter()
        _together(ranks, lambda: _read(lammps, ranks, options.input, script.after))
    seconds = time.perf_counter() - begin
    size = 1 if ranks is None else ranks.size
    results = {
        "atoms": int(lammps.get_natoms()), "step": int(lammps.get_thermo("step")), "ranks": size, "seconds": seconds,
        "searches": attached.domain.searches,
    }  # fmt: skip
    text = f"step {results['step']}, {results['atoms']} atoms on {size} ranks, {seconds:.1f} s"
    stopped = None
    if attached.watch is not None:
        count, stopped = attached.watch.gathered(ranks), attached.watch.stopped_at
        results["extrapolation"] = count.results()
        text += f"\n{count.text()}"
    if stopped is not None:
        lammps.command(f"write_data {EXTRAPOLATED} nocoeff")
        text = f"mlip: stopped at step {stopped}; the atoms are saved in {EXTRAPOLATED}\n{text}"
    status = 0 if stopped is None else UNPHYSICAL
    if attached.stopped_at is not None and stopped is None:
        numbers = [stop.number] if ranks is None else ranks.allgather(stop.number)
        number = next(filter(None, numbers))
        status = exit_status(number)
        text = f"mlip: stopped by {signal.Signals(number).name} at step {attached.stopped_at}\n{text}"
    lammps.close()
    if status:
        _leave(ranks, status, text)
    if ranks is not None and ranks.rank > 0:
        raise SystemExit(0)  # the first rank speaks for all
    return results, text


def _leave(ranks: Any, status: int, text: str) -> NoReturn:
    """End with this exit status; the first rank says why, before any leaves: mpiexec then kills those that are left."""
    if ranks is None or ranks.rank == 0:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    if ranks is not None and ranks.size > 1:
        from mpi4py import MPI

        MPI.COMM_WORLD.Barrier()
        MPI.Finalize()
        os._exit(status)
    raise SystemExit(status)


def _together(ranks: Any, work: Callable[[], Any]) -> Any:
    """What all ranks do; where one fails, all end, and the first one says why."""
    failure, result = None, None
    try:
        result = work()
    except (ValueError, OSError, MemoryError) as error:
        if ranks is None or ranks.size == 1:
            raise
        failure = str(error) or type(error).__name__
    if ranks is not None:
        failures = [text for text in ranks.allgather(failure) if text is not None]
        if failures and ranks.rank == 0:
            raise ValueError(failures[0])
        if failures:
            raise SystemExit(USER_ERROR)
    return result


def _potential_and_script(options: argparse.Namespace) -> tuple[Potential, Script]:
    import torch

    from mlip.device import device_of_rank
    from mlip.interfaces.lammps.script import prepared
    from mlip.model.checkpoint import load_potential

    precision = None if options.dtype is None else getattr(torch, options.dtype)
    potential = load_potential(options.potential, device=device_of_rank(options.device), dtype=precision)
    script = prepared(options.input, potential.cutoff)
    if options.elements and script.elements and tuple(options.elements) != script.elements:
        raise ValueError(
            f"--elements are {' '.join(options.elements)}, those in {options.input} {' '.join(script.elements)}; "
            "give them once"
        )
    return potential, script


def _attached(
    lammps: Any,
    ranks: Any,
    potential: Potential,
    options: argparse.Namespace,
    elements: Sequence[str],
    stop: StopSignals,
) -> Attachment:
    from mlip.ensembles import require_sense
    from mlip.interfaces.lammps.attachment import Attachment
    from mlip.interfaces.lammps.watch import Watch

    how, largest = options.on_extrapolation, options.largest_extrapolation
    require_sense(how, largest)
    watch = None if how == "ignore" else Watch(potential, stop=how == "stop", largest=largest)
    given = options.elements or elements
    return Attachment(lammps, ranks, potential, given, std=options.std, watch=watch, should_stop=stop)


def _read(lammps: Any, ranks: Any, origin: Path, text: str) -> None:
    """Let LAMMPS read commands, as from a file, which is what its jumps need."""
    with tempfile.NamedTemporaryFile("w", prefix=origin.name, suffix=".lammps") as file:
        file.write(text)
        file.flush()
        try:
            lammps.file(file.name)
        except Exception as error:  # LAMMPS's Python module has exceptions of its own
            if type(error).__name__ == "MPIAbortException" and ranks is not None and ranks.size > 1:
                sys.stderr.write(f"mlip: error: {origin}: LAMMPS stopped: {error}\n")
                sys.stderr.flush()
                ranks.Abort(USER_ERROR)
            raise ValueError(f"{origin}: LAMMPS stopped: {error}") from error
