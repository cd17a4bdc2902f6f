import logging
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from mlip.data.options import ReadOptions
from mlip.data.read import read_structures

KCAL = 4184.0 / (1.602176634e-19 * 6.02214076e23)  # eV, by hand (CODATA 2018; ASE's 2014 differs in the 9th digit)


def write(path, arrays, **changes):
    merged = {key: value for key, value in {**arrays, **changes}.items() if value is not None}
    np.savez(path, **merged)
    return path


def renamed(water):
    return {
        "nuclear_charges": water["z"],
        "coords": water["R"],
        "energies": water["E"],
        "forces": water["F"],
        "old_energies": water["E"] + 1.0,
    }


@pytest.mark.parametrize("column", [False, True])
def test_md17_is_read_in_kcal_per_mol(tmp_path, water, column):
    from ase.units import kcal, mol

    energies = water["E"][:, None] if column else water["E"]
    structures = read_structures(write(tmp_path / "water.npz", water, E=energies))
    assert [s.origin for s in structures] == [f"water.npz#{k}" for k in range(5)]
    for k, structure in enumerate(structures):
        assert structure.numbers.tolist() == [8, 1, 1]
        assert structure.numbers.dtype == np.int64
        assert not structure.pbc.any()
        np.testing.assert_allclose(structure.positions, water["R"][k], rtol=0, atol=0)
        assert structure.energy == pytest.approx(water["E"][k] * kcal / mol, rel=1e-14)
        assert structure.energy == pytest.approx(water["E"][k] * KCAL, rel=1e-7)
        np.testing.assert_allclose(structure.forces, water["F"][k] * (kcal / mol), rtol=1e-12)


def test_rmd17_is_read_in_kcal_per_mol(tmp_path, water):
    from ase.units import kcal, mol

    structures = read_structures(write(tmp_path / "rmd17_water.npz", renamed(water)))
    assert len(structures) == 5
    assert structures[3].energy == pytest.approx(water["E"][3] * kcal / mol, rel=1e-14)
    np.testing.assert_allclose(structures[3].forces, water["F"][3] * (kcal / mol), rtol=1e-12)


def test_a_named_key_wins_over_the_default(tmp_path, water):
    path = write(tmp_path / "water.npz", renamed(water))
    options = ReadOptions(energy_key="old_energies", energy_unit="eV")
    assert read_structures(path, options)[2].energy == pytest.approx(water["E"][2] + 1.0, rel=1e-14)


def test_units_named_by_the_user(tmp_path, water):
    from ase.units import Bohr, Hartree

    path = write(tmp_path / "water.npz", water)
    structure = read_structures(path, ReadOptions(energy_unit="Hartree", length_unit="Bohr"))[0]
    np.testing.assert_allclose(structure.positions, water["R"][0] * Bohr, rtol=1e-14)
    assert structure.energy == pytest.approx(water["E"][0] * Hartree, rel=1e-14)
    np.testing.assert_allclose(structure.forces, water["F"][0] * Hartree / Bohr, rtol=1e-12)


def test_single_precision_is_widened_before_it_is_converted(tmp_path, water):
    from ase.units import kcal, mol

    path = write(tmp_path / "water.npz", {key: value.astype(np.float32) for key, value in water.items()}, z=water["z"])
    structure = read_structures(path)[0]
    assert structure.energy == float(np.float32(water["E"][0])) * (kcal / mol)
    assert structure.forces.dtype == structure.positions.dtype == np.float64


@pytest.mark.parametrize("text", [np.array("eV"), np.array(b"eV"), np.array([" ev "])])
def test_units_said_by_the_file(tmp_path, water, text):
    path = write(tmp_path / "water.npz", water, e_unit=text, r_unit=np.array("Ang"))
    assert read_structures(path)[0].energy == pytest.approx(water["E"][0], rel=1e-14)


def test_the_user_overrules_the_file_and_it_is_logged(tmp_path, water, caplog):
    path = write(tmp_path / "water.npz", water, e_unit=np.array("kcal mol-1"))
    assert read_structures(path, ReadOptions(energy_unit="eV"))[0].energy == water["E"][0]
    assert "e_unit is 'kcal mol-1', but data.units.energy=eV is used" in caplog.text


def test_an_unknown_unit_in_the_file(tmp_path, water):
    path = write(tmp_path / "water.npz", water, e_unit=np.array("furlong"))
    with pytest.raises(ValueError, match=r"water\.npz: e_unit is 'furlong'.*Set data\.units\.energy"):
        read_structures(path)
    assert len(read_structures(path, ReadOptions(energy_unit="eV"))) == 5


def test_labels_may_be_missing(tmp_path, water):
    no_forces = read_structures(write(tmp_path / "a.npz", water, F=None))
    assert no_forces[0].forces is None and no_forces[0].energy is not None
    no_energy = read_structures(write(tmp_path / "b.npz", water, E=None))
    assert no_energy[0].energy is None and no_energy[0].forces is not None
    assert read_structures(write(tmp_path / "c.npz", water, E=None, F=None))[0].energy is None


