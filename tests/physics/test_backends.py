"""Every backend gives the float64 reference: G, the products Jᵀg and J v, and all that `evaluate` and training need."""

from __future__ import annotations

import pytest
import torch

from mlip.batch import Collection, Properties, collate, pair_vectors, to_batch
from mlip.descriptors.compiled import CompiledACSF
from mlip.descriptors.store import FeatureStore
from mlip.model.evaluate import evaluate
from mlip.training.loss import Loss, Term
from physics import zoo
from physics.laws import same

# Name -> from (descriptor, batches) to what takes the descriptor's place for `collate(batches)`, in float64.
BACKENDS = {
    "cpu kernels": lambda descriptor, batches: CompiledACSF(descriptor),
    "kept features": lambda descriptor, batches: FeatureStore(descriptor, Collection(batches), torch.float64).take(
        range(len(batches))
    ),
}
BATCHES = {"mixed": zoo.MIXED, "lone atom": [zoo.LONE_ATOM], "one cell": [zoo.STRUCTURES["one-atom"]]}

backends = pytest.mark.parametrize("backend", BACKENDS)
potentials = pytest.mark.parametrize("potential", zoo.NETWORKS)
batches = pytest.mark.parametrize("structures", BATCHES)


def setting(potential, structures, backend):
    potential = zoo.POTENTIALS[potential]()
    singles = [to_batch(structure, potential.cutoff)[0] for structure in BATCHES[structures]]
    batch = collate(singles)
    return potential, batch, BACKENDS[backend](potential.descriptor, singles)


def products(featurize, batch, g, v):
    """G, Jᵀg and J v; J v is the derivative of the product vᵀ(Jᵀg) by g."""
    vectors = pair_vectors(batch).requires_grad_()
    g = g.clone().requires_grad_()
    features = featurize(batch.numbers, batch.pairs, vectors)
    (transposed,) = torch.autograd.grad(features, vectors, g, create_graph=True)
    (forward,) = torch.autograd.grad(transposed, g, v)
    return features.detach(), transposed.detach(), forward


@backends
@potentials
@batches
def test_features_and_products(potential, structures, backend):
    potential, batch, featurize = setting(potential, structures, backend)
    g = torch.randn(len(batch.numbers), len(potential.descriptor.functions), dtype=torch.float64)
    v = torch.randn(batch.pairs.shape[1], 3, dtype=torch.float64)
    found, expected = (products(f, batch, g, v) for f in (featurize, potential.descriptor))
    for name, a, b in zip(("G", "Jᵀg", "J v"), found, expected, strict=True):
        same(a, b, name, 1e-11)


@backends
@potentials
@batches
def test_energy_forces_and_stress(potential, structures, backend):
    potential, batch, featurize = setting(potential, structures, backend)
    found, expected = (evaluate(potential, batch, features=f) for f in (featurize, potential.descriptor))
    for name, a, b in zip(Properties._fields, found, expected, strict=True):
        same(a.detach(), b.detach(), name, 1e-11)


@backends
@potentials
def test_gradient_of_a_loss_by_the_weights(potential, backend):
    potential, batch, featurize = setting(potential, "mixed", backend)
    labels = Properties(
        torch.randn(len(batch.cell), dtype=torch.float64),
        torch.randn(len(batch.numbers), 3, dtype=torch.float64),
        torch.randn(len(batch.cell), 3, 3, dtype=torch.float64),
    )
    labels.stress[labels.stress.new_tensor([not s.pbc.all() for s in zoo.MIXED]).bool()] = torch.nan
    loss = Loss(Term(1.0), Term(3.0, "huber", 0.3), Term(50.0))

    def gradients(features):
        total = loss(evaluate(potential, batch, train=True, features=features), labels, batch).total
        # The bias of the last layer moves the energy only if the potential is not anchored: it may have no gradient.
        return torch.autograd.grad(total, list(potential.networks.parameters()))

    for number, (a, b) in enumerate(zip(gradients(featurize), gradients(None), strict=True)):
        same(a, b, f"gradient of parameter {number}", 1e-11)
        assert torch.isfinite(a).all()
