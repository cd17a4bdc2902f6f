"""Parts of a committee are its members: weights, groups of matrices, and the optimizer's state."""

from copy import deepcopy

import pytest
import torch
from physics import zoo

from mlip.descriptors.acsf import ACSF
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.scaling import FeatureScaling
from mlip.training.distributed import ALONE
from mlip.training.members import OwnMembers
from mlip.training.optimizers import make_optimizer
from training.test_shared_arrays import by_all

HIDDEN = [[4, 3], [5], [4, 3]]  # matrices of equal shape that are evenly spaced in one member, not in several
OPTIMIZERS = {
    "sgd": {"momentum": 0.9},
    "adam": {"weight_decay": 0.1},
    "muon": {"weight_decay": 0.1},
    "soap": {"basis_every": 2, "weight_decay": 0.1},
}
STEPS, MEMBERS = 7, 5


def committee():
    functions = zoo.radial()
    generator = torch.Generator().manual_seed(1)
    networks = AtomicNetworks(len(functions), HIDDEN, ["silu"] * 3, generator, members=MEMBERS).double()
    return Potential(ACSF([1, 6, 8], functions), FeatureScaling(3, len(functions)), networks, [0.0] * 3)


def gradients(step, size):
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(step)).view(MEMBERS, -1)


def stepped(name, ranks, steps, state=None, weights=None):
    """Weights and state of all members after these steps, as a checkpoint has them."""
    potential = committee()
    own = OwnMembers(potential, ranks, shared=True)
    optimizer = make_optimizer(name, own.weights, 0.01, **OPTIMIZERS[name])
    own.join(optimizer)
    if state is not None:
        potential.networks.load_state_dict(weights)
        optimizer.load_state_dict(own.part_of_state(deepcopy(state)))
    table = own.weights.weights
    for step in steps:
        found = gradients(step, len(table) * MEMBERS // own.mine.members)
        table.grad.copy_(found[own.first : own.last].ravel())
        optimizer.step()
    own.collect()
    averaged = own.whole(own.part(potential.networks.state_dict()))
    return own.whole_state(optimizer.state_dict()), potential.networks.state_dict(), averaged


def assert_equal(one, other):
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_equal(one[name], other[name])
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    else:
        assert one == other


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_each_rank_trains_is_the_committee(name):
    expected = stepped(name, ALONE, range(STEPS))
    for places, others in (("aa", "aaa"), ("aaaaa", "aa")):
        first = by_all(places, lambda ranks: stepped(name, ranks, range(3)))
        assert_equal(first[0], first[1])
        state, weights, _ = first[0]
        for found in by_all(others, lambda ranks, s=state, w=weights: stepped(name, ranks, range(3, STEPS), s, w)):
            assert_equal(found[0]["state"], expected[0]["state"])
            assert_equal(found[1], expected[1])
            assert_equal(found[2], found[1])
