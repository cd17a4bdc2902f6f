"""Neighbor pairs against a search through every image, one by one, and against vesin."""

from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from physics import zoo

from mlip import neighbors
from mlip.neighbors import by_vesin, completed_cell, neighbor_pairs
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


def directly(*arguments):
    """Each atom tried with each."""
    with patch.object(neighbors, "DIRECT", 10**6):
        return neighbor_pairs(*arguments)


def through_bins(*arguments):
    """By the grid of bins, however few the atoms."""
    with patch.object(neighbors, "DIRECT", 0):
        return neighbor_pairs(*arguments)


SEARCHES = [directly, through_bins, by_vesin]


def check(structure, cutoff, search=neighbor_pairs):
    pairs, shifts, distances = search(structure.positions, structure.cell, structure.pbc, cutoff)
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
@pytest.mark.parametrize("search", SEARCHES)
def test_every_pair_is_found(structure, cutoff, search):
    assert len(check(zoo.STRUCTURES[structure], cutoff, search)) > 0 or cutoff < 2


@pytest.mark.parametrize("search", SEARCHES)
@given(
    seed=st.integers(0, 10**6),
    atoms=st.integers(1, 6),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    cutoff=st.floats(0.5, 5.0),
    stray=st.floats(0, 20),
)
def test_any_cell_and_atoms_outside_of_it(search, seed, atoms, pbc, cutoff, stray):
    generator = np.random.default_rng(seed)
    cell = np.diag(generator.uniform(1.5, 5.0, 3)) + generator.uniform(-0.7, 0.7, (3, 3))
    cell *= generator.choice([-1.0, 1.0])
    positions = generator.normal(size=(atoms, 3)) * (1 + stray)
    check(Structure(np.ones(atoms, dtype=int), positions, cell, np.array(pbc)), cutoff, search)


def same_as_vesin(found, *arguments):
    """The same pairs in the same order, at the same distances."""
    expected = by_vesin(*arguments)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[2], expected[2], rtol=0, atol=1e-12 * (1 + np.abs(arguments[0]).max()))


@pytest.mark.parametrize("search", [directly, through_bins, neighbor_pairs])
@given(
    seed=st.integers(0, 10**6),
    atoms=st.integers(1, 300),
    sides=st.tuples(*[st.sampled_from([1.1, 2.5, 7.0, 12.0, 25.0])] * 3),
    skew=st.sampled_from([0.0, 0.3, 0.9]),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    cutoff=st.sampled_from([0.8, 2.5, 4.0]),
    stray=st.sampled_from([0, 1, 30]),
)
def test_many_atoms_against_vesin(search, seed, atoms, sides, skew, pbc, cutoff, stray):
    """Slabs, rods, left-handed and skewed cells, and atoms that have left them."""
    generator = np.random.default_rng(seed)
    cell = np.array(sides)[:, None] * (np.eye(3) + skew * generator.uniform(-0.5, 0.5, (3, 3)))
    cell = cell[generator.permutation(3)] * generator.choice([-1.0, 1.0])
    volume = abs(np.linalg.det(cell))
    assume(volume > 0.3 * np.prod(sides))
    atoms = int(min(atoms, 1 + volume))  # at most 1 atom/Å^3
    fractions = generator.uniform(0, 1, (atoms, 3))
    stray = stray if all(pbc) else min(stray, 1)  # far from a cell with open axes vesin needs minutes, or crashes
    fractions += generator.integers(-stray, stray + 1, (atoms, 3)) * pbc
    arguments = (fractions @ cell, cell, np.array(pbc), cutoff)
    same_as_vesin(search(*arguments), *arguments)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("ordered", [True, False])
def test_a_box_with_any_number_of_threads(threads, ordered):
    generator = np.random.default_rng(3)
    cell = np.array([[31.0, 2.0, -3.0], [0.0, 27.0, 5.0], [4.0, 0.0, 24.0]])
    sites = np.array(list(product(range(13), range(12), range(11)))) / (13, 12, 11)
    positions = (sites if ordered else generator.permutation(sites)) @ cell + generator.normal(
        scale=0.1, size=(1716, 3)
    )
    arguments = (positions, cell, np.ones(3, dtype=bool), 5.0)
    found = neighbor_pairs(*arguments, threads=threads)
    for one, other in zip(found, neighbor_pairs(*arguments), strict=True):
        np.testing.assert_array_equal(one, other)
    same_as_vesin(found, *arguments)


def test_more_atoms_than_two_digits_number():
    """The radix sort goes a third round beyond 2^18 atoms."""
    generator = np.random.default_rng(7)
    cell = 150.0 * np.eye(3)
    arguments = (generator.uniform(0, 150, (300_000, 3)), cell, np.ones(3, dtype=bool), 1.5)
    found = neighbor_pairs(*arguments)
    assert found[0].shape[1] > 300_000 and found[0].max() > 2**18
    same_as_vesin(found, *arguments)


