"""Mistakes in data files: the message names file, frame, key, value and what was expected."""

import numpy as np
import pytest
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, ETHANOL, train

FRAMES = 24  # structures in the file of a mistake; the seeded split puts some of them in each part
SPLIT = "data.split={train: 16, valid: 4, test: 4}"
STRANGE_FUNCTION = "{kind: radial, neighbors: [X], cutoff: 4, eta: 1, r_s: 0}"
ALL = "data.index=':'"


def save(folder, name="sample.npz", **changes):
    """The first ethanols of the sample with some arrays changed, left out (None), or changed in place (callable)."""
    with np.load(ETHANOL) as file:
        arrays = {key: file[key] for key in file.files}
    arrays |= {key: arrays[key][:FRAMES].copy() for key in ("R", "E", "F")}
    for key, change in changes.items():
        if callable(change):
            change(arrays[key])
        else:
            arrays[key] = change
    np.savez(folder / name, **{key: value for key, value in arrays.items() if value is not None})
    return folder / name


def lines_of_alloy(frames):
    lines, chosen = ALCU.read_text(encoding="utf-8").splitlines(keepends=True), []
    for _ in range(frames):
        end = len(chosen) + int(lines[len(chosen)]) + 2
        chosen = lines[:end]
    return chosen


def put(array, place, value):
    array[place] = value


def overlap(R):
    R[5, 1] = R[5, 0] + [0.05, 0, 0]


def renamed_atoms(z):
    z[:] = 200


@pytest.mark.parametrize(
    ("changes", "essentials"),
    [
        ({"R": overlap}, ["sample.npz#5", "atoms", "0 and 1", "0.05 Å apart", "0.2"]),
        ({"E": lambda E: put(E, 7, np.nan)}, ["sample.npz#7", "energy is nan", "finite"]),
        ({"E": lambda E: put(E, 7, np.inf)}, ["sample.npz#7", "energy is inf", "finite"]),
        ({"F": lambda F: put(F, (3, 2, 1), np.nan)}, ["sample.npz#3", "forces", "nan", "row 2", "finite"]),
        ({"R": lambda R: put(R, (9, 4, 0), np.inf)}, ["sample.npz#9", "positions", "inf", "row 4", "finite"]),
        ({"F": np.zeros((FRAMES, 8, 3))}, ["sample.npz", "'F'", f"({FRAMES}, 8, 3)", f"({FRAMES}, 9, 3)"]),
        ({"F": np.zeros((FRAMES, 27))}, ["sample.npz", "'F'", f"({FRAMES}, 27)", f"({FRAMES}, 9, 3)"]),
        ({"R": np.zeros((FRAMES, 27))}, ["sample.npz", "'R'", f"({FRAMES}, 27)", "(structures, atoms, 3)"]),
        ({"E": np.zeros(FRAMES - 1)}, ["sample.npz", "'E'", f"({FRAMES - 1},)", f"({FRAMES},)"]),
        ({"z": renamed_atoms}, ["sample.npz#", "atom 0", "atomic number 200", "1 to 118"]),
        ({"z": np.ones(9)}, ["sample.npz", "'z'", "float64", "whole numbers"]),
        ({"R": None}, ["sample.npz", "'R'", "'z'"]),
        ({"E": None, "REF_energy": np.zeros(FRAMES)}, ["sample.npz", "'E'", "'REF_energy'", "data.energy_key"]),
        ({"e_unit": "parsec"}, ["sample.npz", "e_unit", "parsec", "data.units.energy"]),
        ({"E": None, "F": None}, ["sample.npz", "energy", "data.energy_key", "data.forces_key"]),
    ],
)
def test_arrays(tmp_path, changes, essentials):
    path = save(tmp_path, **changes)
    assert refused(train(tmp_path, path, ALL, SPLIT), *essentials)


