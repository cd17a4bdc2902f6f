"""The command report. Heavy imports stay inside of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlip.evaluation_command import add_device_options, use_threads
from mlip.inspection import Command

FORMATS = ("svg", "png", "pdf")


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parser of report; `add` makes one from name, command and help."""
    p = add("report", _report, "one page of HTML that shows a run: data, training, errors, worst structures")
    p.add_argument("run", type=Path, help="run folder of a training")
    p.add_argument("--output", type=Path, metavar="FILE", help="the page (default: report.html in the run folder)")
    p.add_argument("--figures", type=Path, metavar="DIR", help="write the figures into this folder as well, for papers")
    p.add_argument("--format", choices=FORMATS, default="svg", help="of these figures (default: svg)")
    p.add_argument("--worst", type=int, default=20, metavar="N", help="structures to look at (default: 20)")
    p.add_argument(
        "--most", type=int, default=2000, metavar="N", help="structures of each set that are evaluated (default: 2000)"
    )
    add_device_options(p)


def _report(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("mlip report draws with matplotlib, which is missing: pip install 'mlip[plot]'")
    import torch

    from mlip.device import device_of
    from mlip.report.page import write_page
    from mlip.report.report import make_report
    from mlip.report.style import save
    from mlip.run import REPORT_FILE

    use_threads(options)
    for name, least in (("most", 1), ("worst", 0)):
        if getattr(options, name) < least:
            raise ValueError(f"--{name} is {getattr(options, name)}; expected at least {least}")
    path = options.output or options.run / REPORT_FILE
    if path.is_dir() or (options.output is not None and not path.parent.is_dir()):
        raise ValueError(f"--output is {path}; expected a file name in a folder that exists")
    if options.figures is not None and options.figures.exists() and not options.figures.is_dir():
        raise ValueError(f"--figures is {options.figures}, which is a file; expected a folder or a new name")
    dtype = getattr(torch, options.dtype) if options.dtype else None
    quiet = options.quiet or options.json
    report = make_report(
        options.run, device_of(options.device), dtype, most=options.most, worst=options.worst, quiet=quiet
    )
    size = write_page(report, path)
    drawings = [drawing for drawn in report.drawings.values() for drawing in drawn]
    files = save(drawings, options.figures, options.format) if options.figures is not None else []
    found = {
        "page": str(path),
        "bytes": size,
        "figures": [str(file) for file in files],
        "warnings": report.warnings,
        "errors": {part: report.errors(part) for part in ("train", "valid", "test") if report.errors(part)},
        "worst": [{key: row[key] for key in row if key not in ("picture", "view")} for row in report.worst],
    }
    lines = [f"{path}: {size / 1e6:.1f} MB, {len(drawings)} figures"]
    lines += [f"figures in {options.figures}"] if files else []
    lines += [f"warning: {text}" for text in report.warnings]
    return found, "\n".join(lines)
