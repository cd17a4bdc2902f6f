"""ASE's tools with the calculator, held to laws of physics rather than to numbers."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from interfaces.trained import ethanol, molecule, silicon, tersoff
from mlip.interfaces.calculator import MLIPCalculator


def relaxed_molecule():
    atoms = molecule()
    atoms.calc = MLIPCalculator(ethanol(), dtype="float64")
    assert BFGS(atoms, logfile=None).run(fmax=1e-6, steps=1000)
    return atoms


def relaxed_crystal(calculator=None):
    """Eight atoms of silicon, which start somewhat out of place in a strained cell that is not turned."""
    generator = np.random.default_rng(1)
    atoms = bulk("Si", cubic=True, a=5.5)
    atoms.set_cell(atoms.cell @ np.diag([1.01, 0.985, 1.02]), scale_atoms=True)
    atoms.positions += generator.normal(scale=0.03, size=(8, 3))
    atoms.calc = calculator or MLIPCalculator(silicon(), dtype="float64")
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-6, steps=1000)
    return atoms


def test_a_relaxed_molecule_has_six_modes_without_frequency(tmp_path):
    """Three translations and three rotations; all others vibrate."""
    vibrations = Vibrations(relaxed_molecule(), delta=1e-3, name=str(tmp_path / "modes"), nfree=4)
    vibrations.run()
    energies = 1e3 * vibrations.get_energies()  # meV, imaginary where unstable
    size = np.sort(np.abs(energies))
    assert len(size) == 27
    assert size[5] < 0.05 and size[6] > 1
    assert np.abs(np.sort(energies.imag)[-1]) < 0.05, "a minimum"


def test_a_relaxed_crystal_has_no_stress_and_is_a_minimum():
    atoms = relaxed_crystal()
    assert np.abs(atoms.get_stress()).max() < 1e-6 and np.abs(atoms.get_forces()).max() < 1e-6
    energy = atoms.get_potential_energy()
    generator = np.random.default_rng(1)
    for _ in range(5):
        moved = atoms.copy()
        moved.calc = atoms.calc
        moved.set_cell(atoms.cell @ (np.eye(3) + 0.003 * generator.normal(size=(3, 3))), scale_atoms=True)
        moved.positions += 0.01 * generator.normal(size=(len(atoms), 3))
        assert moved.get_potential_energy() > energy


def test_the_bulk_modulus_of_the_equation_of_state_is_that_of_the_stress():
    """B = -V dp/dV, once from energies and once from stresses."""
    atoms = relaxed_crystal()
    volume, energies, volumes, pressures = atoms.get_volume(), [], [], []
    for factor in np.linspace(0.99, 1.01, 9):
        scaled = atoms.copy()
        scaled.calc = atoms.calc
        scaled.set_cell(atoms.cell * factor ** (1 / 3), scale_atoms=True)
        energies.append(scaled.get_potential_energy())
        volumes.append(scaled.get_volume())
        pressures.append(-scaled.get_stress()[:3].mean())
    smallest, _, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    slope = np.polynomial.Polynomial.fit(np.array(volumes) - volume, pressures, 4).deriv()(0)
    assert smallest == pytest.approx(volume, rel=1e-5)
    assert modulus == pytest.approx(-volume * slope, rel=1e-3)
    assert 1 < modulus / units.GPa < 1000


def elastic_constants(atoms, step=1e-4):
    """C_ij = dstress_i / dstrain_j in Voigt's order, with the atoms at their places in the cell (eV/Å³)."""
    constants = np.empty((6, 6))
    for j, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        stresses = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            strained = atoms.copy()
            strained.calc = atoms.calc
            strained.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
            stresses.append(strained.get_stress())
        constants[:, j] = (stresses[0] - stresses[1]) / (2 * step)
    return constants


def test_elastic_constants_have_the_symmetry_of_the_crystal_and_are_what_was_learned():
    found, known = elastic_constants(relaxed_crystal()), elastic_constants(relaxed_crystal(tersoff()))
    np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-5)
    three, shear = found[:3, :3], found[3:, 3:]
    np.testing.assert_allclose(three, np.where(np.eye(3), three[0, 0], three[0, 1]), rtol=0, atol=1e-4)
    np.testing.assert_allclose(shear, np.eye(3) * shear[0, 0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found[:3, 3:], 0, atol=1e-4)
    np.testing.assert_allclose(found, known, rtol=0, atol=5 * units.GPa)
