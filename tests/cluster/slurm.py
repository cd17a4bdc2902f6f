"""What of SLURM and Apptainer the batch scripts use, on one machine: python slurm.py PROGRAM ARGUMENTS.

`sbatch` runs a copy of the script at once, as often as `scontrol requeue` asks for, the tasks of an array one after the
other, and returns when all is done. Once the file $FAKE_WARN_AFTER is there, it sends the signal of --signal as SLURM
does: to all processes of the steps, or with B: to the batch shell. `srun` starts $FAKE_TASKS tasks at most.
"""

import fcntl
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STATE = "FAKE_SLURM_STATE"  # folder: pids of steps, requests to requeue, what was called
PROGRAMS = ("sbatch", "srun", "scontrol", "module", "apptainer", "docker")


def directives(script):
    """The options in the head of a script, as sbatch reads them."""
    found = {}
    for line in script.read_text(encoding="utf-8").splitlines():
        if line.startswith("#SBATCH "):
            words = shlex.split(line.removeprefix("#SBATCH "))
            assert len(words) == 1, f"sbatch takes one option a line: {line}"
            name, _, value = words[0].removeprefix("--").partition("=")
            found[name] = value
        elif line.strip() and not line.startswith("#"):
            break  # what follows the first command is not read
    return found


def state():
    return Path(os.environ[STATE])


def noted(program, arguments):
    with (state() / "calls").open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps([program, *arguments]) + "\n")


def sbatch(arguments):
    given = {}
    while arguments[0].startswith("--"):
        name, _, value = arguments.pop(0).removeprefix("--").partition("=")
        given[name] = value
    script = Path(arguments.pop(0))
    options = {**directives(script), **given}
    job = 1000 + os.getpid() % 10000 * 10
    status, warned = 0, []
    numbers = numbers_of(options["array"]) if "array" in options else [None]
    for number in numbers:
        # In SLURM the last task of an array has the number of the array.
        own = job if number in (None, numbers[-1]) else job + 1 + numbers.index(number)
        status = max(status, run_job(script, arguments, options, job, own, number, warned))
    print(f"Submitted batch job {job}")
    return status


def numbers_of(text):
    found = []
    for part in text.partition("%")[0].split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def run_job(script, arguments, options, job, own, number, warned):
    tasks = int(options.get("nodes", 1)) * int(options.get("ntasks-per-node", 1))
    environment = {
        **os.environ, "SLURM_JOB_ID": str(own), "SLURM_NTASKS": str(tasks), "SLURM_JOB_NODELIST": "localhost",
        "SLURM_CPUS_PER_TASK": os.environ.get("FAKE_CPUS", options.get("cpus-per-task", "1")),
    }  # fmt: skip
    names = {"%x": options["job-name"], "%j": str(own)}
    ids = [str(own)]
    if number is not None:
        environment |= {"SLURM_ARRAY_JOB_ID": str(job), "SLURM_ARRAY_TASK_ID": str(number)}
        names |= {"%A": str(job), "%a": str(number)}
        ids = [str(job), f"{job}_{number}"]
    output = re.sub("%[xjAa]", lambda match: names[match.group()], options["output"])
    for attempt in range(10):
        if attempt:
            environment["SLURM_RESTART_COUNT"] = str(attempt)
        with (
            tempfile.TemporaryDirectory() as spool,
            Path(output).open(
                "a" if attempt and options.get("open-mode") == "append" else "w", encoding="utf-8"
            ) as log,
        ):
            copy = Path(spool) / "slurm_script"  # a script does not know where it came from
            copy.write_bytes(script.read_bytes())
            shell = subprocess.Popen(["bash", copy, *arguments], env=environment, stdout=log, stderr=log)
            watch(shell, options.get("signal"), str(own), warned)
        request = next((state() / f"requeue {name}" for name in ids if (state() / f"requeue {name}").exists()), None)
        with (state() / "jobs").open("a", encoding="utf-8") as file:
            file.write(f"{ids[-1]} {shell.returncode} {'requeued' if request else 'ended'}\n")
        if request is None:
            return shell.returncode
        assert "requeue" in options, "SLURM may be set up not to requeue jobs that do not say that they can be"
        request.unlink()
    raise AssertionError("requeued again and again")


def watch(shell, wanted, job, warned):
    """Wait for the end of a job; send the signal that it wants, once for all jobs."""
    file = os.environ.get("FAKE_WARN_AFTER")
    while shell.poll() is None:
        time.sleep(0.01)
        if file and wanted and not warned and Path(file).exists():
            shell_only, _, name = wanted.partition("@")[0].rpartition(":")
            number = getattr(signal, f"SIG{name}")
            if shell_only == "B":
                shell.send_signal(number)
            else:
                for group in (state() / f"step {job}").read_text(encoding="utf-8").split():
                    os.killpg(int(group), number)
            warned.append(job)


def srun(arguments):
    options = []
    while arguments[0].startswith("-"):
        options.append(arguments.pop(0))
    job = os.environ["SLURM_JOB_ID"]
    size = min(int(os.environ["SLURM_NTASKS"]), int(os.environ.get("FAKE_TASKS", "1")))
    noted("srun", [*options, *arguments])
    with socket.socket() as probe:  # jobs of many clusters run on this machine
        probe.bind(("127.0.0.1", 0))
        port = os.environ.get("MASTER_PORT", str(probe.getsockname()[1]))
    tasks = [
        subprocess.Popen(
            arguments,
            env={
                **os.environ, "SLURM_STEP_ID": "0", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank),
                "SLURM_NTASKS": str(size), "SLURM_STEP_NUM_TASKS": str(size), "SLURM_STEP_NODELIST": "localhost",
                "MASTER_PORT": port,
            },
            start_new_session=True,
        )
        for rank in range(size)
    ]  # fmt: skip
    (state() / f"step {job}").write_text(" ".join(str(task.pid) for task in tasks), encoding="utf-8")
    patient = "--kill-on-bad-exit=0" in options  # else as many clusters are set up
    while any(task.poll() is None for task in tasks):
        time.sleep(0.01)
        if not patient and any(task.poll() for task in tasks):
            for task in tasks:
                task.kill()
    return max(task.returncode if task.returncode >= 0 else 128 - task.returncode for task in tasks)


def scontrol(arguments):
    action, name = arguments
    assert action == "requeue"
    noted("scontrol", arguments)
    (state() / f"requeue {name}").touch()
    return 0


def apptainer(arguments):
    noted("apptainer", arguments)
    action = arguments.pop(0)
    if action == "build":
        Path(arguments[0]).touch()
        return 0
    assert action == "exec"
    while arguments[0].startswith("--"):
        arguments.pop(0)
    assert Path(arguments[0]).is_file(), f"no image {arguments[0]}"
    os.execvp(arguments[1], arguments[1:])


def said(program):
    """A program that only takes note of what it is asked for."""

    def note(arguments):
        noted(program, arguments)
        return 0

    return note


if __name__ == "__main__":
    program, *rest = sys.argv[1:]
    known = {"sbatch": sbatch, "srun": srun, "scontrol": scontrol, "apptainer": apptainer}
    sys.exit(known.get(program, said(program))(rest))
