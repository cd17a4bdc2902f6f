"""The phonon script: frequencies are those of the Hessian, and a potential has the phonons of what it learned."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.emt import EMT
from interfaces.trained import silicon, tersoff

from mlip.interfaces.calculator import MLIPCalculator

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))
import phonons_silicon as script  # noqa: E402

sys.path.remove(str(SCRIPTS))


def alloy():
    """Two elements of different masses in the cell of ordered CuAu, somewhat sheared."""
    cell = [[2.74, 0.04, 0], [0.02, 2.74, 0.03], [0, 0, 3.67]]
    return Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=cell, pbc=True, calculator=EMT())


def hessian_frequencies(atoms, repeat, step):
    """All frequencies (THz) of the supercell, from its own Hessian by central differences."""
    cell = atoms.repeat(repeat)
    cell.calc = atoms.calc
    rows = []
    for atom, axis in product(range(len(cell)), range(3)):
        forces = []
        for sign in (1, -1):
            cell.positions[atom, axis] += sign * step
            forces.append(cell.get_forces().ravel())
            cell.positions[atom, axis] -= sign * step
        rows.append((forces[1] - forces[0]) / (2 * step))
    weights = np.repeat(cell.get_masses(), 3) ** -0.5
    hessian = weights[:, None] * (np.array(rows) + np.array(rows).T) / 2 * weights
    square = np.linalg.eigvalsh(hessian)
    second = 1e15 * units.fs  # ASE's units of time in a second
    return np.sort(np.sign(square) * np.sqrt(np.abs(square))) * second / (2 * np.pi) * 1e-12


@pytest.mark.parametrize("repeat", [2, 3])
def test_frequencies_are_those_of_the_hessian(repeat):
    """The waves that fit into the supercell are its normal modes, each once."""
    atoms = alloy()
    phonons = script.force_constants(atoms, repeat, 0.01)
    points = np.array(list(product(range(repeat), repeat=3))) / repeat
    found = np.sort(script.frequencies(phonons, points).ravel())
    expected = hessian_frequencies(atoms, repeat, 0.01)
    assert expected.max() > 4
    # Squares are what is computed; near zero the root enlarges the errors of forces.
    np.testing.assert_allclose(found * np.abs(found), expected * np.abs(expected), rtol=0, atol=1e-3)


def test_sound():
    """Three branches are zero at Γ and rise in proportion to the wave vector."""
    phonons = script.force_constants(alloy(), 5, 0.01)
    at_zero, near, twice = script.frequencies(phonons, np.array([[0, 0, 0], [0.003, 0.001, 0], [0.006, 0.002, 0]]))
    assert np.abs(at_zero[:3]).max() < 1e-5 and at_zero[3] > 1
    np.testing.assert_allclose(twice[:3] / near[:3], 2, rtol=1e-3)
    assert 0.003 < near[0] < 0.1


def run_script(*options):
    command = [sys.executable, str(SCRIPTS / "phonons_silicon.py"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_a_potential_has_the_phonons_of_what_it_was_trained_on(tmp_path):
    """The whole way, from data to the script's table, ends where Tersoff's potential itself leads."""
    done = run_script(silicon(), "--output", tmp_path / "figure.svg")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["repeat"] == 5 and result["lowest"] > -1e-3
    atoms = script.relaxed(tersoff())
    assert result["lattice_constant"] == pytest.approx(script.lattice_constant(atoms), abs=0.01)
    known = script.at_points(script.force_constants(atoms, 3, 0.01))
    assert len(known) == len(result["frequencies"]) == 8
    for point, mode, frequency, measured in known:
        assert result["frequencies"][f"{mode}({point})"] == pytest.approx(frequency, abs=0.15)
        assert f"{mode}({point})" in done.stdout and f"{measured:.2f}" in done.stdout
    deviations = [result["frequencies"][f"{mode}({point})"] - measured for point, mode, _, measured in known]
    assert result["mean_deviation"] == pytest.approx(np.mean(deviations), abs=1e-3)
    assert result["mean_absolute_deviation"] == pytest.approx(np.abs(deviations).mean(), abs=1e-3)
    figure = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert "<svg" in figure and len(figure) > 10_000


def test_a_larger_supercell_changes_nothing():
    """The default holds every force constant of a potential, so that waves between those that fit are exact as well."""
    calculator = MLIPCalculator(silicon(), dtype="float64")
    atoms = script.relaxed(calculator)
    repeat = script.smallest_repeat(atoms, 2 * calculator.potential.cutoff)
    points = np.array([[0.13, 0.21, 0.32], [0.4, 0.05, 0.11]])
    one, other, small = (
        script.frequencies(script.force_constants(atoms, n, 0.01), points) for n in (repeat, repeat + 1, 3)
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert np.abs(small - one).max() > 1e-4, "a smaller one does"


def test_mistakes_are_named(tmp_path):
    missing = run_script(tmp_path / "nothing.pt")
    assert missing.returncode != 0 and "no such file" in missing.stderr and "Traceback" not in missing.stderr
    refused = run_script("run", "--repeat", 0)
    assert refused.returncode == 2 and "--repeat is 0; it must be at least 1" in refused.stderr
