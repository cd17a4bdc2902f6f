"""The scripts for SLURM: their shell, and what they do in a cluster that warns and requeues them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.site import CONFIG, SCRIPTS, Site
from cluster.slurm import directives, numbers_of
from mlip.configfile import parse_config
from mlip.data.store_file import StoreFile
from mlip.run import train

ALL = sorted(SCRIPTS.glob("*.sh"))
BEGUN = {"FAKE_WARN_AFTER": "runs/mine/metrics.csv"}  # the first epoch is done
SHORT = "training.epochs=3"


def trained(folder, **changed):
    """The run of one process that nobody disturbs."""
    values = {**CONFIG, "run": {**CONFIG["run"], "dir": str(folder)}, **changed}
    values["data"] = {**values["data"], "train": str(SCRIPTS.parents[1] / "data" / "ethanol_xtb.npz")}
    train(parse_config(values, "test"), quiet=True)
    return outcome(folder)


def outcome(folder):
    """Rows of metrics and results, but for times."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return rows, {name: results[name] for name in ("train", "valid", "test")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.name)
def test_shell_and_head(script):
    program = Path(sys.executable).parent / "shellcheck"
    # SC1091: the environment is the user's, it cannot be followed.
    found = subprocess.run([program, "--exclude=SC1091", script], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    head = directives(script)
    assert head["signal"] == "USR1@120" and head["open-mode"] == "append" and "requeue" in head
    assert ("%a" in head["output"]) == ("array" in head)
    names = {"account", "partition", "nodes", "ntasks-per-node", "cpus-per-task", "mem", "time", "output", "job-name"}
    assert names <= head.keys()
    if "sizes" in script.read_text(encoding="utf-8"):
        sizes = script.read_text(encoding="utf-8").partition("sizes=(")[2].partition(")")[0].split()
        assert numbers_of(head["array"]) == list(range(len(sizes)))
    if "gpus-per-node" in head:
        assert head["gpus-per-node"] == head["ntasks-per-node"], "a rank for each GPU"


def test_all_scripts_are_the_same_in_form():
    """They differ in size, in the lines of their own before `set -u`, and in the command."""
    parts = []
    for script in ALL:
        text = script.read_text(encoding="utf-8")
        assert text.count("\nset -eo pipefail\n") == 1 and text.count("\nset -u #") == 1
        end = text[text.index("\n# 75:") :]
        end = end.replace("${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID", "$SLURM_JOB_ID")
        parts.append(end.replace("    # Not SLURM_JOB_ID: that of one task means the whole array.\n", ""))
    assert len(set(parts)) == 1


@pytest.mark.parametrize(("script", "tasks"), [("train_gpu.sh", 1), ("train_nodes.sh", 2)])
def test_a_job_that_is_warned_goes_on_and_ends_as_one_that_was_not(tmp_path, undisturbed, script, tasks):
    site = Site(tmp_path, FAKE_TASKS=str(tasks), **BEGUN)
    done = site.bash(f"sbatch scripts/slurm/{script} config.yaml")
    assert done.returncode == 0, site.log()
    assert site.jobs() == [("75", "requeued"), ("0", "ended")]
    assert site.log().count("stopped by SIGUSR1") == 1 and "best epoch" in site.log()
    rows, results = outcome(tmp_path / "runs" / "mine")
    if tasks == 1:
        assert (rows, results) == undisturbed, "bit for bit"
    assert len(rows) == len(undisturbed[0])
    for one, other in zip(rows, undisturbed[0], strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-12)
    for part, errors in results.items():
        assert errors == pytest.approx(undisturbed[1][part], rel=1e-6, abs=1e-12)
    assert site.calls("srun") == [["--kill-on-bad-exit=0", "mlip", "train", "--requeue", "config.yaml"]] * 2


def test_a_committee_in_a_container_with_options_of_the_user(tmp_path):
    """The lines that a user changes: the container, and values of the config behind the command."""
    site = Site(tmp_path, FAKE_TASKS="2")
    text = (SCRIPTS / "committee.sh").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "In a container: " in line)
    changes = {
        "\nmlip=(mlip)\n": f"\n{line.partition(': ')[2]}\n",
        "\nmembers=8\n": "\nmembers=2\n",
        "\n# module load": "\nmodule load",
    }
    for before, after in changes.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    (tmp_path / "mine.sh").write_text(text, encoding="utf-8")
    (tmp_path / "mlip.sif").touch()
    assert site.bash(f"sbatch mine.sh config.yaml {SHORT}").returncode == 0, site.log()
    assert site.calls("module") == [["load", "python"]]
    assert [call[:3] for call in site.calls("apptainer")] == [["exec", "--nv", "mlip.sif"]] * 2
    found = outcome(tmp_path / "runs" / "mine")
    model = {**CONFIG["model"], "committee": {"members": 2}}
    rows, results = trained(tmp_path / "alone", model=model, training={**CONFIG["training"], "epochs": 3})
    for one, other in zip(found[0], rows, strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-12)
    for part, errors in found[1].items():
        assert errors == pytest.approx(results[part], rel=1e-6, abs=1e-12)


def test_a_mistake_ends_the_job_with_its_message(tmp_path):
    site = Site(tmp_path, FAKE_TASKS="2")
    assert site.bash("sbatch scripts/slurm/train_node.sh config.yaml run.sed=1").returncode == 2
    assert site.jobs() == [("2", "ended")] and site.log().count("mlip: error:") == 1


def test_seeds_have_folders_of_their_own(tmp_path, undisturbed):
    site = Site(tmp_path, FAKE_WARN_AFTER="runs/seeds/3/metrics.csv")
    assert site.bash("sbatch --array=2-3 scripts/slurm/seeds.sh config.yaml").returncode == 0, site.log()
    assert site.jobs() == [("0", "ended"), ("75", "requeued"), ("0", "ended")]
    (call,) = site.calls("scontrol")
    assert call[1].endswith("_3"), "one task, not the array"
    found = {seed: outcome(tmp_path / "runs" / "seeds" / seed) for seed in ("2", "3")}
    assert found["2"] != found["3"]
    splits = [(tmp_path / "runs" / "seeds" / seed / "split.json").read_text(encoding="utf-8") for seed in found]
    assert splits[0] == splits[1]
    expected = trained(
        tmp_path / "alone", run={**CONFIG["run"], "dir": str(tmp_path / "alone"), "seed": 3},
        data={**CONFIG["data"], "split": {**CONFIG["data"]["split"], "seed": 1}},
    )  # fmt: skip
    assert found["3"] == expected


def test_a_preparation_that_is_warned_goes_on(tmp_path):
    site = Site(tmp_path, FAKE_CPUS="2", FAKE_WARN_AFTER="data.store.h5")
    done = site.bash("sbatch scripts/slurm/prepare.sh config.yaml data.index=:400 --features --chunk 2")
    assert done.returncode == 0, site.log()
    assert site.jobs() == [("75", "requeued"), ("0", "ended")], site.log()
    assert site.calls("srun")[0][:5] == ["--kill-on-bad-exit=0", "mlip", "prepare", "--workers", "2"]
    with StoreFile(tmp_path / "data.store.h5") as store:
        assert len(store) == 400 and not store.unwritten()
