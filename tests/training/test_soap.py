"""SOAP: what its construction promises, exactly."""

import pytest
import torch
from torch import nn

from mlip.model.networks import AtomicNetworks
from mlip.model.weights import WeightTable
from mlip.training.optimizers import make_optimizer
from mlip.training.soap import SOAP

GENERATOR = torch.Generator().manual_seed(5)


def random(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def rotation(n):
    return torch.linalg.qr(random(n, n))[0]


def path(gradient, start, steps=12, **options):
    """Where SOAP goes from a matrix on, given the gradient at each place."""
    weights = nn.Parameter(start.clone().ravel())
    matrix = weights.detach().view(1, *start.shape)
    optimizer = SOAP(weights, [matrix], 0.05, **options)
    for _ in range(steps):
        weights.grad = gradient(matrix[0]).ravel()
        optimizer.step()
    return matrix[0].clone()


TARGETS = [random(4, 3) for _ in range(3)]
CURVED = [random(3, 3) for _ in range(3)]


def gradient(w):
    """Of a sum of quartic functions, whose curvature has no preferred directions."""
    return sum((w - t) @ c @ c.T * (1 + ((w - t) ** 2).sum()) for t, c in zip(TARGETS, CURVED, strict=True))


@pytest.mark.parametrize("every", [1, 5])
def test_a_rotated_problem_has_a_rotated_solution(every):
    left, right, start = rotation(4), rotation(3), random(4, 3)
    options = {"basis_every": every, "eps": 1e-3}  # rounding errors in empty directions must not look like gradients
    straight = path(gradient, start, **options)
    rotated = path(lambda w: left @ gradient(left.T @ w @ right.T) @ right, left @ start @ right, **options)
    assert torch.allclose(rotated, left @ straight @ right, rtol=0, atol=1e-7)
    assert float((straight - start).abs().max()) > 0.1


def test_adam_has_no_such_symmetry():
    left, start = rotation(4), random(4, 3)
    straight = path(gradient, start, longest=1)
    rotated = path(lambda w: left @ gradient(left.T @ w), left @ start, longest=1)
    assert float((rotated - left @ straight).abs().max()) > 1e-2


def test_without_rotation_it_is_adam_one_step_late():
    start, options = random(4, 3), {"betas": (0.9, 0.99), "weight_decay": 0.02}
    found = path(gradient, start, steps=7, longest=1, **options)
    weight = nn.Parameter(start.clone())
    adam = torch.optim.AdamW([weight], lr=0.05, **options)
    for _ in range(6):
        weight.grad = gradient(weight.detach())
        adam.step()
    assert torch.allclose(found, weight.detach(), rtol=1e-10, atol=1e-12)


def test_matrices_of_all_elements_are_turned_at_once():
    generator = torch.Generator().manual_seed(0)
    networks = AtomicNetworks(5, [[4, 3]] * 3, ["silu"] * 3, generator)
    table = WeightTable(networks)
    assert [tuple(m.shape) for m in table.matrices()] == [(3, 4, 5), (3, 3, 4), (3, 1, 3)]
    for layer, stacked in enumerate(table.matrices()):
        for e in range(3):
            assert torch.equal(stacked[e], networks.linear(e)[layer].weight)
            assert stacked[e].data_ptr() == networks.linear(e)[layer].weight.data_ptr()


def test_matrices_of_unlike_networks():
    networks = AtomicNetworks(5, [[4], [3, 2], [4], [4]], ["silu"] * 4)
    shapes = sorted(tuple(m.shape) for m in WeightTable(networks).matrices())
    assert sum(b for b, _, _ in shapes) == 2 + 3 + 2 + 2
    assert {(out, n) for _, out, n in shapes} == {(4, 5), (1, 4), (3, 5), (2, 3), (1, 2)}


@pytest.mark.parametrize("hidden", [[[4, 3]] * 2, [[4], [3, 2], [4]]])
def test_equal_members_of_a_committee_move_as_one(hidden):
    """They share the eigenvectors of their inputs, to which each gives the same."""
    activation = ["silu"] * len(hidden)
    tables, optimizers = [], []
    for members in (1, 3):
        networks = AtomicNetworks(5, hidden, activation, torch.Generator().manual_seed(1), members).double()
        table = WeightTable(networks)
        table.weights.data.view(members, -1)[:] = table.weights.data.view(members, -1)[0].clone()
        tables.append(table)
        optimizers.append(make_optimizer("soap", table, 1e-2, basis_every=3))
    generator = torch.Generator().manual_seed(2)
    start = tables[0].weights.detach().clone()
    for _ in range(8):
        gradient = torch.randn(start.shape, generator=generator, dtype=torch.float64)
        for table, optimizer in zip(tables, optimizers, strict=True):
            table.weights.grad.view(table.members, -1)[:] = gradient
            optimizer.step()
    assert float((tables[0].weights - start).detach().abs().max()) > 1e-2
    for member in tables[1].weights.detach().view(3, -1):
        torch.testing.assert_close(member, tables[0].weights.detach(), rtol=1e-9, atol=1e-9)


def test_members_share_what_has_the_same_inputs():
    """One basis for the inputs of each element's networks, whoever the member; later layers have their own."""
    networks = AtomicNetworks(5, [[4, 3]] * 2, ["silu"] * 2, torch.Generator().manual_seed(1), 3).double()
    table = WeightTable(networks)
    optimizer = make_optimizer("soap", table, 1e-2, basis_every=3)
    generator = torch.Generator().manual_seed(2)
    gradients = []
    for _ in range(3):
        table.weights.grad.copy_(torch.randn(table.weights.shape, generator=generator, dtype=torch.float64))
        gradients.append([networks.linear(i)[0].weight.grad.clone() for i in range(6)])
        optimizer.step()
    state = optimizer.state[table.weights]
    assert [[tuple(basis.shape) if basis is not None else None for basis in bases] for bases in state["bases"]] == [
        [(6, 4, 4), (2, 5, 5)], [(6, 3, 3), (6, 4, 4)], [None, (6, 3, 3)]
    ]  # fmt: skip
    for e in range(2):
        expected = torch.zeros(5, 5, dtype=torch.float64)
        for member, step in ((0, gradients[0]), (1, gradients[1]), (2, gradients[2])):
            g = step[member * 2 + e]
            expected = 0.95 * expected + 0.05 * g.T @ g
        torch.testing.assert_close(state["curvatures"][0][1][e], expected, rtol=1e-12, atol=1e-12)
