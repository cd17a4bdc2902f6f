"""Kept pairs: whatever atoms and cell do, no pair within the cutoff is ever missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlip import verlet
from mlip.batch import pair_vectors
from mlip.neighbors import neighbor_pairs
from mlip.verlet import VerletList

CUTOFF = 3.0
TRICLINIC = np.array([[4.6, 0.3, -0.2], [1.3, 4.2, 0.5], [-0.7, 0.8, 4.9]])
CELLS = {
    "molecule": (np.zeros((3, 3)), (False, False, False)),
    "molecule in a box": (8 * np.eye(3), (False, False, False)),
    "triclinic": (TRICLINIC, (True, True, True)),
    "left-handed": (TRICLINIC[[1, 0, 2]], (True, True, True)),
    "slab": (TRICLINIC, (True, True, False)),
    "short": (np.diag([2.2, 2.5, 7.0]) + 0.2, (True, True, True)),
}


def start(name):
    """Atoms on a grid, so that a small move brings no two on top of each other."""
    cell, pbc = CELLS[name]
    frame = cell if np.array(pbc).all() else TRICLINIC
    sites = (
        [(0.1, 0.1, 0.1)]
        if name == "short"
        else [(i, j, k) for i in (0.1, 0.6) for j in (0.1, 0.6) for k in (0.1, 0.6)]
    )
    return np.array([1, 6, 8, 1, 6, 8, 1, 6][: len(sites)]), np.array(sites) @ frame, cell, np.array(pbc)


def within(batch):
    """Pairs of a batch within the cutoff, with their shifts."""
    near = pair_vectors(batch).norm(dim=1) < CUTOFF
    rows = np.column_stack([batch.pairs.T[near].numpy(), batch.shifts[near].numpy()])
    return {tuple(int(value) for value in row) for row in rows}


def fresh(positions, cell, pbc):
    pairs, shifts, _ = neighbor_pairs(positions, cell, pbc, CUTOFF)
    return {tuple(int(value) for value in row) for row in np.column_stack([pairs.T, shifts])}


@given(
    name=st.sampled_from(list(CELLS)),
    skin=st.sampled_from([0.0, 0.2, 0.6, 1.5]),
    seed=st.integers(0, 10_000),
    step=st.sampled_from([0.005, 0.03, 0.1]),
    strain=st.sampled_from([0.0, 0.002, 0.02]),
    wrapped=st.booleans(),
)
def test_no_pair_is_missed_on_a_random_walk(name, skin, seed, step, strain, wrapped):
    numbers, positions, cell, pbc = start(name)
    generator = np.random.default_rng(seed)
    pairs = VerletList(CUTOFF, skin)
    for _ in range(8):
        batch = pairs.batch(numbers, positions, cell, pbc)
        assert within(batch) == fresh(positions, cell, pbc)
        np.testing.assert_array_equal(batch.positions.numpy(), positions)
        np.testing.assert_array_equal(batch.cell[0].numpy(), np.where(pbc[:, None], cell, 0.0))
        deformation = np.eye(3) + strain * generator.uniform(-1, 1, (3, 3))
        cell, positions = cell @ deformation, positions @ deformation
        positions = positions + step * generator.uniform(-1, 1, positions.shape)
        if wrapped and pbc.any():
            positions = positions + generator.integers(-1, 2, (len(positions), 3)) * pbc @ cell


def test_atoms_that_meet_head_on_are_found_in_time():
    """Two atoms approach each other by as much as the skin allows before pairs are searched anew."""
    numbers, cell, pbc = np.array([1, 1]), np.zeros((3, 3)), np.zeros(3, dtype=bool)
    pairs = VerletList(CUTOFF, 0.5)
    for distance in np.arange(CUTOFF + 0.51, CUTOFF - 0.1, -0.01):
        positions = np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
        shifted = positions - positions.mean(axis=0)
        assert len(within(pairs.batch(numbers, shifted, cell, pbc))) == (2 if distance < CUTOFF else 0)
    assert 2 <= pairs.searches <= 4


def test_shrinking_cell_alone():
    numbers, positions, cell, pbc = start("triclinic")
    pairs = VerletList(CUTOFF, 0.5)
    for factor in np.linspace(1.0, 0.8, 41):
        scaled = (positions * factor, cell * factor)
        assert within(pairs.batch(numbers, *scaled, pbc)) == fresh(*scaled, pbc)
    assert 2 <= pairs.searches < 20, "0.2 of strain is at least one skin, and far fewer than the steps"


@pytest.mark.parametrize("kernels", [True, False])
def test_pairs_are_kept_while_atoms_stay(kernels, monkeypatch):
    if not kernels:
        monkeypatch.setattr(verlet, "has_kernels", lambda: False)
    numbers, positions, cell, pbc = start("triclinic")
    pairs = VerletList(CUTOFF, 0.5)
    generator = np.random.default_rng(0)
    for _ in range(20):
        pairs.batch(numbers, positions + generator.uniform(-0.05, 0.05, positions.shape), cell, pbc)
    assert pairs.searches == 1
    pairs.batch(numbers, positions + np.array([0.0, 0.0, 0.6]), cell, pbc)
    assert pairs.searches == 2


def test_the_kept_batch_is_the_same_until_the_next_search():
    numbers, positions, cell, pbc = start("triclinic")
    pairs = VerletList(CUTOFF, 0.5)
    first = pairs.kept(numbers, positions, cell, pbc)
    assert pairs.kept(numbers, positions + 0.05, cell, pbc) is first
    moved = pairs.batch(numbers, positions + 0.05, cell, pbc)
    assert moved.pairs is first.pairs and moved.numbers is first.numbers and (moved.positions != first.positions).all()
    assert pairs.kept(numbers, positions + 0.6, cell, pbc) is not first


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_no_numbers_are_searched_and_so_refused(value, kernels, monkeypatch):
    numbers, positions, cell, pbc = start("molecule")
    pairs = VerletList(CUTOFF, 0.5)
    pairs.batch(numbers, positions, cell, pbc)
    positions[1, 1] = value
    if not kernels:
        monkeypatch.setattr(verlet, "has_kernels", lambda: False)
    with pytest.raises(ValueError, match=r"positions hold .* in row 1"):
        pairs.batch(numbers, positions, cell, pbc)


def test_without_a_skin_every_move_is_searched():
    numbers, positions, cell, pbc = start("molecule")
    pairs = VerletList(CUTOFF, 0.0)
    for n in range(3):
        pairs.batch(numbers, positions + 1e-9 * n, cell, pbc)
    assert pairs.searches == 3


@pytest.mark.parametrize("change", ["numbers", "pbc", "cell of a slab", "fewer atoms"])
def test_what_else_makes_pairs_old(change):
    numbers, positions, cell, pbc = start("slab")
    pairs = VerletList(CUTOFF, 1.0)
    pairs.batch(numbers, positions, cell, pbc)
    if change == "numbers":
        numbers = numbers[::-1].copy()
    elif change == "pbc":
        pbc = np.array([True, True, True])
    elif change == "cell of a slab":
        cell = cell * 1.01
    else:
        numbers, positions = numbers[:-1], positions[:-1]
    batch = pairs.batch(numbers, positions, cell, pbc)
    assert pairs.searches == 2 and batch.numbers.tolist() == numbers.tolist()
    assert within(batch) == fresh(positions, cell, pbc)


def test_a_search_that_failed_leaves_no_old_pairs_behind():
    """Atoms on top of each other are refused; what comes close to them afterwards must be searched anew."""
    numbers, cell, pbc = np.array([1, 1, 1]), np.zeros((3, 3)), np.zeros(3, dtype=bool)
    pairs = VerletList(CUTOFF, 1.0)
    pairs.batch(numbers, np.array([[0.0, 0, 0], [9.0, 0, 0], [18.0, 0, 0]]), cell, pbc)
    touching = np.array([[0.0, 0, 0], [0.1, 0, 0], [2.0, 0, 0]])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"atoms 0 and 1 are 0\.1 Å apart"):
            pairs.batch(numbers, touching, cell, pbc)
    apart = np.array([[0.0, 0, 0], [0.4, 0, 0], [2.0, 0, 0]])
    assert within(pairs.batch(numbers, apart, cell, pbc)) == fresh(apart, cell, pbc)


def test_the_batch_is_no_view_of_the_atoms():
    numbers, positions, cell, pbc = start("triclinic")
    pairs = VerletList(CUTOFF, 0.5)
    for _ in range(2):
        batch = pairs.batch(numbers, positions, cell, pbc)
        before = batch.positions.clone(), batch.cell.clone()
        positions += 0.01
        cell = cell + 0.001
        assert (batch.positions == before[0]).all() and (batch.cell == before[1]).all()


@pytest.mark.parametrize("skin", [-0.1, np.nan, np.inf])
def test_an_unfit_skin(skin):
    with pytest.raises(ValueError, match=rf"skin is {skin} Å"):
        VerletList(CUTOFF, skin)
