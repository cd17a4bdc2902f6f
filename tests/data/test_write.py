import numpy as np
import pytest

from mlip.data.read import read_structures
from mlip.data.write import to_atoms, write_extxyz
from mlip.structure import Structure

CELL = np.array([[4.0, 0.1, 0.0], [0.0, 4.2, 0.3], [0.2, 0.0, 4.4]])


def structure(**changes):
    generator = np.random.default_rng(5)
    stress = 0.01 * generator.standard_normal((3, 3))
    fields = {
        "numbers": np.array([29, 13, 1]),
        "positions": 4 * generator.random((3, 3)),
        "cell": CELL,
        "pbc": np.ones(3, dtype=bool),
        "energy": -3.0 / 7.0,
        "forces": generator.standard_normal((3, 3)),
        "stress": stress + stress.T,
        "info": {"config_type": "two words", "group": "bulk", "step": 3, "temperature": 1 / 3, "good": False},
    }
    return Structure(**{**fields, **changes})


VARIANTS = [
    structure(),
    structure(forces=None),
    structure(energy=None, stress=None),
    structure(energy=None, forces=None, stress=None, info={}),
    structure(pbc=np.zeros(3, dtype=bool), cell=np.zeros((3, 3)), stress=None),
    structure(pbc=np.zeros(3, dtype=bool), stress=None),
    structure(pbc=np.array([True, True, False]), stress=None),
    structure(numbers=np.array([2]), positions=np.array([[1e3, 0, -1e3]]), forces=np.array([[0.0, 1e-3, 99.0]])),
]


def same(written, read):
    for name in ("numbers", "positions", "cell", "pbc", "energy", "forces", "stress"):
        mine, theirs = getattr(written, name), getattr(read, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            np.testing.assert_allclose(theirs, mine, rtol=0, atol=1e-8, err_msg=name)
    assert read.info == written.info


@pytest.mark.parametrize("written", VARIANTS)
def test_one_structure_comes_back(tmp_path, written):
    write_extxyz(tmp_path / "out.xyz", [written])
    same(written, read_structures(tmp_path / "out.xyz")[0])


def test_all_together_come_back_in_order(tmp_path):
    write_extxyz(tmp_path / "out.extxyz", VARIANTS)
    for written, read in zip(VARIANTS, read_structures(tmp_path / "out.extxyz"), strict=True):
        same(written, read)


def test_atoms_answer_as_ase_expects():
    written = structure()
    atoms = to_atoms(written)
    assert atoms.get_potential_energy() == written.energy
    np.testing.assert_array_equal(atoms.get_forces(), written.forces)
    np.testing.assert_array_equal(atoms.get_stress(voigt=False), written.stress)
    assert atoms.info == written.info and atoms.info is not written.info
    assert to_atoms(structure(energy=None, forces=None, stress=None)).calc is None


def test_reserved_names(tmp_path):
    with pytest.raises(ValueError, match="structure: info holds 'energy', a reserved name"):
        to_atoms(structure(info={"energy": 1.0}))
    with pytest.raises(ValueError, match=r"out\.xyz: no structures to write"):
        write_extxyz(tmp_path / "out.xyz", [])