@pytest.mark.parametrize(
    ("overrides", "essentials"),
    [
        (["data.units.energy=Hartree"], ["sample.npz#", "forces up to", "eV/Å", "data.units.energy"]),
        (["data.units.length=nm"], ["sample.npz", "no atom has a neighbor within 4", "data.units.length"]),
        (["data.energy_key=U0"], ["sample.npz", "no energy under key 'U0'", "data.energy_key", "'E'", "'F'", "'R'"]),
        (["data.forces_key=grad"], ["sample.npz", "no forces under key 'grad'", "data.forces_key", "'F'"]),
        (["data.stress_key=s"], ["sample.npz", "data.stress_key", "md17_npz", "no stress"]),
        (["data.stress_key=s", "data.virial_key=v"], ["data.stress_key", "data.virial_key", "only one"]),
        (["data.format=rmd17_npz"], ["sample.npz", "'coords'", "data.format"]),
        (["data.format=ani_hdf5"], ["sample.npz"]),
        (["data.format=ase"], ["sample.npz", "ASE cannot read it", "data.format"]),
        (["data.index=5"], ["data.index is 5", "string"]),
        (["data.index='5'"], ["train 16 + valid 4 + test 4 = 24", "there are 1"]),
        (["data.index='100:'"], ["sample.npz", "data.index '100:'", "none of the 24"]),
        (["data.index=many"], ["data.index is 'many'", "slice"]),
        (["data.split={train: 20, valid: 5, test: 5}"], ["train 20 + valid 5 + test 5 = 30", "there are 24"]),
        (["data.split={valid: 24}"], ["the training set is empty", "24"]),
        (["data.split={train: 0, valid: 4}"], ["the training set is empty", "24"]),
        (["data.split={valid: 0.01}"], ["data.split.valid is 0.01", "24"]),
        (["data.split={file: nothing.json}"], ["nothing.json", "no such file"]),
        (["data.valid=nothing.npz"], ["data.split.valid", "data.valid"]),
        (["data.split={}", "data.valid=nothing.npz"], ["nothing.npz", "no such file"]),
        (["model.networks.elements={Cu: {hidden: [4]}}"], ["model.networks.elements", "Cu", "H, C, O"]),
        (
            ["model.reference_energies={method: given, values: {H: -13.6, C: -1000}}"],
            ["model.reference_energies.values", "O"],
        ),
        (["model.reference_energies.method=isolated"], ["isolated atom", "H, C, O", "isolated_file"]),
        (
            [f"model.descriptor=[{{set: explicit, functions: [{STRANGE_FUNCTION}]}}]"],
            ["model.descriptor", "'X'", "element"],
        ),
    ],
)
def test_options(tmp_path, overrides, essentials):
    path = save(tmp_path, e_unit=None, r_unit=None)
    assert refused(train(tmp_path, path, ALL, SPLIT, *overrides), *essentials)


def test_a_missing_file_and_its_neighbors(tmp_path):
    save(tmp_path, "ethanol_train.npz")
    outcome = train(tmp_path, tmp_path / "ethanol_trian.npz")
    assert refused(outcome, str(tmp_path / "ethanol_trian.npz"), "no such file", "ethanol_train.npz")
    assert refused(train(tmp_path, tmp_path / "nowhere" / "a.npz"), "no such file", f"folder {tmp_path / 'nowhere'}")


@pytest.mark.parametrize(
    ("name", "content", "essentials"),
    [
        ("sample.npz", b"", ["the file is empty"]),
        ("sample.npz", b"PK\x03\x04 torn", ["not an npz file, or cut short"]),
        ("sample.npz", b"just text\n", ["not an npz file"]),
        ("sample.h5", b"just text\n", ["sample.h5"]),
        ("sample.weird", b"just text\n", ["ASE cannot read it", "data.format"]),
        ("sample", b"\x00\xff\xfe\x80 bytes", ["ASE cannot read it", "data.format"]),
        ("sample.xyz", b"just text\n", ["sample.xyz", "line 1", "number of atoms"]),
        ("sample.xyz", b"\n\n\n", ["sample.xyz"]),
        ("sample.xyz", b"\x80\x81\x82\xff\n" * 3, ["sample.xyz"]),
    ],
)
def test_files_of_no_format(tmp_path, name, content, essentials):
    (tmp_path / name).write_bytes(content)
    assert refused(train(tmp_path, tmp_path / name, ALL), f"{tmp_path / name}", *essentials)


def test_a_folder_instead_of_a_file(tmp_path):
    assert refused(train(tmp_path, tmp_path), f"{tmp_path}: this is a folder", "expected a file")


@pytest.mark.parametrize(
    ("change", "essentials"),
    [
        (lambda text: text.replace("energy=", "REF_energy="), ["no energy", "'REF_energy'", "data.energy_key"]),
        (lambda text: text.replace("forces:R:3", "dft_forces:R:3"), ["no forces", "'dft_forces'", "data.forces_key"]),
        (lambda text: text.replace("energy=", "energy=nan was="), ["alloy.xyz#0", "energy is nan"]),
        (lambda text: text[:-400], ["alloy.xyz#"]),
        (lambda text: text.replace("\nAl ", "\nQq ", 1), ["alloy.xyz", "Qq"]),
        (lambda text: text.replace('Lattice="', 'nolattice="'), ["alloy.xyz#0", "pbc", "cell"]),
    ],
)
def test_extxyz(tmp_path, change, essentials):
    (tmp_path / "alloy.xyz").write_text(change("".join(lines_of_alloy(24))), encoding="utf-8")
    assert refused(train(tmp_path, tmp_path / "alloy.xyz", ALL, SPLIT), *essentials)


