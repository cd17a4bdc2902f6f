"""What forked ranks have in common: everything imported, and kernels loaded by a training of one epoch.

Importing this does it; `tests/training/ranks.py` lets a server of forks import it once for all ranks of all tests.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from mlip import cli
from mlip.configfile import parse_config
from mlip.run import resume, train
from mlip.training.distributed import joined
from training.ranks import DESCRIPTOR

DATA = Path(__file__).parents[2] / "data" / "alcu_emt.xyz"


def run(environment, output, arguments):
    """A rank: `mlip` with these arguments, or what a file of configs says (`configs FILE`)."""
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}.{name}", os.O_CREAT | os.O_WRONLY), number)
    if arguments[0] != "configs":
        sys.exit(cli.main(arguments))
    with joined() as ranks:
        for values in json.loads(Path(arguments[1]).read_text(encoding="utf-8")):
            if isinstance(values, str):
                resume(values, quiet=True, ranks=ranks)
            else:
                train(parse_config(values, "test"), quiet=True, ranks=ranks)


def _load_kernels(folder):
    values = {
        "run": {"dir": folder, "device": "cpu", "dtype": "float64", "threads": 1},
        "data": {"train": str(DATA), "index": ":12", "split": {"valid": 2}},
        "model": {"descriptor": DESCRIPTOR, "networks": {"hidden": [5]}},
        "training": {"epochs": 1},
    }
    train(parse_config(values, "test"), quiet=True)


tqdm.monitor_interval = 0  # else it starts a thread
with tempfile.TemporaryDirectory() as unused:
    _load_kernels(str(Path(unused) / "run"))
assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads must not be forked"
