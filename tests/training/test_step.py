"""The step written by hand gives what automatic differentiation of `evaluate` gives."""

import math

import pytest
import torch
from physics import zoo
from physics.laws import same

from mlip.batch import Collection, Properties, collate_labels, to_batch
from mlip.descriptors import backends, store
from mlip.descriptors.store import FeatureStore
from mlip.model.committee import member_of
from mlip.model.evaluate import evaluate
from mlip.model.networks import ACTIVATIONS, AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.weights import WeightTable
from mlip.training import step as step_module
from mlip.training.loss import Loss, LossTerms, Term
from mlip.training.step import Step

LOSSES = {
    form: Loss(Term(2.0, form, 0.01), Term(0.7, form, 0.03), Term(30.0, form, 0.01)) for form in ("mse", "mae", "huber")
}


def labelled(potential):
    """Structures with random labels, some of them missing."""
    generator = torch.Generator().manual_seed(3)
    made = [to_batch(structure, potential.cutoff) for structure in zoo.MIXED]
    labels = collate_labels([labels for _, labels in made])
    fields = [torch.randn(field.shape, generator=generator, dtype=torch.float64) for field in labels[:3]]
    fields[0][1], fields[1][5] = math.nan, math.nan
    atoms = Collection([batch for batch, _ in made])
    fields[2][torch.linalg.det(atoms.whole.cell) == 0] = math.nan  # no volume, no stress
    return atoms, Properties(*fields)


def by_autograd(potential, atoms, labels, loss, forces, stress):
    """Each member of a committee has a loss of its own."""
    members = [member_of(potential, m) for m in range(potential.members)]
    predicted = [evaluate(one, atoms.whole, forces=forces or stress, stress=stress, train=True) for one in members]
    terms = [loss(each, labels, atoms.whole) for each in predicted]
    weights = list(potential.networks.parameters())
    total = sum(each.total for each in terms)
    mean = LossTerms(*(sum(part) / len(terms) for part in zip(*terms, strict=True)))
    return mean, torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True)


def by_hand(potential, atoms, labels, loss, forces, stress, features=None):
    step = Step(potential, WeightTable(potential.networks))
    if potential.pair_terms:  # it has no weights, so a step sees labels without it
        whole, learned = (evaluate(potential, atoms.whole, pair_terms=added)[:3] for added in (True, False))
        parts = zip(labels[:3], whole, learned, strict=True)
        labels = Properties(*(label - (a - b) for label, a, b in parts))
    terms = step(atoms.whole, labels, loss, forces=forces, stress=stress, features=features)
    return terms, [weight.grad for weight in potential.networks.parameters()]


def compare(potential, loss=LOSSES["mse"], forces=True, stress=True, keep=False, tolerance=1e-10):
    atoms, labels = labelled(potential)
    features = FeatureStore(potential.descriptor, atoms, potential.dtype).take(range(len(atoms))) if keep else None
    expected = by_autograd(potential, atoms, labels, loss, forces, stress)
    found = by_hand(potential, atoms, labels, loss, forces, stress, features)
    for name, a, b in zip(expected[0]._fields, found[0], expected[0], strict=True):
        same(a.detach(), b.detach(), name, tolerance)
    assert any(float(b.abs().max()) > 1e-3 for b in expected[1])
    for (name, _), a, b in zip(potential.networks.named_parameters(), found[1], expected[1], strict=True):
        same(a, b, name, tolerance)


@pytest.fixture(params=["kernels", "plain torch"])
def way(request, monkeypatch):
    for module in (backends, store, step_module):
        monkeypatch.setattr(module, "has_kernels", lambda: request.param == "kernels")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_potential(name, keep):
    compare(zoo.POTENTIALS[name](), keep=keep)


@pytest.mark.parametrize("form", LOSSES)
@pytest.mark.parametrize(("forces", "stress"), [(False, False), (True, False), (True, True)])
def test_every_loss(form, forces, stress):
    compare(zoo.POTENTIALS["radial"](), LOSSES[form], forces, stress)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("hidden", [(), (5,), (6, 5), (4, 6, 5)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_and_depth(activation, hidden):
    made = with_networks(zoo.POTENTIALS["radial"](), lambda elements: ([hidden] * elements, [activation] * elements))
    if activation == "exponential":  # of an exponential of an exponential
        for parameter in made.networks.parameters():
            parameter.data *= 0.2
    compare(made)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("hidden", [(), (5,), (4, 6)])
@pytest.mark.parametrize("output", ACTIVATIONS)
def test_every_activation_of_the_output(output, hidden):
    names = [*("tanh", "gaussian")[: len(hidden)], output]
    compare(with_networks(zoo.POTENTIALS["radial"](), lambda elements: ([hidden] * elements, [names] * elements)))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("anchored", [False, True])
def test_an_activation_for_each_layer(members, anchored):
    shapes = [(4, 3), (), (5,)]
    names = [["softplus", "linear", "reverse_sigmoid"], ["harmonic"], ["exponential", "linear"]]
    old = zoo.POTENTIALS["radial"]()
    old.anchored = anchored
    compare(with_networks(old, lambda n: (shapes[:n], names[:n]), members))


@pytest.mark.usefixtures("way")
def test_networks_that_differ_between_elements():
    shapes = [(4,), (3, 5), (4,)]
    compare(with_networks(zoo.POTENTIALS["radial"](), lambda n: (shapes[:n], ["tanh", "silu", "silu"][:n])))


def test_a_second_step_forgets_the_first():
    potential = zoo.POTENTIALS["radial"]()
    atoms, labels = labelled(potential)
    step = Step(potential, WeightTable(potential.networks))
    made = []
    for _ in range(2):
        step(atoms.whole, labels, LOSSES["mse"], forces=True, stress=True, features=None)
        made.append(step.weights.weights.grad.clone())
    assert torch.equal(*made)


def test_a_wrong_sign_would_be_caught(monkeypatch):
    from mlip.model import activations, backpropagation

    def wrong(x):
        value, slope, curvature = activations.silu(x)
        return value, slope, -curvature

    monkeypatch.setitem(backpropagation.CURVES, "silu", wrong)
    monkeypatch.setattr(step_module, "has_kernels", lambda: False)
    potential = with_networks(zoo.POTENTIALS["radial"](), lambda n: ([(5,)] * n, ["silu"] * n))
    with pytest.raises(AssertionError):
        compare(potential)


def with_networks(old, shapes, members=1):
    """The same potential with other networks."""
    hidden, activation = shapes(len(old.elements))
    generator = torch.Generator().manual_seed(1)
    networks = AtomicNetworks(len(old.descriptor.functions), hidden, activation, generator, members).double()
    return Potential(
        old.descriptor,
        old.scaling,
        networks,
        old.reference_energies.tolist(),
        energy_scale=old.energy_scale,
        anchored=old.anchored,
    )
