"""The derivatives of the reference descriptor: first, second, and the Jacobian that is kept for training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from mlip.batch import collate, pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import Narrow, Wide
from mlip.structure import Structure
from physics import zoo
from physics.laws import same

TINY = {
    "radial": [*zoo.radial()[:4], *zoo.radial(3.0, "tanh", center=6)[:2]],
    "narrow": zoo.behler(Narrow)[2:6],
    "wide": zoo.behler(Wide, name="polynomial")[2:6],
    "shifted": zoo.shifted(name="tanh")[2:6],
    "compact": [f for f in zoo.compact(3.3, ("p1", "p4a", "e")) if f.neighbors in ((1,), (1, 6), (1, 8))],
}


@pytest.fixture
def tiny():
    """Three atoms, and a pair beyond the cutoffs."""
    positions = np.array([[0.0, 0.1, 0.0], [0.9, 0.7, -0.2], [-1.0, 0.4, 0.5], [3.9, -0.2, 0.3]])
    return to_batch(Structure(np.array([6, 1, 8, 1]), positions), 4.5)[0]


@pytest.mark.parametrize("functions", TINY)
def test_autograd_of_first_and_second_order(functions, tiny):
    descriptor = ACSF(zoo.ELEMENTS, TINY[functions])
    vectors = pair_vectors(tiny).requires_grad_()

    def features(v):
        return descriptor(tiny.numbers, tiny.pairs, v)

    assert features(vectors).abs().max() > 1e-3
    assert gradcheck(features, (vectors,))
    assert gradgradcheck(features, (vectors,))


@pytest.mark.parametrize("name", ["mixed cutoffs", "per center"])
def test_jacobian_is_the_finite_difference(name):
    descriptor = zoo.POTENTIALS[name]().descriptor
    batch = collate([to_batch(zoo.STRUCTURES[s], descriptor.cutoff)[0] for s in ("molecule", "wire")])
    vectors = pair_vectors(batch)
    jacobian = descriptor.jacobian(batch.numbers, batch.pairs, vectors)
    assert jacobian.shape == (len(vectors), 3, len(descriptor.functions))
    step = 1e-5
    for pair in range(0, len(vectors), 5):
        for axis in range(3):
            change = torch.zeros_like(vectors)
            change[pair, axis] = step
            plus, minus = (descriptor(batch.numbers, batch.pairs, vectors + sign * change) for sign in (1, -1))
            difference = (plus - minus) / (2 * step)
            center = batch.pairs[0, pair]
            same(jacobian[pair, axis], difference[center], f"J of pair {pair}", 1e-7)
            difference[center] = 0
            assert (difference == 0).all(), "a pair vector changes only the features of its own center"


@pytest.mark.parametrize("kind", [zoo.shifted, lambda: zoo.behler(Narrow), lambda: zoo.behler(Wide), zoo.compact])
def test_three_atoms_on_a_line_have_finite_derivatives(kind):
    line = np.array([[0.0, 0, 0], [1.1, 0, 0], [-1.3, 0, 0], [2.2, 0, 0]])
    batch = to_batch(Structure(np.array([6, 1, 8, 1]), line), 4.5)[0]
    vectors = pair_vectors(batch).requires_grad_()
    features = ACSF(zoo.ELEMENTS, kind())(batch.numbers, batch.pairs, vectors)
    weights = torch.randn_like(features)
    (first,) = torch.autograd.grad(features, vectors, weights, create_graph=True)
    (second,) = torch.autograd.grad(first, vectors, torch.randn_like(first))
    assert torch.isfinite(features).all() and torch.isfinite(first).all() and torch.isfinite(second).all()
    assert first.abs().max() > 0
