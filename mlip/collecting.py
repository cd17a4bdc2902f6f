"""The options of md that collect frames for labelling."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from mlip.collection import Collector
    from mlip.model.potential import Potential

_Number = TypeVar("_Number", int, float)
OTHERS = ("by", "threshold", "max", "distance", "interval", "stop")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which frames are collected, by what, and how many."""
    parser.add_argument(
        "--collect",
        type=Path,
        metavar="FILE",
        help="write the frames that the potential is least sure of to this extxyz file, to be labelled",
    )
    parser.add_argument(
        "--collect-by",
        metavar="WHAT",
        help="spread of a committee's forces, distance from the training set's features, or their ranges "
        "(default: spread of a committee, else distance)",
    )
    parser.add_argument(
        "--collect-threshold",
        type=float,
        metavar="X",
        help="uncertainty from which on a frame counts: eV/Å for spread (default: 0), 1 for distance, "
        "--largest-extrapolation for ranges",
    )
    parser.add_argument("--collect-max", type=int, metavar="N", help="frames in the file at most (default: 100)")
    parser.add_argument(
        "--collect-distance",
        type=float,
        metavar="D",
        help="smallest distance of two frames, in standard deviations of the features (default: 0)",
    )
    parser.add_argument(
        "--collect-interval",
        type=int,
        metavar="STEPS",
        help="between two frames that are looked at (default: --interval; with --on-extrapolation collect: 1)",
    )
    parser.add_argument("--collect-stop", type=float, metavar="X", help="uncertainty beyond which the run stops")


def watched(options: argparse.Namespace) -> dict[str, str]:
    """What dynamics does about extrapolation where it is to collect: it counts, and the collector collects."""
    return {"on_extrapolation": "warn"} if options.on_extrapolation == "collect" else {}


def collector_of(options: argparse.Namespace, potential: Potential) -> Collector | None:
    """The collector that the options ask for, if they do.

    Raises:
        ValueError: options do not go together, or the potential cannot tell what they want.
    """
    by_ranges = options.on_extrapolation == "collect"
    path = options.collect
    if path is None and by_ranges:
        path = options.output.with_name(options.output.stem + ".collected.xyz")
    if path is None:
        given = [name for name in OTHERS if getattr(options, f"collect_{name}") is not None]
        if given:
            raise ValueError(f"--collect-{given[0]} is given without --collect FILE, so nothing is collected")
        return None
    from mlip.collection import Collector

    if by_ranges and options.collect_by not in (None, "ranges"):
        raise ValueError(f"--on-extrapolation is collect, by ranges, and --collect-by is {options.collect_by}")
    usual = "ranges" if by_ranges else "spread" if potential.deviates else "distance"
    measure = options.collect_by or usual
    thresholds = {"spread": 0.0, "distance": 1.0, "ranges": options.largest_extrapolation}
    if path in (options.output, Path(options.start)):
        raise ValueError(f"--collect is {path}, which another option names as well; choose another file")
    return Collector(
        path,
        potential,
        measure=measure,
        threshold=_or(options.collect_threshold, thresholds.get(measure, 0.0)),
        count=_or(options.collect_max, 100),
        distance=_or(options.collect_distance, 0.0),
        interval=_or(options.collect_interval, 1 if by_ranges else options.interval),
        stop=_or(options.collect_stop, math.inf),
    )


def _or(value: _Number | None, default: _Number) -> _Number:
    return default if value is None else value
