"""The MD17 study: its quick form runs, is not done twice, and what its page says is what was measured."""

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mlip import load_config, load_potential, read_structures
from mlip.evaluation import evaluate_structures

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))
import study_md17_figures as figures  # noqa: E402
import study_md17_page as page  # noqa: E402
import study_md17_runs as runs  # noqa: E402

sys.path.remove(str(SCRIPTS))

DATA = ROOT / "data" / "ethanol_xtb.npz"
RUNS = "energies_and_forces"


def study(folder, *options):
    command = [sys.executable, str(SCRIPTS / "study_md17.py"), "--quick", "--folder", str(folder), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of a quick study, and what it printed."""
    folder = tmp_path_factory.mktemp("md17")
    done = study(folder, "--data", str(DATA))
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def results_of(folder):
    return json.loads((folder / "md17" / "results.json").read_text(encoding="utf-8"))


def test_every_part_has_its_figures(quick):
    folder, _ = quick
    results = results_of(folder)
    assert set(results["curves"]) == set(runs.FAMILIES)
    for rows in results["curves"].values():
        assert [row["structures"] for row in rows] == [20, 40]
        for row in rows:
            assert all(row[part][kind] > 0 for part in ("valid", "test") for kind in ("energy", "forces"))
            assert row["seconds"] > 0 and row["step"] > 0
    assert [row["seed"] for row in results["seeds"]["rows"]] == [1, 2]
    assert results["seeds"]["rows"][0] == results["curves"]["network"][-1], "the same run, trained once"
    assert set(results["labels"]["network"]) == {runs.EVERYTHING, runs.ENERGIES}
    assert results["facts"]["division"] == {"train": 40, "valid": 10, "test": 40}
    for name in ("learning_forces", "learning_energy", "cost", "seeds"):
        assert (folder / "md17" / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_page_holds_the_tables(quick):
    folder, _ = quick
    text = (folder / "md17.md").read_text(encoding="utf-8")
    results = results_of(folder)
    assert set(re.findall(r"<!-- made: (\w+) -->", text)) == set(page.TABLES)
    error = results["curves"]["committee"][1]["test"]
    assert f"{error['energy']:.2f} / {error['forces']:.1f} |" in text and "say nothing" in text
    assert page.filled(text, results) == text
    for file in re.findall(r"\]\((md17/\w+\.svg)\)", text):
        assert (folder / file).is_file()


def test_the_documentation_is_what_its_results_say():
    results = json.loads((ROOT / "docs" / "md17" / "results.json").read_text(encoding="utf-8"))
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.filled(text, results) == text, "written by hand; python scripts/study_md17.py makes the tables"
    drawn = {path.stem for path in (ROOT / "docs" / "md17").glob("*.svg")}
    assert set(re.findall(r"\]\(md17/(\w+)\.svg\)", text)) == drawn


def test_what_is_there_is_not_done_again(quick):
    folder, printed = quick
    trained = re.findall(r"^[\d:]+ (.*, seed \d)$", printed, flags=re.MULTILINE)
    assert len(trained) == len(set(trained)) and "network, energies alone, 40 structures, seed 1" in trained
    before = results_of(folder)
    (folder / RUNS / "network_energies_and_forces_20_seed_1" / "results.json").unlink()
    again = study(folder, "--data", str(DATA), "--only", "curves")
    assert again.returncode == 0, again.stderr
    done = re.findall(r"^[\d:]+ (.*, seed \d)$", again.stdout, flags=re.MULTILINE)
    assert done == ["network, energies and forces, 20 structures, seed 1"]
    after = results_of(folder)
    assert after["curves"]["network"][0]["test"] == before["curves"]["network"][0]["test"]
    assert {name: after[name] for name in ("seeds", "labels")} == {name: before[name] for name in ("seeds", "labels")}
    assert after["curves"]["committee"] == before["curves"]["committee"]


def test_smaller_sets_are_the_beginning_of_larger_ones(quick):
    folder, _ = quick
    small, large = (
        json.loads((folder / RUNS / f"network_energies_and_forces_{n}_seed_1" / "split.json").read_text())
        for n in (20, 40)
    )
    assert small["train"] == large["train"][:20]
    assert (small["valid"], small["test"]) == (large["valid"], large["test"])
    other = json.loads((folder / RUNS / "network_energies_and_forces_40_seed_2" / "split.json").read_text())
    assert other == large, "a seed changes the weights, not the structures"


def test_energies_alone_are_the_same_structures_without_forces(quick):
    folder, _ = quick
    config = load_config(folder / "energies_alone" / "network_energies_alone_40_seed_1" / "config.yaml")
    seen = read_structures(config.data.train)
    split = json.loads((folder / RUNS / "network_energies_and_forces_40_seed_1" / "split.json").read_text())
    full = read_structures(DATA)
    for structure, place in zip(seen, split["train"] + split["valid"], strict=True):
        assert structure.forces is None and structure.energy == full[place].energy
        assert np.array_equal(structure.positions, full[place].positions)
    tested = read_structures(config.data.test)
    for structure, place in zip(tested, split["test"], strict=True):
        assert np.array_equal(structure.forces, full[place].forces)


def test_the_average_is_that_of_the_predictions(quick):
    folder, _ = quick
    names = [f"network_energies_and_forces_40_seed_{seed}" for seed in (1, 2)]
    split = json.loads((folder / RUNS / names[0] / "split.json").read_text())
    full = read_structures(DATA)
    tested = [full[place] for place in split["test"]]
    forces = []
    for name in names:
        _, predicted = evaluate_structures(load_potential(folder / RUNS / name), tested)
        forces.append(np.stack([each.forces.double().numpy() for each in predicted]))
    error = 1e3 * np.abs(np.mean(forces, axis=0) - np.stack([each.forces for each in tested])).mean()
    (average,) = results_of(folder)["seeds"]["averages"]
    assert average["members"] == 2 and average["test"]["forces"] == pytest.approx(error, rel=1e-5)


def test_lengths_lead_from_one_config_to_the_other():
    """The two configs for revised MD17, each chosen on validation structures, are the ends of the rule."""
    many, few = (load_config(ROOT / "configs" / f"rmd17_{name}.yaml") for name in ("ethanol", "few"))
    assert runs.lengths(950, many, 950, 1.0) == (many.training.epochs, many.training.batch_size)
    epochs, batch = runs.lengths(50, many, 950, 1.0)
    assert epochs == pytest.approx(few.training.epochs, rel=0.01) and batch == few.training.batch_size
    steps = []
    for count in runs.FULL.sizes:
        epochs, batch = runs.lengths(count, many, 950, 1.0)
        steps.append(epochs * -(-count // batch))
    assert all(more > fewer for more, fewer in pairwise(steps)) and steps[0] < 2 * steps[-1]


def test_structures_are_divided():
    assert runs.amounts(1000, runs.FULL, True) == {"train": 950, "valid": 50, "test": 0}
    assert runs.amounts(100000, runs.FULL, False) == {"train": 950, "valid": 50, "test": 1000}
    assert runs.amounts(100, runs.FULL, False) == {"train": 45, "valid": 5, "test": 50}


def row(structures, valid, test, seconds=1.0, step=1e-5):
    def errors(forces):
        return {"energy": 1.0, "forces": forces}

    return {"structures": structures, "seconds": seconds, "step": step, "valid": errors(valid), "test": errors(test)}


def test_the_choice_is_made_on_validation_structures():
    slow = row(950, 5.0, 5.5, seconds=100.0, step=3e-4)
    results = {"curves": {"gpr": [row(50, 40.0, 30.0)], "network": [row(50, 39.0, 99.0), slow]}}
    lines = page.choice(results).splitlines()[2:]
    assert lines[0] == "| training within 10 s | network | 50 | 1.00 / 99.0 | 1.0 s | 10 µs |"
    assert lines[2] == "| training within 5 min | network | 950 | 1.00 / 5.5 | 100 s | 300 µs |"
    assert lines[6].startswith("| a step within 200 µs | network | 50 |")
    results["curves"] = {"network": [slow]}
    assert page.choice(results).splitlines()[2] == "| training within 10 s | – | – | – | – | – |"


def test_published_errors_are_of_the_same_data():
    assert page.published(DATA) == {}
    found = page.published(Path("anywhere/rmd17_ethanol/train.xyz"))
    assert found["linear ACE, 50 structures"] == {
        "method": "linear ACE", "structures": 50, "energy": None, "forces": 43.0,
        "source": "Kovács 2021, Batatia 2022",
    }  # fmt: skip
    assert {each["structures"] for each in found.values()} == {50, 950} and all(
        each["source"] for each in found.values()
    )


def test_names_are_moved_apart_and_no_farther():
    assert figures.apart([0.1, 0.3, 0.9], 0.05) == pytest.approx([0.1, 0.3, 0.9])
    assert figures.apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    generator = np.random.default_rng(1)
    for _ in range(50):
        places = sorted(generator.uniform(0, 1, 12).tolist())
        moved = figures.apart(places, 0.05)
        assert np.diff(moved).min() > 0.05 - 1e-9
        assert np.mean(moved) == pytest.approx(np.mean(places))


def test_mistakes_are_named(tmp_path, quick):
    missing = study(tmp_path / "new", "--data", str(tmp_path / "none.npz"))
    assert missing.returncode == 2 and "none.npz" in missing.stderr and "Traceback" not in missing.stderr
    folder, _ = quick
    other = study(folder, "--data", str(DATA), "--threads", "2", "--only", "curves", "--families", "network")
    assert other.returncode == 2 and "run.threads" in other.stderr and "Traceback" not in other.stderr
