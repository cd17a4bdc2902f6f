"""What a training leaves on disk in order to go on: its checkpoint and the table of its epochs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlip.model.checkpoint import TRAINING, load, save
from mlip.training.metrics_file import append_row, keep_rows_before

CHECKPOINT_FILE = "training.pt"
METRICS_FILE = "metrics.csv"


class Saving:
    """The files of a training; `seconds` is the time from one checkpoint to the next."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self._saved > self.seconds

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all."""
        self._saved = time.monotonic()
        save(self.folder / CHECKPOINT_FILE, TRAINING, state)

    def newest(self) -> dict[str, Any]:
        """The state in the last checkpoint.

        Raises:
            ValueError: there is none, or it is damaged.
        """
        return load(self.folder / CHECKPOINT_FILE, TRAINING)

    def append(self, row: Mapping[str, float]) -> None:
        """Add the row of an epoch to the table."""
        append_row(self.folder / METRICS_FILE, row)

    def forget_from(self, epoch: int) -> None:
        """Remove the rows of this epoch and later, which are written again."""
        keep_rows_before(self.folder / METRICS_FILE, epoch)
