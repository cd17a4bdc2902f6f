"""The range test of a config's learning rate, and its picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mlip.arithmetic import arithmetic
from mlip.assembly import plan_of
from mlip.config import Config
from mlip.device import configure_cpu
from mlip.featurization import kept_features
from mlip.run import new_potential
from mlip.streaming import prepare
from mlip.training.examples import Examples
from mlip.training.loop import Trainer
from mlip.training.optimizers import make_optimizer
from mlip.training.rate_range import range_test, rising_rates, suggested_rate

ROWS, LONGEST = 30, 40  # of the picture: rows, characters of the longest bar


def learning_rate_range(
    config: Config, *, lowest: float, highest: float, steps: int, quiet: bool = False
) -> dict[str, Any]:
    """Train for some steps with a rate that rises; no run folder is written.

    Returns:
        `suggestion` (or None), `configured`, the rate that the config has, and `points`: one dict of `rate`, `loss`
        and `mean` for each step.

    Raises:
        ValueError: config and data do not fit together, the rates do not rise, or the optimizer needs no rate.
    """
    chosen = config.training.optimizer.model_dump()
    if chosen["name"] == "lbfgs":
        raise ValueError("training.optimizer is lbfgs, whose line search finds the rate; choose another optimizer")
    rates = rising_rates(lowest, highest, steps)
    ready = prepare(config)
    configure_cpu(config.run.threads)
    exactness = arithmetic(ready.device, config.run.tf32, config.run.deterministic)
    with exactness, kept_features(config, ready.descriptor, ready.examples):
        potential = new_potential(ready)
        trainer = Trainer(
            potential,
            lambda weights: make_optimizer(weights=weights, **chosen),
            ready.examples["train"],
            Examples([], potential.cutoff, ready.device),
            plan_of(config, ready.examples["train"].lengths),
            Path(config.run.dir),
        )
        bar = tqdm(trainer.steps_at(rates), total=steps, unit="step", disable=quiet, dynamic_ncols=True)
        points = range_test(rates, (float(terms.total) for terms in bar))
    return {
        "suggestion": suggested_rate(points),
        "configured": chosen["learning_rate"],
        "points": [point._asdict() for point in points],
    }


def picture(results: Mapping[str, Any]) -> str:
    """Rates, mean losses and bars on a logarithmic scale, and what follows."""
    points = [point for point in results["points"] if math.isfinite(point["mean"]) and point["mean"] > 0]
    points = points[:: max(1, math.ceil(len(points) / ROWS))]
    logs = [math.log(point["mean"]) for point in points]
    low, high = min(logs, default=0.0), max(logs, default=0.0)
    lines = [f"{'rate':>9} {'mean loss':>10}"]
    for point, value in zip(points, logs, strict=True):
        bar = "#" * round(1 + (LONGEST - 1) * (value - low) / ((high - low) or 1.0))
        lines.append(f"{point['rate']:9.2e} {point['mean']:10.3e} {bar}")
    suggestion = results["suggestion"]
    found = "the loss never falls" if suggestion is None else f"the loss falls fastest at {suggestion:.2g}"
    lines.append(f"{found}; training.optimizer.learning_rate is {results['configured']:g}")
    return "\n".join(lines)
