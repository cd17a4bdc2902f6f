"""Behler-Parrinello neural-network potentials: from a data file to molecular dynamics.

The public names; each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "MLIPCalculator": "mlip.interfaces.calculator",
    "Potential": "mlip.model.potential",
    "ReadOptions": "mlip.data.options",
    "Structure": "mlip.structure",
    "collate": "mlip.batch",
    "evaluate": "mlip.model.evaluate",
    "load_config": "mlip.configfile",
    "load_potential": "mlip.model.checkpoint",
    "read_structures": "mlip.data.read",
    "resume": "mlip.run",
    "save_structures": "mlip.data.save",
    "to_batch": "mlip.batch",
    "train": "mlip.run",
    "write_extxyz": "mlip.data.write",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlip' has no attribute '{name}'; it has {', '.join(_HOMES)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
