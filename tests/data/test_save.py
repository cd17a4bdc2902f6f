"""From every format to every other and back, and what is said of structures that a format cannot hold."""

import itertools

import h5py
import numpy as np
import pytest
from ase.io import read as ase_read

from mlip.data.file_units import FileUnits
from mlip.data.options import Normalization, ReadOptions
from mlip.data.read import read_structures
from mlip.data.save import FORMATS, left_out, save_structures
from mlip.data.write import write_extxyz
from mlip.structure import Structure

NAMES = {"extxyz": "a.xyz", "npz": "a.npz", "hdf5": "a.h5", "input_data": "a.data"}
HA = FileUnits("Hartree", "Bohr")
WATER, METHANOL, MIXED = [8, 1, 1], [6, 1, 1, 1, 8, 1], [1, 8, 1]


def molecule(numbers, seed, **changes):
    """Numbers with all 53 bits, from tiny to large."""
    generator = np.random.default_rng(seed)
    atoms = len(numbers)
    fields = {
        "numbers": np.array(numbers),
        "positions": 3 * generator.standard_normal((atoms, 3)),
        "energy": float(-1e3 * atoms * (1 + generator.random())),
        "forces": generator.standard_normal((atoms, 3)) * 10.0 ** generator.integers(-12, 3, (atoms, 3)),
        "origin": f"made#{seed}",
    }
    return Structure(**{**fields, **changes})


def crystal(numbers, seed, **changes):
    generator = np.random.default_rng(1000 + seed)
    cell = 5 * np.eye(3) + 0.3 * generator.standard_normal((3, 3))
    return molecule(numbers, seed, cell=cell, pbc=np.ones(3, dtype=bool), **changes)


def stressed(numbers, seed, **changes):
    stress = 0.01 * np.random.default_rng(2000 + seed).standard_normal((3, 3))
    return crystal(numbers, seed, stress=stress + stress.T, **changes)


SETS = {
    "one molecule": [molecule(WATER, seed) for seed in range(5)],
    "no energies": [molecule(WATER, seed, energy=None) for seed in range(3)],
    "no forces": [molecule(METHANOL, seed, forces=None) for seed in range(3)],
    "no labels": [molecule(METHANOL, seed, energy=None, forces=None) for seed in range(3)],
    "several molecules": [molecule(numbers, seed) for seed, numbers in enumerate(3 * [WATER, METHANOL, MIXED])],
    "some labels": [
        molecule(WATER, 0, energy=None),
        molecule(METHANOL, 1, forces=None),
        molecule(WATER, 2),
        molecule(METHANOL, 3, energy=None, forces=None),
    ],
    "crystals and molecules": [crystal([13, 29], 0), molecule(WATER, 1), crystal([29], 2), molecule(METHANOL, 3)],
    "stress": [stressed([13, 29], 0), stressed([29], 1, energy=None), crystal([29], 2, forces=None)],
    "a slab": [molecule([29] * 3, 0, cell=np.diag([4.0, 5.0, 0.0]), pbc=np.array([True, True, False]))],
}
HELD_BY = {
    "one molecule": {"extxyz", "npz", "hdf5", "input_data"},
    "no energies": {"extxyz", "npz", "hdf5"},
    "no forces": {"extxyz", "npz", "hdf5"},
    "no labels": {"extxyz", "npz", "hdf5"},
    "several molecules": {"extxyz", "hdf5", "input_data"},
    "some labels": {"extxyz", "hdf5"},
    "crystals and molecules": {"extxyz", "input_data"},
    "stress": {"extxyz"},
    "a slab": {"extxyz"},
}
FIELDS = ("numbers", "positions", "cell", "pbc", "energy", "forces", "stress")


def same(written, read, tolerance=0.0):
    assert len(written) == len(read)
    for mine, theirs in zip(written, read, strict=True):
        for name in FIELDS:
            one, other = getattr(mine, name), getattr(theirs, name)
            assert (one is None) == (other is None), (mine.origin, name)
            if one is not None:
                np.testing.assert_allclose(other, one, rtol=tolerance, atol=0, err_msg=f"{mine.origin}: {name}")


@pytest.mark.parametrize("one", FORMATS)
@pytest.mark.parametrize("name", SETS)
def test_what_a_format_holds_comes_back_bit_for_bit(tmp_path, name, one):
    path = tmp_path / NAMES[one]
    if one not in HELD_BY[name]:
        with pytest.raises(
            ValueError, match=rf"{path.name}: cannot be of format {one}: made#\d .*Formats that can hold all: "
        ) as error:
            save_structures(path, SETS[name])
        assert set(str(error.value).split("can hold all: ")[1].split(", ")) == HELD_BY[name]
        assert list(tmp_path.iterdir()) == []
        return
    save_structures(path, SETS[name])
    same(SETS[name], read_structures(path))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


PAIRS = [(name, *pair) for name, able in HELD_BY.items() for pair in itertools.permutations(sorted(able), 2)]


