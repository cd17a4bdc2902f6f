"""What benchmark_scaling.py measures on the machine at hand; seconds and bytes throughout.

Run as a program this file is one rank of several: python scaling_measure.py REQUEST ANSWER.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import timing
import torch
from benchmark_md import box
from scaling_model import Line, fitted
from torch.utils._python_dispatch import TorchDispatchMode

from mlip.assembly import plan_of
from mlip.config import Config
from mlip.config.training import Adam, Muon, Soap
from mlip.data.store_file import StoreFile
from mlip.descriptors.store import FeatureStore, bytes_needed
from mlip.device import configure_cpu
from mlip.model.potential import Potential
from mlip.storing import content_of, write_store
from mlip.structure import Structure
from mlip.training.batch_loss import BatchLoss
from mlip.training.distributed import ALONE, Ranks, Wish, balanced, joined
from mlip.training.examples import Examples
from mlip.training.loop import Trainer
from mlip.training.optimizers import make_optimizer
from mlip.training.pools import PER_ATOM, PER_PAIR, PER_STRUCTURE, Source
from mlip.training.soap import SOAP
from mlip.training.streamed import StreamedExamples, Window

OPTIMIZERS = {"adam": Adam(name="adam"), "soap": Soap(name="soap"), "muon": Muon(name="muon")}
SQUEEZED = 0.8  # of the distances in the crystal that the molecule is cut from
JITTER = 0.05  # Å
MOST_KEPT = 6e8  # bytes of kept features that are measured with
FLOPS_PER_WEIGHT = 12  # of an atom: energy, its gradients, and the second pass of both, a product and a sum each
CHUNKS, POOLS = 16, 8  # of a store
IN_A_ROW = 10  # steps, because SOAP renews its bases in every tenth
SENT = 70  # numbers of a step's message besides the gradient: losses, and a place for each signal


class Workload(NamedTuple):
    """Structures of one kind, ready for training."""

    name: str
    structures: list[Structure]
    config: Config
    potential: Potential

    @property
    def examples(self) -> Examples:
        """Made anew, without kept features."""
        return Examples(self.structures, self.potential.cutoff, self.potential.device)

    @property
    def weights(self) -> int:
        """Numbers that are trained."""
        return sum(weight.numel() for weight in self.potential.networks.parameters())


def workload(name: str, count: int, device: torch.device) -> Workload:
    """Many of a "molecule" of 21 atoms as in C9H8O4, or of a "periodic" cell of 64; labels are made up."""
    generator = np.random.default_rng(1)
    if name == "molecule":
        crystal = box((3, 3, 3))
        vectors = crystal.positions - crystal.cell.sum(axis=0) / 2
        nearest = np.argsort(np.linalg.norm(vectors, axis=1))[:21]
        mean, cell, pbc = SQUEEZED * vectors[nearest], np.zeros((3, 3)), np.zeros(3, dtype=bool)
        numbers = generator.permutation([6] * 9 + [1] * 8 + [8] * 4)
    else:
        crystal = box((2, 2, 4))
        mean, cell, pbc, numbers = crystal.positions, crystal.cell, crystal.pbc, crystal.numbers
    structures = [
        Structure(
            numbers,
            mean + JITTER * generator.standard_normal(mean.shape),
            cell,
            pbc,
            energy=float(generator.standard_normal()),
            forces=generator.standard_normal(mean.shape),
            origin=f"made#{n}",
        )
        for n in range(count)
    ]
    config = timing.config_of("grid")
    potential = timing.untrained_potential(config, structures[:4]).to(device)
    return Workload(name, structures, config, potential)


def seconds_of(work: Callable[[], object], budget: float, least: int = 3, device: torch.device = timing.CPU) -> float:
    """Median seconds of a work that is repeated for so long, after a first time."""
    found: list[float] = []
    began = time.perf_counter()
    while len(found) <= least or time.perf_counter() - began < budget:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - start)
    return median(found[1:])


def ceilings(device: torch.device, edge: int, budget: float) -> dict[str, float]:
    """Bytes per second of reading memory, and operations per second of a float32 matrix product."""
    source = torch.rand(16 * edge * edge, device=device)
    matrix = torch.rand(edge, edge, device=device)
    reading = seconds_of(source.sum, budget, device=device)
    product = seconds_of(lambda: matrix @ matrix, budget, device=device)
    return {"memory": source.numel() * source.itemsize / reading, "arithmetic": 2 * edge**3 / product}


def trainer_of(made: Workload, examples: Examples, optimizer: str, ranks: Ranks = ALONE) -> Trainer:
    """A trainer that is never run as a whole."""
    options = OPTIMIZERS[optimizer].model_dump()
    return Trainer(
        made.potential,
        lambda weights: make_optimizer(weights=weights, ranks=ranks, **options),
        examples,
        Examples([], made.potential.cutoff, examples.device),
        plan_of(made.config, examples.lengths),
        Path("never written"),
        ranks,
    )


def batch_loss(trainer: Trainer, examples: Examples, batch: Sequence[int]) -> Callable[[], object]:
    """Loss and gradient of a batch from its choice on, as each step has them, without the optimizer."""
    return lambda: BatchLoss(trainer.step, examples, batch, trainer.stage.loss, trainer.own, Wish)()


def compute_times(made: Workload, sizes: Sequence[int], budget: float) -> dict[str, dict[int, float]]:
    """Seconds of loss and gradient by structures: with features "kept" and "recomputed", and of "host" work alone.

    Host work is the choice of structures and the making of a batch, which a GPU does not take over.
    """
    device = made.potential.device
    found: dict[str, dict[int, float]] = {"kept": {}, "recomputed": {}, "host": {}}
    plain = made.examples
    trainer = trainer_of(made, plain, "adam")
    each = kept_bytes(made)
    most = max(1, *(size for size in sizes if size * each <= MOST_KEPT))
    kept = Examples(made.structures[:most], made.potential.cutoff, device)
    kept.store = FeatureStore(made.potential.descriptor, kept.atoms, made.potential.dtype)
    for size in sizes:
        batch = np.random.default_rng(size).permutation(len(plain))[:size].tolist()
        found["host"][size] = seconds_of(lambda batch=batch: plain.take(batch), budget / 4)
        found["recomputed"][size] = seconds_of(batch_loss(trainer, plain, batch), budget, device=device)
        if size <= most:
            batch = np.random.default_rng(size).permutation(len(kept))[:size].tolist()
            found["kept"][size] = seconds_of(batch_loss(trainer, kept, batch), budget, device=device)
    return found


def kept_bytes(made: Workload) -> float:
    """Of the kept features of one structure."""
    atoms = made.examples.atoms
    return bytes_needed(made.potential.descriptor, atoms, made.potential.dtype) / len(atoms)


def plain_bytes(made: Workload) -> float:
    """Of one structure and its pairs in a rank's memory, without features."""
    examples = made.examples
    return PER_STRUCTURE + (PER_ATOM * len(examples.atoms.whole.numbers) + PER_PAIR * examples.pairs) / len(examples)


