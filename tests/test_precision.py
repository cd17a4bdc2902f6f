"""The errors of rounded products are measured; what the page on GPUs shows is run."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from interfaces.trained import ETHANOL, ethanol

from mlip.arithmetic import WORKSPACE, WORKSPACES
from mlip.cli import make_parser
from mlip.configfile import load_config

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
SCRIPT = ROOT / "scripts" / "precision.py"


def loaded():
    spec = importlib.util.spec_from_file_location("precision", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rounding_to_ten_bits():
    """Numbers with ten bits stay; others go to the nearest, or to the next one towards zero."""
    precision = loaded()
    values = torch.randn(10_000) * torch.logspace(-20, 20, 10_000)
    mantissa, exponent = torch.frexp(values.double())  # in [0.5, 1): eleven bits with the leading one
    nearest = torch.ldexp(mantissa.sign() * (mantissa.abs() * 2048 + 0.5).floor() / 2048, exponent)
    towards_zero = torch.ldexp((mantissa * 2048).trunc() / 2048, exponent)
    assert torch.equal(precision.tf32(values).double(), nearest)
    assert torch.equal(precision.cut_off(values).double(), towards_zero)
    assert torch.equal(precision.tf32(precision.tf32(values)), precision.tf32(values))
    common = values[(values.abs() > 1e-4) & (values.abs() < 6e4)] * 1.0001  # has no ties
    assert torch.equal(precision.tf32(common), precision.rounded_to(torch.float16)(common)), "as many bits"


def test_products_and_nothing_else_are_rounded():
    precision = loaded()
    a, b, c = torch.randn(3, 40, 40)
    with precision.RoundedProducts(precision.tf32, results=False) as mode:
        found = torch.addmm(c, a, b), a * b, torch.mv(a, b[0]), a.double() @ b.double()
    rounded = precision.tf32(a) @ precision.tf32(b) + c
    torch.testing.assert_close(found[0], rounded, rtol=1e-5, atol=1e-5)
    assert (found[0] - (a @ b + c)).abs().max() > 1e-3
    assert torch.equal(found[1], a * b) and torch.equal(found[2], torch.mv(a, b[0]))
    assert torch.equal(found[3], a.double() @ b.double()) and mode.count == 1


def test_the_figures_are_in_order():
    options = ["--potential", str(ethanol()), "--data", str(ETHANOL), "--structures", "10", "--device", "cpu"]
    done = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout.splitlines()[-1])["errors"]
    for kind in ("energy_mean", "forces_mean"):
        single, rounded, half = (errors[name][kind] for name in ("float32", "TF32", "bfloat16"))
        assert 0 < 20 * single < rounded < half
        assert rounded < errors["TF32, cut off"][kind]
    assert errors["TF32, kept features"]["forces_mean"] > errors["TF32"]["forces_mean"]


def lines(language):
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.split("#")[0].strip()]


@pytest.mark.parametrize("line", lines("bash"))
def test_commands_of_the_page(line):
    """Each mlip command is understood, each script is there, each variable is one we read."""
    if line.startswith("export "):
        assert line == f"export {WORKSPACE}={WORKSPACES[0]}"
        return
    program, *arguments = line.split()
    if program == "mlip":
        make_parser().parse_args(arguments)
        load_config(ROOT / arguments[1], arguments[2:])
    else:
        assert program == "python" and ((ROOT / arguments[0]).is_file() or arguments[0] == "-m")
