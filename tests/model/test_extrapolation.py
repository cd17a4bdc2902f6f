"""Atoms outside of the training set's features are found by every evaluator, and are those of the reference."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from physics import zoo

from mlip.batch import to_batch
from mlip.interfaces import calculator as calculators
from mlip.interfaces.calculator import Extrapolated, MLIPCalculator
from mlip.model.extrapolation import ExtrapolationCount, worst_of
from mlip.model.fused import FusedPotential
from mlip.model.ranges import Outside, unknown_ranges
from mlip.model.sparsity import SparsityCount
from model.ranged import ALL, features_of, with_ranges

STRUCTURES = {**zoo.STRUCTURES, "lone atom": zoo.LONE_ATOM}
NAMES = ["mixed formulas", "per center", "weighted", "committee"]


def fused(potential, structure):
    batch, _ = to_batch(structure, potential.cutoff)
    return FusedPotential(potential).at(batch, batch.positions.numpy(), batch.cell[0].numpy(), outside=True)


def ase_atoms(structure):
    return Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)


def stretched(name="mixed formulas"):
    """A potential trained on a structure, and that with an atom moved so far that one function says it most."""
    potential = with_ranges(name, ALL)
    positions = zoo.STRUCTURES["molecule"].positions.copy()
    positions[0] += [0.55, 0.3, -0.2]
    return potential, replace(zoo.STRUCTURES["molecule"], positions=positions)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", NAMES)
def test_kernel_is_the_reference(name, structure):
    potential = with_ranges(name, ALL[:1])
    features, element = features_of(potential, [STRUCTURES[structure]])
    expected = potential.ranges.outside(features, element)
    found = fused(potential, STRUCTURES[structure]).outside
    np.testing.assert_allclose(found.severity, expected.severity, rtol=1e-9)
    np.testing.assert_array_equal(found.function, expected.function)
    np.testing.assert_array_equal(found.functions, expected.functions)


def test_the_law_of_the_kernel_sees_atoms_outside_and_inside():
    potential = with_ranges(NAMES[0], ALL[:1])
    found = [fused(potential, structure).outside.severity for structure in STRUCTURES.values()]
    assert (np.concatenate(found) > 0).any() and not found[0].any()


def test_kernel_in_single_precision():
    potential = with_ranges(NAMES[0], ALL[:1])
    exact = fused(potential, zoo.STRUCTURES["triclinic"]).outside
    potential.networks.float()
    found = fused(potential, zoo.STRUCTURES["triclinic"]).outside
    np.testing.assert_allclose(found.severity, exact.severity, rtol=1e-3)
    assert not fused(potential, ALL[0]).outside.functions.any(), "rounding does not count"


def test_nothing_else_changes_and_nothing_is_told_unless_asked():
    potential = with_ranges(NAMES[0])
    batch, _ = to_batch(zoo.STRUCTURES["triclinic"], potential.cutoff)
    plain, watched = FusedPotential(potential)(batch), fused(potential, zoo.STRUCTURES["triclinic"])
    assert plain.outside is None and plain.energy == watched.energy
    np.testing.assert_array_equal(plain.forces, watched.forces)


def test_a_stretched_structure_is_outside_and_the_function_is_right():
    potential, structure = stretched()
    features, element = features_of(potential, [structure])
    ranges = potential.ranges
    found = fused(potential, structure).outside
    worst = worst_of(potential, structure.numbers, found)
    column, e = potential.descriptor.functions.index(_function(potential, worst)), int(element[worst.atom])
    value = float(features[worst.atom, column])
    low, high = float(ranges.lowest[e, column]), float(ranges.highest[e, column])
    assert max(low - value, value - high) > 0.1 * (high - low) and found.function[worst.atom] == column
    assert worst.severity == pytest.approx(max(low - value, value - high) / float(ranges.widths[e, column]), rel=1e-9)
    assert worst_of(potential, ALL[0].numbers, fused(potential, ALL[0]).outside) is None


def _function(potential, worst):
    return next(function for function in potential.descriptor.functions if str(function) == worst.function)


@pytest.mark.parametrize("kernels", [True, False])
def test_calculator(kernels, monkeypatch):
    monkeypatch.setattr(calculators, "has_kernels", lambda: kernels)
    potential, structure = stretched()
    features, element = features_of(potential, [structure])
    expected = potential.ranges.outside(features, element)
    atoms = ase_atoms(structure)
    for mode in ("ignore", "count"):
        calculator = MLIPCalculator(potential, extrapolation=mode)
        atoms.calc = calculator
        atoms.get_forces()
        assert ("extrapolation" in calculator.results) == (mode == "count")
        if mode == "ignore":
            with pytest.raises(ValueError, match="extrapolation was not looked at"):
                _ = calculator.outside
            assert calculator.get_property("extrapolation", atoms, allow_calculation=False) is None
        np.testing.assert_allclose(calculator.get_property("extrapolation", atoms), expected.severity, rtol=1e-9)
        np.testing.assert_array_equal(calculator.outside.function, expected.function)
        assert calculator.evaluations == 1
    atoms.positions = zoo.STRUCTURES["molecule"].positions
    assert not atoms.calc.get_property("extrapolation", atoms).any(), "belongs to the atoms where they are"


def test_calculator_warns_once(caplog):
    potential, structure = stretched()
    atoms = ase_atoms(zoo.STRUCTURES["molecule"])
    atoms.calc = MLIPCalculator(potential, extrapolation="warn")
    atoms.get_forces()
    assert not caplog.records
    for _ in range(3):
        atoms.positions = structure.positions + 1e-3
        structure = replace(structure, positions=atoms.positions)
        atoms.get_forces()
    (record,) = caplog.records
    assert "the potential extrapolates: atom " in record.getMessage() and record.levelname == "WARNING"


def test_calculator_stops():
    potential, structure = stretched()
    severity = fused(potential, structure).outside.severity.max()
    atoms = ase_atoms(structure)
    atoms.calc = MLIPCalculator(potential, extrapolation="stop", largest_extrapolation=0.9 * severity)
    for _ in range(2):
        with pytest.raises(Extrapolated, match=r"atom \d+ \(\w+\) is outside of .* by .* in .*, and largest_extr"):
            atoms.get_forces()
    atoms.calc = MLIPCalculator(potential, extrapolation="stop", largest_extrapolation=1.1 * severity)
    atoms.get_forces()


def test_unfit_options():
    potential = with_ranges()
    with pytest.raises(ValueError, match="'wran'; known: ignore, count, warn, stop"):
        MLIPCalculator(potential, extrapolation="wran")
    potential.ranges = unknown_ranges(*potential.ranges.lowest.shape)
    with pytest.raises(ValueError, match="the potential has no ranges of features"):
        MLIPCalculator(potential, extrapolation="stop")


def test_counts():
    potential = with_ranges()
    count = ExtrapolationCount(potential, "step")
    first, second = zoo.ELEMENTS[:2]
    numbers = np.array([first, second, first])
    nothing = Outside(np.zeros(3), np.full(3, -1), np.zeros(3, int))
    count.add(numbers, nothing, 0)
    assert count.text() == "no atom outside of the training set's features in 1 steps"
    count.add(numbers, Outside(np.array([0.2, 0.0, 0.5]), np.array([1, -1, 2]), np.array([1, 0, 4])), 7)
    count.add(numbers, Outside(np.array([0.3, 0.0, 0.0]), np.array([1, -1, -1]), np.array([1, 0, 0])), 8)
    found = count.results()
    assert found["steps"] == 3 and found["steps_outside"] == 2 and found["first_step"] == 7
    shown = list(found["elements"].values())
    assert shown[0] == {"atoms": 6, "outside": 3, "largest": 0.5} and shown[1]["outside"] == 0
    assert found["worst"]["step"] == 7 and found["worst"]["atom"] == 2
    assert found["worst"]["function"] == str(potential.descriptor.functions[2])
    assert "in 2 of 3 steps, 0 of them by more" in count.text() and "first in step 7" in count.text()
    assert "3 of 6; worst in step 7: atom 2" in count.text()
    count.add(numbers, Outside(np.array([0.3, 1.1, 0.0]), np.array([1, 0, -1]), np.array([1, 1, 0])), 9)
    assert count.results()["steps_far_outside"] == 1 and "worst in step 9: atom 1" in count.text()
    potential.ranges = unknown_ranges(*potential.ranges.lowest.shape)
    assert count.results() is None and "not watched" in count.text()


def test_split_by_structure():
    outside = Outside(np.arange(5.0), np.arange(5), np.arange(5))
    parts = outside.split([2, 0, 3])
    assert [part.severity.tolist() for part in parts] == [[0.0, 1.0], [], [2.0, 3.0, 4.0]]
    assert torch.equal(torch.tensor(parts[2].functions), torch.tensor([2, 3, 4]))


def test_pair_potentials_have_nothing_to_watch():
    potential = zoo.POTENTIALS["pairs, morse"]()
    for count in (ExtrapolationCount(potential, "frame"), SparsityCount(potential, "frame")):
        assert count.text().endswith("a pair potential has no features")
