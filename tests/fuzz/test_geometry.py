"""Surprises of geometry and floating point, through the calculator and through what training does."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from interfaces.trained import alcu, crystal, ethanol, molecule
from physics import zoo

from fuzz.guard import calm
from mlip.batch import OverlappingAtoms, to_batch
from mlip.data.write import to_atoms
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.evaluate import evaluate
from mlip.structure import Structure


def with_potential(atoms, run=None, **options):
    atoms.calc = MLIPCalculator(run or ethanol(), **options)
    return atoms


def finite(atoms):
    return bool(np.isfinite(atoms.get_forces()).all() and np.isfinite(atoms.get_potential_energy()))


def test_one_atom_and_atoms_without_neighbors():
    lone = [with_potential(Atoms(symbol, [[1, 2, 3]])) for symbol in "HCO"]
    energies = [atoms.get_potential_energy() for atoms in lone]
    assert all(np.array_equal(atoms.get_forces(), np.zeros((1, 3))) for atoms in lone)
    apart = with_potential(Atoms("HCO", [[0, 0, 0], [1e4, 0, 0], [0, 1e6, 0]]))
    assert apart.get_potential_energy() == pytest.approx(sum(energies), rel=1e-12)
    assert np.array_equal(apart.get_forces(), np.zeros((3, 3)))
    isolated = lone[0].calc.potential.isolated_energies().numpy()
    np.testing.assert_allclose(energies, isolated, rtol=1e-6)


def test_huge_cells_are_molecules():
    alone = with_potential(molecule(), dtype="float64")
    boxed = with_potential(Atoms(molecule(), cell=[1e6] * 3, pbc=True), dtype="float64")
    assert boxed.get_potential_energy() == pytest.approx(alone.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(boxed.get_forces(), alone.get_forces(), atol=1e-9)


def test_cells_smaller_than_the_cutoff():
    """One atom of a primitive cell is what each atom of many cells is."""
    one = with_potential(bulk("Al", a=4.05), alcu(), dtype="float64")
    many = with_potential(bulk("Al", a=4.05).repeat(4), alcu(), dtype="float64")
    assert one.cell.lengths().max() < one.calc.potential.cutoff
    assert one.get_potential_energy() == pytest.approx(many.get_potential_energy() / 64, abs=1e-9)
    np.testing.assert_allclose(one.get_stress(), many.get_stress(), atol=1e-10)


@pytest.mark.parametrize("scale", [1e-2, 1e-4, 1e-8])
def test_tiny_cells_are_refused(scale):
    atoms = with_potential(Atoms("Al", cell=np.eye(3) * scale, pbc=True), alcu())
    assert calm(atoms.get_forces, "images of a cell", "independent lattice vector") is None


@pytest.mark.parametrize("height", [1e-3, 1e-6, 1e-10, 1e-15, 0.0])
def test_nearly_singular_cells_are_refused(height):
    atoms = with_potential(
        Atoms("Al2", [[0, 0, 0], [2, 0, 0]], cell=[[4, 0, 0], [4, height, 0], [0, 0, 4]], pbc=True), alcu()
    )
    assert calm(atoms.get_forces, "images of a cell", "independent lattice vector", "apart") is None


def test_a_skewed_cell_is_its_reduced_self():
    cell = np.diag([4.0, 4.1, 4.2])
    skewed = cell + np.array([[0.0, 0, 0], [5 * 4.0, 0, 0], [0, -3 * 4.1, 0]])
    energies = [
        with_potential(Atoms("Al", cell=one, pbc=True), alcu(), dtype="float64").get_potential_energy()
        for one in (cell, skewed)
    ]
    assert energies[0] == pytest.approx(energies[1], abs=1e-9)


@pytest.mark.parametrize("distance", [0.0, 1e-300, 1e-12, 0.1])
def test_coincident_atoms_are_named(distance):
    atoms = molecule()
    atoms.positions[3] = atoms.positions[4] + [0, 0, distance]
    with pytest.raises(OverlappingAtoms, match=r"atoms 3 and 4 are .* apart"):
        with_potential(atoms).get_forces()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 1e10])
def test_positions_that_are_no_places(value):
    atoms = molecule()
    atoms.positions[2, 1] = value
    assert calm(with_potential(atoms).get_forces, "in row 2;") is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_cells_that_are_none(value):
    atoms = with_potential(crystal(), alcu())
    atoms.cell[1, 1] = value
    assert calm(atoms.get_forces, "cell") is None


@pytest.mark.parametrize("number", [0, 79, 118, 119, 200, -1])
def test_elements_that_nobody_knows(number):
    atoms = molecule()
    atoms.numbers[0] = number
    assert calm(with_potential(atoms).get_forces, "the potential does not know", "atomic number") is None


def test_no_atoms():
    assert calm(with_potential(Atoms()).get_potential_energy, "no atoms") is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_total_energies_are_summed_in_float64(dtype):
    """With references of 10^4 eV an atom, what single atoms add to 10^5 eV is not lost in the sum."""
    potential = zoo.POTENTIALS["radial"]()
    potential.networks.to(dtype)
    batch, _ = to_batch(zoo.MIXED[0], potential.cutoff)
    before = evaluate(potential, batch).energy
    potential.reference_energies += 1.0e4
    after = evaluate(potential, batch).energy
    atoms = len(batch.numbers)
    assert before.dtype == after.dtype == torch.float64 and 1e4 * atoms >= 1e4
    assert float(after - before) == pytest.approx(1.0e4 * atoms, abs=1e-9 * atoms)


@pytest.mark.slow
def test_a_hundred_thousand_atoms():
    """In blocks, so that memory goes with the pairs and not with the triples."""
    atoms = with_potential(bulk("Al", cubic=True, a=4.05).repeat((30, 30, 28)), alcu())
    assert len(atoms) == 100_800
    assert finite(atoms)
    one = with_potential(bulk("Al", cubic=True, a=4.05).repeat(3), alcu())
    per_atom = atoms.get_potential_energy() / len(atoms)
    assert per_atom == pytest.approx(one.get_potential_energy() / len(one), abs=1e-6)


def test_structures_check_themselves():
    with pytest.raises(ValueError, match="no atoms"):
        Structure(np.zeros(0, np.int64), np.zeros((0, 3)))
    whole = Structure(np.array([1]), np.zeros((1, 3)), energy=1e5)
    assert to_atoms(whole).get_potential_energy() == 1e5
