"""The ASE calculator: the same numbers as `evaluate`, one evaluation for all, and kept pairs that change nothing."""

import copy
from itertools import permutations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.stress import voigt_6_to_full_3x3_stress

import mlip
from interfaces.trained import alcu, crystal, ethanol, molecule
from mlip.interfaces.calculator import MLIPCalculator

ASKED = ("get_potential_energy", "get_forces", "get_stress", "get_potential_energies")


def double(run, **options):
    return MLIPCalculator(run, dtype="float64", **options)


@pytest.mark.parametrize(("run", "make"), [(ethanol, molecule), (alcu, crystal)])
@pytest.mark.parametrize("dtype", ["float32", "float64", None])
def test_the_numbers_are_those_of_evaluate(run, make, dtype):
    atoms = make()
    atoms.calc = MLIPCalculator(run(), dtype=dtype)
    potential = mlip.load_potential(run(), dtype=getattr(torch, dtype or "float32"))
    structure = mlip.Structure(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    predicted = mlip.evaluate(potential, mlip.to_batch(structure, potential.cutoff + 0.5)[0])
    assert atoms.calc.potential.dtype == potential.dtype
    # The fused kernels add up in another order: rounding of the dtype (float32: 2e-5 eV/Å is the law for forces).
    close = {"rtol": 0, "atol": 1e-11 if dtype == "float64" else 2e-5}
    energy = float(predicted.energy[0])
    np.testing.assert_allclose(atoms.get_potential_energy(), energy, **close)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    np.testing.assert_allclose(atoms.get_forces(), predicted.forces, **close)
    np.testing.assert_allclose(atoms.get_potential_energies(), predicted.atomic_energies, **close)
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-14)
    if atoms.pbc.all():
        np.testing.assert_allclose(atoms.get_stress(voigt=False), predicted.stress[0], **close)
        np.testing.assert_array_equal(voigt_6_to_full_3x3_stress(atoms.get_stress()), atoms.get_stress(voigt=False))


@pytest.mark.parametrize("order", list(permutations(ASKED)))
def test_one_evaluation_whatever_is_asked_first(order):
    atoms = crystal()
    atoms.calc = MLIPCalculator(alcu())
    for name in [*order, *order]:
        getattr(atoms, name)()
    assert atoms.calc.evaluations == 1
    atoms.positions[0, 0] += 0.01
    atoms.get_forces()
    assert atoms.calc.evaluations == 2


def test_forces_are_the_slope_of_the_energy():
    for atoms, run in ((molecule(), ethanol()), (crystal(), alcu())):
        atoms.calc = double(run)
        forces = atoms.get_forces()
        for atom, axis in ((0, 0), (3, 1), (len(atoms) - 1, 2)):
            energies = []
            for step in (1e-4, -1e-4):
                moved = atoms.copy()
                moved.calc = atoms.calc
                moved.positions[atom, axis] += step
                energies.append(moved.get_potential_energy())
            assert (energies[1] - energies[0]) / 2e-4 == pytest.approx(forces[atom, axis], abs=1e-6)


def test_stress_is_the_slope_of_the_energy_under_strain():
    atoms = crystal()
    atoms.calc = double(alcu())
    stress = atoms.get_stress(voigt=False)
    for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)):
        energies = []
        for step in (1e-5, -1e-5):
            strain = np.zeros((3, 3))
            strain[i, j] += step / 2
            strain[j, i] += step / 2
            strained = atoms.copy()
            strained.calc = atoms.calc
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(strained.get_potential_energy())
        slope = (energies[0] - energies[1]) / 2e-5 / atoms.get_volume()
        assert slope == pytest.approx(stress[i, j], abs=1e-6)


def rattled(atoms, seed, steps=25):
    """The same atoms after each of many small moves and, for a crystal, strains."""
    generator = np.random.default_rng(seed)
    for n in range(steps):
        atoms.positions += generator.normal(scale=0.02, size=atoms.positions.shape)
        if atoms.pbc.all() and n % 2:
            strain = generator.normal(scale=0.002, size=(3, 3))
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        yield atoms


@pytest.mark.parametrize(("run", "make"), [(ethanol, molecule), (alcu, crystal)])
@pytest.mark.parametrize("skin", [0.3, 0.5, 1.5])
def test_a_skin_changes_the_number_of_searches_and_nothing_else(run, make, skin):
    kept, searched = double(run(), skin=skin), double(run(), skin=0.0)
    for atoms in rattled(make(), 5):
        pair = []
        for calculator in (kept, searched):
            same = atoms.copy()
            same.calc = calculator
            pair.append([same.get_potential_energy(), same.get_forces(), same.get_potential_energies()])
            if atoms.pbc.all():
                pair[-1].append(same.get_stress())
        for one, other in zip(*pair, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
    assert searched.pairs.searches == 25 and kept.pairs.searches < (25 if skin < 0.5 else 15)


def fresh(atoms, run):
    """Energy and forces by a calculator that has seen nothing before."""
    copied = atoms.copy()
    copied.calc = double(run)
    return copied.get_potential_energy(), copied.get_forces()


def same(atoms, run):
    energy, forces = fresh(atoms, run)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=1e-10)
    return energy


def test_changes_of_all_kinds_are_seen():
    atoms, run = crystal(), alcu()
    atoms.calc = double(run)
    energies = [same(atoms, run)]
    atoms.set_cell(atoms.cell.array * 1.05, scale_atoms=True)
    energies.append(same(atoms, run))
    atoms.set_cell(atoms.cell.array * 1.05, scale_atoms=False)
    energies.append(same(atoms, run))
    atoms.pbc = (True, True, False)
    energies.append(same(atoms, run))
    atoms.pbc = False
    energies.append(same(atoms, run))
    atoms.numbers[0] = 29 if atoms.numbers[0] == 13 else 13
    energies.append(same(atoms, run))
    del atoms[-1]
    energies.append(same(atoms, run))
    assert len({round(energy, 6) for energy in energies}) == len(energies), "each change mattered"


