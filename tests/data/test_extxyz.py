import gzip
import logging
import lzma

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, GPa, Hartree

from mlip.data.options import ReadOptions
from mlip.data.read import read_structures

CELL = np.array([[4.0, 0.1, 0.0], [0.0, 4.2, 0.3], [0.2, 0.0, 4.4]])
VOLUME = abs(np.linalg.det(CELL))
STRESS = np.array([[0.011, 0.001, -0.002], [0.001, -0.012, 0.003], [-0.002, 0.003, 0.013]])
VOIGT = np.array([0.011, -0.012, 0.013, 0.003, -0.002, 0.001])  # xx, yy, zz, yz, xz, xy


def text(comment='energy=-3.5 pbc="T T T"', columns="forces:R:3", rows=None, lattice=True):
    """One frame of two atoms."""
    rows = ["Cu 0 0 0 0.1 -0.2 0.3", "Al 2 2 2.1 -0.1 0.2 -0.3"] if rows is None else rows
    properties = ":".join(["species:S:1:pos:R:3", *([columns] if columns else [])])
    cell = f'Lattice="{" ".join(str(x) for x in CELL.ravel())}" ' if lattice else ""
    return "\n".join([str(len(rows)), f"{cell}Properties={properties} {comment}", *rows]) + "\n"


def save(tmp_path, *frames, name="alloy.xyz"):
    path = tmp_path / name
    path.write_text("".join(frames))
    return path


def nine(matrix):
    return " ".join(str(x) for x in np.ravel(matrix))


FORCES = np.array([[0.1, -0.2, 0.3], [-0.1, 0.2, -0.3]])
POSITIONS_ONLY = {"columns": "", "rows": ["Cu 0 0 0", "Al 2 2 2.1"]}


def test_values_in_ase_units(tmp_path):
    comment = f'energy=-3.5 stress="{nine(STRESS)}" config_type=bulk group="two words" step=7 good=T vector="1 2 3"'
    structure = read_structures(save(tmp_path, text(comment)))[0]
    assert structure.origin == "alloy.xyz#0"
    assert structure.numbers.tolist() == [29, 13]
    np.testing.assert_array_equal(structure.cell, CELL)
    assert structure.pbc.tolist() == [True] * 3
    assert structure.energy == -3.5
    np.testing.assert_array_equal(structure.forces, FORCES)
    np.testing.assert_array_equal(structure.stress, STRESS)
    assert structure.info == {"config_type": "bulk", "group": "two words", "step": 7, "good": True}


def test_other_units(tmp_path):
    comment = f'energy=-3.5 stress="{nine(STRESS)}"'
    options = ReadOptions(energy_unit="Hartree", length_unit="Bohr", stress_unit="GPa")
    structure = read_structures(save(tmp_path, text(comment)), options)[0]
    np.testing.assert_allclose(structure.cell, CELL * Bohr, rtol=1e-14)
    np.testing.assert_allclose(structure.positions[1], np.array([2, 2, 2.1]) * Bohr, rtol=1e-14)
    assert structure.energy == pytest.approx(-3.5 * Hartree, rel=1e-14)
    np.testing.assert_allclose(structure.forces, FORCES * Hartree / Bohr, rtol=1e-14)
    np.testing.assert_allclose(structure.stress, STRESS * GPa, rtol=1e-14)


def test_other_units_need_that_of_the_stress(tmp_path):
    path = save(tmp_path, text(f'energy=-3.5 stress="{nine(STRESS)}"'))
    with pytest.raises(ValueError, match=r"data\.units\.energy is Hartree.*Set data\.units\.stress"):
        read_structures(path, ReadOptions(energy_unit="Hartree"))


@pytest.mark.parametrize(("positive", "sign"), [("tension", 1), ("compression", -1)])
@pytest.mark.parametrize(("key", "values"), [("stress", STRESS), ("REF_stress", STRESS), ("REF_stress", VOIGT)])
def test_both_signs_and_all_shapes_of_stress(tmp_path, positive, sign, key, values):
    path = save(tmp_path, text(f'energy=-3.5 {key}="{nine(values)}"'))
    structure = read_structures(path, ReadOptions(stress_key=key, stress_positive=positive))[0]
    np.testing.assert_allclose(structure.stress, sign * STRESS, rtol=1e-14)


