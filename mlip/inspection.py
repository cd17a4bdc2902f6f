"""The commands that look before a training: check, descriptor, lr-range. Heavy imports stay inside the commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Command = Callable[[argparse.Namespace], tuple[dict[str, Any], str]]  # results, and the same as text


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Make the parsers of these commands; `add` makes one from name, command and help."""
    _add_config(add("check", _check, "validate a config and its data without training"))
    _add_config(add("descriptor", _descriptor, "print the symmetry functions of a config, chosen from data or not"))
    p = add("lr-range", _lr_range, "find the learning rate: the loss while the rate rises step by step")
    _add_config(p)
    p.add_argument("--lowest", type=float, default=1e-5, metavar="RATE", help="of the first step (default: 1e-5)")
    p.add_argument("--highest", type=float, default=1.0, metavar="RATE", help="of the last step (default: 1)")
    p.add_argument("--steps", type=int, default=200, help="unless the loss blows up before (default: 200)")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="replaces a value of the config")


def _check(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from mlip.configfile import load_config
    from mlip.regression import cost_in_words
    from mlip.streaming import prepare

    ready = prepare(load_config(options.config, options.overrides))
    summary = {**ready.summary(), **cost_in_words(ready)}
    width = max(len(name) for name in summary)
    return summary, "\n".join(f"{name:>{width}}: {value}" for name, value in summary.items())


def _descriptor(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from mlip.assembly import listed_functions
    from mlip.configfile import descriptor_yaml, load_config
    from mlip.preparation import read_parts

    config = load_config(options.config, options.overrides)
    listed = listed_functions(config, read_parts(config).train)
    return listed.model_dump(mode="json", include={"model": {"descriptor"}}), descriptor_yaml(listed).rstrip()


def _lr_range(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from mlip.configfile import load_config
    from mlip.lr_range import learning_rate_range, picture

    config = load_config(options.config, options.overrides)
    rates = {"lowest": options.lowest, "highest": options.highest, "steps": options.steps}
    results = learning_rate_range(config, **rates, quiet=options.quiet or options.json)
    return results, picture(results)
