import math

import pytest
import torch

from mlip.model.networks import AtomicNetworks
from mlip.model.weights import WeightTable
from mlip.training.optimizers import (
    OPTIMIZERS,
    AveragedWeights,
    Plateau,
    constant,
    cosine,
    exponential,
    make_optimizer,
)


def test_constant():
    assert {constant()(t) for t in (0.0, 0.5, 100.0)} == {1.0}


def test_cosine_with_warmup():
    share = cosine(total=10, warmup=2, final=0.1)
    assert 0 < share(0.0) < 0.01
    assert share(1.0) == pytest.approx(0.5, abs=0.01)
    assert share(2.0) == 1.0
    assert share(6.0) == pytest.approx(0.1 + 0.9 * 0.5)
    assert share(10.0) == pytest.approx(0.1) and share(50.0) == pytest.approx(0.1)
    values = [share(t / 10) for t in range(20, 101)]
    assert values == sorted(values, reverse=True)


def test_cosine_without_warmup():
    share = cosine(total=4, warmup=0, final=0.0)
    assert [share(t) for t in (0, 1, 2, 4)] == pytest.approx([1, 0.5 * (1 + math.sqrt(0.5)), 0.5, 0])


def test_exponential_falls_once_an_epoch():
    share = exponential(0.9)
    assert [share(t) for t in (0, 0.9, 1, 2.5)] == pytest.approx([1, 1, 0.9, 0.81])


def test_plateau_waits_and_falls():
    plateau = Plateau(0.5, patience=2)
    shares = []
    for loss in [5.0, 4.0, 4.1, 4.0, 3.9, 3.95, 3.95, 3.95, 3.95, 3.95, 3.95]:
        plateau.see(loss)
        shares.append(plateau(0.0))
    assert shares == [1, 1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_plateau_goes_on_from_its_state():
    losses = [3.0, 2.0, 2.5, 2.5, 2.5, 1.0, 1.5, 1.5, 1.5]
    whole = Plateau(0.3, patience=1)
    for loss in losses:
        whole.see(loss)
    first = Plateau(0.3, patience=1)
    for loss in losses[:4]:
        first.see(loss)
    second = Plateau(0.3, patience=1)
    second.restore(first.state())
    for loss in losses[4:]:
        second.see(loss)
    assert second.state() == whole.state() and second.share < 1


def test_averaged_weights_by_hand():
    module = torch.nn.Linear(1, 1).double()
    module.weight.data.fill_(1.0)
    average = AveragedWeights(module, decay=0.2)
    expected = 1.0
    for step, weight in enumerate([3.0, -2.0, 5.0, 0.5], start=1):
        module.weight.data.fill_(weight)
        average.update(module)
        decay = min(0.2, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
        assert float(average.weights["weight"]) == pytest.approx(expected, rel=1e-13)
    assert decay == 0.2, "both branches of the minimum were used"
    assert float(module.weight.detach()) == 0.5, "the module keeps its own"


def test_plain_average_of_weights():
    module = torch.nn.Linear(1, 1).double()
    average = AveragedWeights(module, decay=None)
    seen = [3.0, -2.0, 5.0, 0.5]
    for weight in seen:
        module.weight.data.fill_(weight)
        average.update(module)
    assert float(average.weights["weight"]) == pytest.approx(sum(seen) / 4, rel=1e-14), "the start does not count"


def test_averaged_weights_go_on_from_their_state():
    module = torch.nn.Linear(2, 2)
    average, other = AveragedWeights(module, 0.9), AveragedWeights(torch.nn.Linear(2, 2), 0.9)
    average.update(module)
    other.restore(average.state())
    assert other.steps == 1
    assert all(torch.equal(other.weights[name], value) for name, value in average.weights.items())


def two_weights():
    """The smallest table: a straight line's slope and offset."""
    return WeightTable(AtomicNetworks(1, [[]], ["silu"]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_go_downhill(name):
    table = two_weights()
    table.weights.data.copy_(torch.tensor([2.0, -3.0]))
    optimizer = make_optimizer(name, table, 0.1)

    def closure():
        optimizer.zero_grad()
        loss = (table.weights**2).sum()
        loss.backward()
        return loss

    for _ in range(300):
        optimizer.step(closure)
    assert float(table.weights.detach().abs().max()) < 0.05


def test_options_reach_the_optimizer():
    group = make_optimizer("sgd", two_weights(), 0.3, momentum=0.7, nesterov=True).param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.3, 0.7, True)
