"""What a run was made with, and where its potential comes from."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from typing import Any

import torch

from mlip.config import Config
from mlip.device import device_of
from mlip.preparation import Parts
from mlip.training.loop import Trainer


def environment(config: Config) -> dict[str, Any]:
    """What the run was made with."""
    names = ("mlip", "torch", "numpy", "ase", "vesin", "pydantic")
    device = device_of(config.run.device)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": config.run.threads,
        "cores": os.cpu_count(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {name: version(name) for name in names},
    }


def provenance(config: Config, parts: Parts, data: str, trainer: Trainer | None = None) -> dict[str, Any]:
    """Where a potential comes from; stands in its file. `data` is the fingerprint of `parts`; no trainer, no epochs."""
    return {
        "mlip": version("mlip"),
        "config": config.model_dump(mode="json"),
        "structures": {"train": len(parts.train), "valid": len(parts.valid), "test": len(parts.test)},
        "data": data,
        "best_epoch": trainer.progress.best_epoch if trainer else None,
        "best_loss": trainer.progress.best_loss if trainer else None,
    }