def test_an_element_that_only_the_test_file_has(tmp_path):
    (tmp_path / "strange.xyz").write_text("".join(lines_of_alloy(3)), encoding="utf-8")
    outcome = train(tmp_path, save(tmp_path), ALL, "data.split={valid: 4}", f"data.test={tmp_path / 'strange.xyz'}")
    assert refused(outcome, "strange.xyz#0", "Al", "which no training structure has (H, C, O)")


def test_lone_atoms_only(tmp_path):
    (tmp_path / "atoms.xyz").write_text("1\nenergy=-13.6\nH 0 0 0\n" * 12, encoding="utf-8")
    outcome = train(tmp_path, tmp_path / "atoms.xyz", ALL, "data.split={valid: 2}")
    assert refused(outcome, "atoms.xyz", "no atom has a neighbor within 4", "Å")


def test_one_broken_structure_stops_check_as_it_stops_train(tmp_path):
    """`check` promises to refuse what `train` refuses, in whatever part of the split it stands."""
    path = save(tmp_path, R=overlap)
    for split in ("{train: 12, valid: 6, test: 6, seed: 1}", "{train: 6, valid: 12, test: 6, seed: 2}"):
        assert train(tmp_path, path, ALL, f"data.split={split}").status == 2
        config = tmp_path / "tiny.yaml"
        assert refused(mlip("check", config, "data.index=':'", f"data.split={split}", "--quiet"), "sample.npz#5")


@pytest.mark.parametrize(
    "override",
    [
        "model.networks.elements={Cu: {hidden: [4]}}",
        "run.device=cuda:97",
        "model.descriptor=[{set: radial, cutoff: 0.3, count: 2}]",
    ],
)
def test_check_refuses_what_train_refuses(tmp_path, override):
    trained = train(tmp_path, save(tmp_path), ALL, SPLIT, override)
    assert refused(trained)
    checked = mlip("check", tmp_path / "tiny.yaml", ALL, SPLIT, override, "--quiet")
    assert refused(checked) and checked.err == trained.err


def test_check_refuses_a_taken_folder(tmp_path):
    (tmp_path / "run").write_text("a file", encoding="utf-8")
    save(tmp_path)
    assert refused(train(tmp_path, tmp_path / "sample.npz", ALL, SPLIT), "run.dir is", "which is a file")
    assert refused(mlip("check", tmp_path / "tiny.yaml", ALL, SPLIT, "--quiet"), "run.dir is", "which is a file")


def test_check_refuses_a_folder_whose_name_is_too_long(tmp_path):
    assert train(tmp_path, save(tmp_path), ALL, SPLIT).status == 0
    checked = mlip("check", tmp_path / "tiny.yaml", ALL, SPLIT, f"run.dir={'long' * 100}", "--quiet")
    assert refused(checked, "run.dir is long", "name too long")


@pytest.mark.parametrize("name", ["valid", "test"])
def test_a_split_file_and_a_separate_file_for_the_same_part(tmp_path, name):
    path = save(tmp_path)
    (tmp_path / "split.json").write_text('{"train": [0, 1, 2, 3], "valid": [4, 5], "test": [6]}', encoding="utf-8")
    overrides = (f"data.split={{file: {tmp_path / 'split.json'}}}", f"data.{name}={path}", "training.epochs=1")
    assert refused(train(tmp_path, path, ALL, *overrides), f"data.{name}", "data.split.file")


def test_validation_data_without_labels(tmp_path):
    bare = "\n".join(["2", "", "H 0 0 0", "O 0 0 1.0"]) + "\n"
    (tmp_path / "bare.xyz").write_text(bare, encoding="utf-8")
    outcome = train(tmp_path, save(tmp_path), ALL, f"data.valid={tmp_path / 'bare.xyz'}", "data.split={}")
    assert refused(outcome, "bare.xyz", "no label that the loss weighs", "data.split.valid=0")


def test_isolated_atoms_may_stand_anywhere_in_the_file(tmp_path):
    """The seeded split may put them into the validation part."""
    molecule = "\n".join(["2", 'Properties=species:S:1:pos:R:3 energy=-1.5 pbc="F F F"', "H 0 0 0", "O 0 0 1.{n}"])
    lone = "\n".join(["1", 'Properties=species:S:1:pos:R:3 energy=-0.{e} pbc="F F F"', "{s} 0 0 0"])
    frames = [molecule.format(n=n) for n in range(8)] + [lone.format(e=1, s="H"), lone.format(e=2, s="O")]
    (tmp_path / "mixed.xyz").write_text("\n".join(frames) + "\n", encoding="utf-8")
    options = ("data.split={valid: 4}", "model.reference_energies.method=isolated", "data.index=':'")
    for seed in range(6):
        outcome = train(tmp_path, tmp_path / "mixed.xyz", *options, f"run.seed={seed}", "run.overwrite=true")
        assert outcome.status == 0, outcome.err
