import math

import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import Properties, collate, collate_labels, to_batch
from mlip.model.evaluate import evaluate
from mlip.structure import Structure
from mlip.training.loss import FORMS, Loss, Term

NAN = torch.nan


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("mse", (0.05**2 + 0.3**2 + 2.0**2) / 3),
        ("mae", (0.05 + 0.3 + 2.0) / 3),
        ("huber", (0.5 * 0.05**2 + 0.1 * (0.3 - 0.05) + 0.1 * (2.0 - 0.05)) / 3),
    ],
)
def test_forms_by_hand(form, expected):
    term = Term(7.0, form, 0.1)
    assert float(term(tensor(1.05, -0.3, 2.0), tensor(1.0, 0.0, 0.0))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_missing_labels_do_not_count(form):
    term = Term(1.0, form)
    some = term(tensor(1.0, 5.0, 2.0), tensor(0.5, NAN, 2.2))
    assert float(some) == pytest.approx(float(term(tensor(1.0, 2.0), tensor(0.5, 2.2))), rel=1e-14)
    assert float(term(tensor(1.0, 5.0), tensor(NAN, NAN))) == 0.0


@pytest.mark.parametrize("form", FORMS)
def test_missing_labels_have_no_gradient(form):
    predicted = tensor(1.0, 5.0, NAN).requires_grad_()
    Term(1.0, form)(predicted, tensor(0.5, NAN, NAN)).backward()
    assert torch.isfinite(predicted.grad).all()
    assert predicted.grad[0] != 0 and (predicted.grad[1:] == 0).all()


def batch_and_labels():
    """Two molecules, 1 and 3 atoms, and a crystal."""
    rows = np.random.default_rng(0).normal(size=(3, 3))
    cell = {"cell": 5.0 * np.eye(3), "pbc": np.ones(3, dtype=bool)}
    structures = [
        Structure(np.array([1]), rows[:1], energy=2.0),
        Structure(np.array([1, 6, 1]), 3 * rows, energy=-1.0, forces=rows),
        Structure(np.array([6, 8]), np.array([[0.0, 0, 0], [1.5, 0, 0]]), **cell, energy=4.0, stress=0.01 * rows),
    ]
    made = [to_batch(structure, 4.0) for structure in structures]
    return collate([batch for batch, _ in made]), collate_labels([labels for _, labels in made])


def test_total_by_hand():
    batch, labels = batch_and_labels()
    predicted = Properties(
        energy=labels.energy + tensor(0.3, 0.6, -0.8),
        forces=torch.where(labels.forces.isnan(), 77.0, labels.forces + 0.5),
        stress=torch.where(labels.stress.isnan(), torch.nan, labels.stress - 0.02),
    )
    terms = Loss(Term(2.0), Term(3.0, "mae"), Term(100.0))(predicted, labels, batch)
    energy = ((0.3 / 1) ** 2 + (0.6 / 3) ** 2 + (0.8 / 2) ** 2) / 3
    assert float(terms.energy) == pytest.approx(energy, rel=1e-12)
    assert float(terms.forces) == pytest.approx(0.5, rel=1e-12)
    assert float(terms.stress) == pytest.approx(0.0004, rel=1e-12)
    assert float(terms.total) == pytest.approx(2 * energy + 3 * 0.5 + 100 * 0.0004, rel=1e-12)


def test_perfect_prediction_costs_nothing():
    batch, labels = batch_and_labels()
    assert float(Loss(Term(1.0), Term(1.0, "mae"), Term(1.0, "huber"))(labels, labels, batch).total) == 0.0


def test_what_was_not_predicted_does_not_count():
    batch, labels = batch_and_labels()
    terms = Loss(Term(1.0), Term(1.0), Term(1.0))(Properties(labels.energy + 1), labels, batch)
    assert float(terms.forces) == float(terms.stress) == 0.0 < float(terms.energy)


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_the_network_get_a_finite_gradient(form):
    """Molecules have no stress (NaN in labels and predictions), the others lack energies or forces."""
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    batch, labels = batch_and_labels()
    labels.energy[1] = NAN
    loss = Loss(Term(1.0, form), Term(1.0, form), Term(100.0, form))(
        evaluate(potential, batch, train=True), labels, batch
    )
    loss.total.backward()
    gradients = [parameter.grad for parameter in potential.networks.parameters()]
    assert math.isfinite(float(loss.total.detach())) and float(loss.stress.detach()) > 0
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0
