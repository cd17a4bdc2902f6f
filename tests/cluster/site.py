"""A user's folder on a cluster: programs on PATH, a virtual environment, the scripts, a small config."""

import json
import os
import subprocess
import sys
from pathlib import Path

from cluster import slurm

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = REPOSITORY / "scripts" / "slurm"
EPOCHS = 120
CONFIG = {
    "run": {"dir": "runs/mine", "device": "cpu", "dtype": "float64"},
    "data": {"train": "data.npz", "index": ":48", "split": {"valid": 6, "test": 6}},
    "model": {
        "descriptor": [
            {"set": "radial", "cutoff": 4.0, "count": 3},
            {"set": "angular", "cutoff": 3.0, "shells": 1, "angles": 3},
        ],
        "networks": {"hidden": [6]},
    },
    "training": {"epochs": EPOCHS, "batch_size": 4, "optimizer": {"name": "adam"}},
}


class Site:
    """A folder to work in, and how a shell there finds programs."""

    def __init__(self, folder: Path, **values: str) -> None:
        self.folder, self.state = folder, folder / ".state"
        programs = folder / ".programs"
        programs.mkdir()
        self.state.mkdir()
        for name in slurm.PROGRAMS:
            _executable(programs / name, f'exec {sys.executable} {slurm.__file__} {name} "$@"')
        for name, module in {"mlip": "mlip", "torchrun": "torch.distributed.run", "python": ""}.items():
            _executable(programs / name, f'exec {sys.executable} {f"-m {module}" if module else ""} "$@"')
        (folder / ".venv" / "bin").mkdir(parents=True)
        # As real ones do, it uses a variable that may not be set.
        (folder / ".venv" / "bin" / "activate").write_text("PS1=$NEVER_SET_BY_ANYBODY\n", encoding="utf-8")
        (folder / "scripts").mkdir()
        (folder / "scripts" / "slurm").symlink_to(SCRIPTS)
        (folder / "data.npz").symlink_to(REPOSITORY / "data" / "ethanol_xtb.npz")
        (folder / "config.yaml").write_text(json.dumps(CONFIG), encoding="utf-8")  # JSON is YAML
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "MASTER"))}
        self.environment = {
            **kept, "PATH": f"{programs}:{os.environ['PATH']}", slurm.STATE: str(self.state), "OMP_NUM_THREADS": "1",
            **values,
        }  # fmt: skip

    def bash(self, command: str, **values: str) -> subprocess.CompletedProcess:
        """What a user types there."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder, env={**self.environment, **values}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def log(self) -> str:
        """What all jobs wrote."""
        return "\n".join(path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("*.log")))

    def jobs(self) -> list[tuple[str, str]]:
        """Exit status of each start of a job, and whether it was put back."""
        rows = (self.state / "jobs").read_text(encoding="utf-8").splitlines()
        return [tuple(row.split()[1:]) for row in rows]

    def calls(self, program: str) -> list[list[str]]:
        """How a program was called."""
        file = self.state / "calls"
        rows = map(json.loads, file.read_text(encoding="utf-8").splitlines() if file.exists() else [])
        return [row[1:] for row in rows if row[0] == program]


def _executable(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
