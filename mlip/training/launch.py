"""Which of several processes this one is, as torchrun or SLURM's srun tell it through the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

PORTS = range(12_000, 32_000)  # below those that systems hand out by themselves
TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Launch(NamedTuple):
    """One of `size` processes, and where all of them meet."""

    rank: int
    size: int
    host: str
    port: int
    attempt: str = "0"  # torchrun starts all anew after a failure, if asked to


def launch_of(environment: Mapping[str, str]) -> Launch | None:
    """What the environment says; None for a process by itself.

    A batch script of SLURM has the numbers of its allocation as well, but it is no step of srun: it is by itself.

    Raises:
        ValueError: the environment says it in part, or not in numbers.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        missing = [name for name in TORCHRUN if name not in environment]
        if missing:
            raise ValueError(
                f"RANK and WORLD_SIZE are set and {', '.join(missing)} not; start with torchrun, which sets all four, "
                "or unset RANK"
            )
        number = {name: _whole(environment, name) for name in TORCHRUN if name != "MASTER_ADDR"}
        launch = Launch(
            number["RANK"],
            number["WORLD_SIZE"],
            environment["MASTER_ADDR"],
            number["MASTER_PORT"],
            environment.get("TORCHELASTIC_RESTART_COUNT", "0"),
        )
    elif "SLURM_STEP_ID" in environment and "SLURM_PROCID" in environment:
        launch = _of_slurm(environment)
    else:
        return None
    if not 0 <= launch.rank < launch.size:
        raise ValueError(f"the environment says rank {launch.rank} of {launch.size}; expected 0 to {launch.size - 1}")
    return launch if launch.size > 1 else None


def _of_slurm(environment: Mapping[str, str]) -> Launch:
    tasks, nodes = (
        next((name for name in names if name in environment), None)
        for names in (
            ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
            ("SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST"),
        )
    )
    if tasks is None or nodes is None or "SLURM_JOB_ID" not in environment:
        raise ValueError(
            "SLURM_STEP_ID and SLURM_PROCID are set, but not SLURM_NTASKS, SLURM_NODELIST and SLURM_JOB_ID; "
            "start with srun, which sets all, or unset SLURM_STEP_ID"
        )
    job, step = (_whole(environment, name) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    port = PORTS[(job + 1009 * step) % len(PORTS)]  # steps of one job may run beside each other
    if "MASTER_PORT" in environment:
        port = _whole(environment, "MASTER_PORT")
    host = environment.get("MASTER_ADDR") or first_host(environment[nodes])
    return Launch(
        _whole(environment, "SLURM_PROCID"),
        _whole(environment, tasks),
        host,
        port,
        environment.get("SLURM_RESTART_COUNT", "0"),
    )


def first_host(nodes: str) -> str:
    """The first host of a list as SLURM writes it: "node[003-017,020],gpu1" begins with "node003".

    Source: `man scontrol`, show hostnames; what that program prints first.

    Raises:
        ValueError: nothing of that kind.
    """
    match = re.match(r"(?:[^\[\],\s]|\[\d[\d,-]*\])+", nodes.strip())
    if match is None:
        raise ValueError(f"SLURM's list of nodes is '{nodes}'; expected host names like node[001-004],gpu7")
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", match.group())


def _whole(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except ValueError as error:
        raise ValueError(f"the environment's {name} is '{environment[name]}'; expected a whole number") from error
