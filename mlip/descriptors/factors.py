"""The numbers of each kind of function as the fast kernels want them: those of the distances and those of the angle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from mlip.descriptors.compact_functions import end_curvatures
from mlip.descriptors.functions import (
    AxilrodTeller,
    Bessel,
    Chebyshev,
    CompactNarrow,
    CompactRadial,
    CompactWide,
    LogNormal,
    Narrow,
    Radial,
    Shifted,
    ShiftedAxilrodTeller,
    Wide,
)


def radial_numbers(group: Any) -> Float[np.ndarray, "F 3"]:
    r"""Of F radial functions: :math:`\eta, r_s`; or :math:`1 / 2\sigma^2, \ln r_s, p`; or
    :math:`n / r_c, \sqrt{2 / r_c}, n \pi / r_c`; or order of the shape and left edge.
    """
    values = group.values.cpu().double().numpy()
    nothing = np.zeros(group.width)
    if group.kind is Radial:
        return np.column_stack([*values, nothing])
    if group.kind is CompactRadial:
        return np.column_stack([*values, nothing])
    if group.kind is LogNormal:
        r_s, width, power = values
        return np.column_stack([0.5 / width**2, np.log(r_s), power])
    assert group.kind is Bessel
    wave = values[0] / group.cutoff
    return np.column_stack([wave, nothing + math.sqrt(2 / group.cutoff), math.pi * wave])


def angular_numbers(group: Any) -> tuple[Float[np.ndarray, "F 3"], Float[np.ndarray, "F A"]]:
    r"""Of F angular functions: :math:`\eta, r_s, p`; and :math:`\zeta, \lambda`; or :math:`\zeta, \theta_s`; or n.

    The third number of the distances is one for all triples that are computed together; Behler's functions have
    :math:`r_s` there, because what they take of a triple depends on it.
    """
    values = group.values.cpu().double().numpy()
    nothing = np.zeros(group.width)
    if group.kind in (Narrow, Wide):
        eta, zeta, lambda_, r_s = values
        return np.column_stack([eta, nothing, r_s]), np.column_stack([zeta, lambda_])
    if group.kind in (Shifted, ShiftedAxilrodTeller):
        eta, r_s, zeta, theta_s, power = values if group.kind is ShiftedAxilrodTeller else (*values, nothing)
        return np.column_stack([eta, r_s, power]), np.column_stack([zeta, theta_s])
    if group.kind in (CompactNarrow, CompactWide):
        return _compact_numbers(group, values)
    assert group.kind in (Chebyshev, AxilrodTeller)
    power = values[3] if group.kind is AxilrodTeller else nothing
    return np.column_stack([values[0], values[1], power]), np.column_stack([values[2], nothing])


def _compact_numbers(
    group: Any, values: Float[np.ndarray, "K F"]
) -> tuple[Float[np.ndarray, "F 3"], Float[np.ndarray, "F 5"]]:
    r"""Order of the shape, left edge, order in r_jk; and order, :math:`\theta_0, 1 / w`, dA/dcos at 0° and at 180°."""
    order, inner, low, high = values[:4]
    order_jk = values[4] if group.kind is CompactNarrow else np.zeros(group.width)
    at_0, at_180 = (x.numpy() for x in end_curvatures(*map(torch.from_numpy, (abs(order), low, high))))
    center, width = np.radians((low + high) / 2), np.radians((high - low) / 2)
    return np.column_stack([order, inner, order_jk]), np.column_stack([abs(order), center, 1 / width, -at_0, at_180])


def classes(group: Any) -> Int[np.ndarray, "E ..."]:
    """Class of a center and its neighbors by their elements; of weighted neighbors, all as if of one element."""
    table: np.ndarray = group.class_of.cpu().numpy()
    if group.weights is None:
        return table
    return table.reshape(len(table), -1).max(axis=1).reshape(-1, *(1,) * group.kind.order)
