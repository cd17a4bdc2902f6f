"""Errors over the number of training structures."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlip.config import Config
from mlip.durable import write_whole
from mlip.studies.power_law import PowerLaw, fitted_power_law
from mlip.studies.summary import aligned, error_keys, heading, mean_and_spread, shown
from mlip.studies.tasks import Study, begin, with_seed

logger = logging.getLogger(__name__)

NAME = "learning_curve"
SMALLEST = 10  # structures, when sizes are chosen here


def learning_curve(
    config: Config, sizes: Sequence[int] = (), repeats: int = 1, *, equal_steps: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Train at each size, on nested seeded subsets of the training structures, with the same validation and test sets.

    A repeat has another order of structures and other weights. No sizes: all structures, half, a quarter, to an eighth.
    `equal_steps` lengthens the epochs of smaller sizes so that all do as many steps as the largest. The folder of the
    study (run.dir) then holds learning_curve.json and .csv, and each training in a folder of its own; those that are
    there are not done again.

    Raises:
        ValueError: a size is not between 1 and the number of training structures, or config and data do not fit.
        Stopped: a signal came; the same call goes on.
    """
    if repeats < 1:
        raise ValueError(f"--repeats is {repeats}; expected at least 1")
    study = begin(config)
    sizes = _checked(sizes, len(study.parts.train))
    orders = [_order(study, repeat) for repeat in range(repeats)]
    for repeat, order in enumerate(orders):
        study.require_elements(order[: sizes[0]], f"the {sizes[0]} of repeat {repeat + 1}")
    runs = []
    for size in sizes:
        for repeat, order in enumerate(orders):
            name = f"size_{size}_repeat_{repeat + 1}"
            logger.info("%s", name)
            own = with_seed(_lengthened(config, size, sizes[-1]) if equal_steps else config, config.run.seed + repeat)
            split = study.parts.split._replace(train=order[:size])
            results = study.train(name, own, split, quiet=quiet)
            runs.append({"size": size, "repeat": repeat + 1, "folder": str(study.folder / name), **results})
    found = _summary(runs, sizes)
    write_whole(study.folder / f"{NAME}.json", json.dumps(found, indent=1))
    _write_csv(study.folder / f"{NAME}.csv", runs, found["part"])
    return found


def table(found: dict[str, Any]) -> str:
    """What `learning_curve` found: a row for each size, and the power laws."""
    keys = list(found["power_law"])
    rows = [["structures", "seconds", *(heading(key)[0] for key in keys)]]
    for point in found["sizes"]:
        cells = [shown(point[key]["mean"], point[key]["spread"], heading(key)[1]) for key in keys]
        rows.append([str(point["size"]), f"{point['seconds']['mean']:.0f}", *cells])
    text = f"mean absolute errors, {found['part']} structures\n{aligned(rows)}"
    for key, law in found["power_law"].items():
        if law is not None:
            name, factor = heading(key)
            sure = "" if law["b_error"] is None else f" ± {law['b_error']:.2f}"
            text += f"\n{name} = {law['a'] * factor:.4g} n^-b, b = {law['b']:.2f}{sure}"
    return text


def _checked(sizes: Sequence[int], largest: int) -> list[int]:
    if not sizes:
        sizes = [n for n in (largest // 8, largest // 4, largest // 2) if n >= SMALLEST] + [largest]
    chosen = sorted(set(sizes))
    if chosen[0] < 1 or chosen[-1] > largest:
        raise ValueError(
            f"--sizes asks for {chosen[0]} to {chosen[-1]} structures; expected 1 to {largest}, the number of training "
            "structures. Choose other sizes or another data.split"
        )
    return chosen


def _order(study: Study, repeat: int) -> list[int]:
    """Training structures in the order in which subsets grow."""
    places = np.array(study.parts.split.train)
    order: list[int] = np.random.default_rng([study.config.run.seed, repeat]).permutation(places).tolist()
    return order


def _lengthened(config: Config, size: int, largest: int) -> Config:
    """The config with as many steps as it would take with the largest set."""
    training = config.training
    steps = [1 if training.batch_size == "all" else math.ceil(n / training.batch_size) for n in (largest, size)]
    factor = steps[0] / steps[1]
    changes: dict[str, Any] = {"epochs": round(factor * training.epochs)}
    if training.second_stage.start is not None:
        start = 1 + round(factor * (training.second_stage.start - 1))
        changes["second_stage"] = training.second_stage.model_copy(update={"start": start})
    return config.model_copy(update={"training": training.model_copy(update=changes)})


def _summary(runs: Sequence[dict[str, Any]], sizes: Sequence[int]) -> dict[str, Any]:
    part = next(name for name in ("test", "valid", "train") if name in runs[0])
    keys = error_keys(runs, part)
    points = []
    for size in sizes:
        mine = [r for r in runs if r["size"] == size]
        values = {"seconds": [r["seconds"] for r in mine], **{key: [r[part][key] for r in mine] for key in keys}}
        named = {key: dict(zip(("mean", "spread"), mean_and_spread(v), strict=True)) for key, v in values.items()}
        points.append({"size": size, **named})
    laws = {key: _law([r["size"] for r in runs], [r[part][key] for r in runs]) for key in keys}
    return {"part": part, "sizes": points, "power_law": laws, "runs": runs}


def _law(sizes: list[int], errors: list[float]) -> dict[str, float | None] | None:
    """The power law as plain values that JSON knows; None where there is none."""
    if len(set(sizes)) < 2 or min(errors) <= 0:
        return None
    law: PowerLaw = fitted_power_law(sizes, errors)
    return {"a": law.a, "b": law.b, "b_error": law.b_error if law.b_error == law.b_error else None}


def _write_csv(path: Path, runs: Sequence[dict[str, Any]], part: str) -> None:
    """A row for each training: size, repeat, seconds and its errors in eV and Å."""
    names = list(runs[0][part])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "repeat", "seconds", *(f"{part}_{name}" for name in names)])
        for r in runs:
            writer.writerow([r["size"], r["repeat"], r["seconds"], *(r[part][name] for name in names)])
