"""How long a training takes on p devices: a model with one term for each thing that is, or is not, shared out.

A step with a batch of B structures on p ranks takes

    T_step(B, p) = a + c B/p I(B, p) + S(B) + T_allreduce(m, p) + o + s max(1/p, l)

and an epoch of N structures, of which every rank reads all D bytes where they are streamed,

    T_epoch = N/B max(T_step, T_io / (N/B)),    T_io = max(D / r, D / n, D nodes / t)

    a, c   seconds of a rank for a step without structures, and for each structure more
    I      cost of the largest share over that of the mean one (`Imbalance`)
    S      seconds in which each rank shares out the whole batch; it is the same work on all of them
    m      bytes of the gradient message; a second one has the changes, where the optimizer is shared out
    o, s   seconds of the optimizer that every rank spends, and that are shared out by matrices
    l      the largest matrix's part of s
    r,n,t  bytes per second that a rank checks and unpacks, that a node reads, that the file system gives to all nodes

Only c B/p I, s max(1/p, l) and T_io's last term know p for the better. All else bounds the speedup as in Amdahl's law
(AFIPS 1967). Not in the model: ranks that wait for one that is late by chance, overlap of communication and work (mlip
has none), validation, checkpoints, and how many epochs a larger batch needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import nnls

from mlip.training.distributed import balanced

WORTH = 1.25  # twice as many devices are worth it if they make an epoch so many times faster
MOST = 4096  # ranks that are looked at
BACK_AND_FORTH = 2  # an all-reduce is a sum and its way back


@dataclass(frozen=True)
class Line:
    """Seconds = fixed + each n, of n structures or bytes."""

    fixed: float
    each: float

    def __call__(self, n: float) -> float:
        """Seconds of n."""
        return self.fixed + self.each * n


def fitted(numbers: Sequence[float], seconds: Sequence[float]) -> Line:
    r"""The line nearest to timings in relative terms, neither of its parts negative.

    .. math:: \min_{a, c \ge 0} \sum_i \left(\frac{a + c\,n_i - t_i}{t_i}\right)^2
    """
    times = np.asarray(seconds, dtype=np.float64)
    columns = np.stack([np.ones(len(times)), np.asarray(numbers, dtype=np.float64)], axis=1) / times[:, None]
    scale = columns.max(axis=0)
    found = nnls(columns / scale, np.ones(len(times)))[0] / scale
    return Line(*found.tolist())


@dataclass(frozen=True)
class Fabric:
    r"""NVLink inside of a node and a network between nodes, with a tree through them as NCCL has it.

    .. math:: T(m, p) = \lambda_0 + 2 \left[(g - 1) \lambda_i + \lceil \log_2 k \rceil \lambda_n\right]
              + 2\,\frac{p - 1}{p} \frac{m}{\beta}

    with g ranks on a node, k nodes, and :math:`\beta` the slowest link of a rank on the way.

    Source of the latencies' form: NCCL, src/graph/tuning.cc, tree; of the last term: nccl-tests, doc/PERFORMANCE.md.
    """

    base: float  # s
    inside: float  # s
    between: float  # s
    link: float  # bytes/s of a device, one way
    network: float  # bytes/s of a device, one way
    per_node: int = 8

    def __call__(self, size: float, ranks: int) -> float:
        """Seconds to add up so many bytes over so many ranks."""
        if ranks == 1:
            return 0.0
        nodes = math.ceil(ranks / self.per_node)
        hops = (min(ranks, self.per_node) - 1) * self.inside + math.ceil(math.log2(nodes)) * self.between
        slowest = self.link if nodes == 1 else min(self.link, self.network)
        return self.base + BACK_AND_FORTH * (hops + (ranks - 1) / ranks * size / slowest)


@dataclass(frozen=True)
class Files:
    """Where a store lies; ranks of a node read it once, because they read it at the same time."""

    rank: float  # bytes/s that a rank unpacks
    node: float = math.inf  # bytes/s
    total: float = math.inf  # bytes/s
    per_node: int = 8
    shared: bool = False  # if each rank read no more than its share, which is not so

    def __call__(self, size: float, ranks: int) -> float:
        """Seconds until the ranks have read so many bytes: every rank all of them, or each its share."""
        nodes = math.ceil(ranks / self.per_node)
        if self.shared:
            return max(size / ranks / self.rank, size / nodes / self.node, size / self.total)
        return max(size / self.rank, size / self.node, nodes * size / self.total)


class Imbalance:
    """Cost of the largest share over that of the mean one, for batches drawn from structures of these costs.

    .. math:: I(B, p) = \\left\\langle \\frac{\\max_r \\sum_{i \\in B_r} w_i}{\\sum_{i \\in B} w_i / p} \\right\\rangle

    with the shares that a training makes (`balanced`), or those of so many structures each where `counted`.
    """

    def __init__(self, costs: Sequence[float] | np.ndarray, draws: int = 4, counted: bool = False) -> None:
        self.costs = np.asarray(costs, dtype=np.float64)
        self.draws, self.counted = draws, counted
        self._of = cache(self._drawn)

    def __call__(self, batch: int, ranks: int) -> float:
        """At least 1; 1 if all ranks have the same to do."""
        return self._of(batch, ranks)

    def _drawn(self, batch: int, ranks: int) -> float:
        generator = np.random.default_rng(1)
        found = []
        for _ in range(self.draws):
            costs = generator.choice(self.costs, batch)
            if self.counted:
                largest = max(part.sum() for part in np.array_split(costs, ranks))
            else:
                largest = max(costs[part].sum() for part in balanced(costs, ranks) if part)
            found.append(largest * ranks / costs.sum())
        return float(np.mean(found))


@dataclass(frozen=True)
class Epoch:
    """Seconds of an epoch, and of what it consists."""

    parts: dict[str, float]

    @property
    def seconds(self) -> float:
        """All of it."""
        return sum(self.parts.values())

    @property
    def bound(self) -> str:
        """The largest part that more devices do not shorten."""
        return max((name for name in self.parts if name != "structures"), key=self.parts.__getitem__)


@dataclass(frozen=True)
class Training:
    """What the terms of the model are made of."""

    structures: int
    compute: Line  # of a rank's structures
    sharing: Line  # of all structures of a batch
    optimizer: float  # s, of every rank
    message: int  # bytes
    all_reduce: Callable[[float, int], float]
    imbalance: Callable[[int, int], float]
    shared_optimizer: float = 0.0  # s
    largest: float = 1.0  # matrix, as a part of that
    stored: float = 0.0  # bytes that are read in an epoch
    files: Files | None = None

    def step(self, batch: int, ranks: int) -> dict[str, float]:
        """Seconds of a step's parts, without I/O."""
        shared = self.compute.each * batch / ranks
        messages = 2 if self.shared_optimizer else 1
        return {
            "structures": shared,
            "imbalance": shared * (self.imbalance(batch, ranks) - 1) if ranks > 1 else 0.0,
            "launches": self.compute.fixed,
            "sharing": self.sharing(batch) if ranks > 1 else 0.0,
            "all-reduce": messages * self.all_reduce(self.message, ranks) if ranks > 1 else 0.0,
            "optimizer": self.optimizer + self.shared_optimizer * max(1 / ranks, self.largest),
        }

    def epoch(self, batch: int, ranks: int) -> Epoch:
        """An epoch; its part "I/O" is the time in which steps wait for it."""
        steps = self.structures / batch
        parts = {name: steps * seconds for name, seconds in self.step(batch, ranks).items()}
        reading = self.files(self.stored, ranks) if self.files else 0.0
        return Epoch(parts | {"I/O": max(0.0, reading - sum(parts.values()))})

    def limit(self, batch_of: Callable[[int], int]) -> tuple[int, str]:
        """The number of ranks that is not worth doubling, and what bounds it; `batch_of` so many ranks is B."""
        ranks = 1
        while ranks < MOST:
            twice = self.epoch(batch_of(2 * ranks), 2 * ranks)
            if self.epoch(batch_of(ranks), ranks).seconds < WORTH * twice.seconds:
                return ranks, twice.bound
            ranks *= 2
        return ranks, "nothing yet"


def on_device(
    here: Line,
    host: Line,
    work_here: float,
    work_there: float,
    launches: int,
    launch: float,
) -> Line:
    r"""Time of a rank's structures on another device, from that on this one.

    .. math:: a' + c' b = a_h + n \lambda + \left(c_h + \frac{w'}{\eta}\right) b, \qquad \eta = \frac{w}{c - c_h}

    Args:
        here: measured, all of it.
        host: measured; the part that stays on the processor: choosing structures, putting a batch together.
        work_here: seconds w of a structure if this device reached its ceilings.
        work_there: the same w' of the other device, which is taken to reach the same share eta of its own.
        launches: operations n that the device is given in a step.
        launch: seconds that each takes at least.
    """
    share = min(1.0, work_here / max(here.each - host.each, 1e-12))
    return Line(host.fixed + launches * launch, host.each + work_there / share)
