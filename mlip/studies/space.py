"""The settings a search may choose from: ranges and choices for keys of a config; a trial is one of Optuna's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What matters most in every comparison made so far, and costs no accuracy of the data.
DEFAULT_SPACE: dict[str, Any] = {
    "training.optimizer.learning_rate": {"low": 5e-4, "high": 2e-2, "log": True},
    "training.batch_size": [4, 8, 16, 32],
    "model.networks.hidden": [[32, 32], [64, 64], [128, 128]],
    "model.scaling": ["common", "half", "standard"],
}
OF_THE_LOSS = ("training.loss", "training.second_stage")  # keys that change what the validation loss means


@dataclass(frozen=True)
class Choices:
    """One of several values of any kind."""

    values: tuple[Any, ...]

    def suggested(self, trial: Any, key: str) -> Any:
        """A value for the key; to the search the values are text."""
        return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in self.values]))

    def extremes(self) -> Sequence[Any]:
        """Values that must be allowed for all to be."""
        return self.values


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, whole if both are; `log`: evenly on a logarithmic scale."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggested(self, trial: Any, key: str) -> Any:
        """A value for the key."""
        if self.whole:
            return trial.suggest_int(key, self.low, self.high, log=self.log, step=int(self.step or 1))
        return trial.suggest_float(key, float(self.low), float(self.high), log=self.log, step=self.step)

    def extremes(self) -> Sequence[Any]:
        """Values that must be allowed for all to be."""
        return (self.low, self.high)


Space = Mapping[str, Choices | Range]


def parse_space(values: Any, origin: str) -> Space:
    """A space from plain values such as `{"training.batch_size": [4, 8], "training.ema": {"low": 0.9, "high": 0.99}}`.

    Raises:
        ValueError: a range or a list of choices is not one, or a key is of run or data, which are no settings.
    """
    if not isinstance(values, dict) or not values:
        raise ValueError(f"{origin}: expected key.path: {{low, high}} or [choices] for keys of a config")
    return {key: _entry(f"{origin}: {key}", key, value) for key, value in values.items()}


def overrides_of(values: Mapping[str, Any]) -> list[str]:
    """Values of keys as overrides of a config, a section before the keys in it."""
    return [f"{key}={json.dumps(values[key])}" for key in sorted(values, key=lambda key: key.count("."))]


def _entry(where: str, key: Any, value: Any) -> Choices | Range:
    if not isinstance(key, str) or key.split(".")[0] not in ("model", "training"):
        raise ValueError(f"{where}: only keys of model and training can be searched; data and run stay as they are")
    if isinstance(value, list):
        if len({json.dumps(choice) for choice in value}) < 2:
            raise ValueError(f"{where} is {value}; expected at least two different choices")
        return Choices(tuple(value))
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= {"low", "high", "log", "step"}:
        raise ValueError(
            f"{where} is {value!r}; expected {{low, high, log, step}}, the last two optional, or [choices]"
        )
    numbers = [value[name] for name in ("low", "high", "step") if value.get(name) is not None]
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
        raise ValueError(f"{where} is {value}; low, high and step must be numbers")
    if len(numbers) < 2 or not isinstance(value.get("log", False), bool):
        raise ValueError(f"{where} is {value}; expected numbers low and high, and log true or false")
    found = Range(**value)
    if not found.low < found.high or (found.step is not None and found.step <= 0):
        raise ValueError(f"{where} is {value}; expected low < high and step > 0")
    if found.whole and isinstance(found.step, float):
        raise ValueError(f"{where} is {value}; a range of whole numbers needs a whole step")
    if found.log and (found.low <= 0 or found.step is not None):
        raise ValueError(f"{where} is {value}; a logarithmic range needs low > 0 and no step")
    return found
