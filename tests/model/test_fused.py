"""The fused evaluator is `evaluate`: every potential of the zoo, every structure, both precisions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.parameters import behler_angular
from mlip.kernels.activations import KINDS
from mlip.kernels.moments import FEWEST
from mlip.model.evaluate import evaluate
from mlip.model.fused import FusedPotential
from mlip.model.networks import ACTIVATIONS as TORCH_ACTIVATIONS
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.scaling import FeatureScaling
from mlip.structure import Structure

STRUCTURES = {**zoo.STRUCTURES, "lone atom": zoo.LONE_ATOM}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", zoo.FUSED)
def test_fused_is_evaluate(name, structure):
    potential = zoo.POTENTIALS[name]()
    batch, _ = to_batch(STRUCTURES[structure], potential.cutoff)
    expected = evaluate(potential, batch, features=potential.descriptor)
    found = FusedPotential(potential)(batch)
    assert found.energy == pytest.approx(float(expected.energy[0]), rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(found.atomic_energies, expected.atomic_energies, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-10, atol=1e-11)
    if found.stress is None:
        assert torch.isnan(expected.stress).all()
    else:
        np.testing.assert_allclose(found.stress, expected.stress[0], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_single_precision(name):
    potential = zoo.POTENTIALS[name]()
    batch, _ = to_batch(zoo.STRUCTURES["triclinic"], potential.cutoff)
    expected = FusedPotential(potential)(batch)
    potential.networks.float()
    found = FusedPotential(potential)(batch)
    scale = np.abs(expected.forces).max()
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=2e-5 * max(1.0, scale))
    assert found.forces.dtype == np.float64


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("activation", TORCH_ACTIVATIONS)
def test_every_activation_of_layers_and_output_and_networks_of_unequal_depth(activation, members, anchored):
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    potential.anchored = anchored
    width, hidden = len(potential.descriptor.functions), [[5, 7], [], [4, 3, 5]]
    names = [["tanh", activation, "linear"], [activation], [activation, "silu", "linear", activation]]
    generator = torch.Generator().manual_seed(2)
    made = AtomicNetworks(width, hidden, names, generator, members)
    potential.atomic = made.double().requires_grad_(False)
    batch, _ = to_batch(zoo.STRUCTURES["triclinic"], potential.cutoff)
    expected = evaluate(potential, batch, features=potential.descriptor)
    found = FusedPotential(potential)(batch)
    np.testing.assert_allclose(found.atomic_energies, expected.atomic_energies, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-10, atol=1e-11)
    assert set(KINDS) == set(TORCH_ACTIVATIONS)


def test_features_of_other_centers_are_not_kept():
    """Rows are as wide as the functions of any center and of one element, also where an element has none."""
    functions = [*zoo.radial(4.0, center=8), *zoo.shifted(3.4)[::2], *zoo.radial(3.7, "tanh", center=1)[:3]]
    functions = [functions[i] for i in np.random.default_rng(5).permutation(len(functions))]
    for chosen, kept in ((functions, [9, 6, 15]), ([f for f in functions if f.center], [3, 0, 9])):
        potential = zoo.potential(chosen, 4, scaling="half", members=2)
        fused = FusedPotential(potential)
        assert fused.networks.widths[:, 0].tolist() == kept * 2
        for structure in STRUCTURES.values():
            batch, _ = to_batch(structure, potential.cutoff)
            expected, found = evaluate(potential, batch, features=potential.descriptor), fused(batch)
            np.testing.assert_allclose(found.atomic_energies, expected.atomic_energies, rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-10, atol=1e-11)


def test_wide_functions_by_moments_of_the_neighbors():
    """Atoms with many neighbors, and one with few, whose triples are taken."""
    generator = torch.Generator().manual_seed(0)
    descriptor = ACSF((1, 8), behler_angular((1, 8), kind="wide", cutoff=4.0, etas=[0.05, 0.3], zetas=[1, 3]))
    width = len(descriptor.functions)
    networks = AtomicNetworks(width, [[6]] * 2, ["tanh"] * 2, generator)
    potential = Potential(descriptor, FeatureScaling(2, width), networks, [0.0, 0.0]).double().requires_grad_(False)
    positions = 4.0 * torch.rand((40, 3), generator=generator, dtype=torch.float64).numpy()
    positions = np.concatenate([positions, [[7.0, 2.0, 2.0]]])
    structure = Structure(numbers=np.tile([1, 8], 21)[:41], positions=positions)
    batch, _ = to_batch(structure, potential.cutoff)
    neighbors = np.bincount(batch.pairs[0].numpy())
    assert neighbors.max() > max(FEWEST) and neighbors.min() < min(FEWEST[1:])
    expected = evaluate(potential, batch, features=potential.descriptor)
    found = FusedPotential(potential)(batch)
    np.testing.assert_allclose(found.atomic_energies, expected.atomic_energies, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-10, atol=1e-11)


def test_an_unknown_element_is_named():
    potential = next(iter(zoo.POTENTIALS.values()))()
    batch, _ = to_batch(zoo.STRUCTURES["molecule"], potential.cutoff)
    stranger = batch._replace(numbers=torch.full_like(batch.numbers, 79))
    with pytest.raises(ValueError, match="does not know Au"):
        FusedPotential(potential)(stranger)


def test_blocks_threads_and_growing_cells():
    """Many blocks of atoms: the same bits with any number of threads, and `evaluate`."""
    potential = zoo.POTENTIALS["mixed cutoffs"]()
    generator = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    structure = Structure(
        numbers=generator.choice(potential.elements, len(grid)),
        positions=2.4 * grid + generator.uniform(-0.3, 0.3, grid.shape),
        cell=2.4 * 7 * np.eye(3) + np.diag([0.5, 0.2], 1),
        pbc=np.ones(3, dtype=bool),
    )
    batch, _ = to_batch(structure, potential.cutoff)
    fused, found = FusedPotential(potential), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(fused(batch))
    finally:
        torch.set_num_threads(1)
    for other in found[1:]:
        assert other.energy == found[0].energy
        for name in ("forces", "stress", "atomic_energies"):
            np.testing.assert_array_equal(getattr(other, name), getattr(found[0], name))
    expected = evaluate(potential, batch, features=potential.descriptor)
    np.testing.assert_allclose(found[0].forces, expected.forces, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(found[0].stress, expected.stress[0], rtol=1e-10, atol=1e-11)