def test_the_structure_of_the_last_evaluation():
    """ASE reads `calc.atoms`: it is what the results belong to, whatever has become of the atoms since."""
    atoms = crystal()
    atoms.calc = double(alcu())
    assert atoms.calc.atoms is None
    for _ in range(2):
        atoms.get_forces()
        before = atoms.copy()
        atoms.rattle(0.01)
        atoms.set_cell(atoms.cell.array * 1.001)
        last = atoms.calc.atoms
        assert last is atoms.calc.atoms and last == before
        assert atoms.calc.get_atoms() == before and atoms.calc.get_atoms() is not last
    assert atoms.calc.check_state(before) == [] and set(atoms.calc.check_state(atoms)) == {"positions", "cell"}
    assert not atoms.calc.calculation_required(before, ["energy", "stress"])
    assert atoms.calc.calculation_required(before, ["magmom"]) and atoms.calc.calculation_required(atoms, ["energy"])
    last.positions[0] += 1.0
    assert atoms.calc.check_state(before) == [], "what the caller does with it is not our business"
    atoms.calc.reset()
    assert atoms.calc.atoms is None and atoms.calc.check_state(before)


def test_calculate_is_what_ase_calls():
    atoms = crystal()
    calculator = double(alcu())
    calculator.calculate(atoms, ["energy"], ["positions"])
    assert set(calculator.results) == {"energy", "free_energy", "energies", "forces", "stress"}
    energy = calculator.get_property("energy")
    assert energy == calculator.results["energy"] == calculator.get_potential_energy(atoms)
    calculator.calculate()
    assert calculator.evaluations == 2 and calculator.results["energy"] == energy
    atoms.positions[0] += 0.01
    assert calculator.get_property("energy", atoms, allow_calculation=False) is None
    assert calculator.get_potential_energy(atoms) != energy


def test_wrapping_and_lattice_vectors_change_nothing():
    atoms = crystal()
    atoms.calc = double(alcu())
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    for change in (atoms.wrap, lambda: atoms.positions.__iadd__(np.arange(24).reshape(8, 3) % 3 @ atoms.cell.array)):
        change()
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-10)
        np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=1e-10)
        np.testing.assert_allclose(atoms.get_stress(), stress, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pbc", [(False, False, False), (True, True, False)])
def test_stress_needs_three_periodic_directions(pbc):
    atoms = crystal()
    atoms.pbc = pbc
    atoms.calc = MLIPCalculator(alcu())
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()
    assert np.isfinite(atoms.get_forces()).all()


def test_copies_are_independent():
    atoms = molecule()
    atoms.calc = double(ethanol())
    energy = atoms.get_potential_energy()
    twin = copy.deepcopy(atoms)
    assert twin.calc is not atoms.calc and twin.get_potential_energy() == energy
    twin.positions[0] += 0.3
    assert twin.get_potential_energy() != energy
    assert atoms.get_potential_energy() == energy and atoms.calc.evaluations == 1
    assert atoms.copy().calc is None


def test_results_are_no_view_of_each_other():
    atoms = molecule()
    atoms.calc = double(ethanol())
    forces = atoms.get_forces()
    forces[:] = 0.0
    assert np.abs(atoms.get_forces()).max() > 0.01


def test_a_potential_in_memory_serves_many_calculators():
    potential = mlip.load_potential(alcu())
    atoms, other = crystal(), crystal()
    atoms.calc, other.calc = MLIPCalculator(potential), MLIPCalculator(potential)
    assert atoms.get_potential_energy() == other.get_potential_energy()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"device": "cuda:97"}, "device is cuda:97"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"skin": -1.0}, "skin is -1.0 Å"),
    ],
)
def test_unfit_options(options, words):
    with pytest.raises(ValueError, match=words):
        MLIPCalculator(alcu(), **options)


def test_a_misspelt_option_is_refused():
    with pytest.raises(TypeError, match="skinn"):
        MLIPCalculator(alcu(), skinn=2.0)


def test_options_of_precision_hold_for_a_potential_in_memory_too():
    """Either they are used or they are refused, never passed over."""
    potential = mlip.load_potential(alcu())
    try:
        calculator = MLIPCalculator(potential, dtype="float64")
    except ValueError as error:
        assert "dtype" in str(error)
    else:
        assert calculator.potential.dtype == torch.float64


def test_unknown_elements_and_broken_positions():
    atoms = Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.4]])
    atoms.calc = MLIPCalculator(ethanol())
    with pytest.raises(ValueError, match="does not know Na, Cl; it was trained for H, C, O"):
        atoms.get_potential_energy()
    atoms = molecule()
    atoms.calc = MLIPCalculator(ethanol())
    forces = atoms.get_forces()
    before = atoms.positions.copy()
    for value in (np.nan, np.inf):
        atoms.positions[2, 1] = value
        for _ in range(2):
            with pytest.raises(ValueError, match=rf"positions hold .*{value}.* in row 2"):
                atoms.get_forces()
    atoms.positions[:] = before
    np.testing.assert_array_equal(atoms.get_forces(), forces)


def test_a_lone_atom_has_an_energy_and_no_force():
    atoms = Atoms("O", positions=[[1.0, 2.0, 3.0]])
    atoms.calc = double(ethanol())
    lone = mlip.load_potential(ethanol(), dtype=torch.float64).isolated_energies()[2]
    assert atoms.get_potential_energy() == pytest.approx(float(lone), abs=1e-10)
    assert atoms.get_forces().tolist() == [[0.0, 0.0, 0.0]]
