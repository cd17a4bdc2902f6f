"""A potential that takes over another predicts as that one does, whatever it has besides."""

import numpy as np
import pytest
import torch
from physics.zoo import STRUCTURES

from mlip.batch import collate, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import Radial
from mlip.descriptors.parameters import angular_grid, radial_grid
from mlip.model.evaluate import evaluate
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.ranges import FeatureRanges, unknown_ranges
from mlip.model.scaling import fitted_scaling
from mlip.model.transfer import anchor, columns_of, take_over
from mlip.structure import Structure

OLD, NEW = (1, 6, 8), (1, 5, 6, 7, 8)  # new elements stand between the old ones


def functions(elements):
    return [
        *radial_grid(elements, cutoff=4.0, count=3),
        *angular_grid(elements, cutoff=3.5, shells=1, angles=2, zeta=2.0),
    ]


def random_potential(elements, seed, hidden, *, activation=None, dtype=torch.float64, anchored=False):
    generator = torch.Generator().manual_seed(seed)
    descriptor = ACSF(elements, functions(elements))
    columns = len(descriptor.functions)
    features = [torch.rand(20, columns, generator=generator, dtype=torch.float64) for _ in elements]
    networks = AtomicNetworks(columns, hidden, activation or ["tanh"] * len(elements), generator).to(dtype)
    for parameter in networks.parameters():
        torch.nn.init.normal_(parameter, std=0.4, generator=generator)
    references = torch.rand(len(elements), generator=generator, dtype=torch.float64).tolist()
    scaling = fitted_scaling(features, "half")
    return Potential(descriptor, scaling, networks, references, energy_scale=1.3 + seed, anchored=anchored)


def predictions(potential, *structures):
    batch = collate([to_batch(structure, potential.cutoff)[0] for structure in structures])
    return evaluate(potential, batch, train=True, features=potential.descriptor)


def largest_difference(one, other):
    """Of energies, forces and stress, over the largest value of each."""
    found = 0.0
    for a, b in ((x.detach(), y.detach()) for x, y in zip(one[:3], other[:3], strict=True)):
        known = torch.isfinite(a)
        assert bool((known == torch.isfinite(b)).all())
        found = max(found, float((a - b)[known].abs().max() / a[known].abs().max()))
    return found


