"""Imports go down: a module imports only what stands on a lower layer, or in its own folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mlip"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}
# From the bottom up. Modules and folders of one layer are siblings and do not know each other.
LAYERS = [
    ["durable", "archives", "messages", "machine"],
    [
        "structure",
        "units",
        "config",
        "device",
        "arithmetic",
        "trajectory",
        "ensembles",
        "kernels",
        "gpu",
        "stopping",
        "claim",
        "diversity",
    ],
    ["elements"],
    ["configreference"],
    ["neighbors", "pair_search", "data", "configfile"],
    ["batch", "reading"],
    ["descriptors", "verlet"],
    ["pair"],
    ["model"],
    ["collection"],
    ["training", "interfaces", "dynamics", "analysis"],
    ["gpr"],
    ["assembly"],
    ["fine_tuning", "baseline"],
    ["preparation", "storing"],
    ["featurization", "streaming", "agreement", "provenance"],
    ["regression"],
    ["run", "evaluation", "picking"],
    ["lr_range", "requeue"],
    ["inspection"],
    ["studies", "evaluation_command", "exchange_command", "conversion", "analysis_command"],
    ["lammps_command", "ipi_command", "prepare_command", "report", "selection_command", "collecting"],
    ["cli"],
    ["__main__"],
]
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}


def imported(path: Path) -> set[str]:
    """Modules of mlip that a file imports, anywhere in it, without the leading 'mlip.'."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import; write it out"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    found = {name.removeprefix("mlip.") for name in found if name.split(".")[0] == "mlip"}
    return {name for name in found if name.split(".")[0] in LAYER_OF or name == "mlip"} | {
        name for name in found if name in MODULES
    }


def complaints(module: str, imports: set[str]) -> list[str]:
    """What is wrong with the imports of a module."""
    room = module.split(".")[0]
    return [
        f"mlip.{module} imports mlip.{other}, which stands {'beside' if LAYER_OF[o] == LAYER_OF[room] else 'above'} it"
        for other in sorted(imports)
        if (o := other.split(".")[0]) != room and LAYER_OF.get(o, 99) >= LAYER_OF[room]
    ]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    assert module.split(".")[0] in LAYER_OF, f"add '{module.split('.')[0]}' to LAYERS in {Path(__file__).name}"
    assert complaints(module, imported(MODULES[module])) == []


def test_the_rule_catches_what_it_forbids(tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text("from mlip.training.loss import Loss\ndef f():\n    import mlip.run\n", encoding="utf-8")
    assert imported(file) == {"training.loss.Loss", "run"}
    assert len(complaints("model.evaluate", imported(file))) == 2
    assert len(complaints("interfaces.calculator", imported(file))) == 2, "siblings do not import each other"
    assert complaints("cli", imported(file)) == []


def test_modules_of_a_folder_do_not_import_in_a_circle():
    edges = {
        module: {other for name in imported(path) for other in MODULES if name == other or name.startswith(other + ".")}
        for module, path in MODULES.items()
    }
    left = dict(edges)
    while left:
        free = [module for module, needs in left.items() if not needs & set(left)]
        assert free, f"these import each other in a circle: {sorted(left)}"
        for module in free:
            del left[module]


@pytest.mark.parametrize("heavy", ["torch", "numba", "triton", "matplotlib", "ase", "numpy"])
def test_import_of_the_package_is_light(heavy):
    code = f"import sys, mlip; mlip.__all__; raise SystemExit('{heavy}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent).returncode == 0


@pytest.mark.parametrize("module", ["structure", "units", "config", "configfile", "data.read"])
def test_the_lowest_layers_need_no_torch(module):
    code = f"import sys, mlip.{module}; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent).returncode == 0


def test_public_names_are_where_the_package_says():
    import mlip

    assert set(dir(mlip)) == set(mlip.__all__)
    for name in mlip.__all__:
        assert getattr(mlip, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mlip.nonsense  # noqa: B018
