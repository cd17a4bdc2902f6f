"""Starts ranks as torchrun or srun would, without either; most of them as forks of one process, which saves imports."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

UNSET = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
DESCRIPTOR = [
    {"set": "radial", "cutoff": 3.5, "count": 3},
    {"set": "angular", "cutoff": 3.0, "shells": 1, "angles": 2},
]
TESTS = str(Path(__file__).parents[1])
SERVER = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([TESTS, str(Path(TESTS).parent)])}
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["training.rank_forks"])


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


class Fork:
    """A rank that runs `mlip` with arguments, or `configs FILE`; speaks as `subprocess.Popen` does."""

    def __init__(self, environment: dict[str, str], arguments: list[str]) -> None:
        self._output = Path(tempfile.mkdtemp()) / "rank"
        self._process = FORKS.Process(target=_fork, args=(environment, str(self._output), arguments), daemon=True)
        before = {name: os.environ.get(name) for name in SERVER}
        os.environ.update(SERVER)  # which starts with the first rank
        try:
            self._process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    returncode = property(poll)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float) -> tuple[str, str]:
        self._process.join(timeout)
        assert self._process.exitcode is not None, "it does not end"
        out, err = (self._output.with_suffix(f".{name}").read_text(encoding="utf-8") for name in ("out", "err"))
        return out, err


def _fork(environment: dict[str, str], output: str, arguments: list[str]) -> None:
    from training import rank_forks

    rank_forks.run(environment, output, arguments)


def forked(size: int, arguments, environment=as_torchrun) -> list[Fork]:
    """All ranks of `mlip` with these arguments."""
    port = free_port()
    return [Fork(environment(rank, size, port), list(map(str, arguments))) for rank in range(size)]


def started(size: int, command, environment=as_torchrun) -> list[subprocess.Popen]:
    """Processes of their own, as a batch system starts them; `command` comes after python."""
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


def ended(processes, seconds: float = 120) -> list[tuple[int, str, str]]:
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
    found = ended(forked(size, ["configs", file]))
    assert all(status == 0 for status, *_ in found), found


def under_way(processes, folder: Path) -> None:
    """Wait until an epoch of a run is done."""
    limit = time.monotonic() + 100
    while not (folder / "metrics.csv").exists() and processes[0].poll() is None and time.monotonic() < limit:
        time.sleep(0.01)


def command(values, tmp_path, *overrides):
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return ["train", file, *overrides]


def rows(folder):
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def results(folder):
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    del found["seconds"]
    return found


def assert_same(folder, other):
    one, two = rows(folder), rows(other)
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=1e-6, abs=1e-12)
    one, two = results(folder), results(other)
    assert one.keys() == two.keys()
    for part in one:
        assert one[part] == pytest.approx(two[part], rel=1e-6, abs=1e-12)
