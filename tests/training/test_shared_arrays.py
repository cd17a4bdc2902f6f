"""Arrays that ranks of a machine have in common; here the ranks are threads."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from physics import zoo

from mlip import featurization
from mlip.configfile import parse_config
from mlip.featurization import kept_features
from mlip.training.distributed import ALONE, Ranks
from mlip.training.examples import Examples
from mlip.training.shared_arrays import arrays_in_memory, arrays_on_disk

SHAPES = {"x": (4, 3), "none": (0, 2)}
FLOAT = np.dtype(np.float64)


class Threads(Ranks):
    """Ranks of one process; the machines they are on as `places` say."""

    def __init__(self, rank, places, board, barrier):
        self.rank, self.size, self.board, self.barrier = rank, len(places), board, barrier
        self.neighbors = [other for other, place in enumerate(places) if place == places[rank]]

    def gathered(self, value):
        self.board[self.rank] = value
        self.barrier.wait(10)
        found = [deepcopy(self.board[rank]) for rank in range(self.size)]
        self.barrier.wait(10)
        return found

    def add_up(self, tensor):
        tensor.copy_(sum(self.gathered(tensor.clone())))


def by_all(places, call):
    board, barrier = {}, threading.Barrier(len(places))
    with ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(lambda rank: call(Threads(rank, places, board, barrier)), range(len(places))))


def assert_one_for_each_machine(files):
    for n, file in enumerate(files):
        file.arrays["x"][n] = n + 1
    first, second, third = (file.arrays["x"] for file in files)
    assert np.array_equal(first, third) and first[0, 0] == 1 and first[2, 0] == 3 and first[1, 0] == 0
    assert second[1, 0] == 2 and second.sum() == 6


def test_in_memory():
    assert_one_for_each_machine(by_all("aba", lambda ranks: arrays_in_memory(ranks, SHAPES, FLOAT)))


def test_on_disk(tmp_path):
    """The machines see the same folder."""
    assert_one_for_each_machine(by_all("aba", lambda ranks: arrays_on_disk(ranks, tmp_path / "f", SHAPES, FLOAT)))
    assert not list(tmp_path.iterdir()), "a name would outlive a rank that is killed"


def test_processes_that_cannot_open_each_others_files(tmp_path, monkeypatch):
    opened = os.open

    def refuse(path, flags, *mode):
        if not flags & os.O_CREAT and (str(path).startswith("/proc") or tmp_path in path.parents):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert by_all("aab", lambda ranks: arrays_in_memory(ranks, SHAPES, FLOAT)) == [None] * 3
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(ValueError, match=r"f\.0: made by rank 0, cannot be opened by rank 1 \(Permission denied\)"):
        by_all("aa", lambda ranks: arrays_on_disk(ranks, tmp_path / "f", SHAPES, FLOAT))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("cache", "limit", "kept"), [("memory", 1e-9, True), ("auto", 1.0, True), ("auto", 1.5, None)])
def test_the_limit_is_that_of_a_machine(tmp_path, monkeypatch, caplog, cache, limit, kept):
    """Of features that ranks cannot share there are as many copies as ranks."""
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    examples = {"train": Examples(zoo.MIXED, potential.cutoff, potential.device)}
    size = featurization.bytes_of_features(potential.descriptor, examples.values(), potential.dtype) / 1e9
    training = {"cache": cache, "cache_limit": max(limit * size, 1e-12)}
    values = {"data": {"train": "x"}, "run": {"dir": str(tmp_path), "dtype": "float64"}, "training": training}
    config = parse_config(values, "test")
    ranks = Threads(0, "aa", {}, threading.Barrier(1))
    ranks.gathered = lambda value: [value, value]
    shared = limit == 1.0
    found = {True: lambda _, *sizes: arrays_in_memory(ALONE, *sizes), False: lambda *unused: None}
    monkeypatch.setattr(featurization, "arrays_in_memory", found[shared])
    with kept_features(config, potential.descriptor, examples, ranks):
        assert (examples["train"].store is not None) == bool(kept)
    assert ("2 times" in caplog.text) == (not shared)
    assert examples["train"].store is None
