"""Errors on structures that were left out, each of them once."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np

from mlip.config import Config
from mlip.durable import write_whole
from mlip.studies.summary import aligned, error_keys, heading, mean_and_spread, shown
from mlip.studies.tasks import begin, without_test

logger = logging.getLogger(__name__)

NAME = "cross_validation"


def cross_validate(config: Config, folds: int = 5, *, quiet: bool = False) -> dict[str, Any]:
    """Train once for each fold of the training structures, on all but the fold, and test on the fold.

    The validation structures, by which the best epoch is chosen, are the same for all folds and in none; the config's
    test structures are left alone. The folder of the study (run.dir) then holds cross_validation.json, and each
    training in a folder of its own; those that are there are not done again.

    Raises:
        ValueError: there are fewer than two folds or fewer structures than folds, or config and data do not fit.
        Stopped: a signal came; the same call goes on.
    """
    config = without_test(config)
    study = begin(config)
    count = len(study.parts.train)
    if not 2 <= folds <= count:
        raise ValueError(f"--folds is {folds}; expected 2 to {count}, the number of training structures")
    order = np.random.default_rng(config.run.seed).permutation(np.array(study.parts.split.train)).tolist()
    held_out = [sorted(order[fold::folds]) for fold in range(folds)]
    kept = [[place for place in order if place not in set(mine)] for mine in held_out]
    for fold, places in enumerate(kept):  # before the first training
        study.require_elements(places, f"the training set of fold {fold + 1}", held_out[fold])
    runs = []
    for fold in range(folds):
        name = f"fold_{fold + 1}_of_{folds}"
        logger.info("%s", name)
        split = study.parts.split._replace(train=kept[fold], test=held_out[fold])
        results = study.train(name, config, split, quiet=quiet)
        runs.append({"fold": fold + 1, "folder": str(study.folder / name), **results})
    keys = error_keys(runs, "test")
    errors = {
        key: dict(zip(("mean", "spread"), mean_and_spread([r["test"][key] for r in runs]), strict=True))
        for key in [*keys, *(key.replace("_mae", "_rmse") for key in keys)]
    }
    found = {"folds": folds, "errors": errors, "runs": runs}
    write_whole(study.folder / f"{NAME}.json", json.dumps(found, indent=1))
    return found


def table(found: dict[str, Any]) -> str:
    """What `cross_validate` found: a row for each fold, then mean and spread."""
    keys = [key for key in found["errors"] if "_mae" in key]
    rows = [["fold", "train", "held out", "seconds", *(heading(key)[0] for key in keys)]]
    for r in found["runs"]:
        cells = [shown(r["test"][key], None, heading(key)[1]) for key in keys]
        counts = [str(r[part]["structures"]) for part in ("train", "test")]
        rows.append([str(r["fold"]), *counts, f"{r['seconds']:.0f}", *cells])
    means = [shown(found["errors"][key]["mean"], found["errors"][key]["spread"], heading(key)[1]) for key in keys]
    rows.append(["mean ± spread", "", "", "", *means])
    return f"mean absolute errors on the structures held out\n{aligned(rows)}"
