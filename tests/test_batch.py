from dataclasses import replace

import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import Properties, collate, collate_labels, labels_of, pair_vectors, sum_per_structure, to_batch
from mlip.neighbors import neighbor_pairs
from mlip.structure import Structure


@pytest.fixture
def singles():
    return [to_batch(structure, 4.0)[0] for structure in zoo.MIXED]


def test_fields_of_one_structure():
    structure = zoo.STRUCTURES["slab"]
    batch, _ = to_batch(structure, 4.0)
    assert batch.numbers.tolist() == structure.numbers.tolist()
    assert batch.structure.tolist() == [0] * len(structure)
    assert (batch.cell[0, :2].numpy() == structure.cell[:2]).all() and (batch.cell[0, 2] == 0).all()
    assert [field.dtype for field in batch] == [
        torch.int64, torch.float64, torch.float64, torch.int64, torch.int64, torch.float64,
    ]  # fmt: skip


@pytest.mark.parametrize("name", zoo.STRUCTURES)
def test_pair_vectors_have_the_lengths_the_search_found(name):
    structure = zoo.STRUCTURES[name]
    distances = neighbor_pairs(structure.positions, structure.cell, structure.pbc, 4.0)[2]
    vectors = pair_vectors(to_batch(structure, 4.0)[0])
    np.testing.assert_allclose(vectors.norm(dim=1).numpy(), distances, rtol=1e-11)


def test_pair_vector_points_from_center_to_neighbor_through_the_boundary():
    cell = np.array([[3.0, 0, 0], [1.0, 4.0, 0], [0, 0, 9.0]])
    batch, _ = to_batch(
        Structure(np.array([1, 8]), np.array([[0.1, 0, 0], [0.9, 3.6, 0]]), cell, np.ones(3, bool)), 0.6
    )
    found = {
        tuple(pair): vector for pair, vector in zip(batch.pairs.T.tolist(), pair_vectors(batch).tolist(), strict=True)
    }
    assert found[0, 1] == pytest.approx([-0.2, -0.4, 0.0], abs=1e-12)
    assert found[1, 0] == pytest.approx([0.2, 0.4, 0.0], abs=1e-12)


def test_collate_keeps_every_structure(singles):
    batch = collate(singles)
    atoms = pairs = 0
    whole = pair_vectors(batch)
    for number, (single, structure) in enumerate(zip(singles, zoo.MIXED, strict=True)):
        mine = slice(atoms, atoms + len(structure))
        count = single.pairs.shape[1]
        assert (batch.structure[mine] == number).all() and torch.equal(batch.positions[mine], single.positions)
        assert torch.equal(batch.pairs[:, pairs : pairs + count] - atoms, single.pairs)
        assert torch.equal(whole[pairs : pairs + count], pair_vectors(single))
        assert torch.equal(batch.cell[number], single.cell[0])
        atoms, pairs = atoms + len(structure), pairs + count
    assert (atoms, pairs) == (len(batch.numbers), batch.pairs.shape[1])
    assert (batch.pairs[0].diff() >= 0).all() and (batch.structure.diff() >= 0).all()


def test_collate_of_batches_of_several(singles):
    whole = collate(singles)
    halves = collate([collate(singles[:3]), collate(singles[3:])])
    assert all(torch.equal(a, b) for a, b in zip(whole, halves, strict=True))


def test_labels_and_what_is_missing():
    rows = np.arange(6.0).reshape(2, 3)
    structure = Structure(np.array([1, 8]), np.array([[0.0, 0, 0], [0, 0, 1.0]]), energy=-3.0, forces=rows)
    labels = labels_of(structure)
    assert labels.energy.tolist() == [-3.0] and labels.forces.numpy().tolist() == rows.tolist()
    assert labels.stress.shape == (1, 3, 3) and labels.stress.isnan().all()
    crystal = replace(structure, cell=5.0 * np.eye(3), pbc=np.ones(3, dtype=bool))
    bare = labels_of(replace(crystal, energy=None, forces=None, stress=np.eye(3)))
    assert bare.energy.isnan().all() and bare.forces.isnan().all() and bare.stress[0].tolist() == np.eye(3).tolist()
    both = collate_labels([labels, bare])
    assert both.energy.shape == (2,) and both.forces.shape == (4, 3) and both.stress.shape == (2, 3, 3)
    assert both.forces[:2].isfinite().all() and both.forces[2:].isnan().all()


def test_properties_nobody_asked_for_stay_none():
    bare = Properties(torch.ones(2, dtype=torch.float64, requires_grad=True))
    assert bare.detach().forces is None and not bare.detach().energy.requires_grad
    assert collate_labels([bare, bare]).stress is None
    assert bare.to(torch.device("cpu")).energy.requires_grad


def test_sum_per_structure(singles):
    batch = collate(singles)
    values = torch.randn(len(batch.numbers), 2, 3, dtype=torch.float64)
    found = sum_per_structure(values, batch)
    start = 0
    for total, structure in zip(found, zoo.MIXED, strict=True):
        expected = values[start : start + len(structure)].sum(dim=0)
        assert torch.allclose(total, expected, rtol=1e-13, atol=1e-14)
        start += len(structure)
    assert sum_per_structure(values[:, 0, 0], batch).shape == (len(zoo.MIXED),)


@pytest.mark.parametrize(("distance", "fits"), [(0.0, False), (0.19, False), (0.21, True)])
def test_atoms_on_top_of_each_other(distance, fits):
    structure = Structure(np.array([1, 8, 6]), np.array([[0.0, 0, 0], [5, 0, 0], [5, distance, 0]]), origin="a.xyz#2")
    if fits:
        to_batch(structure, 3.0)
    else:
        with pytest.raises(
            ValueError, match=r"^a\.xyz#2: atoms (1 and 2|2 and 1) are .* Å apart; expected at least 0\.2"
        ):
            to_batch(structure, 3.0)


def test_integer_and_single_precision_input_is_taken():
    structure = zoo.STRUCTURES["molecule"]
    small = replace(
        structure, numbers=structure.numbers.astype(np.int32), positions=structure.positions.astype(np.float32)
    )
    batch, _ = to_batch(small, 3.0)
    assert batch.numbers.dtype == torch.int64 and batch.positions.dtype == torch.float64
