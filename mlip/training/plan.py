"""What a training is to do, and how far it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlip.training.loss import Loss, LossTerms
from mlip.training.optimizers import Schedule


@dataclass(frozen=True)
class Stage:
    """Loss and highest learning rate from an epoch on."""

    first_epoch: int
    loss: Loss
    learning_rate: float


@dataclass(frozen=True)
class Plan:
    """How long to train, in which steps, and when to stop."""

    epochs: int
    batch_size: int | None  # None: all structures
    stages: tuple[Stage, ...]  # the first starts with epoch 1
    schedule: Schedule
    gradient_clip: float | None = None
    ema: float | None = None
    average_last: float | None = None  # share of the epochs
    solve_last_layer: bool = False
    patience: int | None = None
    min_delta: float = 0.0
    checkpoint_seconds: float = 60.0
    seed: int = 1
    members_by_rank: bool = False  # several ranks share out the members of a committee instead of structures


@dataclass(frozen=True)
class Progress:
    """Where a run stands; together with weights and optimizer all that is needed to go on."""

    epoch: int = 1  # the epoch under way
    step: int = 0  # steps of it that are done
    sums: tuple[float, ...] = (0.0,) * len(LossTerms._fields)  # of the losses of these steps
    best_loss: float = math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    finished: bool = False  # what comes after the last epoch is done
