"""Neighbor pairs against a search through every image, one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from physics import zoo

from mlip.neighbors import completed_cell, neighbor_pairs
from mlip.structure import Structure


def brute_force(positions, cell, pbc, cutoff):
    """{(center, neighbor, shift): distance} by trying all images that could be near enough."""
    vectors = np.where(pbc[:, None], cell, 0.0)
    heights = 1 / np.linalg.norm(np.linalg.pinv(vectors[pbc]), axis=0) if pbc.any() else np.array([])
    fractions = positions @ np.linalg.pinv(vectors[pbc]) if pbc.any() else np.zeros((len(positions), 0))
    limits = np.zeros(3, dtype=int)
    limits[pbc] = np.ceil(cutoff / heights + np.ptp(fractions, axis=0)).astype(int) + 1
    found = {}
    for shift in product(*(range(-n, n + 1) for n in limits)):
        offsets = positions[None] + np.array(shift) @ vectors - positions[:, None]
        distances = np.linalg.norm(offsets, axis=2)
        for i, j in np.argwhere(distances < cutoff):
            if i != j or shift != (0, 0, 0):
                found[int(i), int(j), shift] = distances[i, j]
    return found


def check(structure, cutoff):
    pairs, shifts, distances = neighbor_pairs(structure.positions, structure.cell, structure.pbc, cutoff)
    keys = [(int(i), int(j), tuple(int(x) for x in s)) for i, j, s in zip(*pairs, shifts, strict=True)]
    expected = brute_force(structure.positions, structure.cell, structure.pbc, cutoff)
    assert len(set(keys)) == len(keys), "a pair stands twice"
    assert set(keys) == set(expected)
    np.testing.assert_allclose(distances, [expected[key] for key in keys], rtol=1e-10)
    assert keys == sorted(keys), "sorted by center, then neighbor, then shift"
    assert {(j, i, tuple(-x for x in s)) for i, j, s in keys} == set(keys), "both directions"
    assert (pairs.dtype, shifts.dtype) == (np.int64, np.float64)
    return keys


@pytest.mark.parametrize("structure", zoo.STRUCTURES)
@pytest.mark.parametrize("cutoff", [1.5, 3.0, 6.1])
def test_every_pair_is_found(structure, cutoff):
    assert len(check(zoo.STRUCTURES[structure], cutoff)) > 0 or cutoff < 2


@given(
    seed=st.integers(0, 10**6),
    atoms=st.integers(1, 6),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    cutoff=st.floats(0.5, 5.0),
    stray=st.floats(0, 20),
)
def test_any_cell_and_atoms_outside_of_it(seed, atoms, pbc, cutoff, stray):
    generator = np.random.default_rng(seed)
    cell = np.diag(generator.uniform(1.5, 5.0, 3)) + generator.uniform(-0.7, 0.7, (3, 3))
    cell *= generator.choice([-1.0, 1.0])
    positions = generator.normal(size=(atoms, 3)) * (1 + stray)
    check(Structure(np.ones(atoms, dtype=int), positions, cell, np.array(pbc)), cutoff)


def test_an_atom_is_its_own_neighbor_in_a_short_cell():
    keys = check(zoo.STRUCTURES["one-atom"], 4.5)
    assert len(keys) > 25 and {key[:2] for key in keys} == {(0, 0)}


def test_no_pairs():
    pairs, shifts, distances = neighbor_pairs(np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, dtype=bool), 5.0)
    assert (pairs.shape, shifts.shape, distances.shape) == ((2, 0), (0, 3), (0,))


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.inf, np.nan])
def test_cutoff_is_a_length(cutoff):
    with pytest.raises(ValueError, match=r"cutoff is .* Å; it must be a positive, finite length"):
        neighbor_pairs(np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, dtype=bool), float(cutoff))


@pytest.mark.parametrize("pbc", list(product([False, True], repeat=3)))
def test_completed_cell_keeps_periodic_vectors_and_fills_the_rest(pbc):
    cell, pbc = np.array(zoo.TRICLINIC), np.array(pbc)
    box = completed_cell(cell, pbc)
    assert (box[pbc] == cell[pbc]).all()
    added = box[~pbc]
    np.testing.assert_allclose(added @ added.T, np.eye(len(added)), atol=1e-12)
    np.testing.assert_allclose(added @ cell[pbc].T, 0, atol=1e-12)
