"""The commands that train many times: learning-curve, cross-validate, tune. Heavy imports stay inside the commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from mlip.inspection import Command


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parsers of the studies; `add` makes one from name, command and help."""
    p = add("learning-curve", _learning_curve, "errors over the number of training structures")
    _add_config(p)
    p.add_argument(
        "--sizes", type=_whole_numbers, default=(), metavar="N,N,...", help="training structures (default: all, halved)"
    )
    p.add_argument("--repeats", type=int, default=1, help="subsets and seeds for each size (default: 1)")
    p.add_argument("--equal-steps", action="store_true", help="more epochs for smaller sizes, as many steps for all")

    p = add("cross-validate", _cross_validate, "errors on training structures left out, fold by fold")
    _add_config(p)
    p.add_argument("--folds", type=int, default=5, help="parts of the training structures (default: 5)")

    p = add("tune", _tune, "search the settings with the smallest validation error")
    _add_config(p)
    p.add_argument("--trials", type=int, default=30, help="trainings, earlier ones in run.dir included (default: 30)")
    p.add_argument(
        "--space",
        metavar="FILE",
        help="YAML file with key.path: {low, high, log} or [choices] (default: rate, batch size, widths, scaling)",
    )
    p.add_argument(
        "--objective",
        choices=("loss", "forces", "energy"),
        default="loss",
        help="what to make small on the validation structures (default: loss)",
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="YAML file; run.dir becomes the folder of the study")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="replaces a value of the config")


def _learning_curve(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from pathlib import Path

    from mlip.configfile import load_config
    from mlip.studies.learning_curve import NAME, learning_curve, table
    from mlip.studies.picture import draw_learning_curve

    config = load_config(options.config, options.overrides)
    found = learning_curve(
        config, options.sizes, options.repeats, equal_steps=options.equal_steps, quiet=options.quiet or options.json
    )
    draw_learning_curve(found, Path(config.run.dir) / NAME)
    return found, f"{table(found)}\nsaved in {config.run.dir}"


def _cross_validate(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from mlip.configfile import load_config
    from mlip.studies.cross_validation import cross_validate, table

    config = load_config(options.config, options.overrides)
    found = cross_validate(config, options.folds, quiet=options.quiet or options.json)
    return found, f"{table(found)}\nsaved in {config.run.dir}"


def _tune(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    import shlex
    from collections.abc import Sequence

    from mlip.config import Config
    from mlip.configfile import load_config, read_yaml
    from mlip.studies.space import DEFAULT_SPACE, parse_space
    from mlip.studies.tuning import table, tune

    cure = "Give key.path: {low, high, log} or [choices] in it, or leave --space out"
    values = read_yaml(options.space, "file with a space", cure) if options.space else DEFAULT_SPACE
    space = parse_space(values, options.space or "the default space")

    def load(overrides: Sequence[str]) -> Config:
        return load_config(options.config, [*options.overrides, *overrides])

    found = tune(load, space, options.trials, options.objective, quiet=options.quiet or options.json)
    kept = [text for text in options.overrides if not text.startswith(("run.dir=", "run.overwrite="))]
    best = [*kept, *found["best"]["overrides"], f"run.dir={load(()).run.dir}/best"]
    found["command"] = shlex.join(["mlip", "train", options.config, *best])
    return found, f"{table(found)}\ntrain with the best settings:\n  {found['command']}"


def _whole_numbers(text: str) -> list[int]:
    """Numbers separated by commas, for argparse."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}'; expected whole numbers such as 50,100,200") from None
