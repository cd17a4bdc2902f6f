"""What the README shows is run: its Python, its config and its commands."""

import re
from pathlib import Path

import pytest
import yaml
from interfaces.trained import ethanol

from mlip.cli import make_parser
from mlip.configfile import parse_config

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    lines = [line.split("#")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return [part.strip() for line in lines for part in line.split("&&") if "mlip " in part and "pip " not in part]


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(block, monkeypatch, tmp_path):
    monkeypatch.chdir(Path(__file__).parents[1])
    assert "runs/ethanol" in block
    block = block.replace("runs/ethanol", str(ethanol())).replace("fmax=0.01)", "fmax=0.01, steps=2)")
    exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("block", blocks("yaml"))
def test_configs_are_valid(block):
    parse_config(yaml.safe_load(block), "README.md")


@pytest.mark.parametrize("command", commands())
def test_commands_are_understood(command):
    program, *arguments = re.sub("^(mpiexec -n 2|torchrun --nproc-per-node 2 -m) ", "", command).split()
    assert Path(program).name == "mlip"
    make_parser().parse_args(arguments)


def test_the_two_commands():
    """One trains on the bundled data, one passes the tests; both start from nothing but Python and pip."""
    first, second = [line for block in blocks("bash") for line in block.splitlines() if "pip install" in line]
    for line in (first, second):
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt ")
    assert first.endswith(".venv/bin/mlip train configs/ethanol.yaml")
    assert second.endswith(".venv/bin/python -m pytest")
    assert (Path(__file__).parents[1] / "configs" / "ethanol.yaml").is_file()


def test_the_reference_config_is_fresh():
    from mlip.configreference import reference_yaml

    path = Path(__file__).parents[1] / "configs" / "reference.yaml"
    assert path.read_text(encoding="utf-8") == reference_yaml(), "run: mlip schema --yaml > configs/reference.yaml"