def sharing_times(costs: np.ndarray, batches: Sequence[int], ranks: int, budget: float) -> dict[int, float]:
    """Seconds in which each rank shares a batch out, by structures in it."""
    known = torch.ones(3, len(costs), dtype=torch.int64)
    found = {}
    for size in batches:
        batch = np.random.default_rng(1).integers(len(costs), size=size).tolist()

        def share(batch: list[int] = batch) -> None:
            mine = balanced(costs[np.asarray(batch, np.int64)], ranks)[0]
            [batch[place] for place in mine]
            known[:, batch].sum(dim=1).tolist()

        found[size] = seconds_of(share, budget)
    return found


class Launches(TorchDispatchMode):
    """Counts the operations that a device would be given; views cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.factored: list[int] = []  # edges of matrices of which QR is made

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.count += 1
        if func.overloadpacket is torch.ops.aten.linalg_qr:
            *many, _, edge = args[0].shape
            self.factored += [edge] * int(np.prod(many))
        return func(*args, **(kwargs or {}))


def step_launches(made: Workload) -> int:
    """Operations of a step with kept features in plain PyTorch, which is how a GPU does it."""
    examples = Examples(made.structures[:2], made.potential.cutoff, timing.CPU)
    examples.store = FeatureStore(made.potential.descriptor, examples.atoms, made.potential.dtype)
    examples.store._tables = examples.store.rows  # as on a device without our CPU kernels
    trainer = trainer_of(made, examples, "adam")
    trainer.step._networks = None
    loss = batch_loss(trainer, examples, [0, 1])
    loss()
    with Launches() as counted:
        loss()
    return counted.count


@dataclass(frozen=True)
class OptimizerCost:
    """Of a mean step: measured seconds, operations, and edges of the matrices factored in it, added up."""

    seconds: float
    launches: float
    factored: float
    largest: float  # matrix, as a part of the work that ranks share out; 1 if they share nothing


def optimizer_costs(made: Workload, repeats: int) -> dict[str, OptimizerCost]:
    """Of so many times ten steps."""
    examples = Examples(made.structures[:4], made.potential.cutoff, made.potential.device)
    found = {}
    for name in OPTIMIZERS:
        trainer = trainer_of(made, examples, name)
        weights = trainer.step.weights.weights

        def work(trainer: Trainer = trainer, weights: torch.nn.Parameter = weights) -> None:
            for _ in range(IN_A_ROW):
                weights.grad.normal_()  # type: ignore[union-attr]
                trainer.optimizer.step()

        work()
        seconds = seconds_of(work, 0.0, repeats, weights.device) / IN_A_ROW
        with Launches() as counted:
            work()
        launches, factored = counted.count / IN_A_ROW - 1, sum(counted.factored) / IN_A_ROW  # less the random gradient
        found[name] = OptimizerCost(seconds, launches, factored, _largest(trainer.optimizer))
    return found


def _largest(optimizer: torch.optim.Optimizer) -> float:
    if not isinstance(optimizer, SOAP):
        return 1.0
    work = [optimizer.work(*shape[1:]) for _, shape, _ in optimizer._places for _ in range(shape[0])]
    return max(work) / sum(work)


def store_figures(made: Workload, folder: Path, batch: int, *, features: bool) -> dict[str, float]:
    """Of a store: structures per second into it, bytes of one, and bytes per second out of it.

    "checked" and "unchecked" are what is read, with checksums, as in the first epoch, and without; "unpacked" is what
    becomes examples; "streamed" are structures per second of steps with a batch of so many that read meanwhile.
    """
    path = folder / f"{made.name}_{features}.h5"
    descriptor = made.potential.descriptor
    count = len(made.structures)
    began = time.perf_counter()
    write_store(path, made.structures, content_of(descriptor, features=features), chunk=max(1, count // CHUNKS))
    found = {"prepare": count / (time.perf_counter() - began)}
    with StoreFile(path) as file:
        size = path.stat().st_size
        found["bytes"] = size / count
        for name in ("checked", "unchecked"):
            began = time.perf_counter()
            for part in range(file.chunks):
                for quantity in file.quantities:
                    file.read_chunk(quantity, part)
            found[name] = size / (time.perf_counter() - began)
        source = Source(file, made.potential.device, descriptor if features else None)
        source.read(np.arange(1))
        began = time.perf_counter()
        for places in np.array_split(np.arange(count), POOLS):
            source.read(places)
        found["unpacked"] = size / (time.perf_counter() - began)
        examples = streamed(source, made)
        trainer = trainer_of(made, made.examples, "adam")
        order = examples.order(torch.Generator().manual_seed(2))
        began = time.perf_counter()
        for first in range(0, count, batch):
            batch_loss(trainer, examples, order[first : first + batch])()
        found["streamed"] = count / (time.perf_counter() - began)
    return found


def streamed(source: Source, made: Workload) -> StreamedExamples:
    """All structures of a store, in pools."""
    places = np.arange(len(source.file))
    known = torch.ones(3, len(places), dtype=torch.int64)
    known[1], known[2] = 3 * len(made.structures[0]), 0
    pool = int(source.bytes_per_structure.sum() / POOLS) + 1
    return StreamedExamples(Window(source), places, pool, known)


def spawned(ranks: int, request: dict[str, Any], folder: Path, seconds: float = 600) -> dict[str, Any]:
    """What so many ranks measure together, started as torchrun does it.

    Raises:
        RuntimeError: one of them failed; the message has its words.
    """
    asked, answer = folder / "request.json", folder / "answer.json"
    asked.write_text(json.dumps(request), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = []
    for rank in range(ranks):
        meeting = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": rank, "MASTER_PORT": port}
        environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", **{name: str(n) for name, n in meeting.items()}}
        if request["device"] == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        command = [sys.executable, __file__, str(asked), str(answer)]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        said = [process.communicate(timeout=seconds)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    if any(process.returncode for process in started):
        raise RuntimeError("a rank failed: " + " ".join(text.strip() for text in said))
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def of_ranks(ranks: Ranks, request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of sums by bytes, and of steps by structures of the batch: alone at the same time, and shared."""
    device = ranks.device(request["device"])
    sums = {}
    for size in request["messages"]:
        message = torch.zeros(max(1, size // 8), dtype=torch.float64, device=device)
        sums[size] = together(ranks, lambda message=message: ranks.add_up(message), request["repeats"], device)
    made = workload(request["workload"], request["structures"], device)
    examples = made.examples
    examples.weigh(made.potential.descriptor)
    examples.store = FeatureStore(made.potential.descriptor, examples.atoms, made.potential.dtype)
    steps: dict[str, dict[int, float]] = {"alone": {}, "shared": {}}
    for name, others in {"alone": ALONE, "shared": ranks}.items():
        trainer = trainer_of(made, examples, request["optimizer"], others)
        for batch in request["batches"]:
            size = batch if name == "shared" else batch // ranks.size
            order = np.random.default_rng(1).permutation(len(examples))[:size].tolist()
            work = lambda trainer=trainer, order=order: trainer._step(order, 1e-6)  # noqa: E731
            steps[name][batch] = together(ranks, work, request["repeats"], device)
    return {"sums": sums, **steps}


def together(ranks: Ranks, work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median seconds of a work that all ranks do at the same time, on the slowest of them; so many times ten."""
    work()
    ranks.wait()
    seconds = seconds_of(lambda: [work() for _ in range(IN_A_ROW)], 0.0, repeats, device) / IN_A_ROW
    return max(ranks.gathered(seconds))


def line_of(times: dict[int, float]) -> Line:
    """The line through timings by number."""
    return fitted(list(times), list(times.values()))


if __name__ == "__main__":
    configure_cpu(1)
    with joined() as all_ranks:
        measured = of_ranks(all_ranks, json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
        if all_ranks.first:
            Path(sys.argv[2]).write_text(json.dumps(measured), encoding="utf-8")
