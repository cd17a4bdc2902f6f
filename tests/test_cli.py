"""The program as a process, its help, and the commands that only look: check and schema."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from interfaces.command import mlip
from interfaces.trained import ALCU, ETHANOL, TINY

import mlip as package
from mlip.configfile import load_config

REPOSITORY = Path(__file__).parents[1]


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)


def test_a_mistake_in_a_process(tmp_path):
    (tmp_path / "config.yaml").write_text("data: {train: nothing.npz}\ntraining: {epoch: 3}\n", encoding="utf-8")
    done = python("-m", "mlip", "train", tmp_path / "config.yaml")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("mlip: error: ") and "'training.epoch'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_is_quick():
    """Nothing heavy is imported for it."""
    code = (
        "import sys; from mlip.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: print('status', end.code)\n"
        "print('heavy', sorted({'torch', 'numpy', 'ase', 'pydantic', 'vesin', 'h5py'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert "status 0\nheavy []" in done.stdout, done.stdout + done.stderr
    assert all(command in done.stdout for command in ("train", "evaluate", "md", "check", "lr-range", "schema"))


def test_names_of_the_package_are_imported_when_used():
    code = "import sys, mlip; print('torch' in sys.modules); mlip.MLIPCalculator; print('torch' in sys.modules)"
    assert python("-c", code).stdout.split() == ["False", "True"]
    assert all(getattr(package, name) is not None for name in dir(package))
    with pytest.raises(AttributeError, match="no attribute 'Calculator'; it has MLIPCalculator"):
        package.Calculator  # noqa: B018


def test_version():
    outcome = mlip("--version")
    assert outcome.status == 0 and outcome.out.startswith("mlip ") and outcome.out.split()[1][0].isdigit()


@pytest.mark.parametrize(
    "arguments",
    [[], ["tarin"], ["train", "--qiuet"], ["evaluate"], ["evaluate", "a"], ["md", "a"], ["check"], ["schema", "more"]],
)
def test_what_argparse_refuses(arguments):
    outcome = mlip(*arguments)
    assert outcome.status == 2 and outcome.out == ""
    assert outcome.err.startswith("usage: mlip") and "error: " in outcome.err


def test_options_are_not_abbreviated(tmp_path):
    assert mlip("train", "--qui", tmp_path / "config.yaml").status == 2


COMMANDS = [
    "train",
    "learning-curve",
    "cross-validate",
    "tune",
    "evaluate",
    "md",
    "check",
    "descriptor",
    "lr-range",
    "schema",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command):
    outcome = mlip(command, "--help")
    assert outcome.status == 0 and outcome.out.startswith(f"usage: mlip {command}") and "--json" in outcome.out


def test_debug_shows_where_a_message_comes_from(tmp_path, monkeypatch):
    monkeypatch.setenv("MLIP_DEBUG", "1")
    with pytest.raises(ValueError, match="no such config file"):
        mlip("check", tmp_path / "nothing.yaml")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"run: {{dir: {tmp_path / 'run'}}}\ndata: {{train: {ALCU}}}\n", encoding="utf-8")
    return path


def test_check(config):
    outcome = mlip("check", config, *TINY)
    assert outcome.status == 0 and "read 60 structures" in outcome.err
    lines = dict(line.strip().split(": ", 1) for line in outcome.out.splitlines())
    assert lines["structures"] == "{'train': 40, 'valid': 10, 'test': 10}" and lines["elements"] == "Al, Cu"
    assert lines["labels in train"] == "{'energy': 40, 'forces': 40, 'stress': 40}"
    assert lines["symmetry functions"] == str(2 * 4 + 3 * 2)
    assert not (config.parent / "run").exists(), "check leaves no trace"


def test_check_as_json(config):
    outcome = mlip("check", config, *TINY, f"data.train={ETHANOL}", "--json")
    found = json.loads(outcome.out)
    assert outcome.err == "" and found["elements"] == "H, C, O" and found["atoms per structure"] == "9 to 9"
    assert found["neighbors per atom"] == pytest.approx(8, abs=0.2)


def test_schema_names_every_section():
    schema = json.loads(mlip("schema").out)
    assert set(schema["properties"]) == {"run", "data", "model", "training"}


def test_the_reference_reads_as_a_config_of_defaults(tmp_path):
    text = mlip("schema", "--yaml").out
    values = yaml.safe_load(text)
    assert values["data"]["train"] == "REQUIRED"
    (tmp_path / "reference.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "short.yaml").write_text("data: {train: REQUIRED}\n", encoding="utf-8")
    assert load_config(tmp_path / "reference.yaml") == load_config(tmp_path / "short.yaml")


def test_the_reference_in_the_repository_is_fresh():
    path = REPOSITORY / "configs" / "reference.yaml"
    assert path.read_text(encoding="utf-8") == mlip("schema", "--yaml").out
