"""Muon: what its construction promises."""

import pytest
import torch

from mlip.model.networks import AtomicNetworks
from mlip.model.weights import WeightTable
from mlip.training.muon import Muon, orthogonal

GENERATOR = torch.Generator().manual_seed(5)


def random(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def rotation(n):
    return torch.linalg.qr(random(n, n))[0]


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 4, 9), (2, 9, 4)])
def test_singular_vectors_stay_and_values_become_about_one(shape):
    matrices = random(*shape)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inside = left.mT @ orthogonal(matrices) @ right.mT
    values = torch.diagonal(inside, dim1=1, dim2=2)
    assert torch.allclose(inside, torch.diag_embed(values), rtol=0, atol=1e-12)
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3


def test_size_does_not_matter_and_nothing_stays_nothing():
    matrix = random(1, 4, 6)
    assert torch.allclose(orthogonal(1e-12 * matrix), orthogonal(matrix), rtol=1e-10, atol=0)
    assert torch.equal(orthogonal(torch.zeros(1, 2, 3)), torch.zeros(1, 2, 3))


def test_matrices_of_a_shape_together_are_each_alone():
    matrices = random(3, 4, 6)
    alone = torch.cat([orthogonal(matrix[None]) for matrix in matrices])
    assert torch.allclose(orthogonal(matrices), alone, rtol=0, atol=1e-13)


def tables():
    """Two equal tables: two elements with a hidden layer of 4 on 3 features."""
    networks = [AtomicNetworks(3, [[4], [4]], ["tanh"] * 2, torch.Generator().manual_seed(1)).double() for _ in "ab"]
    return [WeightTable(network) for network in networks], networks


def test_biases_and_last_layers_go_as_with_adam():
    (mine, other), networks = tables()
    muon = Muon(mine.weights, mine.matrices(), 0.01, betas=(0.9, 0.95))
    adam = torch.optim.Adam([other.weights], lr=0.01, betas=(0.9, 0.95))
    for _ in range(7):
        mine.weights.grad.copy_(random(len(mine.weights)))
        other.weights.grad.copy_(mine.weights.grad)
        muon.step()
        adam.step()
    for element in range(2):
        (hidden, last), (hidden_adam, last_adam) = (network.linear(element) for network in networks)
        assert torch.allclose(last.weight, last_adam.weight, rtol=0, atol=1e-12)
        assert torch.allclose(hidden.bias, hidden_adam.bias, rtol=0, atol=1e-12)
        assert float((hidden.weight - hidden_adam.weight).detach().abs().max()) > 1e-3


def test_first_step_by_hand():
    """Of a hidden layer: against the gradient's orthogonal matrix, with the root mean square of 0.2 rates."""
    (mine, _), (networks, _) = tables()
    before = networks.linear(1)[0].weight.detach().clone()
    mine.weights.grad.copy_(random(len(mine.weights)))
    Muon(mine.weights, mine.matrices(), 0.01).step()
    step = networks.linear(1)[0].weight.detach() - before
    expected = -0.01 * 0.2 * 2 * orthogonal(networks.linear(1)[0].weight.grad[None])[0]
    assert torch.allclose(step, expected, rtol=0, atol=1e-15)


def test_a_rotated_problem_has_a_rotated_solution():
    left, right, start, target = rotation(4), rotation(3), random(4, 3), random(4, 3)

    def path(start, target):
        weights = torch.nn.Parameter(start.clone().ravel())
        optimizer = Muon(weights, [weights.detach().view(1, 4, 3)], 0.05)
        for _ in range(12):
            weights.grad = weights.detach() - target.ravel()
            optimizer.step()
        return weights.detach().view(4, 3)

    straight, rotated = path(start, target), path(left @ start @ right, left @ target @ right)
    assert torch.allclose(rotated, left @ straight @ right, rtol=0, atol=1e-9)
    assert float((straight - start).abs().max()) > 0.05


def test_goes_on_from_its_state():
    (whole, halves), _ = tables()
    gradients = [random(len(whole.weights)) for _ in range(6)]
    optimizer = Muon(whole.weights, whole.matrices(), 0.01)
    for gradient in gradients:
        whole.weights.grad.copy_(gradient)
        optimizer.step()
    first = Muon(halves.weights, halves.matrices(), 0.01)
    for n, gradient in enumerate(gradients):
        if n == 3:
            second = Muon(halves.weights, halves.matrices(), 0.5)
            second.load_state_dict(first.state_dict())
            first = second
        halves.weights.grad.copy_(gradient)
        first.step()
    assert torch.equal(whole.weights, halves.weights)


def test_decay_is_decoupled():
    (mine, other), _ = tables()
    for table, decay in ((mine, 0.0), (other, 0.3)):
        table.weights.grad.fill_(0.1)
        Muon(table.weights, table.matrices(), 0.01, weight_decay=decay).step()
    (start, _), _ = tables()
    assert torch.allclose(other.weights, mine.weights - 0.003 * start.weights, rtol=0, atol=1e-15)