@pytest.mark.parametrize(("name", "one", "other"), PAIRS)
def test_there_and_back_between_formats(tmp_path, name, one, other):
    first, second, third = tmp_path / NAMES[one], tmp_path / NAMES[other], tmp_path / f"back-{NAMES[one]}"
    save_structures(first, SETS[name])
    save_structures(second, read_structures(first))
    save_structures(third, read_structures(second))
    same(SETS[name], read_structures(third))
    if one != "npz":  # its members carry the time they were written
        assert first.read_bytes() == third.read_bytes()


@pytest.mark.parametrize("units", [HA, FileUnits("kcal/mol", "Ang"), FileUnits("Hartree", "Ang")])
@pytest.mark.parametrize(
    ("name", "one"), [(name, one) for name, able in HELD_BY.items() for one in sorted(able - {"extxyz"})]
)
def test_other_units_change_nothing_beyond_rounding(tmp_path, name, one, units):
    save_structures(tmp_path / NAMES[one], SETS[name], units=units)
    same(SETS[name], read_structures(tmp_path / NAMES[one]), tolerance=1e-15)


def test_units_are_those_of_the_file(tmp_path):
    water = [molecule(WATER, 0, energy=27.211386024367243, positions=0.5291772105638411 * np.ones((3, 3)))]
    for one in ("npz", "hdf5", "input_data"):
        save_structures(tmp_path / NAMES[one], water, units=HA)
    with np.load(tmp_path / "a.npz") as file:
        assert file["E"] == pytest.approx(1.0, rel=1e-12) and file["R"] == pytest.approx(1.0, rel=1e-12)
        assert (file["e_unit"], file["r_unit"]) == ("Hartree", "Bohr")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["H2O/energies"][0] == pytest.approx(1.0, rel=1e-12)
        assert file["H2O/coordinates"][0, 0, 0] == pytest.approx(1.0, rel=1e-12)
    text = (tmp_path / "a.data").read_text()
    assert float(text.split("energy ")[1].split()[0]) == pytest.approx(1.0, rel=1e-12)
    assert "comment units=Hartree,Bohr\n" in text
    with pytest.raises(ValueError, match=r"b\.xyz: units are Hartree and Bohr, but .* extxyz is always in eV and Ang"):
        save_structures(tmp_path / "b.xyz", water, units=HA)


def test_n2p2_finds_its_columns(tmp_path):
    """Keyword, x, y, z, element, charge, atomic energy, forces: what n2p2's Structure::readFromLines takes."""
    written = SETS["crystals and molecules"]
    save_structures(tmp_path / "input.data", written)
    blocks = (tmp_path / "input.data").read_text().split("begin\n")[1:]
    assert len(blocks) == len(written)
    for structure, block in zip(written, blocks, strict=True):
        lines = [line.split() for line in block.splitlines()]
        names = [
            "comment",
            *["lattice"] * 3 * bool(structure.pbc.any()),
            *["atom"] * len(structure),
            "energy",
            "charge",
            "end",
        ]
        assert [words[0] for words in lines] == names
        rows = [words for words in lines if words[0] == "atom"]
        assert all(len(words) == 10 and words[5:7] == ["0.0", "0.0"] for words in rows)
        np.testing.assert_array_equal(np.array([words[7:10] for words in rows], dtype=float), structure.forces)


@pytest.mark.parametrize("units", [FileUnits(), HA])
def test_a_normalized_file_says_so(tmp_path, units):
    written = SETS["crystals and molecules"]
    normalization = Normalization(mean_energy=-1234.5, conv_energy=12.5, conv_length=3.7)
    save_structures(tmp_path / "a.data", written, units=units, normalization=normalization)
    read = read_structures(tmp_path / "a.data")
    same(written, read, tolerance=1e-14)
    assert all(structure.info == {} for structure in read)
    raw = read_structures(
        tmp_path / "a.data",
        ReadOptions(energy_unit=units.energy, length_unit=units.length, normalization=Normalization(0.0, 1.0, 1.0)),
    )
    factors = units.factors()
    for structure, numbers in zip(written, raw, strict=True):
        energy = (structure.energy / factors.energy + 1234.5 * len(structure)) * 12.5
        assert numbers.energy / factors.energy == pytest.approx(energy, rel=1e-12)
        np.testing.assert_allclose(numbers.positions, 3.7 * structure.positions, rtol=1e-14)
        np.testing.assert_allclose(numbers.forces, structure.forces * 12.5 / 3.7, rtol=1e-14)
    with pytest.raises(ValueError, match=r"a\.h5: a normalization is given, but only input_data is ever normalized"):
        save_structures(tmp_path / "a.h5", SETS["one molecule"], normalization=normalization)


INFOS = [
    "two words", "3", "1.5", "T", "false", "", " ", "a\nb", "a\r\nb", "\\", 'say "so"', "it's", "{", "]", "a=b",
    "1 2 3", "ä, Å", "_JSON 1", "nan", "frame=0 of test units=eV,Ang", 3, -0.1, True, 1e300,
]  # fmt: skip


