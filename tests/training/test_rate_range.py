"""The range test of the learning rate on losses whose answer is known."""

from __future__ import annotations

import math
from itertools import count

import numpy as np
import pytest

from mlip.training.rate_range import MEMORY, RangePoint, range_test, rising_rates, suggested_rate


def test_rates_rise_by_a_factor():
    assert rising_rates(1e-4, 1e-1, 4) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1], rel=1e-12)


def test_running_mean_by_hand():
    losses = [3.0, 1.0, 2.0, 0.5]
    points = range_test([1.0] * 4, losses)
    for k, point in enumerate(points):
        shares = MEMORY ** np.arange(k, -1, -1)
        assert point.loss == losses[k]
        assert point.mean == pytest.approx(float(shares @ losses[: k + 1]) / float(shares.sum()), rel=1e-13)


@pytest.mark.parametrize("end", [1e6, math.inf, math.nan])
def test_ends_where_the_loss_blows_up(end):
    asked = count()

    losses = (end if next(asked) == 5 else 1.0 for _ in range(100))
    assert len(range_test(rising_rates(1e-5, 1.0, 100), losses)) == 6


def test_gradient_descent_blows_up_beyond_two_over_the_curvature():
    curvature = 40.0

    def losses(rates):
        x = 1.0
        for rate in rates:
            yield 0.5 * curvature * x * x + 1e-6
            x -= rate * curvature * x

    rates = rising_rates(1e-5, 10.0, 400)
    points = range_test(rates, losses(rates))
    assert 2 / curvature < points[-1].rate < 1.0, "a few steps after the rate at which it begins to grow"
    suggestion = suggested_rate(points)
    assert suggestion is not None and 0.02 / curvature < suggestion < 2 / curvature


def test_suggestion_is_where_the_mean_falls_fastest():
    """A step of the loss in the logarithm of the rate, whose steepest place is known."""
    rates = np.geomspace(1e-5, 1.0, 300)
    means = np.exp(-np.tanh(2 * np.log(rates / 3e-3)))
    points = [RangePoint(rate, mean, mean) for rate, mean in zip(rates.tolist(), means.tolist(), strict=True)]
    assert suggested_rate(points) == pytest.approx(3e-3, rel=0.1)


def test_no_suggestion_where_the_loss_never_falls():
    assert suggested_rate([RangePoint(10.0**n, 1.0, 1.0 + n) for n in range(5)]) is None
    assert suggested_rate([]) is None


@pytest.mark.parametrize(("lowest", "highest", "steps"), [(1e-3, 1e-4, 10), (0.0, 1.0, 10), (1e-3, 1e-2, 1)])
def test_rates_must_rise(lowest, highest, steps):
    with pytest.raises(ValueError, match=r"range test from .* expected rates above 0 that rise"):
        rising_rates(lowest, highest, steps)
