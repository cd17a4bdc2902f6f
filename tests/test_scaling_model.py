"""Laws of the performance model behind scripts/benchmark_scaling.py."""

import importlib.util
import math
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mlip.training.distributed import balanced

PATH = Path(__file__).parents[1] / "scripts" / "scaling_model.py"
SPEC = importlib.util.spec_from_file_location("scaling_model", PATH)
model = importlib.util.module_from_spec(SPEC)
sys.modules["scaling_model"] = model
SPEC.loader.exec_module(model)

EVEN = model.Imbalance([1.0])
FABRIC = model.Fabric(base=14e-6, inside=1.25e-6, between=8.5e-6, link=450e9, network=50e9)


def training(**changes):
    plain = model.Training(
        structures=10**6,
        compute=model.Line(3e-3, 2e-4),
        sharing=model.Line(1e-5, 4e-7),
        optimizer=1.5e-3,
        message=500_000,
        all_reduce=FABRIC,
        imbalance=EVEN,
    )
    return replace(plain, **changes)


def test_a_line_is_found_again():
    line = model.Line(2.5e-4, 3.1e-6)
    numbers = (1, 7, 64, 1000)
    found = model.fitted(numbers, [line(n) for n in numbers])
    assert (found.fixed, found.each) == pytest.approx((line.fixed, line.each), rel=1e-10)


def test_no_part_of_a_line_is_negative():
    assert model.fitted((1, 2, 4), (4.0, 2.0, 1.0)).each == 0
    assert model.fitted((1, 2, 4), (0.1, 1.0, 3.0)).fixed == 0


def test_one_rank_speaks_with_nobody():
    parts = training().step(64, 1)
    assert parts["all-reduce"] == parts["sharing"] == parts["imbalance"] == 0
    assert sum(parts.values()) == pytest.approx(3e-3 + 64 * 2e-4 + 1.5e-3, rel=1e-12)


def test_a_step_is_the_sum_that_the_formula_says():
    imbalance = model.Imbalance([1.0, 2.0, 5.0])
    made = training(imbalance=imbalance)
    expected = 3e-3 + 2e-4 * 512 / 16 * imbalance(512, 16) + (1e-5 + 4e-7 * 512) + FABRIC(500_000, 16) + 1.5e-3
    assert sum(made.step(512, 16).values()) == pytest.approx(expected, rel=1e-12)
    assert made.epoch(512, 16).seconds == pytest.approx(10**6 / 512 * expected, rel=1e-12)


def test_amdahl():
    """What is not shared out bounds the speedup, however many ranks there are."""
    free = training(sharing=model.Line(0, 0), all_reduce=lambda size, ranks: 0.0)
    one = free.epoch(4096, 1).seconds
    bound = (3e-3 + 1.5e-3 + 4096 * 2e-4) / (3e-3 + 1.5e-3)
    speedups = [one / free.epoch(4096, ranks).seconds for ranks in (1, 16, 256, 4096)]
    assert all(a < b < bound for a, b in pairwise(speedups))
    assert speedups[1] == pytest.approx(1 / (1 / bound + (1 - 1 / bound) / 16), rel=1e-12)


def test_an_epoch_waits_for_its_files():
    slow = training(stored=1e12, files=model.Files(rank=1e9))
    epoch = slow.epoch(512, 64)
    assert epoch.seconds == pytest.approx(1000, rel=1e-12)
    assert epoch.bound == "I/O"
    quick = training(stored=1e6, files=model.Files(rank=1e9))
    assert quick.epoch(512, 64).seconds == pytest.approx(training().epoch(512, 64).seconds, rel=1e-12)


def test_every_rank_reads_everything():
    """More ranks make reading no faster, and slower once the file system is full."""
    files = model.Files(rank=1e9, node=40e9, total=240e9)
    assert files(1e12, 1) == files(1e12, 512) == pytest.approx(1000)
    assert files(1e12, 4096) == pytest.approx(512 * 1e12 / 240e9)
    shares = replace(files, shared=True)
    assert shares(1e12, 64) == pytest.approx(1000 / 64)
    assert shares(1e12, 4096) == pytest.approx(1e12 / 240e9)


def test_a_sum_over_ranks():
    assert FABRIC(10**6, 1) == 0
    assert FABRIC(10**6, 2) == pytest.approx(14e-6 + 2 * 1.25e-6 + 10**6 / 450e9, rel=1e-12)
    far = 14e-6 + 2 * (7 * 1.25e-6 + 3 * 8.5e-6) + 2 * 63 / 64 * 10**6 / 50e9
    assert FABRIC(10**6, 64) == pytest.approx(far, rel=1e-12)


def test_equal_structures_are_shared_out_evenly():
    assert EVEN(64, 8) == pytest.approx(1, rel=1e-12)
    assert EVEN(65, 8) == pytest.approx(9 * 8 / 65, rel=1e-12)
    assert EVEN(4, 8) == pytest.approx(2, rel=1e-12)


def test_imbalance_is_that_of_the_shares_of_a_training():
    costs = np.random.default_rng(3).uniform(1, 100, 50)
    found = model.Imbalance(costs, draws=1)(40, 6)
    drawn = np.random.default_rng(1).choice(costs, 40)
    loads = [sum(drawn[n] for n in part) for part in balanced(drawn, 6)]
    assert found == pytest.approx(max(loads) / (sum(loads) / 6), rel=1e-12)
    assert 1 <= found < model.Imbalance(costs, draws=1, counted=True)(40, 6)


def test_perfect_scaling_does_not_stop():
    perfect = training(
        compute=model.Line(0, 1e-3), sharing=model.Line(0, 0), optimizer=0.0, all_reduce=lambda size, ranks: 0.0
    )
    assert perfect.limit(lambda ranks: 4096) == (model.MOST, "nothing yet")


def test_where_it_stops():
    """With a + w/p seconds a doubling brings less than 1.25 times as soon as p > 1.5 w/a."""
    made = training(sharing=model.Line(0, 0), optimizer=0.0, all_reduce=lambda size, ranks: 0.0)
    batch = 4096
    exact = (1 / model.WORTH - 0.5) * 2e-4 * batch / ((1 - 1 / model.WORTH) * 3e-3)
    found, bound = made.limit(lambda ranks: batch)
    expected = 2 ** math.ceil(math.log2(exact))
    assert (found, bound) == (expected, "launches")


def test_the_same_device_again():
    """A device with these ceilings, whose launches cost nothing, takes as long for each structure."""
    here, host = model.Line(0.0, 2e-3), model.Line(1e-4, 1e-5)
    found = model.on_device(here, host, 5e-4, 5e-4, launches=0, launch=1e-5)
    assert (found.fixed, found.each) == pytest.approx((1e-4, 2e-3), rel=1e-12)
    faster = model.on_device(here, host, 5e-4, 5e-5, launches=100, launch=1e-5)
    assert faster.fixed == pytest.approx(1e-4 + 1e-3, rel=1e-12)
    assert faster.each == pytest.approx(1e-5 + (2e-3 - 1e-5) / 10, rel=1e-12)


def test_the_page_names_options_that_exist():
    script = PATH.with_name("benchmark_scaling.py")
    page = (PATH.parents[1] / "docs" / "scaling.md").read_text(encoding="utf-8")
    known = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=120).stdout
    named = set(re.findall(r"--[a-z][a-z-]+", page))
    assert {"--quick", "--figure"} <= named
    assert named <= set(re.findall(r"--[a-z][a-z-]+", known))
