"""The loop of active learning runs through once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "active_learning.py"


def test_one_round(tmp_path):
    pytest.importorskip("tblite")
    figure = tmp_path / "curve.svg"
    command = [sys.executable, str(SCRIPT), "--quick", "--folder", str(tmp_path), "--figure", str(figure)]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert found.returncode == 0, found.stderr
    curves = json.loads((tmp_path / "curves.json").read_text())
    assert set(curves) == {"active 1", "random 1"}
    assert [row["structures"] for row in curves["random 1"]] == [10, 10 + curves["random 1"][0]["labelled"]]
    assert curves["active 1"][0]["500 K"] == curves["random 1"][0]["500 K"], "both begin with the same"
    assert "| active 1 | 10 |" in found.stdout and figure.stat().st_size > 1000
    again = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert again.returncode == 0 and again.stdout.endswith(found.stdout[found.stdout.index("| way") :]), again.stderr
