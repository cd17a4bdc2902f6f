"""Starts ranks as torchrun or srun would, without either."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).with_name("rank_worker.py")
UNSET = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def as_torchrun(rank: int, size: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip


def as_srun(rank: int, size: int, port: int) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0", "SLURM_PROCID": str(rank), "SLURM_NTASKS": str(size),
        "SLURM_LOCALID": str(rank), "SLURM_NODELIST": "localhost", "MASTER_PORT": str(port),
    }  # fmt: skip


def started(size: int, command, environment=as_torchrun) -> list[subprocess.Popen]:
    """The processes of all ranks; `command` comes after python."""
    port = free_port()
    given = {name: value for name, value in os.environ.items() if name not in UNSET} | {"OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**given, **environment(rank, size, port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def ended(processes: list[subprocess.Popen], seconds: float = 120) -> list[tuple[int, str, str]]:
    """Exit status, output and errors of each; none outlives this."""
    try:
        said = [process.communicate(timeout=seconds) for process in processes]
        return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]
    finally:
        for process in processes:
            process.kill()


def trained(size: int, configs, file: Path) -> None:
    """Train these configs, or go on with these folders, one after the other with so many ranks."""
    file.write_text(json.dumps(configs), encoding="utf-8")
    found = ended(started(size, [WORKER, file]))
    assert all(status == 0 for status, *_ in found), found
