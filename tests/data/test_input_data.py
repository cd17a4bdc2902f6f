"""RuNNer's and n2p2's input.data: what is read from it, in which units, and what is said of files that are wrong."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase.units import Bohr, Hartree
from hypothesis import given
from hypothesis import strategies as st

from mlip.data.options import Normalization, ReadOptions
from mlip.data.read import detect_format, read_structures

N2P2 = Path(__file__).parents[1] / "reference" / "n2p2" / "meanenergy_conv" / "input.data"
HA = ReadOptions(energy_unit="Hartree", length_unit="Bohr")
EV = ReadOptions(energy_unit="eV", length_unit="Ang")
MOLECULE = """\
begin
comment two words
atom 0.1 0.2 0.3 O -0.8 0.0 0.01 0.02 -0.03
atom 0.0 0.0 2.0 H 0.4 0.0 1.5e-3 -2.5E-2 4
energy -76.25
charge 0.0
end
"""
CRYSTAL = """\
begin
comment a crystal
lattice 5 0.5 0
lattice 0 6 0.25
lattice 0.125 0 7
atom 0 0 0 Cd 0 0 0.1 0 0
energy 2
charge -1
end
"""


def save(folder, text, name="input.data"):
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder / name


def same(one, other):
    for name in ("numbers", "positions", "cell", "pbc", "energy", "forces", "info"):
        np.testing.assert_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.stress is other.stress is None


def test_a_file_that_n2p2_took():
    structures = read_structures(N2P2)
    assert [structure.origin for structure in structures] == ["input.data#0", "input.data#1", "input.data#2"]
    first = structures[0]
    assert first.numbers.tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    assert first.energy == -4209.395215196984
    np.testing.assert_array_equal(first.positions[1], [-0.83960123, -0.01158130, -1.03152690])
    np.testing.assert_array_equal(first.forces[8], [-1.04821493, -0.53740050, 0.05351176])
    assert first.info == {"comment": "frame=0 of test_MD.xyz units=eV,Ang"}
    assert not first.pbc.any() and not first.cell.any()


def test_molecules_and_crystals_in_bohr_and_hartree(tmp_path):
    molecule, crystal = read_structures(save(tmp_path, MOLECULE + CRYSTAL), HA)
    assert molecule.numbers.tolist() == [8, 1] and crystal.numbers.tolist() == [48]
    np.testing.assert_allclose(molecule.positions, Bohr * np.array([[0.1, 0.2, 0.3], [0, 0, 2]]), rtol=1e-15)
    forces = np.array([[0.01, 0.02, -0.03], [1.5e-3, -2.5e-2, 4]])
    np.testing.assert_allclose(molecule.forces, forces * Hartree / Bohr, rtol=1e-15)
    assert molecule.energy == pytest.approx(-76.25 * Hartree, rel=1e-15)
    assert molecule.info == {"comment": "two words"}
    cell = [[5, 0.5, 0], [0, 6, 0.25], [0.125, 0, 7]]
    np.testing.assert_allclose(crystal.cell, Bohr * np.array(cell), rtol=1e-15)
    assert crystal.pbc.all() and not molecule.pbc.any() and not molecule.cell.any()
    assert crystal.info == {"comment": "a crystal", "charge": -1.0}


def test_a_unit_of_forces_of_their_own(tmp_path):
    options = ReadOptions(energy_unit="eV", length_unit="Ang", force_unit="Hartree/Bohr")
    molecule = read_structures(save(tmp_path, MOLECULE), options)[0]
    assert molecule.energy == -76.25 and molecule.positions[1, 2] == 2.0
    assert molecule.forces[1, 2] == pytest.approx(4 * Hartree / Bohr, rel=1e-15)
    with pytest.raises(ValueError, match=r"data\.units\.forces is 'N'; known units: eV/Ang, "):
        read_structures(tmp_path / "input.data", ReadOptions(energy_unit="eV", length_unit="Ang", force_unit="N"))


def test_units_are_never_guessed(tmp_path):
    path = save(tmp_path, MOLECULE)
    words = (
        r"input\.data#0: the file does not say its units\. Set data\.units\.energy and data\.units\.length: Hartree and"
    )
    with pytest.raises(ValueError, match=words):
        read_structures(path)
    with pytest.raises(ValueError, match=r"Set data\.units\.length: Hartree"):
        read_structures(path, ReadOptions(energy_unit="eV"))


def test_units_in_a_comment(tmp_path, caplog):
    text = MOLECULE.replace("two words", "step 3 units=Hartree,Bohr")
    path = save(tmp_path, text + MOLECULE.replace("two words", "units=eV,Ang\ncomment units=kJ,m"))
    stated = read_structures(path)
    same(stated[0], read_structures(save(tmp_path, text, "a.data"), HA)[0])
    assert stated[1].energy == -76.25 and stated[1].info == {"comment": "units=kJ,m"}
    assert "data.units" not in caplog.text
    caplog.clear()
    named = read_structures(save(tmp_path, 3 * text), EV)
    assert [structure.energy for structure in named] == [-76.25] * 3
    assert (
        caplog.text.count("data.units") == 2
        and "energy_unit is 'Hartree', but data.units.energy=eV is used" in caplog.text
    )
    with pytest.raises(ValueError, match=r"#0: length_unit is 'm', which is none of 'ang'.*Set data\.units\.length"):
        read_structures(save(tmp_path, MOLECULE.replace("two words", "units=eV,m")))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n \n\n"),
        lambda text: text.replace(" ", "\t  ").replace("two\t  words", "two words"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("1.5e-3", "1.5D-03").replace("-2.5E-2", "-.025d0").replace(" 4\n", " +.4d+01\n"),
        lambda text: text.replace("-0.03\n", "-0.03 7 up\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("charge 0.0\n", "").replace("energy -76.25\n", "") + "\n",
        lambda text: "\n".join([text.splitlines()[0], *reversed(text.splitlines()[1:3]), *text.splitlines()[3:]]),
    ],
    ids=["crlf", "blank", "tabs", "bom", "fortran", "columns", "no newline", "no energy", "order"],
)
def test_layout_does_not_matter(tmp_path, change):
    plain = read_structures(save(tmp_path, MOLECULE, "plain.data"), HA)[0]
    changed = read_structures(save(tmp_path, change(MOLECULE)), HA)[0]
    if "energy" not in change(MOLECULE):
        assert changed.energy is None
        object.__setattr__(changed, "energy", plain.energy)
    same(changed, plain)


def test_fortran_leaves_out_the_letter_of_a_long_exponent(tmp_path):
    molecule = read_structures(save(tmp_path, MOLECULE.replace("1.5e-3", "1.5-103").replace("0.02", "2.D-100")), EV)[0]
    assert molecule.forces[1, 0] == 1.5e-103 and molecule.forces[0, 1] == 2e-100


def test_what_is_not_read_is_said_once(tmp_path, caplog):
    read_structures(save(tmp_path, 3 * MOLECULE.replace("-0.03\n", "-0.03 7\n")), EV)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "charges of 6 atoms are not read" in caplog.text and "3 atoms have more columns" in caplog.text
    caplog.clear()
    bare = "\n".join(
        " ".join([*line.split()[:5], *"00000"]) if "atom" in line else line for line in MOLECULE.split("\n")
    )
    assert not read_structures(save(tmp_path, bare), EV)[0].forces.any()
    assert "every force is zero; are they labels?" in caplog.text


def test_comments_are_kept_line_by_line(tmp_path):
    text = MOLECULE.replace("two words\n", "  one\ncomment\ncomment begin end atom\n").replace("\n", "\r\n")
    assert read_structures(save(tmp_path, text), EV)[0].info == {"comment": "one\n\nbegin end atom"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("energy -76.25", "energy"), r"input\.data#1: line 13 is 'energy'; expected 1 number"),
        (("energy -76.25", "energy 1 2"), r"#1: line 13 is 'energy 1 2'; expected 1 number"),
        (("energy -76.25", "energy x"), r"#1: line 13 is 'energy x'; energy is 'x', expected a number"),
        (("charge 0.0", "energy 1"), r"#1: line 14 is 'energy 1', but line 13 gives that already"),
        (("charge 0.0", "pressure 1"), r"#1: line 14 is 'pressure 1'; expected comment, lattice, atom, energy, charge"),
        (("4\n", "4_0\n"), r"#1: line 12 is 'atom .*4_0'; fz is '4_0', expected a number"),
        (("4\n", "****\n"), r"fz is '\*\*\*\*', expected a number"),
        (("4\n", "nan\n"), r"#1: forces hold .*nan.* in row 1"),
        (
            (" 4\n", "\n"),
            r"#1: line 12 is .*; expected nine values: x, y, z, element, charge, atomic energy, fx, fy, fz",
        ),
        ((" H ", " Hx "), r"#1: line 12: 'Hx' is not a chemical element"),
        ((" H ", " "), r"#1: line 12 is .*expected nine values"),
        (("comment two words", "lattice 1 0 0"), r"#1: 1 lines 'lattice'; expected three.*begins in line 9"),
        (("comment two words", "lattice 1 0 0\n" * 4), r"#1: 4 lines 'lattice'; expected three"),
        (("comment two words", "lattice 1 0"), r"#1: 1 lines 'lattice'"),
        (("comment two words", "lattice 1 0 0\n" * 3), r"#1: .*no independent lattice vector"),
        (("comment two words", "lattice 1 0 z\n" * 3), r"#1: line 10 is 'lattice 1 0 z'; z is 'z', expected a number"),
        (("end\n", ""), r"#1: cut short; the structure that begins in line 9 has no 'end'"),
        (("end\n", "end\natom 1\n"), r"input\.data: line 16 is 'atom 1', outside of any structure; expected 'begin'"),
        (("end\n", "begin\n"), r"#1: line 15 is 'begin', but the structure that begins in line 9 has no 'end' yet"),
        ((MOLECULE, "begin\nend\n"), r"#1: no atoms"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        read_structures(save(tmp_path, CRYSTAL.replace("charge -1\n", "") + MOLECULE.replace(*change)), HA)


def test_options_that_do_not_fit(tmp_path):
    path = save(tmp_path, MOLECULE)
    for name in ("energy_key", "forces_key"):
        with pytest.raises(ValueError, match=rf"data\.{name} is 'E', but a file of format input_data has no keys"):
            read_structures(path, ReadOptions(**{name: "E"}))
    with pytest.raises(ValueError, match=r"data\.stress_key is 's', but .* input_data has no stress"):
        read_structures(path, ReadOptions(stress_key="s"))


def test_how_the_format_is_recognized(tmp_path):
    for name in ("input.data", "train.data", "RUNNER", "input.data.gz.bak", "a.txt"):
        assert detect_format(save(tmp_path, "\n" + MOLECULE, name)) == "input_data"
    packed = tmp_path / "input.data.gz"
    packed.write_bytes(gzip.compress(MOLECULE.encode()))
    assert detect_format(packed) == "input_data" and read_structures(packed, EV)[0].energy == -76.25
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"input\.data\.gz: cannot be read, or damaged"):
        read_structures(packed, EV)
    assert detect_format(save(tmp_path, "LAMMPS data file\n\n2 atoms\n", "melt.data")) == "ase"
    with pytest.raises(ValueError, match=r"input\.data: no line is 'begin'"):
        read_structures(save(tmp_path, "nothing of the kind\n"), EV)


def test_a_selection_reads_no_further_than_it_must(tmp_path):
    texts = [MOLECULE.replace("-76.25", str(-place)) for place in range(6)]
    path = save(tmp_path, "".join(texts))

    def energies(index):
        options = ReadOptions(energy_unit="eV", length_unit="Ang", index=index)
        return [structure.energy for structure in read_structures(path, options)]

    assert energies("1::2") == [-1, -3, -5] and energies("-2:") == [-4, -5] and energies("2") == [-2]
    path = save(tmp_path, "".join(texts[:4]) + "begin\nnonsense\n")
    assert energies(":4") == [0, -1, -2, -3] and energies("1:3") == [-1, -2]
    with pytest.raises(ValueError, match=r"input\.data#4: cut short"):
        energies(":")
    with pytest.raises(ValueError, match="selects none of the 5 structures"):
        energies("7:")


NORMALIZED = Normalization(mean_energy=-30.5, conv_energy=40.0, conv_length=1.75)


def normalized(structure):
    """A structure in eV and Å as n2p2's Structure::toNormalizedUnits writes it."""
    cell, positions = structure.cell * 1.75, structure.positions * 1.75
    forces = structure.forces * 40.0 / 1.75
    lines = ["begin", "comment c", *("lattice {!r} {!r} {!r}".format(*row) for row in cell.tolist() if cell.any())]
    for number, place, force in zip(structure.numbers, positions.tolist(), forces.tolist(), strict=True):
        lines.append("atom {!r} {!r} {!r} ".format(*place) + f"{number} 0 0 " + "{!r} {!r} {!r}".format(*force))
    energy = (structure.energy - len(structure) * -30.5) * 40.0
    return "\n".join([*lines, f"energy {energy!r}", "end\n"])


