"""`mlip evaluate`: a constant taken from the energies, the worst structures, and a file that is whole or not there."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.io import read, write
from interfaces.command import mlip, refused
from interfaces.trained import ALCU, alcu

from mlip import evaluation
from mlip.data.options import ReadOptions
from mlip.data.read import read_structures
from mlip.evaluation import evaluate_structures, worst_structures, write_predictions
from mlip.model.checkpoint import load_potential


@pytest.fixture(scope="module")
def structures():
    return read_structures(ALCU, ReadOptions(index=":12"))


def test_a_constant_per_atom_is_taken(structures):
    potential = load_potential(alcu())
    moved = [replace(s, energy=s.energy + 0.75 * len(s)) for s in structures]
    plain = evaluate_structures(potential, moved)[0]["all"]
    shifted, predictions = evaluate_structures(potential, moved, shift=True)
    errors = np.array([(float(p.energy[0]) - s.energy) / len(s) for p, s in zip(predictions, moved, strict=True)])
    assert shifted["all"]["energy_shift_per_atom"] == pytest.approx(errors.mean(), rel=1e-12)
    assert shifted["all"]["energy_rmse_per_atom"] == pytest.approx(errors.std(), rel=1e-9)
    assert shifted["all"]["energy_mae_per_atom"] < 0.5 < plain["energy_mae_per_atom"]
    assert shifted["all"]["forces_mae"] == plain["forces_mae"]
    again = evaluate_structures(potential, structures, shift=True)[0]["all"]
    assert again["energy_mae_per_atom"] == pytest.approx(shifted["all"]["energy_mae_per_atom"], rel=1e-9)


def test_the_worst_are_named(structures):
    spoiled = list(structures)
    forces = spoiled[7].forces.copy()
    forces[2] += 9.0
    spoiled[7] = replace(spoiled[7], forces=forces)
    _, predictions = evaluate_structures(load_potential(alcu()), spoiled)
    worst = worst_structures(spoiled, predictions, 3)
    assert len(worst) == 3 and worst[0]["structure"].endswith("#7") and worst[0]["atom"] == 2
    assert worst[0]["forces_rmse"] >= worst[1]["forces_rmse"] >= worst[2]["forces_rmse"]
    bare = [replace(s, forces=None) for s in spoiled]
    by_energy = worst_structures(bare, predictions, 12)
    sizes = [abs(row["energy_error_per_atom"]) for row in by_energy]
    assert sizes == sorted(sizes, reverse=True) and "forces_rmse" not in by_energy[0]
    assert worst_structures([replace(s, energy=None, forces=None) for s in spoiled], predictions, 3) == []


def test_the_command():
    command = ("evaluate", alcu(), ALCU, "data.index=:12", "--shift", "--worst", 2)
    found = json.loads(mlip(*command, "--json").out)
    assert set(found) == {"all", "extrapolation", "worst"} and len(found["worst"]) == 2
    lines = mlip(*command, "--quiet").out.splitlines()
    assert lines[3].startswith("energies after taking") and "training set's features" in lines[4]
    assert "training set's features" in lines[5] and lines[6] == "worst structures"
    assert lines[7].strip().startswith(found["worst"][0]["structure"]) and len(lines) == 9
    assert refused(mlip("evaluate", alcu(), ALCU, "--worst", "-1"), "--worst is -1")


def test_predictions_are_written_whole_or_not_at_all(tmp_path, structures, monkeypatch):
    path = tmp_path / "out.xyz"
    _, predictions = evaluate_structures(load_potential(alcu()), structures)
    write_predictions(path, structures, predictions)
    before = path.read_bytes()

    def cut_short(where, frames, **options):
        write(where, frames[:2], **options)
        raise OSError("no space left on device")

    monkeypatch.setattr(evaluation.ase.io, "write", cut_short)
    with pytest.raises(OSError, match="no space left"):
        write_predictions(path, structures, predictions)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["out.xyz"]
    monkeypatch.undo()
    write_predictions(tmp_path / "out.xyz.gz", structures, predictions)
    assert len(read(tmp_path / "out.xyz.gz", ":")) == 12
