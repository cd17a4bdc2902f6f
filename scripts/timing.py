"""What the benchmarks share: the same data, the same networks in both programs, and one way to time them."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mlip.assembly import functions_of, make_potential
from mlip.config import Config, Data, Model
from mlip.config.descriptor import AngularSet, AniSet, RadialSet
from mlip.data.read import read_structures
from mlip.descriptors.acsf import ACSF
from mlip.device import configure_cpu
from mlip.elements import symbol
from mlip.featurization import features_by_element
from mlip.model.networks import ACTIVATIONS
from mlip.model.potential import Potential
from mlip.structure import Structure
from mlip.training.examples import Examples

ETHANOL = Path(__file__).parents[1] / "data" / "ethanol_xtb.npz"
GRID = (RadialSet(set="radial", cutoff=6.0), AngularSet(set="angular", cutoff=5.0))  # 264 functions for H, C, O
DESCRIPTORS = {"grid": Model(descriptor=GRID), "ani1x": Model(descriptor=(AniSet(set="ani1x"),))}
MISSING = 'TorchANI is not installed: pip install "mlip[bench]"'
CPU = torch.device("cpu")
IN_A_ROW = 10  # calls of one turn


@dataclass(frozen=True)
class Row:
    """One line of the table: the same work in both programs, or in a plain loop; None where there is no such thing."""

    name: str
    what: str
    unit: str
    mlip: float | None
    torchani: float | None = None
    scalar: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the peer's time ours is; below one, ours is faster."""
        return None if self.mlip is None or self.torchani is None else self.mlip / self.torchani

    @property
    def speedup(self) -> float | None:
        """How many times faster than the plain loop ours is."""
        return None if self.mlip is None or self.scalar is None else self.scalar / self.mlip


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer structures and repeats: done within 50 s")
    size.add_argument("--tiny", action="store_true", help="does it run at all? A few seconds, figures worth nothing")
    parser.add_argument("--repeats", type=int, metavar="N", help="timings behind each median (default: by size)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads of both programs (default: 1)")
    parser.add_argument(
        "--descriptor",
        choices=DESCRIPTORS,
        default="grid",
        help="our symmetry functions: even grids, or ani1x, the ones TorchANI computes here (default: grid)",
    )
    return parser


def size_of(arguments: argparse.Namespace) -> str:
    """The name of the chosen size; also sets the number of threads.

    Raises:
        SystemExit: a number is not positive.
    """
    for name in ("repeats", "threads"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise SystemExit(f"--{name} is {getattr(arguments, name)}; it must be at least 1")
    configure_cpu(arguments.threads)
    return "quick" if arguments.quick else "tiny" if arguments.tiny else "full"


def medians(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each work.

    They take turns, so that a busy machine slows all of them alike; a turn is a few calls in a row, because that is how
    a program repeats its work, with warm caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    in_a_row = min(repeats, IN_A_ROW)
    for turn in range(-1, math.ceil(repeats / in_a_row)):
        for name, work in works.items():
            for _ in range(in_a_row):
                start = time.perf_counter()
                work()
                if turn >= 0:
                    seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def ethanol(count: int) -> list[Structure]:
    """The first structures of the bundled sample."""
    return read_structures(ETHANOL)[:count]


def config_of(descriptor: str) -> Config:
    """What an empty config says about model and training, with one of `DESCRIPTORS`."""
    return Config(data=Data(train=str(ETHANOL)), model=DESCRIPTORS[descriptor])


def descriptor_of(config: Config, structures: Sequence[Structure]) -> ACSF:
    """The descriptor of the config for the elements of these structures."""
    elements = sorted({int(z) for structure in structures for z in structure.numbers})
    return ACSF(elements, functions_of(config, elements))


def untrained_potential(config: Config, structures: Sequence[Structure]) -> Potential:
    """The potential a training would begin with: fitted scaling, random weights."""
    descriptor = descriptor_of(config, structures)
    features = features_by_element(descriptor, Examples(structures, descriptor.cutoff, CPU))
    return make_potential(config, descriptor, structures, [0.0] * len(descriptor.elements), features)


def torchani_is_there() -> bool:
    """Whether TorchANI can be imported; says what to install if not."""
    os.environ.setdefault("TORCHANI_NO_WARN_EXTENSIONS", "1")  # its compiled extensions do not come with pip
    try:
        import torchani  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torchani":
            raise
        print(MISSING)
        return False
    return True


def torchani_model(config: Config, elements: Sequence[int], neighborlist: str = "all_pairs") -> Any:
    """ANI-1x's symmetry functions from TorchANI's parts, with the config's networks and random weights (float32)."""
    from torchani.arch import Assembler
    from torchani.nn import ANINetworks

    networks = config.model.networks
    parts = Assembler(symbols=[symbol(z) for z in elements], neighborlist=neighborlist)
    parts.set_global_cutoff_fn("cosine")
    parts.set_aev_computer(radial="ani1x", angular="ani1x")
    chosen = {
        "dims": {},
        "default_dims": networks.hidden,
        "activation": ACTIVATIONS[networks.activation](),
        "bias": True,
    }
    parts.set_atomic_networks(cls=ANINetworks, ctor="build", kwargs=chosen)
    parts.set_zeros_as_self_energies()
    return parts.assemble()


def report(benchmark: str, rows: Sequence[Row], **facts: Any) -> None:
    """Print the table, then everything as one JSON object on the last line."""
    lines = [("", "unit", "mlip", "TorchANI", "mlip/TorchANI", "plain loop", "times faster")]
    lines += [
        (
            row.what,
            row.unit,
            *(_number(value) for value in (row.mlip, row.torchani, row.ratio, row.scalar, row.speedup)),
        )
        for row in rows
    ]
    if all(row.scalar is None for row in rows):
        lines = [line[:5] for line in lines]
    first = max(len(line[0]) for line in lines)
    print()
    for what, unit, *values in lines:
        print(f"{what:{first}}  {unit:7}", *(f"{value:>13}" for value in values))
    print()
    figures = {
        row.name: {"unit": row.unit, "mlip": row.mlip, "torchani": row.torchani, "ratio": row.ratio}
        | ({} if row.scalar is None else {"scalar": row.scalar, "speedup": row.speedup})
        for row in rows
    }
    names = ["mlip", "torch", "ase"] + ["torchani"] * any(row.torchani is not None for row in rows)
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    versions = {"torchani": None, **{name: version(name) for name in names}}
    print(json.dumps({"benchmark": benchmark, "figures": figures, **facts, "machine": machine, "versions": versions}))


def _number(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"  # three digits
