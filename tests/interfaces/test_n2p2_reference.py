"""Imported potentials give the numbers of n2p2 itself."""

import numpy as np
import pytest
import torch

from interfaces.n2p2_reference import FOLDERS, ROOT, columns, derivatives, features, references, structures
from mlip.batch import pair_vectors, to_batch
from mlip.descriptors.compiled import compiled
from mlip.interfaces.n2p2.reading import read_potential
from mlip.kernels import has_kernels
from mlip.model.evaluate import evaluate
from mlip.model.fused import FusedPotential

needs_kernels = pytest.mark.skipif(not has_kernels(), reason="needs numba")


@pytest.mark.parametrize("folder", FOLDERS)
def test_energies_and_forces(folder):
    potential = read_potential(ROOT / folder, "eV-Ang")
    for structure, expected in zip(structures(folder), references(folder), strict=True):
        batch, _ = to_batch(structure, potential.cutoff)
        found = evaluate(potential, batch, features=potential.descriptor)
        _agree(float(found.energy), found.forces.numpy(), found.atomic_energies.numpy(), expected, potential, structure)


@needs_kernels
@pytest.mark.parametrize("folder", FOLDERS)
def test_the_same_by_the_fused_kernels(folder):
    potential = read_potential(ROOT / folder, "eV-Ang")
    fused = FusedPotential(potential)
    for structure, expected in zip(structures(folder), references(folder), strict=True):
        batch, _ = to_batch(structure, potential.cutoff)
        found = fused(batch)
        _agree(found.energy, found.forces, found.atomic_energies, expected, potential, structure)


@pytest.mark.parametrize("fast", [False, pytest.param(True, marks=needs_kernels)])
@pytest.mark.parametrize("folder", FOLDERS)
def test_features_and_their_derivatives(folder, fast):
    potential = read_potential(ROOT / folder, "eV-Ang")
    structure = structures(folder)[0]
    batch, _ = to_batch(structure, potential.cutoff)
    vectors = pair_vectors(batch)
    descriptor = compiled(potential.descriptor) if fast else potential.descriptor
    values = descriptor(batch.numbers, batch.pairs, vectors).numpy()
    place = columns(ROOT / folder)
    for atom, expected in enumerate(features(folder)):
        mine = values[atom, place[int(structure.numbers[atom])]]
        np.testing.assert_allclose(mine, expected, rtol=1e-12, atol=1e-13)
    jacobian = descriptor.jacobian(batch.numbers, batch.pairs, vectors)
    center, neighbor = batch.pairs
    moved = torch.zeros(len(structure), len(structure), 3, values.shape[1], dtype=torch.float64)
    moved.index_put_((center, neighbor), jacobian, accumulate=True)
    moved.index_put_((center, center), -jacobian, accumulate=True)
    by_atom = np.zeros((len(structure), len(structure), max(map(len, features(folder))), 3))
    for i in range(len(structure)):
        mine = place[int(structure.numbers[i])]
        by_atom[i, :, : len(mine)] = moved[i][:, :, mine].permute(0, 2, 1).numpy()
    rows = derivatives(folder)
    i, j, k = rows[:, :3].astype(int).T
    np.testing.assert_allclose(by_atom[i, j, k], rows[:, 3:], rtol=1e-10, atol=1e-11)
    by_atom[i, j, k] = 0.0
    assert abs(by_atom).max() < 1e-11, "derivatives that n2p2 does not have"


def _agree(energy, forces, atomic_energies, expected, potential, structure):
    assert abs(energy - expected.energy) <= 1e-10 * abs(expected.energy)
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-9)
    references = potential.reference_energies[potential.element_of(torch.from_numpy(structure.numbers))]
    np.testing.assert_allclose(atomic_energies, expected.atomic_energies + references.numpy(), rtol=1e-10, atol=1e-10)
