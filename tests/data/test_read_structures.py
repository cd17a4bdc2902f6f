import numpy as np
import pytest

from mlip.data.options import ReadOptions
from mlip.data.read import detect_format, read_structures

ATOM = "1\nenergy={energy} Properties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 {force} 0 0\n"


def save(tmp_path, text, name="hydrogen.xyz"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_a_missing_file_shows_its_neighbors(tmp_path):
    save(tmp_path, "x", "train.xyz")
    save(tmp_path, "x", "unlike.dat")
    with pytest.raises(FileNotFoundError, match=r"tran\.xyz: no such file; files with close names there: train\.xyz$"):
        read_structures(tmp_path / "tran.xyz")
    with pytest.raises(FileNotFoundError, match=r"no file there has a close name"):
        read_structures(str(tmp_path / "0000000000"))
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist either"):
        read_structures(tmp_path / "nowhere" / "train.xyz")


@pytest.mark.parametrize("name", ["a.npz", "a.xyz", "a.h5", "a.traj", "a.db", "a"])
def test_an_empty_file(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}: the file is empty"):
        read_structures(save(tmp_path, "", name))


def test_blank_lines_and_folders(tmp_path):
    with pytest.raises(ValueError, match="nothing but blank lines"):
        read_structures(save(tmp_path, "\n \n\n"))
    with pytest.raises(ValueError, match="this is a folder"):
        read_structures(tmp_path)


@pytest.mark.parametrize("name", ["a.xyz", "a.dat", "a.pkl", "OUTCAR", "vasprun.xml"])
def test_files_of_no_known_format(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}: "):
        read_structures(save(tmp_path, "what is this?\n", name))
    (tmp_path / name).write_bytes(bytes(range(128, 256)))
    with pytest.raises(ValueError, match=f"{name}: "):
        read_structures(tmp_path / name)


def test_an_unknown_format(tmp_path):
    with pytest.raises(ValueError, match=r"data\.format is 'csv'; expected auto, md17_npz"):
        read_structures(save(tmp_path, ATOM), ReadOptions(format="csv"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\n-0.5\nH 0 0 0 0 0 0\n", "md17_xyz"),
        ("1\nEnergy: -0.5\nH 0 0 0 0 0 0\n", "md17_xyz"),
        ("1\nenergy=-0.5\nH 0 0 0 0 0 0\n", "ase"),
        ("1\na start\nH 0 0 0\n", "ase"),
        ("1\n\nH 0 0 0\n", "ase"),
        ("1\n", "ase"),
    ],
)
def test_two_kinds_of_xyz(tmp_path, text, expected):
    assert detect_format(save(tmp_path, text)) == expected


def test_a_wrong_unit_shows_in_the_magnitude(tmp_path):
    path = save(tmp_path, ATOM.format(energy=-3.0, force=2.0) + ATOM.format(energy=-3.0, force=40.0))
    assert len(read_structures(path)) == 2
    words = (
        r"hydrogen\.xyz#1: forces up to 1\.09e\+03 eV/Å; expected below 1000\. Check data\.units\.energy and .*length"
    )
    with pytest.raises(ValueError, match=words):
        read_structures(path, ReadOptions(energy_unit="Hartree"))
    path = save(tmp_path, ATOM.format(energy=-5e5, force=0.0))
    assert len(read_structures(path)) == 1
    with pytest.raises(
        ValueError, match=r"hydrogen\.xyz#0: an energy of -1\.36e\+07 eV per atom; .*data\.units\.energy"
    ):
        read_structures(path, ReadOptions(energy_unit="Hartree"))


@pytest.mark.parametrize("option", ["energy", "length", "stress"])
def test_an_unknown_unit(tmp_path, option):
    path = save(tmp_path, ATOM.format(energy=-3.0, force=2.0))
    with pytest.raises(ValueError, match=rf"data\.units\.{option} is 'cubit'; known units"):
        read_structures(path, ReadOptions(**{f"{option}_unit": "cubit"}))


@pytest.mark.parametrize("name", ["stress_positive", "virial_positive"])
def test_an_unknown_sign(name):
    with pytest.raises(ValueError, match=rf"data\.{name} is 'up'; expected one of tension, compression"):
        ReadOptions(**{name: "up"})


def test_stress_and_virial_exclude_each_other():
    with pytest.raises(ValueError, match=r"name only one"):
        ReadOptions(stress_key="a", virial_key="b")


def test_every_reader_gives_the_types_of_structure(tmp_path, water):
    import h5py

    np.savez(tmp_path / "a.npz", **water)
    np.savez(tmp_path / "b.npz", nuclear_charges=water["z"], coords=water["R"], energies=water["E"], forces=water["F"])
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["g/species"], file["g/coordinates"] = water["z"], water["R"]
        file["g/energies"], file["g/forces"] = water["E"], water["F"]
    save(tmp_path, "1\n-0.5\nH 0 0 0 0 0 0\n", "d.xyz")
    save(tmp_path, ATOM.format(energy=-3.0, force=2.0), "e.xyz")
    for name in ("a.npz", "b.npz", "c.h5", "d.xyz", "e.xyz"):
        structure = read_structures(tmp_path / name)[0]
        assert structure.numbers.dtype == np.int64 and structure.pbc.dtype == bool
        assert structure.positions.dtype == structure.forces.dtype == structure.cell.dtype == np.float64
        assert type(structure.energy) is float


def test_energies_are_judged_per_atom(tmp_path):
    rows = "H 0 0 0 0 0 0\n" * 3
    path = save(tmp_path, f"3\nenergy=-2.9e6 Properties=species:S:1:pos:R:3:forces:R:3\n{rows}")
    assert read_structures(path)[0].energy == -2.9e6


def test_molecules_are_not_counted_among_those_without_stress(tmp_path, caplog):
    stress = 'energy=1 Lattice="4 0 0 0 4 0 0 0 4" stress="1 0 0 0 1 0 0 0 1"'
    molecule, crystal = ATOM.format(energy=1, force=0), ATOM.format(energy=1, force=0).replace("energy=1", stress)
    read_structures(save(tmp_path, molecule + crystal))
    assert "have no stress" not in caplog.text
    read_structures(save(tmp_path, molecule + crystal + crystal.replace("stress", "other")))
    assert "1 of 2 structures have no stress" in caplog.text


@pytest.mark.parametrize("name", ["POSCAR", "a.cif", "a.xsf"])
@pytest.mark.parametrize("index", [":", "0"])
def test_files_of_one_structure_without_labels(tmp_path, name, index):
    from ase.build import bulk

    bulk("Cu").write(tmp_path / name)
    structure = read_structures(tmp_path / name, ReadOptions(index=index))[0]
    assert structure.numbers.tolist() == [29] and structure.energy is None and structure.pbc.all()


def test_a_name_that_is_too_long():
    with pytest.raises(ValueError, match=r"long\.xyz: File name too long"):
        read_structures("long" * 100 + ".xyz")
