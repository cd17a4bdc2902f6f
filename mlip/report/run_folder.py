"""What a run folder holds, as a report needs it; what is missing or no longer fits is said, not repaired."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mlip.config import Config
from mlip.configfile import load_config
from mlip.model.checkpoint import POTENTIAL_FILE, load_content, load_potential
from mlip.model.potential import Potential
from mlip.preparation import Parts, read_parts
from mlip.run import CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE
from mlip.training.saving import METRICS_FILE


@dataclass(frozen=True)
class RunFolder:
    """A run that was trained; `parts` is None, and `no_data` says why, where its data cannot be read any more."""

    path: Path
    config: Config
    potential: Potential
    provenance: dict[str, Any]
    metrics: dict[str, list[float]]  # columns of metrics.csv
    results: dict[str, Any]  # of results.json, empty before the run's end
    environment: dict[str, Any]
    parts: Parts | None
    no_data: str


def open_run(path: Path, device: torch.device, dtype: torch.dtype | None = None) -> RunFolder:
    """Read a run folder and the data it names.

    Raises:
        ValueError: it is no run folder, holds no potential yet, or one of its files is damaged.
    """
    if not (path / CONFIG_FILE).is_file():
        raise ValueError(f"{path}: no {CONFIG_FILE} in it; expected the folder of a `mlip train`")
    if not (path / POTENTIAL_FILE).is_file():
        raise ValueError(
            f"{path}: no {POTENTIAL_FILE} in it yet; a report needs a potential. Wait for the first epoch of the run, "
            f"or go on with it: mlip train --resume {path}"
        )
    config = load_config(path / CONFIG_FILE)
    metrics = _columns(path / METRICS_FILE)
    results, environment = (_json(path / name) for name in (RESULTS_FILE, ENVIRONMENT_FILE))
    potential = load_potential(path, device=device, dtype=dtype)
    provenance = load_content(path).get("provenance") or {}
    parts, no_data = _parts_of(config, potential, provenance)
    return RunFolder(path, config, potential, provenance, metrics, results, environment, parts, no_data)


def _parts_of(config: Config, potential: Potential, provenance: dict[str, Any]) -> tuple[Parts | None, str]:
    """The structures the run was made with, or why there are none to show."""
    try:
        parts = read_parts(config, potential.elements)
    except (ValueError, OSError) as error:
        return None, f"The data cannot be read any more: {error}"
    if provenance.get("data") not in (None, parts.fingerprint()):
        return None, (
            f"The data changed since the run began (data.train is {config.data.train}), so that training and test "
            "structures can no longer be told apart. Restore the files for the parts of this report that need them."
        )
    return parts, ""


def _columns(path: Path) -> dict[str, list[float]]:
    """Columns of the table of epochs; a last row that was cut short is left out."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    try:
        return {name: [float(row[column]) for row in rows[1:]] for column, name in enumerate(rows[0])} if rows else {}
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: not a table of epochs ({error}). Restore it, or remove it") from error


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file ({error}). Restore it, or remove it") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds {type(content).__name__}; expected names and values. Restore it, or remove it")
    return content
