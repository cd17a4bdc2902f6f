"""Kills a training again and again and gives the same command anew until it is done; a program that `test_kills` runs.

Everything is imported and compiled once; each attempt is a child of this process, so that fifty of them take seconds.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import count
from pathlib import Path

from mlip.cli import main
from mlip.configfile import load_config
from mlip.model.checkpoint import POTENTIAL, TRAINING, load

CONFIG = """
run: {{dir: {folder}, device: cpu}}
data: {{train: {data}, index: ":36", split: {{valid: 6}}}}
model:
  descriptor: [{{set: radial, cutoff: 4.0, count: 3}}, {{set: angular, cutoff: 3.0, shells: 1, angles: 2}}]
  networks: {{hidden: [6]}}
training: {{epochs: 6, batch_size: 10, ema: 0.9, average_last: 0.5, checkpoint_seconds: 0}}
"""
CALLS = ("fsync", "replace", "rename", "unlink", "open", "link")  # of os: where a kill may come between two states


def attempt(config: Path, before: Callable[[], None], delay: float | None) -> int | None:
    """The training in a child that is killed after a delay (s): its exit status, or None if the kill came first."""
    child = os.fork()
    if not child:
        status = 99
        try:
            before()
            with redirect_stdout(StringIO()):
                status = main(["train", str(config), "--requeue", "--quiet"])
        finally:
            os._exit(status)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    state = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(state) and os.WTERMSIG(state) == signal.SIGKILL else os.waitstatus_to_exitcode(state)


def kill_at_call(number: int) -> None:
    """End this process by SIGKILL at such a call, counted from 1; at fsync a part of the file is written."""
    left = [number]

    def counted(name: str) -> Callable:
        function = getattr(os, name)

        def call(*arguments, **options):
            left[0] -= 1
            if not left[0]:
                if name == "fsync" and (size := os.fstat(arguments[0]).st_size):
                    path = Path(f"/proc/self/fd/{arguments[0]}").readlink()
                    if path.suffix == ".partial":
                        os.truncate(path, random.Random(number).randrange(size))
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, counted(name))


def check_whole(folder: Path) -> None:
    """See that what is there is whole, and that the table has every row before the checkpoint's epoch once."""
    for path in folder.glob("*.pt"):
        load(path, POTENTIAL if path.name == "potential.pt" else TRAINING)
    for path in folder.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    for path in folder.glob("*.yaml"):
        load_config(path)
    table = folder / "metrics.csv"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True) if table.exists() else []
    epochs = [int(line.partition(",")[0]) for line in lines[1:] if line.endswith("\n")]
    assert epochs == list(range(1, len(epochs) + 1)), epochs
    for name in ("training.pt", "training.previous.pt"):
        if (folder / name).exists():
            assert len(epochs) >= load(folder / name, TRAINING)["progress"]["epoch"] - 1, f"{folder}: lost a row"


def outcome(folder: Path) -> tuple:
    """What must not depend on kills: everything but the times."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    content = load(folder / "potential.pt", POTENTIAL)
    best = {name: content["provenance"][name] for name in ("best_epoch", "best_loss", "data")}
    weights = {name: tensor.numpy().tobytes() for name, tensor in content["state"].items()}
    return weights, best, rows, {name: value for name, value in results.items() if name != "seconds"}


def train_with_kills(
    place: Path, data: Path, plan: Iterator[tuple[Callable[[], None], float | None]]
) -> dict[str, int]:
    """Train in a folder below `place`, killed as `plan` says until a training ends; what was found there."""
    folder = place / "run"
    place.mkdir()
    config = place / "config.yaml"
    config.write_text(CONFIG.format(folder=folder, data=data), encoding="utf-8")
    seen = {"kills": 0, "in_a_write": 0, "with_checkpoint": 0}
    for before, delay in plan:
        status = attempt(config, before, delay)
        assert status in (None, 0), status
        if status == 0:
            break
        check_whole(folder)
        seen["kills"] += 1
        seen["in_a_write"] += any(folder.glob("*.partial"))
        seen["with_checkpoint"] += any(folder.glob("training*.pt"))
    check_whole(folder)
    return seen


def run(place: Path, data: Path, kills: int, seed: int) -> dict[str, int]:
    """Both kinds of kills, each training compared with one that was left alone; the sums of what was seen."""
    generator = random.Random(seed)
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    whole = place / "whole"
    whole.mkdir()
    (whole / "config.yaml").write_text(CONFIG.format(folder=whole / "run", data=data), encoding="utf-8")
    with redirect_stdout(StringIO()):
        assert main(["train", str(whole / "config.yaml"), "--quiet"]) == 0
    expected = outcome(whole / "run")
    started = time.monotonic()
    again = train_with_kills(place / "again", data, iter([(nothing, None)]))
    longest = time.monotonic() - started  # of a training whose kernels are compiled
    assert not again["kills"] and outcome(place / "again" / "run") == expected
    at_calls = train_with_kills(
        place / "calls", data, (((lambda number=number: kill_at_call(number)), None) for number in count(1))
    )
    assert outcome(place / "calls" / "run") == expected
    random_kills = {"trainings": 0, "kills": 0, "in_a_write": 0, "with_checkpoint": 0}
    while random_kills["kills"] < kills:
        folder = place / f"random{random_kills['trainings']}"
        seen = train_with_kills(folder, data, ((nothing, generator.uniform(0, longest)) for _ in count()))
        assert outcome(folder / "run") == expected, folder
        random_kills["trainings"] += 1
        for name, value in seen.items():
            random_kills[name] += value
    return {"at_calls": at_calls, "random": random_kills, "seconds_of_a_training": longest}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