@pytest.mark.parametrize("value", INFOS, ids=repr)
def test_entries_of_info_come_back_from_extxyz(tmp_path, value):
    write_extxyz(tmp_path / "a.xyz", [molecule(WATER, 0, info={"comment": value, "other one": value})])
    found = read_structures(tmp_path / "a.xyz")[0].info
    assert found == {"comment": value, "other one": value} and type(found["comment"]) is type(value)


def test_comment_and_charge_come_back_from_input_data(tmp_path):
    infos = [{"comment": "one"}, {"comment": "units=kJ,m\n\nthree lines", "charge": -1.0}, {}]
    written = [molecule(WATER, seed, info=info) for seed, info in enumerate(infos)]
    save_structures(tmp_path / "a.data", written, units=HA)
    assert [structure.info for structure in read_structures(tmp_path / "a.data")] == infos
    with pytest.raises(ValueError, match="made#0: info 'charge' is 'much'; expected the total charge, a number"):
        save_structures(tmp_path / "b.data", [molecule(WATER, 0, info={"charge": "much"})])
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.data"]


def test_what_is_left_out_is_known(tmp_path):
    box = [molecule(WATER, 0, cell=9 * np.eye(3), info={"comment": "c", "temperature": 3.0})]
    unused = "cells without a periodic direction"
    assert left_out("extxyz", box) == []
    assert left_out("input_data", box) == ["info 'temperature'", unused]
    assert left_out("npz", box) == left_out("hdf5", box) == ["info 'comment'", "info 'temperature'", unused]
    for one in ("npz", "hdf5", "input_data"):
        save_structures(tmp_path / NAMES[one], box)
        assert not read_structures(tmp_path / NAMES[one])[0].cell.any()


def test_ase_reads_the_same_extxyz(tmp_path):
    written = SETS["stress"][0]
    save_structures(tmp_path / "a.extxyz", [written])
    atoms = ase_read(tmp_path / "a.extxyz")
    assert atoms.get_potential_energy() == written.energy
    for found, expected in (
        (atoms.positions, written.positions), (atoms.get_forces(), written.forces), (atoms.cell[:], written.cell),
        (atoms.get_stress(voigt=False), written.stress),
    ):  # fmt: skip
        np.testing.assert_array_equal(found, expected)


def test_compressed_extxyz(tmp_path):
    for name in ("a.xyz", "a.xyz.gz", "a.xyz.xz"):
        write_extxyz(tmp_path / name, SETS["several molecules"])
        same(SETS["several molecules"], read_structures(tmp_path / name))
    assert (tmp_path / "a.xyz.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_hdf5_groups_molecules_and_keeps_their_order(tmp_path):
    written = SETS["several molecules"]
    save_structures(tmp_path / "a.h5", written)
    with h5py.File(tmp_path / "a.h5") as file:
        assert {name: file[name]["coordinates"].shape for name in file} == {
            "CH4O": (3, 6, 3), "H2O": (3, 3, 3), "H2O_2": (3, 3, 3),
        }  # fmt: skip
    part = read_structures(tmp_path / "a.h5", ReadOptions(index="1:8:3"))
    same(written[1:8:3], part)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["H2O/index"][0] = 77
    stacked = [*written[1::3], *written[0::3], *written[2::3]]
    same(stacked, read_structures(tmp_path / "a.h5"))


def test_a_file_is_whole_or_not_there(tmp_path):
    def failing(structures):
        yield structures[0]
        raise KeyboardInterrupt

    for one in FORMATS:
        path = tmp_path / NAMES[one]
        path.write_text("before")
        with pytest.raises(KeyboardInterrupt):
            save_structures(path, SETS["one molecule"], overwrite=True, progress=failing)
        assert path.read_text() == "before"
        with pytest.raises(ValueError, match=rf"{path.name}: exists already\. Choose another name, or overwrite"):
            save_structures(path, SETS["one molecule"])
        save_structures(path, SETS["one molecule"], overwrite=True)
        same(SETS["one molecule"], read_structures(path))
    assert {entry.name for entry in tmp_path.iterdir()} == set(NAMES.values())


def test_names_that_do_not_do(tmp_path):
    water = SETS["one molecule"]
    with pytest.raises(ValueError, match=r"a\.csv: the suffix '\.csv' names no format .*; expected \.xyz, .*\.data"):
        save_structures(tmp_path / "a.csv", water)
    with pytest.raises(ValueError, match="format is 'csv'; expected auto, extxyz, npz, hdf5, input_data"):
        save_structures(tmp_path / "a.xyz", water, format="csv")
    with pytest.raises(ValueError, match="expected a file name in a folder that exists"):
        save_structures(tmp_path / "no" / "a.xyz", water)
    with pytest.raises(ValueError, match="expected a file name in a folder that exists"):
        save_structures(tmp_path, water, format="npz")
    with pytest.raises(ValueError, match=r"a\.xyz: no structures to write"):
        save_structures(tmp_path / "a.xyz", [])
    save_structures(tmp_path / "a.csv", water, format="npz")
    same(water, read_structures(tmp_path / "a.csv", ReadOptions(format="md17_npz")))
