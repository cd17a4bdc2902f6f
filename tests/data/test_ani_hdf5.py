import logging

import h5py
import numpy as np
import pytest
from ase.units import Hartree

from mlip.data.options import ReadOptions
from mlip.data.read import read_structures

OHH = np.array([b"O", b"H", b"H"])


def save(tmp_path, water, species=OHH, group="ani/H2O", **changes):
    path = tmp_path / "ani.h5"
    arrays = {
        "species": species,
        "coordinates": water["R"].astype(np.float32),
        "energies": water["E"],
        "forces": water["F"],
        **changes,
    }
    with h5py.File(path, "a") as file:
        for key, value in arrays.items():
            if value is not None:
                file[f"{group}/{key}"] = value
    return path


@pytest.mark.parametrize(
    "species",
    [
        np.array([b"O", b"H", b"H"]),
        np.array(["O", "h", "H"], dtype=h5py.string_dtype()),
        np.array([8, 1, 1], dtype=np.uint8),
        np.tile(np.array([8, 1, 1]), (5, 1)),
        np.tile(np.array([b"O", b"H", b"H"]), (5, 1)),
    ],
)
def test_values_and_ways_to_name_the_elements(tmp_path, water, species):
    structures = read_structures(save(tmp_path, water, species))
    assert [s.origin for s in structures] == [f"ani.h5/ani/H2O#{k}" for k in range(5)]
    for k, structure in enumerate(structures):
        assert structure.numbers.tolist() == [8, 1, 1]
        assert structure.positions.dtype == np.float64
        np.testing.assert_allclose(structure.positions, water["R"][k].astype(np.float32), rtol=0, atol=0)
        assert structure.energy == pytest.approx(water["E"][k] * Hartree, rel=1e-14)
        np.testing.assert_allclose(structure.forces, water["F"][k] * Hartree, rtol=1e-12)


def test_other_names_and_arrays_at_the_root(tmp_path, water):
    path = tmp_path / "root.hdf5"
    with h5py.File(path, "w") as file:
        file["atomic_numbers"], file["coord"], file["energy"] = [8, 1, 1], water["R"], water["E"][:, None]
    structures = read_structures(path, ReadOptions(energy_unit="eV", length_unit="nm"))
    assert structures[4].origin == "root.hdf5#4"
    assert structures[4].energy == water["E"][4]
    assert structures[4].forces is None
    np.testing.assert_allclose(structures[4].positions, 10 * water["R"][4], rtol=1e-14)


def test_ani1x_names_and_nan_as_missing(tmp_path, water, caplog):
    caplog.set_level(logging.INFO, logger="mlip.data")
    energies, forces = water["E"].copy(), water["F"].copy()
    energies[1], forces[1], forces[3] = np.nan, np.nan, np.nan
    path = save(
        tmp_path,
        water,
        energies=None,
        forces=None,
        **{"wb97x_dz.energy": energies, "wb97x_dz.forces": forces, "wb97x_dz.dipole": water["R"][:, 0]},
    )
    with pytest.raises(ValueError, match=r"ani\.h5/ani/H2O: no energy under key .*data\.energy_key=wb97x_dz\.energy"):
        read_structures(path)
    with pytest.raises(ValueError, match=r"no forces under key .*data\.forces_key=wb97x_dz\.forces"):
        read_structures(path, ReadOptions(energy_key="wb97x_dz.energy"))
    structures = read_structures(path, ReadOptions(energy_key="wb97x_dz.energy", forces_key="wb97x_dz.forces"))
    assert [s.energy is None for s in structures] == [False, True, False, False, False]
    assert [s.forces is None for s in structures] == [False, True, False, True, False]
    assert "1 of 5 structures have NaN for energy" in caplog.text
    assert "2 of 5 structures have NaN for forces" in caplog.text


def test_forces_with_some_nan_are_an_error(tmp_path, water):
    forces = water["F"].copy()
    forces[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match=r"ani\.h5/ani/H2O#2: forces hold .* in row 1"):
        read_structures(save(tmp_path, water, forces=forces))


def test_a_selection_runs_over_all_groups(tmp_path, water):
    save(tmp_path, water, group="a/one")
    path = save(tmp_path, water, group="a/two", forces=None)
    chosen = read_structures(path, ReadOptions(index="3:7:2"))
    assert [s.origin for s in chosen] == ["ani.h5/a/one#3", "ani.h5/a/two#0"]
    assert [s.forces is None for s in chosen] == [False, True]
    assert [s.origin for s in read_structures(path, ReadOptions(index="-1"))] == ["ani.h5/a/two#4"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"forces": np.zeros((5, 3, 2))}, r"ani\.h5/ani/H2O: key 'forces' has shape \(5, 3, 2\); expected \(5, 3, 3\)"),
        ({"energies": np.zeros(6)}, r"key 'energies' has shape \(6,\); expected \(5,\)"),
        ({"species": [8, 1]}, r"key 'species' has shape \(2,\); expected \(3,\) or \(5, 3\)"),
        ({"species": np.array([b"O", b"Q", b"H"])}, r"ani\.h5/ani/H2O: 'Q' is not a chemical element"),
        ({"species": None}, "no elements under 'species' or 'atomic_numbers'; found 'coordinates'"),
        ({"coordinates": np.zeros((5, 9))}, r"key 'coordinates' has shape \(5, 9\); expected \(structures, atoms, 3\)"),
        ({"coordinates": None}, r"no group with 'coordinates' or 'coord'; found .*data\.format"),
    ],
)
def test_wrong_arrays(tmp_path, water, changes, words):
    path = save(tmp_path, water, **changes)
    with pytest.raises(ValueError, match=words):
        read_structures(path)


def test_named_key_that_is_not_there(tmp_path, water):
    with pytest.raises(ValueError, match=r"no energy under key 'U', which data\.energy_key names; found .*'energies'"):
        read_structures(save(tmp_path, water), ReadOptions(energy_key="U"))


def test_not_hdf5_and_cut_short(tmp_path, water):
    path = tmp_path / "text.h5"
    path.write_text("no HDF5 in here\n")
    with pytest.raises(ValueError, match=r"text\.h5: not an HDF5 file, or damaged"):
        read_structures(path)
    whole = save(tmp_path, water).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"text\.h5: not an HDF5 file, or damaged"):
        read_structures(path)


def test_a_float_that_no_machine_has(tmp_path, water):
    """What h5py raises of it is a ValueError that does not name the file."""
    path = save(tmp_path, water, energies=None)
    strange = h5py.h5t.IEEE_F64LE.copy()
    strange.set_ebias(1 << 20)
    with h5py.File(path, "a") as file:
        h5py.h5d.create(file["ani/H2O"].id, b"energies", strange, h5py.h5s.create_simple((5,)))
    with pytest.raises(ValueError, match=r"ani\.h5: not an HDF5 file, or damaged .*precision"):
        read_structures(path)
