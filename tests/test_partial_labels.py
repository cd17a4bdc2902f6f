"""Training on energies only, forces only, stress only, and on structures that differ in what they have."""

import csv
import json
import re

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from interfaces.command import refused
from interfaces.trained import ALCU, train

from mlip.descriptors.acsf import ACSF
from mlip.descriptors.parameters import radial_grid
from mlip.descriptors.store import FeatureStore
from mlip.model.checkpoint import load_potential
from mlip.training import step

SETS = {"energy": "e", "forces": "f", "stress": "s", "forces and stress": "fs", "energy and stress": "es"}
NAMES = {"e": "energy", "f": "forces", "s": "stress"}


def data(path, kept, index=":24"):
    """The alloy sample with some of its labels: those that `kept(number)` names."""
    frames = []
    for number, atoms in enumerate(read(ALCU, index)):
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        if "e" in kept(number):
            bare.info["energy"] = atoms.get_potential_energy()
        if "f" in kept(number):
            bare.arrays["forces"] = atoms.get_forces()
        if "s" in kept(number):
            bare.info["stress"] = atoms.get_stress(voigt=False).ravel()
        frames.append(bare)
    write(path, frames, format="extxyz")
    return path


def run(folder, path, *overrides, options=()):
    return train(folder, path, "data.index=':'", "data.split={valid: 6, test: 6}", *overrides, options=options)


def results(folder):
    return json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))


def rows(folder):
    with (folder / "run" / "metrics.csv").open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("kinds", SETS.values(), ids=SETS)
def test_what_is_there_is_learned_judged_and_shown(tmp_path, kinds):
    outcome = run(tmp_path, data(tmp_path / "data.xyz", lambda n: kinds), "training.epochs=12")
    assert outcome.status == 0, outcome.err
    table, found = rows(tmp_path), results(tmp_path)
    assert table[-1]["train_loss"] < table[0]["train_loss"]
    best = min(table, key=lambda row: row["valid_loss"])
    assert found["best_epoch"] == best["epoch"] and best["valid_loss"] > 0
    for letter, name in NAMES.items():
        assert all((row[f"train_{name}_loss"] > 0) == (letter in kinds) for row in table)
        assert all((f"valid_{name}_mae" in row) == (letter in kinds) for row in table)
        assert all((f"{name}_mae" in found[part]) == (letter in kinds) for part in ("train", "valid", "test"))
        assert (name in outcome.out.splitlines()[0]) == (letter in kinds)
    assert ("determine it but for a constant" in outcome.err) == ("e" not in kinds)
    last = {"e": ("energy_mae_per_atom", "meV/atom"), "f": ("forces_mae", "meV/Å"), "s": ("stress_mae", "meV/Å³")}
    name, unit = last[kinds[0]]
    shown = re.findall(rf"valid ([\d.]+) {unit}[],]", outcome.err)
    assert float(shown[-1]) == pytest.approx(1e3 * table[-1][f"valid_{name}"], abs=0.06)
    if "e" not in kinds:
        assert load_potential(tmp_path / "run").reference_energies.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("cache", ["memory", "disk", "off"])
def test_a_step_on_energies_makes_no_forces(tmp_path, monkeypatch, cache):
    def forbidden(*arguments, **named):
        raise AssertionError("a derivative was computed")

    monkeypatch.setattr(step, "forces_of", forbidden)
    monkeypatch.setattr(step, "forces_transposed", forbidden)
    assert run(tmp_path, data(tmp_path / "data.xyz", lambda n: "e"), f"training.cache={cache}").status == 0


def test_energies_alone_need_no_jacobians():
    import torch

    from mlip.batch import Collection, to_batch
    from mlip.data.options import ReadOptions
    from mlip.data.read import read_structures
    from mlip.descriptors.store import bytes_needed

    structures = read_structures(ALCU, ReadOptions(index=":3"))
    descriptor = ACSF([13, 29], radial_grid([13, 29], cutoff=4.0, count=3))
    atoms = Collection([to_batch(s, 4.0)[0] for s in structures])
    whole, bare = (FeatureStore(descriptor, atoms, torch.float64, jacobians=keep) for keep in (True, False))
    assert torch.equal(whole.features, bare.features)
    size = bytes_needed(descriptor, atoms, torch.float64, jacobians=False)
    assert size == bare.features.nbytes < 0.1 * bytes_needed(descriptor, atoms, torch.float64)
    taken = bare.take([0, 2])
    assert torch.equal(taken.features, whole.take([0, 2]).features)
    with pytest.raises(AssertionError, match="kept without Jacobians"):
        taken.pair_gradients(taken.features)


@pytest.mark.parametrize("cache", ["memory", "disk", "off"])
def test_some_structures_have_only_energies(tmp_path, cache):
    path = data(tmp_path / "data.xyz", lambda n: "efs" if n % 2 else "e")
    outcome = run(tmp_path, path, f"training.cache={cache}")
    assert outcome.status == 0, outcome.err
    assert all(np.isfinite(list(row.values())).all() for row in rows(tmp_path))
    assert {"energy_mae", "forces_mae", "stress_mae"} <= set(results(tmp_path)["train"])


def test_the_undetermined_constant_does_not_choose_the_best_epoch(tmp_path):
    """Trained on forces; energies of the validation structures are shown but mean nothing."""
    train_file = data(tmp_path / "data.xyz", lambda n: "f", ":18")
    valid_file = data(tmp_path / "valid.xyz", lambda n: "ef", "18:24")
    outcome = train(tmp_path, train_file, f"data.valid={valid_file}", "data.index=':'", "data.split={}")
    assert outcome.status == 0, outcome.err
    for row in rows(tmp_path):
        assert row["valid_loss"] == pytest.approx(row["valid_forces_rmse"] ** 2, rel=1e-5)
        assert row["valid_energy_mae"] > 1e-3
    data(tmp_path / "valid.xyz", lambda n: "e", "18:24")
    refusal = train(
        tmp_path, train_file, f"data.valid={valid_file}", "data.index=':'", "data.split={}", "run.overwrite=true"
    )
    assert refused(refusal, "valid.xyz", "the training determines", "no best epoch")


def test_labels_without_weight(tmp_path):
    path = data(tmp_path / "data.xyz", lambda n: "e")
    outcome = run(tmp_path, path, "training.loss.energy.weight=0", options=("--quiet",))
    assert refused(outcome, "data.xyz", "no label that the loss weighs", "training.loss")
