"""Batches on their way to a device: made in the background while it computes with the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from mlip.batch import AtomsBatch, Properties
from mlip.descriptors.store import KeptFeatures

Taken = tuple[AtomsBatch, Properties, KeptFeatures | None]
Finder = Callable[[Sequence[int]], Taken]


class _Moved(NamedTuple):
    """A batch, all its tensors, and when the copies are done; None: they are."""

    batch: Taken
    tensors: list[Tensor]
    done: torch.cuda.Event | None


class ReadAhead:
    """Finds batches in the host's memory, and copies them through page-locked memory to the device.

    A thread of its own does both, in the order in which it is asked to; on a GPU the copies have a stream of their own,
    so that they overlap with what the device computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._begun: dict[tuple[int, ...], Future[_Moved]] = {}

    def begin(self, structures: Sequence[int], find: Finder) -> None:
        """Start with the batch of these structures, unless that was done."""
        if tuple(structures) in self._begun:
            return
        if self._stream is not None:  # what was put on the device before must be there when it is read
            self._stream.wait_stream(torch.cuda.current_stream(self.device))
        self._begun[tuple(structures)] = self._thread.submit(self._moved, list(structures), find)

    def taken(self, structures: Sequence[int], find: Finder) -> Taken:
        """The batch of these structures, once it is there.

        Raises:
            ValueError: what `find` raised.
        """
        self.begin(structures, find)
        moved = self._begun.pop(tuple(structures)).result()
        if moved.done is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_event(moved.done)
            for tensor in moved.tensors:  # their memory is the other stream's, which must not use it again too early
                tensor.record_stream(here)
        return moved.batch

    def _moved(self, structures: Sequence[int], find: Finder) -> _Moved:
        with torch.cuda.stream(self._stream):  # does nothing without one
            tensors: list[Tensor] = []

            def move(tensor: Tensor) -> Tensor:
                if self._stream is not None and tensor.device.type == "cpu":
                    tensor = tensor.pin_memory()
                tensors.append(tensor.to(self.device, non_blocking=True))
                return tensors[-1]

            batch, labels, features = find(structures)
            there = None if features is None else features.moved(move)
            taken = AtomsBatch(*map(move, batch)), labels.mapped(move), there
            return _Moved(taken, tensors, None if self._stream is None else self._stream.record_event())
