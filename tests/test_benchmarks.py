"""The benchmark scripts run and report; what they measure is not judged here."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
COMPARED = {
    "training": {f"step_{batch}_{features}" for batch in (8, 32) for features in ("kept", "recomputed")},
    "md": {"ase_step", "one_evaluation", "batch_given", "batch_searched", "box"},
    "descriptors": {"water_f64", "water_f32", "batch"},
}
OURS_ALONE = {
    "training": {"store_seconds", "store_size", "peak_memory", "step_8_soap", "step_32_soap"},
    "md": set(),
    "descriptors": {
        *(
            f"{what}_{product}_{precision}"
            for what in ("ethanol", "ethanol_90", "water")
            for product in ("G", "Jtg", "Jv")
            for precision in ("f64", "f32")
        ),
        *(f"wide_{product}_{path}" for product in ("G", "Jtg") for path in ("moments", "triples")),
        *("fused_f64", "fused_f32", "box_24", "box_24_memory", "threads_1", "threads_2"),
    },
}
FACTS = {"size", "repeats", "threads", "descriptor", "functions", "hidden", "machine", "versions"}


def command(benchmark, *options):
    script = str(SCRIPTS / f"benchmark_{benchmark}.py")
    return [sys.executable, "-W", "error::DeprecationWarning:__main__", script, *options]


def run(benchmark, *options, **environment):
    """What the script printed, and the object on its last line."""
    done = subprocess.run(
        command(benchmark, *options), capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("benchmark", COMPARED)
def test_every_figure_is_a_positive_number(benchmark):
    printed, result = run(benchmark, "--tiny")
    figures = result["figures"]
    assert result["benchmark"] == benchmark
    assert set(result) >= FACTS
    assert set(figures) == COMPARED[benchmark] | OURS_ALONE[benchmark]
    assert all(figure["mlip"] > 0 for figure in figures.values())
    if find_spec("torchani"):
        assert all(figures[name]["torchani"] > 0 for name in COMPARED[benchmark])
        assert all(
            figures[name]["ratio"] == pytest.approx(figures[name]["mlip"] / figures[name]["torchani"])
            for name in COMPARED[benchmark]
        )
    assert "mlip/TorchANI" in printed


@pytest.mark.parametrize("benchmark", COMPARED)
def test_without_torchani_our_figures_stand_alone(benchmark, tmp_path):
    (tmp_path / "torchani.py").write_text("raise ModuleNotFoundError('No module named torchani', name='torchani')")
    printed, result = run(
        benchmark,
        "--tiny",
        "--repeats",
        "1",
        "--descriptor",
        "ani1x",
        PYTHONPATH=f"{tmp_path}{os.pathsep}{SCRIPTS.parent}",
    )
    assert 'TorchANI is not installed: pip install "mlip[bench]"' in printed
    assert all(figure["mlip"] > 0 for figure in result["figures"].values())
    assert all(figure["torchani"] is None and figure["ratio"] is None for figure in result["figures"].values())
    assert result["repeats"] == 1
    assert result["descriptor"] == "ani1x"
    assert result["versions"]["torchani"] is None


def test_the_cuda_benchmark_runs_through_on_the_cpu():
    printed, result = run("cuda", "--tiny", CUDA_VISIBLE_DEVICES="")
    names = {f"box_108_{what}" for what in ("given", "searched", "plain")} | {"batch", "step_8"}
    assert set(result) >= FACTS | {"device", "backend", "ceilings", "atom_steps_per_second"}
    assert set(result["figures"]) == names
    assert all(figure["mlip"] > 0 for figure in result["figures"].values())
    assert all(rate > 0 for rate in [*result["ceilings"].values(), *result["atom_steps_per_second"].values()])
    assert "neighbors per atom" in printed


def test_the_cuda_benchmark_needs_a_device():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    refused = subprocess.run(command("cuda", "--quick"), capture_output=True, text=True, timeout=60, env=environment)
    assert refused.returncode == 2
    assert "torch sees no CUDA device" in refused.stderr


@pytest.mark.parametrize(
    "options",
    [("--limit", "0.001"), ("--limit", "0.008", "--features", "--workers", "2")],
    ids=["computed", "stored"],
)
def test_streaming_from_a_store(tmp_path, options):
    printed, result = run(
        "store", "--structures", "640", "--batch", "16", "--chunk", "32", "--folder", str(tmp_path),
        *options,
    )  # fmt: skip
    figures = result["figures"]
    assert all(value > 0 for value in figures.values())
    assert figures["throughput"] == pytest.approx(figures["streamed"] / figures["in_memory"])
    assert "throughput" in printed and not list(tmp_path.iterdir()), "nothing is left behind"


def test_scaling_predicts_from_what_it_measures(tmp_path):
    picture = tmp_path / "scaling.svg"
    printed, result = run("scaling", "--quick", "--structures", "100000", "--figure", str(picture))
    figures = result["figures"]
    assert set(figures["predicted"]) == {
        f"{name}, {mode}"
        for name in ("molecule", "periodic")
        for mode in (
            "recomputed, in memory, soap",
            "recomputed, in memory, adam",
            "recomputed, streamed, soap",
            "kept, streamed, soap",
            "kept, streamed in shares, soap",
        )
    }
    for ways in figures["predicted"].values():
        for way in ways.values():
            assert set(way["seconds"]) == {"8", "64", "512"}
            for ranks, seconds in way["seconds"].items():
                assert seconds == pytest.approx(sum(way["parts"][ranks].values())) and seconds > 0
            assert way["bound"] in {*way["parts"]["8"], "nothing yet"} and way["stops"] >= 1
    assert all(row["model"] > 0 and row["beside"] > 0 and row["measured"] > 0 for row in figures["check"])
    assert all(row["by cost"] >= 1 for row in figures["imbalance"])
    assert figures["optimizers"]["soap"]["factored"] > 0 == figures["optimizers"]["adam"]["factored"]
    assert all(entry["source"] for entry in result["published"].values())
    assert "never compared with a run on GPUs" in printed
    assert picture.read_text(encoding="utf-8").startswith("<?xml")


def test_scaling_needs_two_ranks():
    refused = subprocess.run(command("scaling", "--ranks", "1"), capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0
    assert "--ranks is 1; it must be at least 2" in refused.stderr


def test_help_teaches():
    printed = subprocess.run(command("md", "--help"), capture_output=True, text=True, timeout=60)
    assert printed.returncode == 0
    assert "take turns" in printed.stdout


def test_a_wrong_number_is_named():
    refused = subprocess.run(command("training", "--repeats", "0"), capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0
    assert "--repeats is 0; it must be at least 1" in refused.stderr


def test_accuracy_table(tmp_path):
    """A training and a row for each test file of a data set that is there, and the published figures beside it."""
    from ase.io import write

    from mlip.data.read import read_structures
    from mlip.data.write import to_atoms

    atoms = [to_atoms(structure) for structure in read_structures(SCRIPTS.parent / "data" / "ethanol_xtb.npz")[:40]]
    for folder, files in {"rmd17_ethanol": ("train", "test"), "acac": ("train_300K", "test_a", "test_b")}.items():
        (tmp_path / folder).mkdir()
        for name in files:
            write(tmp_path / folder / f"{name}.xyz", atoms, format="extxyz")
    (tmp_path / "unknown").mkdir()
    small = (
        "training.epochs=1",
        "data.split={train: 20, valid: 5}",
        "model.descriptor={set: radial, cutoff: 3.0, count: 3}",
    )
    printed, result = run("accuracy", "--data", str(tmp_path), "--configs", "minimal", "--set", *small)
    assert [(row["data"], row["test"]) for row in result["rows"]] == [
        ("acac", "test_a"), ("acac", "test_b"), ("rmd17_ethanol", "test")
    ]  # fmt: skip
    assert all(row["forces"] > 0 and row["energy"] > 0 and row["seconds"] > 0 for row in result["rows"])
    assert result["rows"][2]["train_structures"] == 20 and "linear ACE" in printed
