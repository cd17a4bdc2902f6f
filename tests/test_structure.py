import numpy as np
import pytest

from mlip.structure import Structure

TWO = np.array([1, 8])
PLACES = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
PERIODIC = np.ones(3, dtype=bool)


def with_value(array, value):
    array = array.copy()
    array[1, 2] = value
    return array


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"numbers": np.array([], dtype=int), "positions": np.zeros((0, 3))}, "no atoms"),
        ({"positions": np.zeros((3, 3))}, r"positions have shape \(3, 3\); expected \(2, 3\) for 2 atoms"),
        ({"forces": np.zeros((1, 3))}, r"forces have shape \(1, 3\)"),
        ({"positions": with_value(PLACES, np.nan)}, r"positions hold \[ 0\.  0\. nan\] in row 1"),
        ({"forces": with_value(PLACES, np.inf)}, r"forces hold \[ 0\.  0\. inf\] in row 1"),
        ({"stress": with_value(np.eye(3), np.nan)}, "stress hold"),
        ({"cell": with_value(np.eye(3), np.nan)}, "cell hold"),
        ({"energy": float("nan")}, "energy is nan"),
        ({"numbers": np.array([1, 0])}, "atom 1 has atomic number 0; expected 1 to 118"),
        ({"numbers": np.array([119, 1])}, "atom 0 has atomic number 119"),
        ({"pbc": PERIODIC}, r"pbc is \[True, True, True\] but the cell .* has no independent lattice vector"),
        ({"pbc": PERIODIC, "cell": np.ones((3, 3))}, ".*no independent lattice vector"),
        ({"pbc": np.array([True, False, False]), "cell": np.diag([0.0, 5.0, 5.0])}, ".*no independent lattice vector"),
    ],
)
def test_what_cannot_be_a_structure(fields, message):
    with pytest.raises(ValueError, match=rf"^water\.xyz#17: {message}"):
        unchecked(**{"numbers": TWO, "positions": PLACES, "origin": "water.xyz#17", **fields})


def unchecked(**fields):
    """A structure made as without pytest's check of shapes, which would complain first."""
    made = object.__new__(Structure)
    defaults = {"cell": np.zeros((3, 3)), "pbc": np.zeros(3, bool), "energy": None, "forces": None, "stress": None}
    for name, value in {**defaults, "info": {}, **fields}.items():
        object.__setattr__(made, name, value)
    made.__post_init__()
    return made


def test_a_molecule():
    water = Structure(TWO, PLACES)
    assert len(water) == 2
    assert not water.pbc.any() and (water.cell == 0).all() and water.energy is None and water.info == {}


def test_cell_of_an_open_direction_may_be_anything():
    Structure(TWO, PLACES, np.diag([5.0, 0.0, 0.0]), np.array([True, False, False]))


def test_structures_cannot_be_changed():
    with pytest.raises(AttributeError):
        Structure(TWO, PLACES).energy = 1.0


def test_fields_of_two_structures_are_their_own():
    first, second = Structure(TWO, PLACES), Structure(TWO, PLACES)
    first.info["a"], first.cell[0, 0] = 1, 9.0
    assert second.info == {} and (second.cell == 0).all()
