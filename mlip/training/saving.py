"""What a training leaves on disk in order to go on: its last two checkpoints and the table of its epochs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlip.durable import sync
from mlip.model.checkpoint import TRAINING, load, save
from mlip.training.metrics_file import append_row, keep_rows_before

logger = logging.getLogger(__name__)

CHECKPOINT_FILE, PREVIOUS_FILE = "training.pt", "training.previous.pt"
METRICS_FILE = "metrics.csv"


def has_checkpoint(folder: Path) -> bool:
    """Whether a training can go on in a folder."""
    return any((folder / name).is_file() for name in (CHECKPOINT_FILE, PREVIOUS_FILE))


class Saving:
    """The files of a training. `seconds` lie between two checkpoints; `before` is called before anything is written.

    Rows of the table are on disk before a checkpoint that follows them is, so that none is lost, and those that follow
    the checkpoint a training goes on from are removed, so that none is there twice.
    """

    def __init__(self, folder: Path, seconds: float, before: Callable[[], None] = lambda: None) -> None:
        self.folder, self.seconds, self.before = folder, seconds, before
        self._saved = time.monotonic()
        self._newest, self._previous = folder / CHECKPOINT_FILE, folder / PREVIOUS_FILE
        self._table = folder / METRICS_FILE
        self._damaged = False

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self._saved > self.seconds

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all; the one before it is kept.

        Raises:
            ValueError: the disk is full or cannot be written; the checkpoints that are there stay as they are.
        """
        self.before()
        if self._table.exists():
            sync(self._table)
        save(self._newest, TRAINING, state, None if self._damaged else self._previous)
        self._damaged = False
        self._saved = time.monotonic()

    def newest(self) -> dict[str, Any]:
        """The state in the newest checkpoint that is whole.

        Raises:
            ValueError: there is none.
        """
        try:
            return load(self._newest, TRAINING)
        except ValueError as error:
            if not self._previous.is_file():
                raise
            state = load(self._previous, TRAINING)
            self._damaged = self._newest.exists()  # else a kill came between two names
            if self._damaged:
                logger.warning("%s. Going on from the checkpoint before it, %s", error, self._previous)
            return state

    def append(self, row: Mapping[str, float]) -> None:
        """Add the row of an epoch to the table."""
        self.before()
        append_row(self._table, row)

    def forget_from(self, epoch: int) -> None:
        """Remove the rows of this epoch and later, which are written again."""
        self.before()
        keep_rows_before(self._table, epoch)
