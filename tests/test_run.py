"""A training from the command line to the files it leaves."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from ase.io import read, write
from interfaces.command import mlip
from interfaces.trained import ALCU, ETHANOL, TINY, alcu, ethanol, train

from mlip.configfile import as_yaml, load_config
from mlip.model.checkpoint import load_content, load_potential

FILES = {
    "config.yaml",
    "given.yaml",
    "environment.json",
    "split.json",
    "metrics.csv",
    "potential.pt",
    "training.pt",
    "training.previous.pt",
    "results.json",
}
ERRORS = {"energy_mae", "energy_rmse", "energy_mae_per_atom", "energy_rmse_per_atom", "forces_mae", "forces_rmse"}


def state(folder):
    return load_content(folder)["state"]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def rows(folder):
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def small(folder, frames):
    """A file of a few structures, as the tests below want them."""
    write(folder / "data.xyz", frames, format="extxyz")
    return folder / "data.xyz"


@pytest.mark.parametrize(("run", "extra"), [(ethanol, set()), (alcu, {"stress_mae", "stress_rmse"})])
def test_the_run_folder(run, extra):
    folder = run()
    assert {path.name for path in folder.iterdir()} == FILES
    found = results(folder)
    assert set(found) == {"seconds", "best_epoch", "train", "valid", "test"}
    for part, count in {"train": 40, "valid": 10, "test": 10}.items():
        assert set(found[part]) == {"structures"} | ERRORS | extra
        assert found[part]["structures"] == count
        assert all(0 < found[part][name] < 100 for name in ERRORS | extra)
    assert 0 < found["seconds"] < 600 and 1 <= found["best_epoch"] <= 4
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    assert sorted(split["train"] + split["valid"] + split["test"]) == list(range(60))
    assert [len(split[part]) for part in ("train", "valid", "test")] == [40, 10, 10]
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    assert environment["versions"]["torch"] == torch.__version__ and environment["threads"] == 1


def test_metrics_have_a_row_for_each_epoch_and_fall():
    table = rows(ethanol())
    assert [row["epoch"] for row in table] == ["1", "2", "3", "4"]
    losses = [float(row["train_loss"]) for row in table]
    assert losses[-1] < 0.9 * losses[0]
    best = min(table, key=lambda row: float(row["valid_loss"]))
    assert results(ethanol())["best_epoch"] == int(best["epoch"])
    assert float(best["valid_forces_mae"]) == pytest.approx(results(ethanol())["valid"]["forces_mae"], rel=1e-6)


def test_the_saved_config_is_complete_and_reads_back(tmp_path):
    saved = load_config(ethanol() / "config.yaml")
    assert as_yaml(saved) == (ethanol() / "config.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load((ethanol() / "config.yaml").read_text(encoding="utf-8"))
    assert values["training"]["batch_size"] == 8, "defaults stand in the file as well"
    (tmp_path / "given.yaml").write_text(f"data: {{train: {ETHANOL}}}\n", encoding="utf-8")
    assert load_config(tmp_path / "given.yaml", [*TINY, f"run.dir={ethanol()}"]) == saved


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    for name, seed in (("same", 1), ("other", 2)):
        (tmp_path / name).mkdir()
        assert train(tmp_path / name, ETHANOL, f"run.seed={seed}", "data.split.seed=1").status == 0
    assert same(state(tmp_path / "same" / "run"), state(ethanol()))
    assert not same(state(tmp_path / "other" / "run"), state(ethanol()))


def test_the_trained_potential_is_ready_to_evaluate():
    potential = load_potential(ethanol())
    assert potential.elements == (1, 6, 8) and potential.cutoff == 4.0 and potential.dtype == torch.float32
    provenance = load_content(ethanol())["provenance"]
    assert provenance["structures"] == {"train": 40, "valid": 10, "test": 10}
    assert provenance["config"]["training"]["epochs"] == 4


def test_what_is_printed(tmp_path):
    outcome = train(tmp_path, ETHANOL, "training.epochs=1", options=())
    lines = outcome.out.splitlines()
    assert [word for word in ("energy (meV)", "energy (meV/atom)", "forces (meV/Å)") if word not in lines[0]] == []
    assert [line.split()[0] for line in lines[2:5]] == ["train", "valid", "test"]
    test = results(tmp_path / "run")["test"]
    assert f"{1e3 * test['energy_mae_per_atom']:.0f} / {1e3 * test['energy_rmse_per_atom']:.0f}" in lines[4]
    assert str(tmp_path / "run") in lines[5] and "best epoch 1" in lines[5]
    assert "read 60 structures" in outcome.err and "epoch" in outcome.err


@pytest.mark.parametrize("options", [("--json",), ("--json", "--quiet")])
def test_json_is_one_object_and_nothing_else(tmp_path, options):
    outcome = train(tmp_path, ALCU, "training.epochs=1", options=options)
    assert json.loads(outcome.out) == results(tmp_path / "run")
    assert len(outcome.out.splitlines()) == 1 and outcome.err == ""


def test_quiet_prints_results_only(tmp_path):
    outcome = train(tmp_path, ALCU, "training.epochs=1", options=("--quiet",))
    assert outcome.err == "" and outcome.out.splitlines()[4].split()[0] == "test"


def test_separate_files(tmp_path):
    frames = read(ALCU, ":30")
    for name, part in {"train": frames[:20], "valid": frames[20:26], "test": frames[26:]}.items():
        write(tmp_path / f"{name}.xyz", part, format="extxyz")
    separate = [f"data.{name}={tmp_path / name}.xyz" for name in ("valid", "test")]
    outcome = train(tmp_path, tmp_path / "train.xyz", *separate, "data.split={}", "training.epochs=1")
    assert outcome.status == 0, outcome.err
    found = results(tmp_path / "run")
    assert [found[part]["structures"] for part in ("train", "valid", "test")] == [20, 6, 4]


def test_a_split_file(tmp_path):
    split = {"train": list(range(0, 60, 2)), "valid": [1, 3, 5], "test": [7, 9]}
    (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
    assert train(tmp_path, ETHANOL, f"data.split={{file: {tmp_path / 'split.json'}}}", "training.epochs=1").status == 0
    assert json.loads((tmp_path / "run" / "split.json").read_text(encoding="utf-8")) == split
    assert results(tmp_path / "run")["train"]["structures"] == 30


def test_crystals_and_molecules_of_all_sizes_in_one_file(tmp_path):
    frames = read(ALCU, ":12")
    for atoms in read(ALCU, "12:20"):
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        cluster = atoms[:3]
        cluster.pbc, cluster.info = False, {}
        cluster.info["energy"], cluster.arrays["forces"] = energy / len(atoms) * 3, forces[:3]
        frames.append(cluster)
    outcome = train(tmp_path, small(tmp_path, frames), "data.index=':'", "data.split={valid: 4}")
    assert outcome.status == 0, outcome.err
    found = results(tmp_path / "run")["train"]
    assert found["structures"] == 16 and {"energy_mae", "forces_mae", "stress_mae"} <= set(found)


def test_some_structures_without_energy_or_forces(tmp_path):
    frames = read(ALCU, ":20")
    for n, atoms in enumerate(frames):
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        if n % 3:
            atoms.info["energy"] = energy
        if n % 4:
            atoms.arrays["forces"] = forces
    outcome = train(tmp_path, small(tmp_path, frames), "data.index=':'", "data.split={valid: 5}", options=())
    assert outcome.status == 0, outcome.err
    assert "7 of 20 structures have no energy" in outcome.err and "5 of 20 structures have no forces" in outcome.err
    assert all(np.isfinite(float(value)) for row in rows(tmp_path / "run") for value in row.values())


def test_energies_only(tmp_path):
    frames = read(ALCU, ":20")
    for atoms in frames:
        energy = atoms.get_potential_energy()
        atoms.calc = None
        atoms.info["energy"] = energy
    outcome = train(tmp_path, small(tmp_path, frames), "data.index=':'", "data.split={valid: 5}")
    assert outcome.status == 0, outcome.err
    assert set(results(tmp_path / "run")["train"]) == {"structures"} | {name for name in ERRORS if "energy" in name}
    assert float(rows(tmp_path / "run")[-1]["train_loss"]) < float(rows(tmp_path / "run")[0]["train_loss"])


def test_isolated_atoms_give_the_reference_energies(tmp_path):
    energies = {"H": -13.0, "C": -1028.0, "O": -2041.0}
    text = "".join(f"1\nenergy={energy}\n{name} 0 0 0\n" for name, energy in energies.items())
    (tmp_path / "atoms.xyz").write_text(text, encoding="utf-8")
    chosen = f"model.reference_energies={{method: isolated, isolated_file: {tmp_path / 'atoms.xyz'}}}"
    assert train(tmp_path, ETHANOL, chosen, "training.epochs=1").status == 0
    potential = load_potential(tmp_path / "run")
    assert potential.reference_energies.tolist() == list(energies.values())
    evaluated = mlip("evaluate", tmp_path / "run", tmp_path / "atoms.xyz", "--json")
    assert json.loads(evaluated.out)["all"]["energy_mae"] == 0.0


def test_overwrite_replaces_a_run(tmp_path):
    shutil.copytree(ethanol(), tmp_path / "run")
    (tmp_path / "run" / "report.html").write_text("of the run before", encoding="utf-8")
    outcome = train(tmp_path, ETHANOL, "run.overwrite=true", "training.epochs=2")
    assert outcome.status == 0, outcome.err
    assert len(rows(tmp_path / "run")) == 2 and {path.name for path in (tmp_path / "run").iterdir()} == FILES


def test_wherever_features_are_kept_the_run_is_the_same(tmp_path):
    made = {}
    for place in ("memory", "disk", "off"):
        folder = tmp_path / place
        folder.mkdir()
        assert train(folder, ETHANOL, f"training.cache={place}", "run.dtype=float64").status == 0
        assert not list((folder / "run").glob("features*"))
        made[place] = results(folder / "run")["valid"]["forces_rmse"]
    assert made["disk"] == made["memory"]
    assert made["off"] == pytest.approx(made["memory"], rel=1e-8)
