"""How an error falls with the number of training structures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class PowerLaw(NamedTuple):
    """error = a · n^-b, with the standard error of b (NaN where two points leave none)."""

    a: float
    b: float
    b_error: float

    def __call__(self, n: float) -> float:
        """The error at n structures."""
        return self.a * n**-self.b


def fitted_power_law(sizes: Sequence[int], errors: Sequence[float]) -> PowerLaw:
    r"""The line of least squares through the logarithms.

    .. math:: \ln \epsilon = \ln a - b \ln n

    Source: Cortes et al., Advances in Neural Information Processing Systems 6, 327 (1993), eq. 1 (with no floor).

    Raises:
        ValueError: fewer than two different sizes, or an error that is not positive.
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"a power law needs at least two sizes; there is {sorted(set(sizes))}")
    if min(errors) <= 0:
        raise ValueError(f"an error is {min(errors)}; a power law needs positive ones")
    x, y = np.log(sizes), np.log(errors)
    moved = x - x.mean()
    slope = float(moved @ y / (moved @ moved))
    intercept = float(y.mean() - slope * x.mean())
    freedom = len(x) - 2
    rest = y - intercept - slope * x
    error = math.sqrt(float(rest @ rest) / freedom / float(moved @ moved)) if freedom else math.nan
    return PowerLaw(math.exp(intercept), -slope, error)
