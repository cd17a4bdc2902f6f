"""Kept features; that they equal the descriptor's stands in tests/physics/test_backends.py."""

import pytest
import torch
from physics import zoo

from mlip.batch import Collection, to_batch
from mlip.descriptors import store
from mlip.descriptors.store import FeatureStore, bytes_needed
from mlip.model.evaluate import evaluate


@pytest.fixture(params=["mixed cutoffs", "per center"])
def potential(request):
    return zoo.POTENTIALS[request.param]()


@pytest.fixture
def atoms(potential):
    return Collection([to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_needed_are_the_bytes_of_the_tensors(potential, atoms, dtype):
    kept = FeatureStore(potential.descriptor, atoms, dtype)
    numbers = [kept.features, *(rows.jacobian for rows in kept.rows)]
    assert {tensor.dtype for tensor in numbers} == {dtype}
    storages = [tensor.untyped_storage() for tensor in numbers + [t for r in kept.rows for t in (r.pair, r.center)]]
    assert bytes_needed(potential.descriptor, atoms, dtype) == sum(storage.nbytes() for storage in storages)


@pytest.mark.parametrize("kernels", [True, False])
def test_any_structures_in_any_order(potential, atoms, kernels, monkeypatch):
    monkeypatch.setattr(store, "has_kernels", lambda: kernels)
    kept = FeatureStore(potential.descriptor, atoms, torch.float64)
    for chosen in ([3], [4, 0, 2], [1, 1, 6]):
        batch = atoms.take(chosen)
        found, expected = (evaluate(potential, batch, features=f) for f in (kept.take(chosen), None))
        assert torch.allclose(found.energy, expected.energy, rtol=0, atol=1e-11)
        assert torch.allclose(found.forces, expected.forces, rtol=0, atol=1e-11)


def test_kernels_and_torch_make_the_same_products(potential, atoms, monkeypatch):
    kept = FeatureStore(potential.descriptor, atoms, torch.float64)
    g = torch.randn(len(kept.features), kept.features.shape[1], dtype=torch.float64)
    v = torch.randn(atoms.whole.pairs.shape[1], 3, dtype=torch.float64)
    made = []
    for kernels in (True, False):
        monkeypatch.setattr(store, "has_kernels", lambda kernels=kernels: kernels)
        taken = kept.take(range(len(atoms)))
        made.append((taken.pair_gradients(g), taken.feature_changes(v)))
    for a, b in zip(*made, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 50])
def test_filled_in_small_portions(potential, atoms, monkeypatch, size):
    whole = FeatureStore(potential.descriptor, atoms, torch.float64)
    monkeypatch.setattr(store, "PAIRS_AT_ONCE", size)
    portions = FeatureStore(potential.descriptor, atoms, torch.float64)
    assert torch.allclose(whole.features, portions.features, rtol=1e-13, atol=1e-14)
    for a, b in zip(whole.rows, portions.rows, strict=True):
        assert torch.equal(a.pair, b.pair) and torch.allclose(a.jacobian, b.jacobian, rtol=1e-12, atol=1e-13)


def test_single_precision_keeps_what_double_precision_computed(potential, atoms):
    single, double = (FeatureStore(potential.descriptor, atoms, dtype) for dtype in (torch.float32, torch.float64))
    assert torch.equal(single.features, double.features.float())


@pytest.mark.parametrize("kernels", [True, False])
def test_several_vectors_at_once(potential, atoms, kernels, monkeypatch):
    """One reading of the Jacobian for all; also of structures without pairs."""
    monkeypatch.setattr(store, "has_kernels", lambda: kernels)
    kept = FeatureStore(potential.descriptor, atoms, torch.float64)
    for chosen in ([4, 0, 2], [1]):
        taken, pairs = kept.take(chosen), atoms.take(chosen).pairs.shape[1]
        assert pairs or chosen == [1]
        g = torch.randn(3, *taken.features.shape, dtype=torch.float64)
        v = torch.randn(3, pairs, 3, dtype=torch.float64)
        for product, given in ((taken.pair_gradients, g), (taken.feature_changes, v)):
            together = product(given)
            assert together.shape[0] == 3
            for one, vector in zip(together, given, strict=True):
                torch.testing.assert_close(one, product(vector), rtol=1e-13, atol=1e-13)
