"""The same numbers on a CUDA device, by each backend it has; skipped where there is no device."""

from __future__ import annotations

import pytest
import torch

from mlip.batch import Collection, Properties, collate, to_batch
from mlip.descriptors.backends import fastest, has_triton
from mlip.descriptors.store import FeatureStore
from mlip.model.evaluate import evaluate
from mlip.training.loss import Loss, Term
from physics import zoo
from physics.laws import same

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
CUDA = torch.device("cuda")
BACKENDS = {
    "reference": lambda descriptor, batches: descriptor,
    "Triton": lambda descriptor, batches: fastest(descriptor, CUDA),
    "kept features": lambda descriptor, batches: FeatureStore(descriptor, Collection(batches), torch.float64).take(
        range(len(batches))
    ),
}
potentials = pytest.mark.parametrize("name", zoo.NETWORKS)
backends = pytest.mark.parametrize("backend", BACKENDS)


def test_a_cuda_device_has_its_kernels():
    descriptor = zoo.POTENTIALS["radial"]().descriptor
    assert has_triton() and fastest(descriptor, CUDA) is not descriptor


@potentials
@backends
def test_a_cuda_device_gives_the_numbers_of_the_cpu(name, backend):
    potential = zoo.POTENTIALS[name]()
    singles = [to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED]
    batch = collate(singles)
    expected = evaluate(potential, batch, features=potential.descriptor)
    potential.to(CUDA)
    features = BACKENDS[backend](potential.descriptor, singles)
    found = evaluate(potential, batch.to(CUDA), features=features).to(torch.device("cpu"))
    for field, a, b in zip(Properties._fields, found, expected, strict=True):
        same(a.detach(), b.detach(), field, 1e-10)


@potentials
def test_gradient_of_a_loss_by_the_weights(name):
    potential = zoo.POTENTIALS[name]()
    batch = collate([to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED])
    labels = Properties(
        torch.randn(len(batch.cell), dtype=torch.float64),
        torch.randn(len(batch.numbers), 3, dtype=torch.float64),
        torch.full((len(batch.cell), 3, 3), torch.nan, dtype=torch.float64),
    )
    loss = Loss(Term(1.0), Term(3.0), Term(0.0))

    def gradients(device, features):
        there, wanted = batch.to(device), labels.to(device)
        total = loss(evaluate(potential.to(device), there, train=True, features=features), wanted, there).total
        found = torch.autograd.grad(total, list(potential.networks.parameters()))
        return [gradient.cpu() for gradient in found]

    expected = gradients(torch.device("cpu"), potential.descriptor)
    for number, (a, b) in enumerate(zip(gradients(CUDA, None), expected, strict=True)):
        same(a, b, f"gradient of parameter {number}", 1e-10)


@potentials
def test_equal_input_gives_equal_features_and_pair_gradients(name):
    descriptor = zoo.POTENTIALS[name]().descriptor.to(CUDA)
    batch = collate([to_batch(structure, descriptor.cutoff)[0] for structure in zoo.MIXED]).to(CUDA)
    vectors = torch.randn(batch.pairs.shape[1], 3, device=CUDA).requires_grad_()
    g = torch.randn(len(batch.numbers), len(descriptor.functions), device=CUDA)

    def both():
        features = fastest(descriptor, CUDA)(batch.numbers, batch.pairs, vectors)
        return features.detach(), torch.autograd.grad(features, vectors, g)[0]

    assert all(torch.equal(a, b) for a, b in zip(both(), both(), strict=True))
