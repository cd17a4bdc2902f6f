"""Shapes are checked here and only here: the hook must stand before the first import of mlip."""

import os
import sys
from pathlib import Path
from types import ModuleType

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# The hook wants the name of a checker; this one takes an int for a float, as Python's typing does.
checker = ModuleType("mlip_type_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
# Numba and Triton compile plain functions only, so the kernels stay as they are.
PACKAGE = Path(__file__).parents[1] / "mlip"
KERNELS = {"kernels", "gpu"}
PATHS = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" and not KERNELS & set(path.parts)]
MODULES = [".".join(("mlip", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in PATHS]
install_import_hook(MODULES, "mlip_type_checker.check")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # Triton kernels then run on the CPU; read when triton is first imported

settings.register_profile("mlip", deadline=None, max_examples=25, derandomize=True, database=None)
settings.load_profile("mlip")
torch.set_num_threads(1)

REPOSITORY = Path(__file__).parents[1]
# Programs that tests start use this checkout as well, so that its kernels are compiled once.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))


def pytest_configure(config):
    # torch's own forward mode (torch.func.jvp) still uses torch.jit.script when it is first called.
    config.addinivalue_line("filterwarnings", "ignore:.*torch.jit.script.* is deprecated:DeprecationWarning")


@pytest.fixture(autouse=True)
def seeds():
    """Every test starts from the same random state, in whatever order tests run."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture
def shared():
    """The folder beside the repository that holds real data and reference values."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; it holds the real data this test reads")
    return folder


@pytest.fixture
def bundled():
    """The small samples that come with the repository."""
    return REPOSITORY / "data"