@pytest.mark.parametrize("shape", ["blob", "plane", "line", "tail", "two blobs", "one that flew away", "one point"])
def test_a_cluster_of_many_atoms_without_a_cell(shape):
    generator = np.random.default_rng(4)
    positions = generator.uniform(0, 18, (500, 3))
    if shape == "plane":
        positions[:, 1] = 3.0
    elif shape == "line":
        positions = positions * (40, 0, 0) - 7.0
    elif shape == "tail":
        positions[:8] = np.column_stack([20 + 2 * np.arange(8), np.full((8, 2), 9.0)])  # out of the last bin
    elif shape == "two blobs":
        positions[250:] += (900.0, 0.0, -5.0)
    elif shape == "one that flew away":
        positions[7] = (1e8, -1e8, 1e7)
    elif shape == "one point":
        positions[:] = 2.0
    arguments = (positions, np.zeros((3, 3)), np.zeros(3, dtype=bool), 3.0)
    found = neighbor_pairs(*arguments)
    assert found[0].shape[1] > 500
    if shape == "one that flew away":
        at_home = np.delete(positions, 7, axis=0)
        assert found[0].shape[1] == by_vesin(at_home, *arguments[1:])[0].shape[1]
    else:
        same_as_vesin(found, *arguments)


@pytest.mark.parametrize("search", [directly, through_bins])
@pytest.mark.parametrize("pbc", [True, False])
def test_at_the_edge_both_directions_are_found_or_none(search, pbc):
    """A lattice has many neighbors at just the cutoff; rounding decides on them, but for both directions alike."""
    sites = np.array(list(product(range(5), repeat=3))) * 1.1
    offset = np.array([0.1, 0.7, -12.3])
    for cutoff in (1.1, 2.2, 3.3, 1.1 * 2**0.5, 1.1 * 3**0.5):
        pairs, shifts, distances = search(sites + offset, 5.5 * np.eye(3), np.full(3, pbc), cutoff)
        rows = {(i, j, *s): d for i, j, s, d in zip(*pairs.tolist(), shifts.tolist(), distances, strict=True)}
        assert all(rows[j, i, -a, -b, -c] == d for (i, j, a, b, c), d in rows.items())
        assert (distances < cutoff).all() and len(rows) > 0


def test_both_searches_decide_alike():
    generator = np.random.default_rng(5)
    sites = np.array(list(product(range(5), repeat=3))) * 1.1 + generator.integers(-3, 4, (125, 3)) * 5.5
    for cutoff in (1.1, 2.2, 3.3, 1.1 * 2**0.5, 1.1 * 3**0.5):
        arguments = (sites, 5.5 * np.eye(3), np.ones(3, dtype=bool), cutoff)
        for one, other in zip(directly(*arguments), through_bins(*arguments), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("search", [directly, through_bins])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e10, -1e300])
@pytest.mark.parametrize("pbc", [True, False])
def test_coordinates_that_tell_no_distance(search, value, pbc):
    positions = np.zeros((3, 3))
    positions[1, 2] = value
    with pytest.raises(ValueError, match=r"positions hold .* in row 1; expected finite numbers of at most 1e\+09 Å"):
        search(positions, 5 * np.eye(3), np.full(3, pbc), 3.0)


@pytest.mark.parametrize("search", [directly, through_bins])
def test_a_periodic_direction_needs_a_lattice_vector(search):
    for cell in (np.zeros((3, 3)), np.ones((3, 3)), np.full((3, 3), np.nan)):
        with pytest.raises(ValueError, match="no independent lattice vector for each periodic direction"):
            search(np.zeros((2, 3)), cell, np.ones(3, dtype=bool), 3.0)


def test_without_numba_vesin_searches(monkeypatch):
    structure = zoo.STRUCTURES["triclinic"]
    arguments = (structure.positions, structure.cell, structure.pbc, 4.0)
    expected = neighbor_pairs(*arguments)
    monkeypatch.setattr(neighbors, "has_kernels", lambda: False)
    monkeypatch.setattr(neighbors, "kernels", None)
    for one, other in zip(neighbor_pairs(*arguments), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
    with pytest.raises(ValueError, match="in row 0"):
        neighbor_pairs(np.full((1, 3), np.nan), *arguments[1:])


@pytest.mark.parametrize("layout", ["Fortran", "every second", "float32", "read-only"])
def test_any_array_will_do(layout):
    given = np.random.default_rng(6).uniform(0, 6, (10, 3))
    expected = neighbor_pairs(given, np.zeros((3, 3)), np.zeros(3, dtype=bool), 3.0)
    if layout == "Fortran":
        given = np.asfortranarray(given)
    elif layout == "every second":
        given = np.repeat(given, 2, axis=0)[::2]
    elif layout == "float32":
        given = given.astype(np.float32)
    else:
        given.flags.writeable = False
    found = neighbor_pairs(given, np.zeros((3, 3)), np.zeros(3, dtype=bool), 3.0)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-6 if layout == "float32" else 0)


def test_an_atom_is_its_own_neighbor_in_a_short_cell():
    keys = check(zoo.STRUCTURES["one-atom"], 4.5, through_bins)
    assert keys == check(zoo.STRUCTURES["one-atom"], 4.5, directly)
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
