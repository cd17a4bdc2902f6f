"""Several processes (ranks) that train together: what they add up, and how all end when one fails.

Every rank reads all structures and takes its share of each batch; gradients and losses are added up, so all ranks make
the same steps. Only the first rank writes.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from mlip.device import device_of, device_of_rank
from mlip.machine import machine
from mlip.stopping import Stopped
from mlip.training.launch import Launch, launch_of
from mlip.training.loss import LossTerms

FAILED = 2  # exit status of a rank that ends because another one failed
PATIENCE = "MLIP_RANKS_TIMEOUT"  # seconds that a rank waits for the others; no rank should be so much slower
WATCH_SECONDS = 0.5
SIGNALS = 65  # their numbers are below


class LostRanks(ValueError):  # noqa: N818 (what it is)
    """The other ranks do not answer."""


class Wish(NamedTuple):
    """What a rank would do after a step: stop because of a signal (0: none), and save."""

    signal: int = 0
    save: bool = False


class Ranks:
    """One of several processes that train together; by default the only one, whose sums are its own numbers.

    All ranks must call the methods that speak with the others in the same order.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        places = self.gathered(machine())
        self.neighbors = [other for other, place in enumerate(places) if place == places[rank]]  # on this machine
        self._agreed = Wish()  # when losses were last added up

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.size == 1

    def device(self, name: str) -> torch.device:
        """The device by name; "auto" and "cuda" share the GPUs of a machine out among its ranks.

        Raises:
            ValueError: there is no such device, or two ranks would use one GPU.
        """
        if self.alone:
            return device_of(name)
        device = device_of_rank(name, self.neighbors.index(self.rank))
        used = None if device.type == "cpu" else str(torch.cuda.get_device_properties(device).uuid)
        everyone = self.gathered(used)
        twice = [rank for rank, other in enumerate(everyone) if other is not None and everyone.count(other) > 1]
        if twice:
            raise ValueError(
                f"ranks {twice} would share a GPU (run.device is {name}); start as many ranks on a machine as it has "
                "GPUs, with run.device=auto, or set run.device=cpu"
            )
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return device

    def total(self, *numbers: float) -> list[float]:
        """The sums over all ranks."""
        if self.alone:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        self.add_up(sums)
        return sums.tolist()

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by the sum over all ranks, which is the same on each, bit for bit."""
        if not self.alone:
            _answered(lambda: dist.all_reduce(tensor))

    def add_up_step(self, gradient: Tensor, terms: LossTerms, wish: Wish) -> LossTerms:
        """Replace the gradient and return the losses, both added up over the ranks, in one message.

        It has the gradient's precision, for it is the longest. `agreed` then knows what all ranks wish.
        """
        if self.alone:
            return terms
        wishes = gradient.new_zeros(SIGNALS)
        wishes[0] = float(wish.save and self.first)
        wishes[wish.signal] += float(wish.signal > 0)
        message = torch.cat([gradient, torch.stack(list(terms)).to(gradient), wishes])
        self.add_up(message)
        parts = message.split([len(gradient), len(terms), SIGNALS])
        gradient.copy_(parts[0])
        save, *signals = parts[2].tolist()
        self._agreed = Wish(next((number for number, count in enumerate(signals, 1) if count), 0), bool(save))
        return LossTerms(*parts[1].double())

    def agreed(self, wish: Wish) -> Wish:
        """What all ranks do at a step: stop by the lowest signal that any got, save once if the first says it."""
        if self.alone:
            return wish
        agreed, self._agreed = self._agreed, self._agreed._replace(save=False)
        return agreed

    @property
    def stop_together(self) -> bool:
        """Whether a signal stops all ranks at the same step."""
        return self.alone or self._agreed.signal > 0

    def gathered(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order."""
        if self.alone:
            return [value]
        found: list[Any] = [None] * self.size
        _answered(lambda: dist.all_gather_object(found, value))
        return found

    def wait(self) -> None:
        """Go on when all ranks are here."""
        self.gathered(None)

    def copy_of_first(self, tensor: Tensor) -> None:
        """Replace a tensor by that of the first rank."""
        if not self.alone:
            _answered(lambda: dist.broadcast(tensor, 0))

    def share(self, structures: Sequence[int], costs: np.ndarray) -> list[int]:
        """Those of the structures that this rank takes, in their order; all ranks have about the same cost."""
        if self.alone:
            return list(structures)
        return [structures[place] for place in balanced(costs[np.asarray(structures, np.int64)], self.size)[self.rank]]