@pytest.mark.parametrize(("energy_unit", "length_unit"), [("eV", "Ang"), ("Hartree", "Bohr")])
def test_normalized_data_become_physical(tmp_path, energy_unit, length_unit):
    path = save(tmp_path, MOLECULE + CRYSTAL)
    physical = read_structures(path, ReadOptions(energy_unit=energy_unit, length_unit=length_unit))
    text = "".join(normalized(structure) for structure in read_structures(path, EV))
    options = ReadOptions(energy_unit=energy_unit, length_unit=length_unit, normalization=NORMALIZED)
    back = read_structures(save(tmp_path, text, "output.data"), options)
    for one, other in zip(physical, back, strict=True):
        for name in ("positions", "cell", "energy", "forces"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=4e-15, err_msg=name)


def test_wrong_normalizations(tmp_path):
    for values, words in (
        ((0.0, 0.0, 1.0), r"data\.normalization\.conv_energy is 0\.0; expected a positive number, as in input\.nn"),
        ((0.0, 1.0, -1.0), r"data\.normalization\.conv_length is -1\.0"),
        ((np.nan, 1.0, 1.0), r"data\.normalization\.mean_energy is nan; expected a finite number"),
    ):
        with pytest.raises(ValueError, match=words):
            Normalization(*values)
    path = save(tmp_path, "1\nenergy=1\nH 0 0 0\n", "a.xyz")
    with pytest.raises(ValueError, match=r"data\.normalization is given, but a file of format ase is never normalized"):
        read_structures(path, ReadOptions(normalization=NORMALIZED))
    text = MOLECULE.replace("two words", "units=eV,Ang mean_energy=1 conv_energy=zero conv_length=1")
    with pytest.raises(ValueError, match=r"its comment states no normalization that can be taken back: .*'zero'"):
        read_structures(save(tmp_path, text))


PIECES = [
    "begin\n",
    "end\n",
    "lattice 1 0 0\n",
    "energy 1\n",
    "atom ",
    "nan",
    "1e999",
    "1D5",
    "-",
    " ",
    "\n",
    "\x00",
    "ä",
    "_",
]


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 30), st.sampled_from(PIECES) | st.text(max_size=3)), min_size=1
    )
)
def test_a_mutated_file_gives_structures_or_a_message(tmp_path_factory, mutations):
    text = MOLECULE + CRYSTAL
    for place, length, piece in mutations:
        text = text[:place] + piece + text[place + length :]
    path = tmp_path_factory.getbasetemp() / "input.data"
    path.write_bytes(text.encode("utf-8", errors="replace"))
    try:
        structures = read_structures(path, HA)
    except ValueError as error:
        assert "input.data" in str(error)
    else:
        assert all(np.isfinite(structure.positions).all() for structure in structures)
