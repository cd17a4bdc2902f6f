"""Examples that are read from a store while they are used: a pool of chunks, and the next one in the background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.batch import collate, collate_labels
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.store import JoinedFeatures
from mlip.training.examples import Examples
from mlip.training.loss_weights import Lengths
from mlip.training.pools import Source
from mlip.training.read_ahead import ReadAhead, Taken
from mlip.training.statistics import Statistics


class Window:
    """The pools of a store that are in memory: those in use, and the one that comes next.

    All parts of a data set share one, so that no more than two pools are there at any time.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._plan: Sequence[Int[np.ndarray, "_"]] = ()
        self._loaded: dict[int, Future[Examples]] = {}

    def pools(self, plan: Sequence[Int[np.ndarray, "_"]], numbers: Sequence[int]) -> list[Examples]:
        """These pools of a plan, ascending numbers; the others are forgotten, and the next one is read ahead.

        Raises:
            ValueError: a chunk is damaged.
        """
        if plan is not self._plan:
            self._plan, self._loaded = plan, {}
        following = numbers[-1] + 1
        self._loaded = {n: pool for n, pool in self._loaded.items() if n in numbers or n == following}
        for n in numbers:
            self._load(n)
        found = [self._loaded[n].result() for n in numbers]
        if len(numbers) == 1 and following < len(plan):
            self._load(following)
        return found

    def _load(self, number: int) -> None:
        if number not in self._loaded:
            self._loaded[number] = self._thread.submit(self.source.read, self._plan[number])


class StreamedExamples(Examples):
    """Structures at some places of a store, of which only a pool of at most `pool_bytes` or two are in memory.

    They are used in the order that `order` or `chunks` gives; any other order is right but slow. `known` is how many
    labels of each kind each structure has, as `known_labels` tells it. Of several ranks each reads all pools.
    """

    def __init__(
        self, window: Window, places: Int[np.ndarray, "n"], pool_bytes: int, known: Int[Tensor, "3 n"]
    ) -> None:
        self.window, self.places, self.pool_bytes, self.known = window, places, pool_bytes, known
        self.device = window.source.device
        self.store = None
        self.ahead = ReadAhead(self.device) if self.device.type == "cuda" else None
        self.statistics: Statistics | None = None  # of all structures, once they are known
        self.weights: Float[Tensor, "K S"] | None = None
        self.has_energy, self.has_forces, self.has_stress = known.any(dim=1).tolist()
        file = window.source.file
        self._pairs = np.diff(file.starts["pair"])[places]
        self._ascending = np.argsort(places, kind="stable")
        chunk = places[self._ascending] // file.plan["chunk"]
        self._cuts = np.concatenate([[0], np.flatnonzero(np.diff(chunk)) + 1, [len(places)]]).astype(np.int64)
        sizes = window.source.bytes_per_structure[places]
        self._bytes = np.add.reduceat(sizes[self._ascending], self._cuts[:-1])
        self.costs = sizes.astype(np.float64)
        self._arrange(np.arange(len(self._bytes)))

    def __len__(self) -> int:
        return len(self.places)

    @property
    def pairs(self) -> int:
        """Pairs of all structures together."""
        return int(self._pairs.sum())

    @property
    def lengths(self) -> Lengths:
        """What automatic weights of the loss are made of."""
        assert self.statistics is not None
        return self.statistics.lengths

    @property
    def pools(self) -> int:
        """How many pools there are in an epoch."""
        return len(self._plan)

    def weigh(self, descriptor: ACSF) -> None:
        """Nothing to learn: the work that structures make goes with their size in the store."""

    def order(self, generator: torch.Generator) -> list[int]:
        """All structures in a random order: random chunks make a pool, from which structures are drawn at random.

        It depends on nothing but the generator, the store and the size of a pool.
        """
        members = self._arrange(torch.randperm(len(self._bytes), generator=generator).numpy())
        return [n for pool in members for n in pool[torch.randperm(len(pool), generator=generator).numpy()].tolist()]

    def chunks(self, structures: Sequence[int] | None = None, pairs_at_once: int = 20_000) -> Iterator[list[int]]:
        """These structures, or all of them, as the store has them, in groups of bounded size."""
        self._arrange(np.arange(len(self._bytes)))
        wanted = np.zeros(len(self), dtype=bool)
        wanted[slice(None) if structures is None else np.asarray(structures, dtype=np.int64)] = True
        chosen = self._ascending[wanted[self._ascending]]
        ends = np.cumsum(self._pairs[chosen])
        first = 0
        while first < len(chosen):
            before = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + pairs_at_once, side="right")))
            yield chosen[first:last].tolist()
            first = last

    def found(self, structures: Sequence[int]) -> Taken:
        """These structures as one batch, their labels, and their features if the store has them."""
        chosen = np.asarray(structures, dtype=np.int64)
        pool = self._pool[chosen]
        cuts = [0, *(np.flatnonzero(np.diff(pool)) + 1).tolist(), len(chosen)]
        needed = np.unique(pool).tolist()
        loaded = dict(zip(needed, self.window.pools(self._plan, needed), strict=True))
        taken = [loaded[pool[a]].found(self._local[chosen[a:b]].tolist()) for a, b in pairwise(cuts)]
        if len(taken) == 1:
            return taken[0]
        batches, labels, features = zip(*taken, strict=True)
        joined = None if features[0] is None else JoinedFeatures(features)
        return collate(batches), collate_labels(labels), joined

    def _arrange(self, chunks: Int[np.ndarray, "_"]) -> list[Int[np.ndarray, "_"]]:
        """Make pools of these chunks of the part in this order; returns the numbers of each pool's structures."""
        members: list[Int[np.ndarray, "_"]] = []
        group: list[int] = []
        size = 0
        for chunk in [*chunks.tolist(), None]:
            if group and (chunk is None or size + self._bytes[chunk] > self.pool_bytes):
                members.append(np.concatenate([self._of_chunk(n) for n in sorted(group)]))
                group, size = [], 0
            if chunk is not None:
                group.append(chunk)
                size += self._bytes[chunk]
        self._pool, self._local = np.empty((2, len(self)), dtype=np.int64)
        for n, structures in enumerate(members):
            self._pool[structures] = n
            self._local[structures] = np.arange(len(structures))
        self._plan = [self.places[structures] for structures in members]
        return members

    def _of_chunk(self, chunk: int) -> Int[np.ndarray, "_"]:
        return self._ascending[self._cuts[chunk] : self._cuts[chunk + 1]]
