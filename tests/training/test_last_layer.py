"""Ridge regression of the last layers against numpy's least squares on columns made by finite changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mlip.configfile import parse_config
from mlip.descriptors.store import FeatureStore
from mlip.model.evaluate import evaluate
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.preparation import prepare
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.last_layer import last_weights, normal_equations, set_last_weights, solve_last_layers
from mlip.training.loss import Loss, Term
from mlip.training.validation import evaluate_examples
from tests.physics import zoo

CPU = torch.device("cpu")
LOSS = Loss(Term(3.0), Term(0.7), Term(50.0))


def with_widths(potential, widths, anchored):
    """The same potential with hidden layers of these widths, by element."""
    count = len(potential.elements)
    shapes = (widths * count)[:count]
    networks = AtomicNetworks(
        len(potential.descriptor.functions), shapes, ["tanh"] * count, torch.Generator().manual_seed(3)
    ).double()
    references = potential.reference_energies.tolist()
    return Potential(potential.descriptor, potential.scaling, networks, references, energy_scale=0.8, anchored=anchored)


def labelled(potential, count, seed):
    """Structures with labels that the potential does not have, some of them missing."""
    generator = np.random.default_rng(seed)
    made = []
    for n in range(count):
        size = 4 + n % 3
        numbers = generator.choice(potential.elements, size)
        cell = np.eye(3) * 6.0 + 0.3 * generator.normal(size=(3, 3))
        grid = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])[:size] * 2.2
        structure = Structure(
            numbers=numbers,
            positions=grid + 0.2 * generator.normal(size=(size, 3)),
            cell=cell,
            pbc=np.array([n % 4 != 0] * 3),
            energy=float(generator.normal()),
            forces=generator.normal(size=(size, 3)),
            stress=None,
        )
        if n % 4:
            stress = 0.01 * generator.normal(size=(3, 3))
            structure = replace(structure, stress=stress + stress.T)
        made.append([structure, replace(structure, energy=None), replace(structure, forces=None)][n % 3])
    return made


def predictions(potential, examples, loss):
    """Errors of everything that has a label, each times the root of its weight in the loss: a vector."""
    batch, labels, _ = examples.take(range(len(examples)))
    found = evaluate(potential, batch)
    sizes = torch.bincount(batch.structure)
    parts = []
    for term, value, label in [
        (loss.energy, found.energy / sizes, labels.energy / sizes),
        (loss.forces, found.forces, labels.forces),
        (loss.stress, found.stress, labels.stress),
    ]:
        known = torch.isfinite(label)
        parts.append((term.weight / int(known.sum())) ** 0.5 * (value - label)[known])
    return torch.cat([part.flatten() for part in parts]).numpy()


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("widths", [[(3,)], [(4, 3), (5,)], [()]], ids=["one layer", "different", "no hidden layer"])
@pytest.mark.parametrize("keep", [False, True])
def test_normal_equations_are_those_of_finite_changes(widths, anchored, keep):
    potential = with_widths(zoo.POTENTIALS["radial"](), widths, anchored)
    examples = Examples(labelled(potential, 9, seed=0), potential.cutoff, CPU)
    if keep:
        examples.store = FeatureStore(potential.descriptor, examples.atoms, torch.float64)
    weights = last_weights(potential.networks)
    matrix, right = normal_equations(potential, examples, LOSS)
    now = predictions(potential, examples, LOSS)
    columns = []
    for k in range(len(weights)):
        set_last_weights(potential.networks, weights + torch.eye(len(weights), dtype=torch.float64)[k])
        columns.append(predictions(potential, examples, LOSS) - now)
    design = np.stack(columns, axis=1)
    np.testing.assert_allclose(matrix.numpy(), design.T @ design, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(right.numpy(), -design.T @ now, rtol=1e-9, atol=1e-10)
    assert np.abs(design).max() > 1e-3


def test_an_output_that_is_not_linear_is_refused():
    potential = with_widths(zoo.POTENTIALS["radial"](), [(3,)], anchored=False)
    count, width = len(potential.elements), len(potential.descriptor.functions)
    potential.atomic = AtomicNetworks(width, [[3]] * count, [["tanh", "sigmoid"]] * count).double()
    examples = Examples(labelled(potential, 3, seed=0), potential.cutoff, CPU)
    with pytest.raises(ValueError, match="outputs are sigmoid; only last layers of linear outputs are solved"):
        solve_last_layers(potential, examples, examples, LOSS)


def test_without_a_ridge_it_is_least_squares():
    potential = with_widths(zoo.POTENTIALS["radial"](), [(2,)], anchored=False)
    examples = Examples(labelled(potential, 12, seed=1), potential.cutoff, CPU)
    weights = last_weights(potential.networks)
    matrix, right = normal_equations(potential, examples, LOSS)
    set_last_weights(potential.networks, weights + torch.linalg.solve(matrix, right))
    least = predictions(potential, examples, LOSS)
    set_last_weights(potential.networks, torch.zeros_like(weights))
    nothing = predictions(potential, examples, LOSS)
    columns = []
    for k in range(len(weights)):
        set_last_weights(potential.networks, torch.eye(len(weights), dtype=torch.float64)[k])
        columns.append(predictions(potential, examples, LOSS) - nothing)
    design = np.stack(columns, axis=1)
    solution = np.linalg.lstsq(design, -nothing, rcond=None)[0]
    np.testing.assert_allclose(least, nothing + design @ solution, atol=1e-9)


def test_the_ridge_is_the_best_on_validation_structures():
    potential = with_widths(zoo.POTENTIALS["radial"](), [(6,)], anchored=True)
    teacher = with_widths(zoo.POTENTIALS["radial"](), [(6,)], anchored=True)
    set_last_weights(teacher.networks, 2 * last_weights(potential.networks) + 0.5)
    train, valid = (Examples(labelled(potential, n, seed=n), potential.cutoff, CPU) for n in (9, 6))
    for examples in (train, valid):
        batch, labels, _ = examples.take(range(len(examples)))
        energy, forces, stress, _ = evaluate(teacher, batch)
        known = [torch.isfinite(label) for label in labels[:3]]
        examples.labels = examples.labels._replace(
            energy=torch.where(known[0], energy, torch.nan),
            forces=torch.where(known[1], forces, torch.nan),
            stress=torch.where(known[2], stress, torch.nan),
        )
    before = evaluate_examples(potential, valid, LOSS)[0]
    (ridge,) = solve_last_layers(potential, train, valid, LOSS)
    assert evaluate_examples(potential, valid, LOSS)[0] < 1e-6 * before
    assert ridge < 1e-6


def test_validation_structures_are_needed(bundled):
    values = {
        "data": {"train": str(bundled / "ethanol_xtb.npz"), "index": ":10", "split": {"valid": 0}},
        "training": {"solve_last_layer": True},
    }
    with pytest.raises(ValueError, match=r"training\.solve_last_layer .* data\.split\.valid"):
        prepare(parse_config(values, "test"))
