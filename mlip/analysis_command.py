"""The command analyze: what a trajectory says, and how it differs from a reference."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlip.inspection import Command

if TYPE_CHECKING:
    from mlip.analysis.frames import Frame

DEFAULT_FOLDER = Path("analysis")


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parser of analyze; `add` makes one from name, command and help."""
    p = add("analyze", _analyze, "temperature, energy drift, distances, diffusion and vibrations of a trajectory")
    p.add_argument("trajectory", help="any file ASE reads; what mlip md writes says its times")
    p.add_argument("--reference", metavar="FILE", help="another trajectory, analyzed likewise and compared")
    p.add_argument("--time-step", type=float, metavar="fs", help="between two frames of a file that has no times")
    p.add_argument("--reference-time-step", type=float, metavar="fs", help="the same for the reference")
    p.add_argument("--static", action="store_true", help="leave out what needs times: a set of structures in any order")
    p.add_argument("--index", default=":", metavar="SLICE", help="frames, such as 500: or ::5 (default: all)")
    p.add_argument("--reference-index", default=":", metavar="SLICE", help="the same for the reference")
    p.add_argument("--cutoff", type=float, default=8.0, metavar="Å", help="of distances (default: 8)")
    p.add_argument("--bin", type=float, default=0.05, metavar="Å", help="width of bins of distances (default: 0.05)")
    p.add_argument(
        "--element", action="append", default=[], metavar="SYMBOL",
        help="follow only atoms of this element in time; may be given again (default: all)",
    )  # fmt: skip
    p.add_argument(
        "--fit", type=float, nargs=2, metavar=("BEGIN", "END"),
        help="lags in ps of the line through displacements (default: 10 to 50 %% of a block)",
    )  # fmt: skip
    p.add_argument("--blocks", type=int, default=4, help="of the run, for the error of diffusion (default: 4)")
    p.add_argument("--window", type=float, metavar="ps", help="longest lag of velocities (default: a block, at most 4)")
    p.add_argument("--keep-drift", action="store_true", help="keep the motion of the center of mass")
    p.add_argument(
        "--output", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="for pictures and CSV (default: analysis)"
    )
    p.add_argument("--overwrite", action="store_true", help="write into a folder that is not empty")


def _analyze(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from tqdm import tqdm

    from mlip.analysis.comparison import compare
    from mlip.analysis.curves import write_tables
    from mlip.analysis.frames import TrajectoryFrames
    from mlip.analysis.picture import draw
    from mlip.analysis.report import text_of, text_of_differences
    from mlip.analysis.trajectory import Settings, analyze
    from mlip.elements import atomic_number

    if options.reference is None and (options.reference_time_step is not None or options.reference_index != ":"):
        raise ValueError("--reference-time-step and --reference-index are for a --reference, and none is given")
    settings = Settings(
        cutoff=options.cutoff,
        bin=options.bin,
        blocks=options.blocks,
        fit=tuple(options.fit) if options.fit else None,
        window=options.window,
        elements=tuple(atomic_number(name, "--element") for name in options.element),
        keep_drift=options.keep_drift,
    )
    files = [TrajectoryFrames(
        options.trajectory, index=options.index, time_step=options.time_step, static=options.static
    )]  # fmt: skip
    if options.reference is not None:
        files.append(TrajectoryFrames(
            options.reference, index=options.reference_index, time_step=options.reference_time_step,
            static=options.static, option="--reference-time-step",
        ))  # fmt: skip
    folder = _room(options.output, options.overwrite)

    def progress(frames: Iterable[Frame]) -> Iterable[Frame]:
        quiet = options.quiet or options.json
        return tqdm(frames, unit="frame", delay=2, disable=quiet, dynamic_ncols=True)

    found = [analyze(frames, settings, folder, progress) for frames in files]
    written = [path for each, prefix in zip(found, ("", "reference_"), strict=False)
               for path in write_tables(each, folder, prefix)]  # fmt: skip
    written += draw(found[0], found[1] if len(found) > 1 else None, folder)
    results: dict[str, Any] = {**found[0].results, "notes": found[0].notes}
    text = text_of(found[0].results, found[0].notes)
    if len(found) > 1:
        results["reference"] = {**found[1].results, "notes": found[1].notes}
        results["differences"] = compare(*found)
        text += f"\n{text_of(found[1].results, found[1].notes)}\n{text_of_differences(results['differences'])}"
    results["files"] = [str(path) for path in written]
    return results, f"{text}\ncurves and pictures in {folder}"


def _room(folder: Path, overwrite: bool) -> Path:
    """The folder, made if it is not there."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output is {folder}, a file; expected a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ValueError(f"--output is {folder}, which is not empty. Choose another folder, or give --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
