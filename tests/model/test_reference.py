import numpy as np
import pytest

from mlip.model.reference import fitted_references, given_references, isolated_references
from mlip.structure import Structure


def structure(numbers, energy, pbc=False, origin="s"):
    cell = 20.0 * np.eye(3)
    positions = 2.0 * np.arange(3 * len(numbers)).reshape(-1, 3)
    return Structure(np.array(numbers), positions, cell, np.full(3, pbc), energy=energy, origin=origin)


def test_least_squares_finds_energies_that_add_up():
    h, o = -13.5, -2041.25
    data = [structure([1] * a + [8] * b, a * h + b * o) for a, b in [(2, 1), (1, 1), (4, 3), (2, 0)]]
    assert fitted_references(data, [1, 8], "least_squares") == pytest.approx([h, o], rel=1e-12)


def test_least_squares_minimizes_the_squares():
    data = [structure([1, 1, 8], -3.0), structure([1, 8, 8], -5.5), structure([1, 8], -2.0), structure([1], 0.3)]
    found = np.array(fitted_references(data, [1, 8], "least_squares"))
    counts = np.array([[2, 1], [1, 2], [1, 1], [1, 0]])
    residual = counts @ found - [-3.0, -5.5, -2.0, 0.3]
    assert np.abs(counts.T @ residual).max() < 1e-12 < np.abs(residual).max()


def test_least_squares_of_one_composition_is_the_smallest():
    data = [structure([1, 1, 8], energy) for energy in (-10.0, -12.0)]
    assert fitted_references(data, [1, 8], "least_squares") == pytest.approx([-11 * 2 / 5, -11 * 1 / 5])


def test_mean_is_per_atom():
    data = [structure([1, 1, 8], -9.0), structure([8], -5.0), structure([1], None)]
    assert fitted_references(data, [1, 8], "mean") == [-3.5, -3.5]


@pytest.mark.parametrize("method", ["least_squares", "mean"])
def test_no_energies_no_references(method):
    assert fitted_references([structure([1, 8], None)], [1, 8], method) == [0.0, 0.0]


def test_isolated_atoms():
    data = [structure([1, 8], -9.0), structure([8], -5.0), structure([1], -1.0), structure([1], -1.0)]
    assert isolated_references(data, [1, 8], "file") == [-1.0, -5.0]


def test_isolated_atoms_must_be_alone_and_labelled():
    data = [structure([8], -5.0, pbc=True), structure([1], None), structure([6], -2.0)]
    with pytest.raises(ValueError, match=r"train\.xyz: no isolated atom with an energy for H, O"):
        isolated_references(data, [1, 6, 8], "train.xyz")


def test_isolated_atoms_must_agree():
    data = [structure([8], -5.0), structure([8], -5.1, origin="a.xyz#7")]
    with pytest.raises(ValueError, match=r"a\.xyz#7: the isolated O atom has -5.1 eV here and -5.0 eV before"):
        isolated_references(data, [8], "a.xyz")


def test_given_values():
    assert given_references({"O": -5.0, "H": -1.0, "C": 3.0}, [1, 8]) == [-1.0, -5.0]
    with pytest.raises(ValueError, match="has none for H, Cu"):
        given_references({"O": -5.0}, [1, 8, 29])
