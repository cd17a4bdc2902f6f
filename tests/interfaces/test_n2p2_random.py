"""Folders of all kinds of settings, against a slow evaluator written from n2p2's documentation."""

import numpy as np
import pytest

from interfaces import n2p2_folders, n2p2_oracle
from mlip.batch import to_batch
from mlip.interfaces.n2p2.reading import read_potential
from mlip.kernels import has_kernels
from mlip.model.evaluate import evaluate
from mlip.model.fused import FusedPotential
from mlip.structure import Structure
from mlip.units import ENERGY, LENGTH

SEEDS = range(45)


def structure(symbols, positions, cell):
    numbers = np.array([n2p2_oracle.SYMBOLS[symbol] for symbol in symbols])
    periodic = np.full(3, cell is not None)
    return Structure(numbers, positions, np.zeros((3, 3)) if cell is None else cell, periodic)


@pytest.mark.parametrize("seed", SEEDS)
def test_energies_are_those_of_the_documentation(seed, tmp_path):
    elements = n2p2_folders.write(tmp_path, seed)
    where = n2p2_folders.structure(elements, seed)
    wanted = n2p2_oracle.energy(tmp_path, *where)
    potential = read_potential(tmp_path, "eV-Ang")
    batch, _ = to_batch(structure(*where), potential.cutoff)
    assert float(evaluate(potential, batch, features=potential.descriptor).energy) == pytest.approx(wanted, rel=1e-11)


@pytest.mark.parametrize("seed", SEEDS[:6])
def test_units_of_the_folder(seed, tmp_path):
    elements = n2p2_folders.write(tmp_path, seed)
    symbols, positions, cell = n2p2_folders.structure(elements, seed)
    wanted = n2p2_oracle.energy(tmp_path, symbols, positions, cell) * ENERGY["Hartree"]
    potential = read_potential(tmp_path, "Ha-Bohr")
    bohr = LENGTH["Bohr"]
    batch, _ = to_batch(structure(symbols, bohr * positions, None if cell is None else bohr * cell), potential.cutoff)
    found = evaluate(potential, batch, features=potential.descriptor)
    assert float(found.energy) == pytest.approx(wanted, rel=1e-11)


@pytest.mark.skipif(not has_kernels(), reason="needs numba")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_fast_kernels_agree(seed, tmp_path):
    elements = n2p2_folders.write(tmp_path, seed)
    potential = read_potential(tmp_path, "eV-Ang")
    batch, _ = to_batch(structure(*n2p2_folders.structure(elements, seed)), potential.cutoff)
    wanted = evaluate(potential, batch, features=potential.descriptor)
    found = FusedPotential(potential)(batch)
    assert found.energy == pytest.approx(float(wanted.energy), rel=1e-12)
    largest = max(1.0, float(abs(wanted.forces).max()))
    np.testing.assert_allclose(found.forces, wanted.forces.numpy(), rtol=0, atol=1e-11 * largest)
