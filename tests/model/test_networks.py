import math

import pytest
import torch

from mlip.model.activations import CURVES
from mlip.model.networks import ACTIVATIONS, MLP, AtomicNetworks, activation_of_layers, short_activation

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
    assert made.activation == [["tanh", "tanh", "linear"], ["gaussian", "linear"], ["linear"]]


def test_an_activation_for_each_layer_and_the_output():
    names = [["gaussian", "linear", "reverse_sigmoid"], ["harmonic", "linear"], ["exponential"]]
    made = AtomicNetworks(6, HIDDEN, names, torch.Generator().manual_seed(5)).double()
    assert made.activation == names
    x = torch.randn(1, 6, dtype=torch.float64)
    with torch.no_grad():
        for e, layers in enumerate(names):
            value = x[0]
            for layer, name in zip(made.linear(e), layers, strict=True):
                value = ACTIVATIONS[name]()(layer.weight @ value + layer.bias)
            found = made(x, torch.tensor([e]))
            assert float(found) == pytest.approx(float(value), rel=1e-13), layers


def test_one_name_stands_for_all_hidden_layers_and_equal_seeds_for_equal_weights():
    short, long = (
        AtomicNetworks(6, HIDDEN, names, torch.Generator().manual_seed(0))
        for names in (["tanh"] * 3, [["tanh", "tanh", "linear"], ["tanh", "linear"], ["linear"]])
    )
    assert short.activation == long.activation
    for (name, a), (other, b) in zip(short.state_dict().items(), long.state_dict().items(), strict=True):
        assert name == other and torch.equal(a, b)


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["tanh", "tanh", "linear"], "tanh"),
        (["tanh", "tanh", "tanh"], ["tanh", "tanh", "tanh"]),
        (["tanh", "silu", "linear"], ["tanh", "silu", "linear"]),
        (["linear"], "linear"),
        (["tanh"], ["tanh"]),
    ],
)
def test_the_short_form_says_the_same(names, short):
    assert short_activation(names) == short
    assert activation_of_layers(short, len(names) - 1) == names


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("swish", "'swish' is unknown; expected one of silu, tanh"),
        (["tanh", "swish"], "'swish' is unknown"),
        (["tanh"], "has 1 names for 1 hidden layers and the output; expected 2 names"),
        (["tanh", "tanh", "linear"], "has 3 names for 1 hidden layers"),
    ],
)
def test_names_that_do_not_fit(activation, message):
    with pytest.raises(ValueError, match=message):
        AtomicNetworks(6, [[4]], [activation])


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
        "linear": lambda x: x,
        "reverse_sigmoid": lambda x: 1 - 1 / (1 + math.exp(-x)),
        "exponential": lambda x: math.exp(-x),
        "harmonic": lambda x: x**2,
    }
    x = torch.tensor([-1.7, -0.3, 0.0, 0.4, 2.1, 21.0], dtype=torch.float64)
    expected = [formulas[name](value) for value in x.tolist()]
    assert ACTIVATIONS[name]()(x).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_curves_are_the_activations_and_their_derivatives(name):
    x = torch.tensor([-30.0, -1.7, -0.3, 0.2, 0.4, 2.1, 15.0, 25.0], dtype=torch.float64, requires_grad=True)
    value = ACTIVATIONS[name]()(x)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    curvature = torch.zeros_like(x)
    if slope.requires_grad:
        (curvature,) = torch.autograd.grad(slope.sum(), x)
    for found, expected in zip(CURVES[name](x.detach()), (value, slope, curvature), strict=True):
        torch.testing.assert_close(found, expected.detach(), rtol=1e-12, atol=1e-15)
    assert set(CURVES) == set(ACTIVATIONS)


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
