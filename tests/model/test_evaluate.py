"""What `evaluate` returns and when; that it is right stands in tests/physics."""

import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import Properties, collate, to_batch
from mlip.model.evaluate import evaluate
from mlip.structure import Structure


@pytest.fixture
def potential():
    return zoo.POTENTIALS["mixed cutoffs"]()


@pytest.fixture
def batch(potential):
    return collate([to_batch(structure, potential.cutoff)[0] for structure in zoo.MIXED])


def test_energy_alone(potential, batch):
    alone, full = evaluate(potential, batch, forces=False), evaluate(potential, batch)
    assert alone.forces is None and alone.stress is None
    assert torch.equal(alone.energy, full.energy) and torch.equal(alone.atomic_energies, full.atomic_energies)
    assert not alone.energy.requires_grad


def test_forces_without_stress(potential, batch):
    some, full = evaluate(potential, batch, stress=False), evaluate(potential, batch)
    assert some.stress is None and torch.equal(some.forces, full.forces)


def test_stress_is_nan_where_there_is_no_volume(potential, batch):
    stress = evaluate(potential, batch).stress
    for found, structure in zip(stress, zoo.MIXED, strict=True):
        assert torch.isfinite(found).all() if structure.pbc.all() else torch.isnan(found).all()


@pytest.mark.parametrize("train", [False, True])
def test_no_pairs(potential, train):
    batch = to_batch(zoo.STRANGERS, potential.cutoff)[0]
    assert batch.pairs.shape == (2, 0)
    predicted = evaluate(potential, batch, train=train).detach()
    assert (predicted.forces == 0).all()
    isolated = potential.isolated_energies().detach()
    assert float(predicted.energy) == pytest.approx(float(isolated[0] + isolated[1]), rel=1e-13)


def test_precision(potential, batch):
    potential.networks.float()
    predicted = evaluate(potential, batch)
    assert [None if p is None else p.dtype for p in predicted] == [
        torch.float64, torch.float32, torch.float32, torch.float64,
    ]  # fmt: skip


def test_far_from_the_origin_single_precision_is_as_good(potential):
    """Differences of positions are formed in double precision."""
    potential.networks.float()
    here = zoo.STRUCTURES["molecule"]
    far = Structure(here.numbers, here.positions + 2.0**13)
    a, b = (evaluate(potential, to_batch(s, potential.cutoff)[0]) for s in (here, far))
    assert torch.allclose(a.forces, b.forces, rtol=1e-4, atol=1e-5)


def test_results_have_no_history_unless_training(potential, batch):
    assert all(not field.requires_grad for field in evaluate(potential, batch))
    assert all(field.requires_grad for field in evaluate(potential, batch, train=True))


def test_gradient_mode_of_the_caller_does_not_matter(potential, batch):
    with torch.no_grad():
        quiet = evaluate(potential, batch)
        assert not torch.is_grad_enabled()
    assert torch.equal(quiet.forces, evaluate(potential, batch).forces)


def test_frozen_weights_still_have_forces(potential, batch):
    expected = evaluate(potential, batch).forces
    assert torch.equal(evaluate(potential.requires_grad_(False), batch).forces, expected)


def test_batch_is_left_as_it_was(potential, batch):
    before = [field.clone() for field in batch]
    evaluate(potential, batch, train=True)
    for old, new in zip(before, batch, strict=True):
        assert torch.equal(old, new) and not new.requires_grad and new.grad is None


def test_weight_gradients_are_finite_differences(potential, batch):
    generator = torch.Generator().manual_seed(5)
    weights = Properties(
        torch.randn(len(batch.cell), generator=generator, dtype=torch.float64),
        torch.randn(len(batch.numbers), 3, generator=generator, dtype=torch.float64),
        torch.randn(len(batch.cell), 3, 3, generator=generator, dtype=torch.float64),
    )

    def value():
        p = evaluate(potential, batch, train=True)
        stress = torch.where(torch.isnan(p.stress), 0.0, p.stress)
        return (
            (p.energy**2 * weights.energy).sum()
            + (p.forces**2 * weights.forces).sum()
            + (stress * weights.stress).sum() * 100
        )

    parameters = list(potential.networks.parameters())
    gradients = torch.autograd.grad(value(), parameters)
    step = 1e-5
    largest = max(float(g.abs().max()) for g in gradients)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        place = int(gradient.abs().argmax())
        flat = parameter.data.view(-1)
        start = float(flat[place])
        values = []
        for sign in (1, -1):
            flat[place] = start + sign * step
            values.append(float(value().detach()))
        flat[place] = start
        found = (values[0] - values[1]) / (2 * step)
        assert found == pytest.approx(float(gradient.view(-1)[place]), abs=1e-7 * largest)


def test_unknown_element(potential):
    sulfur = to_batch(Structure(np.array([16]), np.zeros((1, 3))), potential.cutoff)[0]
    with pytest.raises(ValueError, match="does not know S"):
        evaluate(potential, sulfur)
