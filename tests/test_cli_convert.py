"""The command convert, and a training on what it wrote."""

import json
from pathlib import Path

import numpy as np
import pytest
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, ETHANOL, train

from mlip.data.read import read_structures

N2P2 = Path(__file__).parent / "reference" / "n2p2" / "meanenergy_conv" / "input.data"


def converted(*arguments):
    outcome = mlip("convert", *arguments)
    assert outcome.status == 0, outcome.err
    return outcome


def same(one, other, tolerance):
    for mine, theirs in zip(read_structures(one), read_structures(other), strict=True):
        for name in ("numbers", "positions", "cell", "pbc", "energy", "forces"):
            np.testing.assert_allclose(getattr(theirs, name), getattr(mine, name), rtol=tolerance, err_msg=name)


def test_around_all_formats(tmp_path):
    path, previous = tmp_path / "0.npz", ETHANOL
    for place, suffix in enumerate([".npz", ".xyz", ".h5", ".data", ".extxyz", ".npz"]):
        path = tmp_path / f"{place}{suffix}"
        units = ["--to-units", "Ha-Bohr"] if suffix == ".data" else []
        converted(previous, path, "--index", ":20", *units, "--quiet")
        previous = path
    same(tmp_path / "0.npz", path, 1e-14)
    same(tmp_path / "0.npz", tmp_path / "2.h5", 0)


def test_a_file_of_n2p2_there_and_back(tmp_path):
    outcome = converted(N2P2, tmp_path / "a.xyz")
    assert outcome.out.splitlines() == [
        f"{tmp_path / 'a.xyz'}: 3 structures (0 periodic), 27 atoms of H, C, O; labels: energy, forces; "
        "format extxyz, eV and Ang"
    ]
    assert "input.data: read 3 structures (input_data) with energy, forces" in outcome.err
    converted(tmp_path / "a.xyz", tmp_path / "input.data")
    same(N2P2, tmp_path / "input.data", 0)
    assert read_structures(tmp_path / "input.data")[2].info == read_structures(N2P2)[2].info
    outcome = mlip("convert", N2P2, tmp_path / "b.xyz", "data.units={energy: Hartree, length: Bohr}")
    assert "energy_unit is 'eV', but data.units.energy=Hartree is used" in outcome.err


def test_a_summary_for_programs(tmp_path):
    target = tmp_path / "input.data"
    outcome = converted(ALCU, target, "data.index=:30", "--without", "stress", "--to-units", "Ha-Bohr", "--json")
    assert json.loads(outcome.out) == {
        "source": str(ALCU), "target": str(target), "format": "input_data", "structures": 30, "atoms": 704,
        "elements": ["Al", "Cu"], "periodic": 30, "labels": {"energy": 30, "forces": 30, "stress": 0},
        "units": {"energy": "Hartree", "length": "Bohr"}, "left_out": ["info 'temperature'", "info 'config_type'"],
    } | {"atoms": sum(map(len, read_structures(target)))}  # fmt: skip
    assert "no place for it: info 'temperature', info 'config_type'" in outcome.err
    quiet = converted(ALCU, tmp_path / "b.data", "--without", "stress", "--quiet", "--format", "input_data")
    assert quiet.err.count("\n") == 1


def test_a_normalized_file(tmp_path):
    converted(N2P2, tmp_path / "a.data", "--normalize", "-467.7", "40", "47")
    text = (tmp_path / "a.data").read_text().replace(" mean_energy=-467.7 conv_energy=40.0 conv_length=47.0", "")
    (tmp_path / "output.data").write_text(text)
    override = "data.normalization={mean_energy: -467.7, conv_energy: 40, conv_length: 47}"
    converted(tmp_path / "output.data", tmp_path / "b.data", override)
    same(N2P2, tmp_path / "a.data", 1e-14)
    same(N2P2, tmp_path / "b.data", 1e-14)
    override = override.replace("40", "-40")
    assert refused(
        mlip("convert", tmp_path / "output.data", tmp_path / "c.data", override), "data.normalization.conv_energy"
    )


@pytest.mark.parametrize(
    ("arguments", "essentials"),
    [
        ((ALCU, "a.data"), ["a.data", "alcu_emt.xyz#0", "stress", "--without stress", "extxyz"]),
        ((ALCU, "a.npz", "--without", "stress"), ["a.npz", "alcu_emt.xyz#0", "periodic", "extxyz, input_data"]),
        ((ETHANOL, "a.data", "--without", "energy"), ["ethanol_xtb.npz#0", "no energy", "extxyz, npz, hdf5"]),
        ((ETHANOL, "there.xyz"), ["there.xyz", "exists already", "--overwrite"]),
        ((ETHANOL, ETHANOL, "--overwrite"), ["the target is the source itself"]),
        ((ETHANOL, "a.traj"), ["a.traj", "'.traj'", ".xyz"]),
        ((ETHANOL, "no/a.xyz"), ["no/a.xyz", "folder that exists"]),
        ((ETHANOL, "a.xyz", "--to-units", "Ha-Bohr"), ["a.xyz", "Hartree and Bohr", "always in eV and Ang"]),
        ((ETHANOL, "a.h5", "--normalize", "0", "1", "1"), ["a.h5", "only input_data is ever normalized"]),
        ((ETHANOL, "a.data", "--normalize", "0", "0", "1"), ["conv_energy", "positive"]),
        ((ETHANOL, "a.xyz", "--index", ":3", "data.index=:4"), ["--index", "give one"]),
        ((ETHANOL, "a.xyz", "--index", "x"), ["data.index", "'x'"]),
        ((ETHANOL, "a.xyz", "run.seed=1"), ["run.seed=1", "data."]),
        (("missing.data", "a.xyz"), ["missing.data", "no such file"]),
    ],
)
def test_mistakes(tmp_path, monkeypatch, arguments, essentials):
    monkeypatch.chdir(tmp_path)
    Path("there.xyz").write_text("mine")
    assert refused(mlip("convert", *arguments, "--quiet"), *essentials)
    assert [path.name for path in tmp_path.iterdir()] == ["there.xyz"] and Path("there.xyz").read_text() == "mine"


def test_overwrite_replaces(tmp_path):
    (tmp_path / "a.h5").write_text("old")
    converted(ETHANOL, tmp_path / "a.h5", "--index", ":3", "--overwrite")
    assert len(read_structures(tmp_path / "a.h5")) == 3


def test_training_on_input_data(tmp_path):
    for units, name in (("eV-Ang", "ev.data"), ("Ha-Bohr", "ha.data")):
        converted(ETHANOL, tmp_path / name, "--index", ":60", "--to-units", units)
    stated = train(tmp_path, tmp_path / "ev.data", "training.epochs=2", options=("--json",))
    assert stated.status == 0, stated.err
    text = (tmp_path / "ha.data").read_text().replace("comment units=Hartree,Bohr\n", "")
    (tmp_path / "input.data").write_text(text)
    again = (tmp_path, tmp_path / "input.data", "run.overwrite=true", "training.epochs=2")
    assert refused(train(*again), "input.data#0", "does not say its units", "Set data.units.energy")
    named = train(*again, "data.units={energy: Hartree, length: Bohr}", options=("--json",))
    assert named.status == 0, named.err
    one, other = json.loads(stated.out), json.loads(named.out)
    assert other["test"]["forces_mae"] == pytest.approx(one["test"]["forces_mae"], rel=1e-4)
    assert refused(mlip("train", tmp_path / "input.data"), "is no config but a data file")