ALONE = Ranks()


def balanced(costs: Sequence[float] | np.ndarray, parts: int) -> list[list[int]]:
    """Numbers of the costs in so many parts of about the same sum: the largest first, each to the smallest part yet.

    Source: Graham, SIAM J. Appl. Math. 17, 416 (1969): the largest sum is at most 4/3 of the best.
    """
    made: list[list[int]] = [[] for _ in range(parts)]
    loads = [(0.0, part) for part in range(parts)]
    for place in np.argsort(-np.asarray(costs, dtype=np.float64), kind="stable").tolist():
        load, part = loads[0]
        made[part].append(place)
        heapq.heapreplace(loads, (load + float(costs[place]), part))
    return [sorted(part) for part in made]


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that the environment tells of, together while this lasts; ends all of them when one fails.

    The first that fails raises its error; the others end without a word, wherever they are.

    Raises:
        ValueError: the environment is unfit, or the ranks do not find each other.
    """
    launch = launch_of(os.environ)
    if launch is None:
        yield ALONE
        return
    watch = _Watch(launch)
    ranks = ALONE
    try:
        ranks = Ranks(launch.rank, launch.size)
        if not ranks.first:
            logging.getLogger().setLevel(logging.ERROR)
        yield ranks
        ranks.wait()
    except BaseException as error:
        if isinstance(error, Stopped) and ranks.stop_together:
            watch.end()
        else:
            watch.fail()
        raise
    watch.end()


class _Watch:
    """Meets the other ranks, and ends this process when one of them says that it failed.

    A rank that waits for the others in a sum cannot look by itself; so there is a thread, with a connection of its own.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        seconds = timedelta(seconds=float(os.environ.get(PATIENCE, "300")))
        os.environ.update(
            RANK=str(launch.rank), WORLD_SIZE=str(launch.size), MASTER_ADDR=launch.host, MASTER_PORT=str(launch.port)
        )
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        try:
            dist.init_process_group(backend, timeout=seconds)
            store = dist.TCPStore(launch.host, launch.port, None, False, timeout=seconds)
        except RuntimeError as error:
            raise ValueError(
                f"rank {launch.rank} of {launch.size} does not find the others at {launch.host}:{launch.port} "
                f"({_first_line(error)}). Check that all were started and see that host; MASTER_ADDR and MASTER_PORT "
                f"may name another, {PATIENCE} a longer time than {seconds.total_seconds():.0f} s"
            ) from error
        self._store = dist.PrefixStore(f"mlip/{launch.attempt}", store)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            try:
                failed = self._store.check(["failed"])
            except RuntimeError:  # the rank with the store is gone
                failed = True
            if failed and not self._over.is_set():
                _end_silently(self._store)

    def fail(self) -> None:
        """Tell the others that this rank failed; does not come back if another one was first."""
        self._over.set()
        self._thread.join()
        try:
            if self._store.add("failed", 1) > 1:
                _end_silently(self._store)
            limit = time.monotonic() + 10 * WATCH_SECONDS  # the store may go with this process
            while self._store.add("seen", 0) < self.launch.size - 1 and time.monotonic() < limit:
                time.sleep(0.05)
        except RuntimeError:
            pass  # nobody to tell

    def end(self) -> None:
        """Part from the others, who are at the same point."""
        self._over.set()
        self._thread.join()
        dist.destroy_process_group()


def _end_silently(store: dist.Store) -> None:
    with contextlib.suppress(RuntimeError):
        store.add("seen", 1)
    sys.stderr.flush()
    os._exit(FAILED)


def _answered(call: Callable[[], Any]) -> None:
    try:
        call()
    except RuntimeError as error:
        rank, size = dist.get_rank(), dist.get_world_size()
        raise LostRanks(
            f"rank {rank} of {size} lost the others ({_first_line(error)}): one of them died or hangs. Look for its "
            "message; a process that was killed for its memory has none. The last checkpoint is in the run folder"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
