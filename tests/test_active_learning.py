"""The loop of active learning runs through once, and its page shows what works."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from interfaces.trained import alcu

from mlip.cli import make_parser

SCRIPT = Path(__file__).parents[1] / "scripts" / "active_learning.py"
PAGE = (SCRIPT.parents[1] / "docs" / "active_learning.md").read_text(encoding="utf-8")


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


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_of_the_page_runs(block, monkeypatch):
    monkeypatch.chdir(SCRIPT.parents[1])
    exec(compile(block.replace("runs/alcu", str(alcu())), "docs/active_learning.md", "exec"), {})


def test_commands_of_the_page_are_understood():
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines[:2]:
        program, *arguments = shlex.split(line)
        assert program == "mlip"
        make_parser().parse_args(arguments)
    options = set(re.findall(r"--[a-z]+", lines[2]))
    assert options <= set(re.findall(r'"(--[a-z]+)"', SCRIPT.read_text(encoding="utf-8")))
