"""Train on more structures than memory is given for: is resident memory flat, and how much throughput is left?

    python scripts/benchmark_store.py                  200,000 structures, about 4 minutes on one core
    python scripts/benchmark_store.py --features       the same with features and Jacobians read from the store

The structures are the bundled ethanol with every atom displaced at random, their energies and forces those of a made-up
Morse potential between all atoms. They are written to a store in a temporary folder and deleted in the end.

  prepare      structures per second into the store (one or several --workers)
  streamed     steps of an epoch over the whole store, read within --limit GB
  in memory    as many steps on a part of the same structures that is in memory as a whole, like any other data file
  throughput   of streamed steps, over that of steps in memory; 1 is as good as memory
  resident     memory of the process at the first tenth of the epoch, and the most from there to its end

The last line is a JSON object with every figure. Linux only: resident memory comes from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mlip.assembly import functions_of, plan_of
from mlip.config import Config
from mlip.configfile import parse_config
from mlip.data.read import read_structures
from mlip.descriptors.acsf import ACSF
from mlip.device import configure_cpu
from mlip.featurization import kept_features
from mlip.run import new_potential
from mlip.storing import content_of, write_store
from mlip.streaming import prepare
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.loop import Trainer
from mlip.training.optimizers import make_optimizer
from mlip.training.streamed import StreamedExamples

ETHANOL = Path(__file__).parents[1] / "data" / "ethanol_xtb.npz"
DESCRIPTOR = [
    {"set": "radial", "cutoff": 5.0, "count": 6},
    {"set": "angular", "cutoff": 3.5, "shells": 1, "angles": 4},
]
DEPTH, STEEPNESS = 1.0, 1.5  # eV and 1/Å of the Morse potential
DISPLACEMENT = 0.08  # Å
BLOCK = 256  # structures made together
RATE = 1e-4


class Displaced(Sequence[Structure]):
    """Distorted ethanol molecules, made again whenever they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.mean = read_structures(ETHANOL)[0]
        self.first, self.second = np.triu_indices(len(self.mean), 1)
        self.rest = np.linalg.norm(self.mean.positions[self.first] - self.mean.positions[self.second], axis=1)
        self._block: tuple[int, list[Structure]] = (-1, [])

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(self.count))]
        if place // BLOCK != self._block[0]:
            self._block = place // BLOCK, self._made(place // BLOCK)
        return self._block[1][place % BLOCK]

    def _made(self, block: int) -> list[Structure]:
        generator = np.random.default_rng(block)
        positions = self.mean.positions + DISPLACEMENT * generator.standard_normal((BLOCK, len(self.mean), 3))
        vectors = positions[:, self.first] - positions[:, self.second]
        lengths = np.linalg.norm(vectors, axis=2)
        fading = np.exp(-STEEPNESS * (lengths - self.rest))
        slopes = 2 * DEPTH * STEEPNESS * (fading - fading**2)
        pulls = -(slopes / lengths)[:, :, None] * vectors
        forces = np.zeros_like(positions)
        np.add.at(forces, (slice(None), self.first), pulls)
        np.add.at(forces, (slice(None), self.second), -pulls)
        energies = (DEPTH * (fading**2 - 2 * fading)).sum(axis=1)
        return [
            Structure(self.mean.numbers, x, energy=float(e), forces=f, origin=f"made#{block * BLOCK + n}")
            for n, (x, e, f) in enumerate(zip(positions, energies, forces, strict=True))
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, default=200_000, metavar="N", help="(default: 200000)")
    parser.add_argument("--limit", type=float, default=0.2, metavar="GB", help="training.memory_limit (default: 0.2)")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="structures of a step (default: 32)")
    parser.add_argument("--features", action="store_true", help="store features and Jacobians, and read them")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that prepare (default: 1)")
    parser.add_argument("--chunk", type=int, default=BLOCK, metavar="N", help=f"structures of a chunk ({BLOCK})")
    parser.add_argument("--folder", type=Path, help="where the store is while this runs (default: a temporary one)")
    options = parser.parse_args()
    if options.structures < 10 * options.batch:
        parser.error(f"--structures is {options.structures}; expected at least ten batches")
    configure_cpu(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = measured(options, Path(folder))
    report(options, figures)


def measured(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """All figures: seconds, bytes and structures per second."""
    path = folder / "made.h5"
    config = config_of(path, options, limit=options.limit)
    structures = Displaced(options.structures)
    elements = sorted(set(structures.mean.numbers.tolist()))
    content = content_of(ACSF(elements, functions_of(config, elements)), features=options.features)
    began = time.perf_counter()
    write_store(path, structures, content, chunk=options.chunk, workers=options.workers, progress=bar)
    figures = {"prepare": options.structures / (time.perf_counter() - began), "bytes": path.stat().st_size}
    steps = options.structures // options.batch
    seconds, resident = timed(config, steps, streamed=True)
    figures |= {"streamed": steps * options.batch / seconds}
    tenth = max(1, len(resident) // 10)
    figures |= {"resident_begin": max(resident[:tenth]), "resident_most": max(resident[tenth:])}
    part = max(2 * options.batch, options.structures // 10)
    seconds, resident = timed(config_of(path, options, limit=1e6, index=f":{part}"), steps // 2)
    figures |= {"in_memory": steps // 2 * options.batch / seconds, "resident_in_memory": max(resident)}
    return figures | {"throughput": figures["streamed"] / figures["in_memory"]}


def config_of(path: Path, options: argparse.Namespace, *, limit: float, index: str = ":") -> Config:
    cache = "memory" if options.features else "off"
    training = {"memory_limit": limit, "batch_size": options.batch, "cache": cache}
    return parse_config(
        {
            "run": {"dir": str(path.parent / "run"), "device": "cpu"},
            "data": {"train": str(path), "index": index, "split": {"valid": 0}},
            "model": {"descriptor": DESCRIPTOR, "networks": {"hidden": [32, 32]}},
            "training": training | {"optimizer": {"name": "adam"}},
        },
        "benchmark",
    )


def timed(config: Config, steps: int, *, streamed: bool = False) -> tuple[float, list[int]]:
    """Seconds of so many steps, and resident bytes at a hundred moments between them."""
    ready = prepare(config)
    if isinstance(ready.examples["train"], StreamedExamples) != streamed:
        raise SystemExit(f"--limit is {config.training.memory_limit} GB, into which all structures fit; lower it")
    chosen = config.training.optimizer.model_dump()
    with kept_features(config, ready.descriptor, ready.examples):
        potential = new_potential(ready)
        trainer = Trainer(
            potential,
            lambda weights: make_optimizer(weights=weights, **chosen),
            ready.examples["train"],
            Examples([], potential.cutoff, ready.device),
            plan_of(config, ready.examples["train"].lengths),
            Path(config.run.dir),
        )
        for _ in trainer.steps_at(repeat(RATE, 3)):  # compiles the kernels, or reads them
            pass
        resident = []
        began = time.perf_counter()
        every = max(1, steps // 100)
        for n, _ in enumerate(tqdm(trainer.steps_at(repeat(RATE, steps)), total=steps, unit="step", delay=2)):
            if n % every == 0:
                resident.append(resident_bytes())
        return time.perf_counter() - began, resident


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def bar(what: str, total: int, done: int) -> Callable[[], object]:
    return tqdm(total=total, initial=done, desc=what, unit="chunk", delay=2).update


def report(options: argparse.Namespace, figures: dict[str, float]) -> None:
    print(f"{options.structures} structures, store of {figures['bytes'] / 1e9:.3f} GB, limit {options.limit} GB")
    for name in ("prepare", "streamed", "in_memory"):
        print(f"{name.replace('_', ' '):12} {figures[name]:10.0f} structures/s")
    print(f"{'throughput':12} {figures['throughput']:10.2f} of that in memory")
    for name in ("resident_begin", "resident_most", "resident_in_memory"):
        print(f"{name.replace('_', ' '):18} {figures[name] / 1e6:8.0f} MB")
    facts = {name: value for name, value in vars(options).items() if name != "folder"}
    print(json.dumps({"benchmark": "store", **facts, "figures": figures}))


if __name__ == "__main__":
    main()
