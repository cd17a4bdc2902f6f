"""Rules of the house that a text search can keep."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mlip"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 330
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "tools", "misc"}
# What may stand in some files only: pattern -> files, relative to the package.
ROOMS = {
    r"\btorch\.(save|load)\(": {"model/checkpoint.py"},
    r"\bautograd\.grad\(": {"model/evaluate.py", "descriptors/operation.py"},
    r"^\s*(import|from) triton\b": {"gpu/angular.py", "gpu/names.py", "gpu/pairs.py", "gpu/radial.py"},
    r"^\s*(import|from) (yaml|pydantic)\b": {
        "configreference.py",
        "config/__init__.py",
        "config/data.py",
        "config/descriptor.py",
        "config/gpr.py",
        "config/model.py",
        "config/networks.py",
        "config/pair.py",
        "config/section.py",
        "config/training.py",
        "configfile.py",
    },
    r"\.squeeze\(\)": set(),
    r"set_default_dtype|set_default_device": set(),
    r"\bprint\(": {"cli.py"},
    r"\bpickle\.loads?\(|weights_only=False": set(),
}


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_rooms_are_small_and_have_names(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
    assert not VAGUE & {part.lower() for part in path.relative_to(PACKAGE).with_suffix("").parts}


@pytest.mark.parametrize("pattern", ROOMS)
def test_each_line_is_in_its_room(pattern):
    found = {name(path) for path in FILES if re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)}
    assert found <= ROOMS[pattern]
    assert found == ROOMS[pattern], "a room that is no longer used; take it off the list"


def test_patterns_find_what_they_forbid():
    samples = [
        "x = torch.load(path)", "torch.autograd.grad(e, r)", "import triton", "    import yaml", "x.squeeze()",
        "torch.set_default_dtype(torch.float64)", "print(1)", "torch.x(path, weights_only=False)",
    ]  # fmt: skip
    for pattern, sample in zip(ROOMS, samples, strict=True):
        assert re.search(pattern, sample, re.MULTILINE), pattern


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_file_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_nothing_is_wider_than_a_function_may_be():
    """No function has more than about 50 lines of code; a few may be somewhat longer, none twice as long."""
    long = {
        f"{name(path)}:{node.name}": node.end_lineno - node.body[0].lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.body[0].lineno + 1 > 70
    }
    assert long == {}