SUBJECTS = [STRUCTURES["molecule"], STRUCTURES["triclinic"]]
WIDTHS = {1: [5], 5: [3], 6: [4, 3], 7: [6], 8: [5, 4]}


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("rescaled", [(), (1, 6, 8), (6,)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("elements", [OLD, NEW])
def test_predictions_stay(elements, rescaled, dtype, tolerance, anchored):
    old = random_potential(OLD, 1, [WIDTHS[z] for z in OLD], dtype=dtype, anchored=anchored)
    new = random_potential(elements, 2, [WIDTHS[z] for z in elements], dtype=dtype)
    before = predictions(old, *SUBJECTS)
    assert largest_difference(before, predictions(new, *SUBJECTS)) > 1e-2, "they differ before"
    take_over(new, old, rescaled=rescaled)
    assert largest_difference(before, predictions(new, *SUBJECTS)) < tolerance


def test_predictions_stay_with_an_activation_for_each_layer():
    names = {
        1: ["softplus", "sigmoid"], 5: "silu", 6: ["tanh", "linear", "harmonic"], 7: ["silu", "tanh"],
        8: ["gaussian", "exponential", "linear"],
    }  # fmt: skip
    old, new = (
        random_potential(elements, seed, [WIDTHS[z] for z in elements], activation=[names[z] for z in elements])
        for seed, elements in ((1, OLD), (2, NEW))
    )
    before = predictions(old, *SUBJECTS)
    take_over(new, old, rescaled=(6, 8))
    assert largest_difference(before, predictions(new, *SUBJECTS)) < 1e-12


def test_a_new_element_is_not_seen_by_old_networks_at_first_but_can_be_learned():
    old = random_potential(OLD, 1, [WIDTHS[z] for z in OLD])
    new = random_potential(NEW, 2, [WIDTHS[z] for z in NEW])
    take_over(new, old)
    together = STRUCTURES["molecule"]
    numbers = together.numbers.copy()
    numbers[0] = 7
    changed = Structure(numbers, together.positions)
    rest = Structure(np.delete(together.numbers, 0), np.delete(together.positions, 0, axis=0))
    energies = predictions(new, changed).atomic_energies
    np.testing.assert_allclose(
        energies[1:].detach(), predictions(old, rest).atomic_energies.detach(), rtol=1e-12, atol=1e-12
    )
    energies.sum().backward()
    place = new.elements.index(6)
    added = [d for d, f in enumerate(new.descriptor.functions) if 7 in f.neighbors]
    first = new.networks.linear(place)[0]
    assert not first.weight[:, added].any() and first.weight.grad[:, added].abs().max() > 0


def test_what_new_columns_learn_leaves_structures_of_old_elements_alone():
    old = random_potential(OLD, 1, [WIDTHS[z] for z in OLD])
    new = random_potential(NEW, 2, [WIDTHS[z] for z in NEW])
    take_over(new, old)
    added = [d for d, f in enumerate(new.descriptor.functions) if {5, 7} & set(f.neighbors)]
    with torch.no_grad():
        for z in OLD:
            new.networks.linear(new.elements.index(z))[0].weight[:, added] = 1.0
    assert largest_difference(predictions(old, *SUBJECTS), predictions(new, *SUBJECTS)) < 1e-12


def test_anchoring_changes_no_prediction():
    potential = random_potential(OLD, 1, [WIDTHS[z] for z in OLD])
    before, lone = predictions(potential, *SUBJECTS), potential.isolated_energies()
    anchor(potential)
    assert largest_difference(before, predictions(potential, *SUBJECTS)) < 1e-12
    torch.testing.assert_close(potential.reference_energies, lone, rtol=0, atol=0)


def test_columns_are_found_by_the_function():
    old, new = functions(OLD), functions(NEW)
    columns = columns_of(old, new)
    assert [new[column] for column in columns] == old and len(set(columns)) == len(old)
    assert columns_of([old[0], old[0]], [old[1], old[0], old[0]]) == [1, 2], "a function that stands twice"
    with pytest.raises(ValueError, match="there is no radial around any of H"):
        columns_of([Radial(neighbors=(1,), cutoff=4.0, eta=0.123)], new)


def test_ranges_of_elements_and_functions_that_only_one_knows():
    old = random_potential(OLD, 1, [WIDTHS[z] for z in OLD])
    new = random_potential(NEW, 2, [WIDTHS[z] for z in NEW])
    count = len(old.descriptor.functions)
    old.ranges = FeatureRanges(torch.full((3, count), 1.0), torch.full((3, count), 2.0))
    low, high = torch.full((5, len(new.descriptor.functions)), 1.5), torch.full((5, len(new.descriptor.functions)), 4.0)
    low[NEW.index(6)], high[NEW.index(6)] = -torch.inf, torch.inf  # no carbon in the new data
    new.ranges = FeatureRanges(low, high)
    take_over(new, old)
    columns = columns_of(old.descriptor.functions, new.descriptor.functions)
    strange = [d for d in range(len(new.descriptor.functions)) if d not in columns]
    for number, known, unknown in (
        (1, (1.0, 4.0), (0.0, 4.0)),
        (6, (1.0, 2.0), (0.0, 0.0)),
        (5, (1.5, 4.0), (1.5, 4.0)),
    ):
        row = NEW.index(number)
        for chosen, (lowest, highest) in ((columns, known), (strange, unknown)):
            assert (new.ranges.lowest[row, chosen] == lowest).all(), number
            assert (new.ranges.highest[row, chosen] == highest).all(), number
    old.ranges = unknown_ranges(3, count)
    take_over(new, old)
    assert not torch.isfinite(new.ranges.lowest[NEW.index(1), columns]).any(), "what the old data held is not known"
    assert torch.isfinite(new.ranges.lowest[NEW.index(5)]).all()
