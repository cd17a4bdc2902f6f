"""Kept features; that they equal the descriptor's stands in tests/physics/test_backends.py."""

import pytest
import torch
from physics import zoo

from mlip.batch import collate, to_batch
from mlip.descriptors import store
from mlip.descriptors.store import FeatureStore, bytes_needed
from mlip.model.evaluate import evaluate


@pytest.fixture(params=["mixed cutoffs", "per center"])
def potential(request):
    return zoo.POTENTIALS[request.param]()


@pytest.fixture
def batches(potential):
    return [to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_needed_are_the_bytes_of_the_tensors(potential, batches, dtype):
    kept = FeatureStore(potential.descriptor, batches, dtype)
    tensors = [*kept.features, *(block.jacobian for blocks in kept.blocks for block in blocks)]
    assert {tensor.dtype for tensor in tensors} == {dtype}
    assert bytes_needed(potential.descriptor, batches, dtype) == sum(t.numel() * t.element_size() for t in tensors)


def test_kept_memory_is_not_a_view_of_something_larger(potential, batches):
    kept = FeatureStore(potential.descriptor, batches, torch.float64)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept.features}
    storages |= {
        b.jacobian.untyped_storage().data_ptr(): b.jacobian.untyped_storage().nbytes()
        for blocks in kept.blocks
        for b in blocks
        if b.jacobian.numel()
    }
    assert sum(storages.values()) == bytes_needed(potential.descriptor, batches, torch.float64)


def test_any_structures_in_any_order(potential, batches):
    kept = FeatureStore(potential.descriptor, batches, torch.float64)
    for chosen in ([3], [4, 0, 2], [1, 1, 6]):
        batch = collate([batches[i] for i in chosen])
        found, expected = (evaluate(potential, batch, features=f) for f in (kept.take(chosen), None))
        assert torch.allclose(found.energy, expected.energy, rtol=0, atol=1e-11)
        assert torch.allclose(found.forces, expected.forces, rtol=0, atol=1e-11)


def test_filled_in_small_portions(potential, batches, monkeypatch):
    whole = FeatureStore(potential.descriptor, batches, torch.float64)
    monkeypatch.setattr(store, "PAIRS_AT_ONCE", 1)
    portions = FeatureStore(potential.descriptor, batches, torch.float64)
    assert len(whole.features) == len(portions.features) == len(batches)
    for a, b in zip(whole.features, portions.features, strict=True):
        assert torch.allclose(a, b, rtol=1e-13, atol=1e-14)
    for a, b in zip(whole.blocks, portions.blocks, strict=True):
        for c, d in zip(a, b, strict=True):
            assert torch.equal(c.pairs, d.pairs) and torch.allclose(c.jacobian, d.jacobian, rtol=1e-12, atol=1e-13)


def test_single_precision_keeps_what_double_precision_computed(potential, batches):
    single, double = (FeatureStore(potential.descriptor, batches, dtype) for dtype in (torch.float32, torch.float64))
    for a, b in zip(single.features, double.features, strict=True):
        assert torch.equal(a, b.float())
