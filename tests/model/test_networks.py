import math

import pytest
import torch

from mlip.model.networks import ACTIVATIONS, MLP, AtomicNetworks

HIDDEN, ACTIVATION = [[4, 3], [5], []], ["tanh", "gaussian", "silu"]


def networks(seed=0, members=1):
    return AtomicNetworks(6, HIDDEN, ACTIVATION, torch.Generator().manual_seed(seed), members).double()


@pytest.mark.parametrize("members", [1, 3])
def test_each_element_has_its_own_network_in_each_member(members):
    made = networks(members=members)
    features = torch.randn(9, 6, dtype=torch.float64)
    element = torch.tensor([2, 0, 1, 0, 2, 2, 1, 0, 0])
    found = made(features, element).detach()
    assert found.shape == (members, 9) and len(made.networks) == 3 * members
    for m in range(members):
        for atom, e in enumerate(element.tolist()):
            expected = made.networks[3 * m + e](features[atom : atom + 1])[0, 0].detach()
            assert float(found[m, atom]) == pytest.approx(float(expected), rel=1e-13)


def test_a_committee_has_a_member():
    with pytest.raises(ValueError, match="committee of 0 members"):
        networks(members=0)


def test_an_element_that_is_absent_is_skipped():
    made = networks()
    features = torch.randn(3, 6, dtype=torch.float64)
    for e in range(3):
        element = torch.full((3,), e)
        assert torch.allclose(made(features, element)[0], made.networks[e](features)[:, 0], rtol=1e-13, atol=0)


def test_layers_and_activations():
    made = networks()
    assert [[m.out_features for m in net if isinstance(m, torch.nn.Linear)] for net in made.networks] == [
        [4, 3, 1], [5, 1], [1],
    ]  # fmt: skip
    kinds = [[type(m) for m in net if not isinstance(m, torch.nn.Linear)] for net in made.networks]
    assert kinds == [[ACTIVATIONS["tanh"]] * 2, [ACTIVATIONS["gaussian"]], []]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_by_hand(name):
    formulas = {
        "silu": lambda x: x / (1 + math.exp(-x)),
        "tanh": math.tanh,
        "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
        "softplus": lambda x: math.log1p(math.exp(x)),
        "celu": lambda x: x if x > 0 else math.exp(x) - 1,
        "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
        "relu": lambda x: max(x, 0.0),
        "gaussian": lambda x: math.exp(-(x**2) / 2),
        "cosine": math.cos,
    }
    x = torch.tensor([-1.7, -0.3, 0.0, 0.4, 2.1], dtype=torch.float64)
    expected = [formulas[name](value) for value in x.tolist()]
    assert ACTIVATIONS[name]()(x).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_equal_seeds_give_equal_weights():
    same, again, other = networks(3), networks(3), networks(4)
    for a, b, c in zip(same.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.ndim == 1 or not torch.equal(a, c)


def test_weights_do_not_depend_on_the_global_seed():
    first = networks(3)
    torch.manual_seed(99)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), networks(3).parameters(), strict=True))


def test_start_keeps_the_variance_and_has_no_bias():
    layer = MLP(400, [300], "tanh", torch.Generator().manual_seed(1))[0]
    assert (layer.bias == 0).all()
    assert float(layer.weight.detach().abs().max()) <= math.sqrt(3 / 400)
    assert float(layer.weight.detach().var()) * 400 == pytest.approx(1.0, rel=0.02)


def test_one_entry_per_element():
    with pytest.raises(ValueError, match="argument"):
        AtomicNetworks(6, [[4], [4]], ["tanh"])
