"""The learning-rate range test: how the loss answers to a rate that rises from step to step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MEMORY = 0.9  # decay of the running mean of the loss
DOUBLE = 2.0  # the slope is taken over such a rise of the rate, because the loss of a batch is noisy
BLOWN_UP = 4.0  # times the lowest mean; the test ends there


class RangePoint(NamedTuple):
    """A step of the test."""

    rate: float
    loss: float  # of the batch, before the step
    mean: float  # running mean of the loss


def rising_rates(lowest: float, highest: float, steps: int) -> list[float]:
    r"""The rates :math:`\eta_k = \eta_0 (\eta_1/\eta_0)^{k/(K-1)}` of K steps.

    Raises:
        ValueError: they do not rise, or there are fewer than two.
    """
    if not 0 < lowest < highest or steps < 2:
        raise ValueError(
            f"a range test from {lowest:g} to {highest:g} in {steps} steps; expected rates above 0 that rise, "
            "and at least 2 steps"
        )
    return [lowest * (highest / lowest) ** (k / (steps - 1)) for k in range(steps)]


def range_test(rates: Sequence[float], losses: Iterable[float]) -> list[RangePoint]:
    r"""Steps with these rates; ends early where the loss blows up.

    `losses` does a step for each loss that is asked of it, which is that before the step. The mean is
    :math:`\sum_j \beta^{k-j} \ell_j / \sum_j \beta^{k-j}`.

    Source: Smith, WACV 2017 (arXiv:1506.01186), section 3.3; with a rate that rises by a factor instead of a line.
    """
    points: list[RangePoint] = []
    total = count = 0.0
    for rate, loss in zip(rates, losses, strict=True):
        total, count = MEMORY * total + loss, MEMORY * count + 1
        points.append(RangePoint(rate, loss, total / count))
        if not math.isfinite(loss) or total / count > BLOWN_UP * min(point.mean for point in points):
            break
    return points


def suggested_rate(points: Sequence[RangePoint]) -> float | None:
    """The rate at which the logarithm of the mean loss falls fastest; None if it never falls.

    A schedule that starts there and falls to zero spends its time below the rates that blow up.
    """
    usable = [point for point in points if math.isfinite(point.mean) and point.mean > 0]
    slopes = []
    for n, a in enumerate(usable):
        b = next((point for point in usable[n + 1 :] if point.rate >= DOUBLE * a.rate), None)
        if b is not None:
            slopes.append((math.log(b.mean / a.mean) / math.log(b.rate / a.rate), math.sqrt(a.rate * b.rate)))
    slope, rate = min(slopes, default=(0.0, 0.0))
    return rate if slope < 0 else None
