"""The search on the device finds the pairs that the library finds, in the same order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from physics import zoo

from mlip.batch import collate, to_batch, with_pairs
from mlip.pair_search import search_pairs
from mlip.structure import Structure

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check(structures, cutoff, **options):
    """The pairs of a batch are those of `to_batch`; returns how many there are."""
    expected = collate([to_batch(structure, cutoff)[0] for structure in structures])
    there = expected.to(DEVICE)
    pairs, shifts = search_pairs(there.positions, there.cell, there.structure, cutoff, **options)
    assert torch.equal(pairs.cpu(), expected.pairs)
    assert torch.equal(shifts.cpu(), expected.shifts)
    return pairs.shape[1]


def box(generator, count, pbc, edge, skew=0.3):
    """Atoms on a jittered grid, some of them outside the triclinic cell."""
    cell = np.diag(generator.uniform(0.7, 1.3, 3) * edge) + generator.uniform(-skew, skew, (3, 3)) * edge
    sites = np.array(np.meshgrid(*[np.arange(8)] * 3)).reshape(3, -1).T[generator.permutation(512)[:count]]
    fractional = (sites + generator.uniform(0.2, 0.6, (count, 3))) / 8
    fractional += generator.integers(-2, 3, (count, 3)) * np.array(pbc)
    return Structure(np.full(count, 6), fractional @ cell, cell, np.array(pbc))


@given(
    seed=st.integers(0, 2**32 - 1),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    count=st.integers(1, 60),
    cutoff=st.sampled_from([2.0, 4.5, 9.0]),
)
def test_one_structure(seed, pbc, count, cutoff):
    check([box(np.random.default_rng(seed), count, pbc, 12.0)], cutoff)


def test_a_cell_much_shorter_than_the_cutoff():
    assert check([zoo.STRUCTURES["one-atom"]], 11.0) > 300


def test_a_batch_of_everything():
    generator = np.random.default_rng(1)
    boxes = [box(generator, count, pbc, 14.0) for count, pbc in [(200, (True,) * 3), (90, (False,) * 3)]]
    assert check([*zoo.MIXED, *boxes, *zoo.MIXED], 3.7) > 1000


def test_a_box_of_many_bins():
    """More than three bins along each edge, so that most pairs of atoms are never compared."""
    generator = np.random.default_rng(2)
    boxes = [box(generator, 512, (True,) * 3, 30.0, 0.1), box(generator, 512, (True, False, True), 30.0, 0.1)]
    assert check(boxes, 4.6) > 2000


@pytest.mark.parametrize("at_once", [1, 1000])
def test_memory_does_not_change_the_result(at_once):
    check(zoo.MIXED, 3.0, at_once=at_once)


def test_atoms_far_apart():
    """Only bins with atoms in them take memory."""
    positions = torch.tensor([[0.0, 0, 0], [1e7, 0, 0], [1e7, 1, 0]], dtype=torch.float64, device=DEVICE)
    cell, structure = positions.new_zeros(1, 3, 3), torch.zeros(3, dtype=torch.int64, device=DEVICE)
    pairs, shifts = search_pairs(positions, cell, structure, 2.0)
    assert pairs.tolist() == [[1, 2], [2, 1]] and not shifts.any()


def test_a_batch_whose_atoms_moved():
    batch, _ = to_batch(zoo.STRUCTURES["triclinic"], 3.0)
    moved = batch._replace(positions=batch.positions + torch.randn_like(batch.positions))
    structure = dataclasses.replace(zoo.STRUCTURES["triclinic"], positions=moved.positions.numpy())
    for found, expected in zip(with_pairs(moved, 3.0), to_batch(structure, 3.0)[0], strict=True):
        assert torch.equal(found, expected)


def test_no_pairs():
    assert check([zoo.LONE_ATOM, zoo.STRANGERS], 3.0) == 0


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_cutoff_is_named(cutoff):
    batch = to_batch(zoo.LONE_ATOM, 3.0)[0]
    with pytest.raises(ValueError, match=f"cutoff is {cutoff} Å"):
        search_pairs(batch.positions, batch.cell, batch.structure, cutoff)