@pytest.mark.parametrize(("positive", "sign"), [("tension", 1), ("compression", -1)])
@pytest.mark.parametrize("key", ["virial", "REF_virial"])
def test_both_signs_of_the_virial(tmp_path, positive, sign, key):
    virial = sign * VOLUME * STRESS  # "compression": virial = -volume * stress
    path = save(tmp_path, text(f'energy=-3.5 {key}="{nine(virial)}"'))
    structure = read_structures(path, ReadOptions(virial_key=key, virial_positive=positive))[0]
    np.testing.assert_allclose(structure.stress, STRESS, rtol=1e-12)


def test_the_virial_of_quip_is_positive_under_compression(tmp_path):
    """A compressed EMT crystal: it pushes outward, so its virial is positive and its stress negative."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    atoms = bulk("Cu", a=3.4, cubic=True)
    atoms.calc = EMT()
    stress = atoms.get_stress(voigt=False)
    assert stress[0, 0] < 0
    virial = -atoms.get_volume() * stress
    plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True, info={"virial": virial})
    plain.calc = SinglePointCalculator(plain, energy=atoms.get_potential_energy())
    plain.write(tmp_path / "cu.xyz", format="extxyz")
    structure = read_structures(tmp_path / "cu.xyz", ReadOptions(virial_key="virial"))[0]
    np.testing.assert_allclose(structure.stress, stress, rtol=0, atol=1e-12)


def test_virial_units(tmp_path):
    path = save(tmp_path, text(f'energy=-3.5 virial="{nine(-VOLUME * STRESS)}"'))
    options = ReadOptions(virial_key="virial", energy_unit="Hartree", length_unit="Bohr")
    np.testing.assert_allclose(read_structures(path, options)[0].stress, STRESS * Hartree / Bohr**3, rtol=1e-12)


def test_a_virial_nobody_asked_for_is_pointed_at(tmp_path, caplog):
    path = save(tmp_path, text(f'energy=-3.5 virial="{nine(STRESS)}"'))
    assert read_structures(path)[0].stress is None
    assert "'virial' is not read; set data.virial_key" in caplog.text


@pytest.mark.parametrize("key", ["stress", "REF_stress"])
def test_an_asymmetric_stress_is_an_error(tmp_path, key):
    crooked = STRESS.copy()
    crooked[0, 1] += 1e-5
    path = save(tmp_path, text(), text(f'energy=-3.5 {key}="{nine(crooked)}"'))
    with pytest.raises(ValueError, match=rf"alloy\.xyz#1: '{key}' is .*asymmetric by 1e-05"):
        read_structures(path, ReadOptions(stress_key=key))


def test_stress_needs_three_periodic_directions(tmp_path, caplog):
    slab = text(f'energy=-3.5 stress="{nine(STRESS)}" pbc="T T F"')
    structure = read_structures(save(tmp_path, slab))[0]
    assert structure.stress is None
    np.testing.assert_array_equal(structure.cell, CELL)
    assert "1 structures are not periodic in three directions" in caplog.text


def test_a_flat_cell_is_reported_as_such(tmp_path):
    flat = text(f'energy=-3.5 virial="{nine(STRESS)}"').replace(nine(CELL), "1 0 0 0 1 0 0 0 0")
    with pytest.raises(ValueError, match=r"alloy\.xyz#0: pbc is .* but the cell"):
        read_structures(save(tmp_path, flat), ReadOptions(virial_key="virial"))


@pytest.mark.parametrize("key", ["REF_energy", "dft_energy", "free_energy", "E", "TotEnergy"])
def test_an_energy_under_another_name_is_not_dropped(tmp_path, key):
    path = save(tmp_path, text(f"{key}=-3.5", **POSITIONS_ONLY))
    with pytest.raises(
        ValueError, match=rf"alloy\.xyz#0: no energy under key 'energy'; found '{key}'\. Set data\.energy_key={key}\."
    ):
        read_structures(path)
    structure = read_structures(path, ReadOptions(energy_key=key))[0]
    assert structure.energy == -3.5
    assert key not in structure.info


def test_several_energies_under_other_names(tmp_path):
    path = save(tmp_path, text("pbe_energy=-3.5 hse_energy=-4.5", **POSITIONS_ONLY))
    with pytest.raises(ValueError, match=r"found 'pbe_energy', 'hse_energy'\. Set data\.energy_key to one of them"):
        read_structures(path)


@pytest.mark.parametrize("key", ["REF_forces", "dft_force", "F"])
def test_forces_under_another_name_are_not_dropped(tmp_path, key):
    path = save(tmp_path, text(**POSITIONS_ONLY), text("energy=-3.5", columns=f"{key}:R:3"))
    with pytest.raises(
        ValueError, match=rf"alloy\.xyz#1: no forces under key 'forces'; found '{key}'.*data\.forces_key"
    ):
        read_structures(path)
    structures = read_structures(path, ReadOptions(forces_key=key))
    assert structures[0].forces is None
    np.testing.assert_array_equal(structures[1].forces, FORCES)


def test_named_keys_win_over_the_calculator(tmp_path):
    path = save(
        tmp_path,
        text(
            f'energy=-3.5 REF_energy=-7.25 stress="{nine(STRESS)}" REF_stress="{nine(2 * VOIGT)}"',
            columns="forces:R:3:REF_forces:R:3",
            rows=["Cu 0 0 0 0.1 0 0 1 2 3", "Al 2 2 2.1 -0.1 0 0 4 5 6"],
        ),
    )
    options = ReadOptions(energy_key="REF_energy", forces_key="REF_forces", stress_key="REF_stress")
    structure = read_structures(path, options)[0]
    assert structure.energy == -7.25
    assert structure.forces.tolist() == [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_allclose(structure.stress, 2 * STRESS, rtol=1e-14)


def test_names_that_ase_moves_into_its_calculator(tmp_path):
    path = save(tmp_path, text(f'energy=-3.5 stress="{nine(STRESS)}"'))
    options = ReadOptions(energy_key="energy", forces_key="forces", stress_key="stress")
    structure = read_structures(path, options)[0]
    assert structure.energy == -3.5 and structure.forces is not None and structure.stress is not None


@pytest.mark.parametrize("quantity", ["energy", "forces", "stress", "virial"])
def test_a_named_key_that_no_frame_has(tmp_path, quantity):
    path = save(tmp_path, text("energy=-3.5 temperature=300"))
    words = rf"alloy\.xyz: no {quantity} under key 'mine', which data\.{quantity}_key names; found .*'temperature'"
    with pytest.raises(ValueError, match=words):
        read_structures(path, ReadOptions(**{f"{quantity}_key": "mine"}))


def test_partial_labels_are_counted_in_the_log(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="mlip.data")
    path = save(tmp_path, text(), text('pbc="T T T"'), text(**POSITIONS_ONLY), text("REF_energy=1"))
    structures = read_structures(path)
    assert [s.energy for s in structures] == [-3.5, None, -3.5, None]
    assert [s.forces is None for s in structures] == [False, False, True, False]
    assert "read 4 structures (ase) with energy, forces" in caplog.text
    assert "2 of 4 structures have no energy" in caplog.text
    assert "1 of 4 structures have no forces" in caplog.text
    assert "no stress" not in caplog.text


def test_a_file_without_labels(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="mlip.data")
    path = save(tmp_path, "2\nstart of a run\nCu 0 0 0\nCu 0 0 2.5\n")
    structure = read_structures(path)[0]
    assert structure.energy is structure.forces is structure.stress is None
    assert "with no labels" in caplog.text
    moving = save(tmp_path, text("kinetic_energy=0.1 energy_weight=1.0", columns="momenta:R:3"))
    assert read_structures(moving)[0].energy is None


def test_a_box_around_a_molecule_stays_in_the_cell(tmp_path):
    structure = read_structures(save(tmp_path, text('energy=-3.5 pbc="F F F"')))[0]
    assert not structure.pbc.any()
    np.testing.assert_array_equal(structure.cell, CELL)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (
            text(columns="forces:R:2", rows=["Cu 0 0 0 1 2"]),
            r"alloy\.xyz#1: 'forces' has shape \(1, 2\); expected \(1, 3\)",
        ),
        (text("energy=low"), r"alloy\.xyz#1: 'energy' is 'low'; expected numbers"),
        (text('energy="1 2"'), r"alloy\.xyz#1: 'energy' has shape \(2,\)"),
        (text("energy=nan"), r"alloy\.xyz#1: energy is nan"),
        (text('stress="inf 0 0 0 1 0 0 0 1"'), r"alloy\.xyz#1: stress hold"),
        (text('stress="1e308 0 0 0 1e308 0 0 0 1e308"'), r"alloy\.xyz#1: stress hold"),
        (text(rows=["Cu 0 0 0 1 2 3", "Al 0 0 0 1 2"]), r"alloy\.xyz#1: line 8 has 6 columns; Properties=.* names 7"),
        (text(rows=["Cu 0 0 0 1 2 3 4"]), r"alloy\.xyz#1: line 7 has 8 columns; Properties=.* names 7"),
        (text(rows=["Cu 0 0 zero 1 2 3"]), r"alloy\.xyz: ASE cannot read it \(ValueError.*zero"),
        (text(rows=["Qq 0 0 0 1 2 3"]), r"alloy\.xyz: ASE cannot read it \(KeyError: 'Qq'\)"),
        (text(rows=[]), r"line 5 is '0'; expected the number of atoms"),
        (text('energy=-3.5 stress="1 2 3"'), r"alloy\.xyz: ASE cannot read it .*stress"),
        (text(rows=["Cu 0 0 nan 1 2 3"]), r"alloy\.xyz#1: positions hold .* in row 0"),
        ("\n" + text(), "line 5 is blank; expected the number of atoms"),
        ("7\n", "cut short; line 5 says 7 atoms, but only 0 follow"),
        ("1\nenergy=-3.5\nCu 0 0 0 1 2 3\n", r"alloy\.xyz#1: 7 columns, but no Properties= .* data\.format=md17_xyz"),
    ],
)
def test_wrong_frames(tmp_path, frame, words):
    with pytest.raises(ValueError, match=words):
        read_structures(save(tmp_path, text(), frame))


def test_named_label_of_wrong_shape(tmp_path):
    path = save(tmp_path, text('energy=-3.5 REF_stress="1 2 3"'))
    with pytest.raises(ValueError, match=r"alloy\.xyz#0: 'REF_stress' has shape \(3,\); expected \(6,\) or \(9,\)"):
        read_structures(path, ReadOptions(stress_key="REF_stress"))


@pytest.mark.parametrize(
    ("index", "places"), [(":", range(5)), ("3", [3]), ("-1", [4]), (":2", [0, 1]), ("1::2", [1, 3]), ("-2:", [3, 4])]
)
@pytest.mark.parametrize("name", ["alloy.xyz", "alloy.traj", "alloy.db"])
def test_a_selection_keeps_the_place_in_the_file(tmp_path, index, places, name):
    path = tmp_path / name
    from ase.io import write

    write(path, [labelled(energy=float(k)) for k in range(5)])
    structures = read_structures(path, ReadOptions(index=index))
    assert [s.origin for s in structures] == [f"{name}#{k}" for k in places]
    assert [s.energy for s in structures] == list(places)


@pytest.mark.parametrize("index", ["", "a", "1:2:3:4", "::-1", "::0", "1.5"])
def test_a_malformed_index(tmp_path, index):
    with pytest.raises(ValueError, match=rf"data\.index is '{index}'"):
        read_structures(save(tmp_path, text()), ReadOptions(index=index))


def test_an_index_that_selects_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"alloy\.xyz: data\.index '5:' selects none of the 1 structures"):
        read_structures(save(tmp_path, text()), ReadOptions(index="5:"))


def labelled(**labels):
    atoms = Atoms("CuAl", positions=[[0, 0, 0], [2, 2, 2.1]], cell=CELL, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


@pytest.mark.parametrize("name", ["alloy.traj", "alloy.db", "alloy.json", "alloy.xyz.gz", "alloy.extxyz"])
def test_other_files_of_ase(tmp_path, name):
    from ase.io import write

    write(tmp_path / name, [labelled(energy=-3.5, forces=FORCES, stress=VOIGT), labelled(energy=-2.5)])
    first, second = read_structures(tmp_path / name)
    assert first.energy == -3.5 and second.energy == -2.5
    np.testing.assert_allclose(first.forces, FORCES, rtol=0, atol=1e-12)
    np.testing.assert_allclose(first.stress, STRESS, rtol=0, atol=1e-12)
    assert second.forces is None and second.stress is None


def test_forces_are_raw_not_those_left_by_constraints(tmp_path):
    from ase.constraints import FixAtoms

    atoms = labelled(energy=-3.5, forces=FORCES)
    atoms.set_constraint(FixAtoms([0]))
    atoms.write(tmp_path / "alloy.traj")
    np.testing.assert_array_equal(read_structures(tmp_path / "alloy.traj")[0].forces, FORCES)


def test_labels_in_the_data_of_a_database(tmp_path):
    from ase.db import connect

    bare = Atoms("CuAl", positions=[[0, 0, 0], [2, 2, 2.1]])
    with connect(tmp_path / "alloy.db") as database:
        database.write(bare, key_value_pairs={"config_type": "bulk"}, data={"E": np.array([-3.5]), "F": FORCES})
    with pytest.raises(ValueError, match=r"alloy\.db#0: no energy under key 'energy'; found 'E'"):
        read_structures(tmp_path / "alloy.db")
    options = ReadOptions(energy_key="E", forces_key="F")
    structure = read_structures(tmp_path / "alloy.db", options)[0]
    assert structure.energy == -3.5 and structure.info == {"config_type": "bulk"}
    np.testing.assert_array_equal(structure.forces, FORCES)


def test_a_database_that_says_its_units(tmp_path):
    from ase.db import connect

    with connect(tmp_path / "alloy.db") as database:
        database.metadata = {"_property_unit_dict": {"energy": "kcal/mol"}, "_distance_unit": "Ang"}
        database.write(Atoms("H"), data={"energy": np.array([-3.5])})
    with pytest.raises(ValueError, match=r"the database says its units.*kcal/mol.*Set data\.units\.energy"):
        read_structures(tmp_path / "alloy.db")
    options = ReadOptions(energy_unit="kcal/mol", length_unit="Ang")
    assert read_structures(tmp_path / "alloy.db", options)[0].energy == pytest.approx(-3.5 * 0.0433641, rel=1e-5)


@pytest.mark.parametrize("name", ["alloy.traj", "alloy.db", "alloy.json"])
def test_other_files_of_ase_cut_short_or_foreign(tmp_path, name):
    from ase.io import write

    write(tmp_path / name, [labelled(energy=-3.5, forces=FORCES)] * 20)
    whole = (tmp_path / name).read_bytes()
    for content in (whole[: len(whole) // 3], b"nothing of the kind\n" * 10):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: ASE .*Check that the file is complete"):
            read_structures(tmp_path / name)


def test_file_names_that_ase_takes_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, text(), name="mysql@3.xyz")
    assert read_structures("mysql@3.xyz")[0].origin == "mysql@3.xyz#0"


@pytest.mark.parametrize("name", ["alloy", "alloy.xyz.gz", "alloy.xyz.xz"])
def test_what_ase_would_pass_over_is_found_in_every_xyz_file(tmp_path, name):
    crooked = text('energy=-3.5 stress="1 2 3 4 5 6 7 8 9"')
    for content, words in [(crooked, "asymmetric"), (text() + "\n" + text(), "is blank"), (text()[:-9], "columns")]:
        opened = {"gz": gzip.open, "xz": lzma.open}.get(name.rpartition(".")[2], open)
        with opened(tmp_path / name, "wt") as file:
            file.write(content)
        with pytest.raises(ValueError, match=words):
            read_structures(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{name}.*(damaged|cut short|ASE cannot read)"):
        read_structures(tmp_path / name)


def test_real_files(shared, bundled):
    ethanol = read_structures(shared / "rmd17_ethanol" / "train.xyz")
    assert len(ethanol) == 1000
    assert ethanol[0].energy == -4209.4657843064815
    assert ethanol[0].forces[0].tolist() == [-4.15950961, 0.10729389, 3.61777644]
    assert ethanol[0].info["config_type"] == "Training_set" and ethanol[0].cell[0, 0] == 50 and not ethanol[0].pbc.any()
    atoms = read_structures(shared / "rmd17_ethanol" / "isolated_atoms.xyz")
    assert sorted(len(a) for a in atoms) == [1] * len(atoms) and all(a.forces is None for a in atoms)
    silicon = read_structures(shared / "mlearn_si" / "test.xyz")
    assert len(silicon) == 25 and silicon[0].info["group"] == "Vacancy"
    assert silicon[0].stress[0, 1] == 0.0019715046699550496
    assert len(read_structures(shared / "mlearn_si" / "train.xyz")) == 214
    alloy = read_structures(bundled / "alcu_emt.xyz")
    assert all(s.energy is not None and s.forces is not None and s.stress is not None for s in alloy)
