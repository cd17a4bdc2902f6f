"""The command ipi."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from mlip.evaluation_command import add_device_options, use_threads
from mlip.inspection import Command


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parser of ipi; `add` makes one from name, command and help."""
    p = add("ipi", _ipi, "energy and forces for a running i-PI server, until it ends")
    p.add_argument("potential", help="run folder or potential file")
    p.add_argument("start", help="the server's structure: elements in its order, and periodic directions")
    p.add_argument("--host", default="localhost", help="machine of the server (default: localhost)")
    p.add_argument("--port", type=int, default=31415, help="where it listens (default: 31415)")
    p.add_argument("--unixsocket", metavar="NAME", help="its socket file /tmp/ipi_NAME, instead of host and port")
    p.add_argument(
        "--wait", type=float, default=10.0, metavar="s", help="how long to try until the server is there (default: 10)"
    )
    add_device_options(p)


def _ipi(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from mlip.data.start import read_start
    from mlip.interfaces.calculator import MLIPCalculator
    from mlip.interfaces.ipi import Server, answer

    use_threads(options)
    if not (math.isfinite(options.wait) and options.wait >= 0):
        raise ValueError(f"--wait is {options.wait}; expected zero or a positive number of seconds")
    if not 1 <= options.port <= 65535:
        raise ValueError(f"--port is {options.port}; expected a number from 1 to 65535")
    atoms = read_start(options.start)
    atoms.calc = MLIPCalculator(options.potential, device=options.device, dtype=options.dtype)
    server = Server(options.host, options.port, options.unixsocket)
    evaluations = answer(atoms, server, wait=options.wait)
    return {"server": str(server), "evaluations": evaluations}, f"{server} ended after {evaluations} evaluations"
