"""`mlip evaluate`: the same numbers as the run's own test, groups, and predictions in a file."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read, write
from interfaces.command import mlip
from interfaces.trained import ALCU, ETHANOL, alcu, ethanol, train

from mlip.data.options import ReadOptions
from mlip.data.read import read_structures
from mlip.evaluation import evaluate_structures
from mlip.interfaces.calculator import MLIPCalculator
from mlip.model.checkpoint import load_potential


def test_the_errors_of_the_test_set_are_those_of_the_run(tmp_path):
    for name, part in {"train": "0:24", "test": "24:40"}.items():
        write(tmp_path / f"{name}.xyz", read(ALCU, part), format="extxyz")
    separate = (f"data.test={tmp_path / 'test.xyz'}", "data.index=':'", "data.split={valid: 4}", "training.epochs=2")
    trained = train(tmp_path, tmp_path / "train.xyz", *separate)
    assert trained.status == 0, trained.err
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    outcome = mlip("evaluate", tmp_path / "run", tmp_path / "test.xyz", "--json")
    found = json.loads(outcome.out)
    assert found.pop("extrapolation")["structures"] == 16
    assert found == {"all": pytest.approx(results["test"], rel=1e-12)}, "sums in another order"
    printed = mlip("evaluate", tmp_path / "run" / "potential.pt", tmp_path / "test.xyz", "--quiet").out.splitlines()
    assert printed[2].split()[1:] == trained.out.splitlines()[4].split()[1:], "the same row but for its name"


def test_the_command_and_the_function_agree_with_errors_by_hand():
    found = json.loads(mlip("evaluate", alcu(), ALCU, "data.index='20:30'", "--json").out)["all"]
    structures = read_structures(ALCU, ReadOptions(index="20:30"))
    results, predictions = evaluate_structures(load_potential(alcu()), structures)
    assert results == {"all": found}
    pairs = list(zip(predictions, structures, strict=True))
    energy = np.array([(float(p.energy[0]) - s.energy) / len(s) for p, s in pairs])
    forces = np.concatenate([(p.forces.double().numpy() - s.forces).ravel() for p, s in pairs])
    stress = np.concatenate([(p.stress[0].double().numpy() - s.stress).ravel() for p, s in pairs])
    assert found["energy_mae_per_atom"] == pytest.approx(np.abs(energy).mean(), rel=1e-12)
    assert found["energy_rmse_per_atom"] == pytest.approx(np.sqrt((energy**2).mean()), rel=1e-12)
    assert found["forces_mae"] == pytest.approx(np.abs(forces).mean(), rel=1e-12)
    assert found["forces_rmse"] == pytest.approx(np.sqrt((forces**2).mean()), rel=1e-12)
    assert found["stress_mae"] == pytest.approx(np.abs(stress).mean(), rel=1e-12)


def test_groups():
    outcome = mlip("evaluate", alcu(), ALCU, "data.index=:30", "--by", "config_type", "--json")
    groups = json.loads(outcome.out)
    total = groups.pop("all")
    assert groups.pop("extrapolation")["structures"] == 30
    names = [atoms.info["config_type"] for atoms in read(ALCU, ":30")]
    assert {name: group["structures"] for name, group in groups.items()} == {n: names.count(n) for n in set(names)}
    mean = sum(group["energy_mae"] * group["structures"] for group in groups.values()) / total["structures"]
    assert mean == pytest.approx(total["energy_mae"], rel=1e-12)
    alone = evaluate_structures(
        load_potential(alcu()),
        [s for s in read_structures(ALCU, ReadOptions(index=":30")) if s.info["config_type"] == "Al"],
    )[0]["all"]
    assert groups["Al"] == pytest.approx(alone, rel=1e-5), "float32 sums in another order"


def test_structures_without_the_entry_are_a_group_of_their_own(tmp_path):
    frames = read(ALCU, ":6")
    for n, atoms in enumerate(frames):
        atoms.info = {"stage": n} if n < 2 else {}
    write(tmp_path / "data.xyz", frames, format="extxyz")
    found = json.loads(mlip("evaluate", alcu(), tmp_path / "data.xyz", "--by", "stage", "--json").out)
    del found["extrapolation"]
    assert {name: group["structures"] for name, group in found.items()} == {"all": 6, "0": 1, "1": 1, "-": 4}


@pytest.mark.parametrize("name", ["all", "extrapolation", "worst"])
def test_a_group_does_not_replace_other_results(tmp_path, name):
    frames = read(ALCU, ":6")
    for n, atoms in enumerate(frames):
        atoms.info = {"kind": name if n < 2 else "rest"}
    write(tmp_path / "data.xyz", frames, format="extxyz")
    found = json.loads(mlip("evaluate", alcu(), tmp_path / "data.xyz", "--by", "kind", "--json").out)
    assert found["all"]["structures"] == 6 and found.pop("extrapolation")["structures_outside"] == 0
    assert sorted(group["structures"] for group in found.values()) == [2, 4, 6]


@pytest.mark.parametrize(("run", "data"), [(ethanol, ETHANOL), (alcu, ALCU)])
def test_written_predictions_are_those_of_the_calculator(tmp_path, run, data):
    path = tmp_path / "predictions.xyz"
    outcome = mlip("evaluate", run(), data, "data.index='3:9'", "--output", path, "--dtype", "float64", "--quiet")
    assert outcome.status == 0, outcome.err
    frames, structures = read(path, ":"), read_structures(data, ReadOptions(index="3:9"))
    calculator = MLIPCalculator(run(), dtype="float64")
    assert len(frames) == 6
    for frame, structure in zip(frames, structures, strict=True):
        assert frame.get_potential_energy() == pytest.approx(structure.energy, abs=1e-8), "labels stand beside"
        np.testing.assert_allclose(frame.get_forces(), structure.forces, rtol=0, atol=1e-8)
        atoms = frame.copy()
        atoms.set_positions(structure.positions)
        atoms.calc = calculator
        assert frame.info["mlip_energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(frame.arrays["mlip_forces"], atoms.get_forces(), rtol=0, atol=1e-8)
        np.testing.assert_allclose(frame.arrays["mlip_energies"], atoms.get_potential_energies(), rtol=0, atol=1e-8)
        assert ("mlip_stress" in frame.info) == bool(atoms.pbc.all())
        if atoms.pbc.all():
            stress = atoms.get_stress(voigt=False)
            np.testing.assert_allclose(frame.info["mlip_stress"], stress.ravel(), rtol=0, atol=1e-8)


def test_predictions_can_be_evaluated_again(tmp_path):
    """A file of predictions is a data file: labels keep their place, and older predictions are replaced."""
    first, second = tmp_path / "first.xyz", tmp_path / "second.xyz"
    one = mlip("evaluate", alcu(), ALCU, "data.index=:4", "--output", first, "--json")
    two = mlip("evaluate", alcu(), first, "--output", second, "--json")
    assert json.loads(two.out)["all"] == pytest.approx(json.loads(one.out)["all"], rel=1e-4)
    mine = mlip("evaluate", alcu(), second, "data.energy_key=mlip_energy", "data.forces_key=mlip_forces", "--json")
    assert json.loads(mine.out)["all"]["energy_mae"] < 1e-4
    assert json.loads(mine.out)["all"]["forces_mae"] < 1e-6


def test_precision():
    """float64 changes the arithmetic, not the weights."""
    single = json.loads(mlip("evaluate", ethanol(), ETHANOL, "data.index=:10", "--json").out)["all"]
    double = json.loads(mlip("evaluate", ethanol(), ETHANOL, "data.index=:10", "--dtype", "float64", "--json").out)[
        "all"
    ]
    assert single != double and single == pytest.approx(double, rel=1e-4)
    assert load_potential(ethanol(), dtype=torch.float64).dtype == torch.float64


def test_data_without_labels(tmp_path):
    frames = [atoms.copy() for atoms in read(ALCU, ":3")]
    write(tmp_path / "bare.xyz", frames, format="extxyz")
    outcome = mlip("evaluate", alcu(), tmp_path / "bare.xyz", "--output", tmp_path / "predictions.xyz", "--json")
    assert json.loads(outcome.out)["all"] == {"structures": 3}
    assert all(np.isfinite(frame.info["mlip_energy"]) for frame in read(tmp_path / "predictions.xyz", ":"))


def test_atoms_outside_of_the_training_set_are_counted(tmp_path):
    """None of its own structures, and the one that is stretched, by name."""
    own = mlip("evaluate", ethanol(), ETHANOL, "data.index=:60", "--json")
    found = json.loads(own.out)["extrapolation"]
    assert found["structures"] == 60 and found["structures_outside"] <= 20, "it was trained on 40 of them"
    assert found["elements"]["H"]["atoms"] == 360
    frames = [Atoms(s.numbers, s.positions, info={"energy": s.energy}) for s in read_structures(ETHANOL)[:3]]
    hydrogen = int(np.flatnonzero(frames[1].numbers == 1)[0])
    frames[1].positions[hydrogen] *= 1.5
    write(tmp_path / "stretched.xyz", frames, format="extxyz")
    outcome = mlip("evaluate", ethanol(), tmp_path / "stretched.xyz", "--json")
    worst = json.loads(outcome.out)["extrapolation"]["worst"]
    assert worst["structure"].endswith("stretched.xyz#1") and worst["severity"] > 1
    text = mlip("evaluate", ethanol(), tmp_path / "stretched.xyz", "--quiet").out.splitlines()[-1]
    assert text.startswith("outside of the training set's features in") and worst["function"] in text