def test_labels_under_other_names_are_not_dropped(tmp_path, water):
    path = write(tmp_path / "water.npz", water, F=None, total_forces=water["F"])
    with pytest.raises(
        ValueError, match=r"no forces under key 'F'; found 'total_forces'.*data\.forces_key=total_forces"
    ):
        read_structures(path)
    assert read_structures(path, ReadOptions(forces_key="total_forces"))[0].forces is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"F": np.zeros((5, 3, 2))}, r"water\.npz: key 'F' has shape \(5, 3, 2\); expected \(5, 3, 3\)"),
        ({"F": np.zeros((4, 3, 3))}, r"key 'F' has shape \(4, 3, 3\); expected \(5, 3, 3\)"),
        ({"E": np.zeros(4)}, r"key 'E' has shape \(4,\); expected \(5,\) or \(5, 1\)"),
        ({"E": np.zeros((5, 2))}, r"key 'E' has shape \(5, 2\)"),
        ({"z": np.array([8, 1])}, r"key 'z' has shape \(2,\); expected \(3,\)"),
        ({"z": np.array([8.0, 1.0, 1.0])}, r"key 'z' holds float64; expected whole numbers"),
        ({"z": np.array([8, 1, 0])}, r"water\.npz#0: atom 2 has atomic number 0"),
        ({"R": np.zeros((5, 9))}, r"key 'R' has shape \(5, 9\); expected \(structures, atoms, 3\)"),
        ({"E": np.array(["a"] * 5)}, r"key 'E' holds <U1; expected numbers"),
        ({"lattice": np.eye(3)}, r"holds a lattice.*extxyz"),
        ({"E": np.array([0.0, 0, np.nan, 0, 0])}, r"water\.npz#2: energy is nan"),
        ({"z": None}, r"not a known kind of npz file.*found 'R', 'E', 'F'"),
        ({"E": np.array([1, "x", None, 2, 3], dtype=object)}, r"array 'E' cannot be read.*numeric dtype"),
    ],
)
def test_wrong_arrays(tmp_path, water, changes, words):
    path = write(tmp_path / "water.npz", water, **changes)
    with pytest.raises(ValueError, match=words):
        read_structures(path)


def test_a_format_that_is_named_must_fit(tmp_path, water):
    path = write(tmp_path / "water.npz", water)
    with pytest.raises(
        ValueError, match=r"no array 'coords', 'nuclear_charges'; found 'z', 'R', 'E', 'F'.*data\.format"
    ):
        read_structures(path, ReadOptions(format="rmd17_npz"))
    with pytest.raises(ValueError, match=r"no energy under key 'U', which data\.energy_key names; found 'z', 'R'"):
        read_structures(path, ReadOptions(energy_key="U"))
    with pytest.raises(ValueError, match=r"data\.stress_key is 'S', but a file of format md17_npz has no stress"):
        read_structures(path, ReadOptions(stress_key="S"))


@pytest.mark.parametrize("content", [b"hello, this is text\n", b"PK\x03\x04 and then nothing", b"\x93NUMPY"])
def test_files_that_are_no_npz(tmp_path, content):
    path = tmp_path / "water.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"water\.npz: not an npz file, or cut short.*data\.format"):
        read_structures(path)


def test_a_single_array_is_no_npz(tmp_path):
    path = tmp_path / "water.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="holds a single array"):
        read_structures(path)


def test_a_header_that_begins_like_python(tmp_path):
    """NumPy takes such a header for one of Python 2 and reads it once more, word by word."""
    header = b"{'descr': '<f8', 'shape': \xc2\x80".ljust(118) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    single, within = tmp_path / "single.npz", tmp_path / "within.npz"
    single.write_bytes(array)
    with zipfile.ZipFile(within, "w") as file:
        file.writestr("R.npy", array)
    for path in (single, within):
        with pytest.raises(ValueError, match=rf"{path.name}: .*Copy"):
            read_structures(path)


def test_every_cut_of_an_npz_file_is_an_error(tmp_path, water):
    whole = write(tmp_path / "whole.npz", water).read_bytes()
    path = tmp_path / "cut.npz"
    for length in range(1, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.npz"):
            read_structures(path)


def test_a_flipped_byte_inside_an_array(tmp_path, water):
    content = bytearray(write(tmp_path / "water.npz", water).read_bytes())
    content[content.index(water["E"].tobytes()) + 3] ^= 255
    (tmp_path / "water.npz").write_bytes(content)
    with pytest.raises(ValueError, match="array 'E' cannot be read"):
        read_structures(tmp_path / "water.npz")


def test_reading_npz_imports_neither_hdf5_nor_ase_io(tmp_path, water):
    path = write(tmp_path / "water.npz", water)
    code = (
        "import sys; from mlip.data.read import read_structures; read_structures(sys.argv[1]);"
        "print([name for name in ('h5py', 'ase.io', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_real_md17_file(shared):
    from ase.units import kcal, mol

    with np.load(shared / "md17_ethanol.npz", allow_pickle=False) as file:
        energy, forces = float(file["E"][7, 0]), file["F"][7]
    structures = read_structures(shared / "md17_ethanol.npz")
    assert len(structures) == 2000
    assert structures[7].energy == pytest.approx(energy * kcal / mol, rel=1e-14)
    np.testing.assert_allclose(structures[7].forces, forces * (kcal / mol), rtol=1e-12)


def test_bundled_ethanol(bundled, caplog):
    caplog.set_level(logging.INFO, logger="mlip.data")
    structures = read_structures(bundled / "ethanol_xtb.npz")
    assert sorted(structures[0].numbers.tolist()) == [1] * 6 + [6, 6, 8]
    assert f"read {len(structures)} structures (md17_npz) with energy, forces" in caplog.text
