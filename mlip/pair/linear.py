"""Linear least squares with bounds: splines, and whatever enters other curves linearly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import lsq_linear
from torch import Tensor

from mlip.pair.families import SHORTEST, Place
from mlip.pair.forms import b_splines
from mlip.pair.rows import LabelRows

LEAST_FALL = 0.1  # eV/Å, of a spline at its first knot
DECAYS = (2.0, 10.0)  # 1/Å, of its continuation inwards
TRACE = 1e-8  # weight of a spline's squared coefficients


def fitted_spline(rows: LabelRows, place: Place, knots: int, smoothing: float) -> Float[Tensor, "T K"]:
    r"""First knot, spacing and coefficients of each pair's spline with this number of intervals (`knots`).

    In place of the first and third coefficient the unknowns are two shares of its fall at the first knot, with the
    least and with the largest decay, so that their bounds make sure of the continuation inwards:

    .. math:: -V' = \alpha + \beta, \qquad V'' = k_{min} \alpha + k_{max} \beta, \qquad \alpha \ge g_{min},
              \quad \beta \ge 0

    `smoothing` is the weight of the squared curvature at the knots, in units of the mean square force over 1 Å; a trace
    of the squared coefficients decides where there are no data.
    """
    nearest = torch.where(place.nearest.isfinite(), place.nearest, SHORTEST * place.size)
    first = nearest.clamp(max=0.8 * place.cutoff)
    spacing = (place.cutoff - first) / knots
    count, kinds = knots + 3, rows.kinds
    columns = _spline_columns(rows, first, spacing, knots)
    changes = [_from_start(count, h) for h in spacing.tolist()]
    bends, scale = np.diff(np.eye(count), 2, axis=0), rows.sizes["forces"]
    size = len(bends) + count
    whole = np.zeros((len(columns) + kinds * size, kinds * count))
    for kind, (change, h) in enumerate(zip(changes, spacing.tolist(), strict=True)):
        mine, begin = slice(kind * count, (kind + 1) * count), len(columns) + kind * size
        penalties = np.concatenate([(smoothing * h) ** 0.5 / h**2 * bends, TRACE**0.5 * np.eye(count)]) / scale
        whole[: len(columns), mine] = columns[:, :, kind] @ change
        whole[begin : begin + size, mine] = penalties @ change
    target = np.concatenate([rows.target, np.zeros(kinds * size)])
    low = np.tile([LEAST_FALL, -np.inf, 0.0, *[-np.inf] * knots], kinds)
    found = bounded_least_squares(whole, target, low).reshape(kinds, count)
    coefficients = np.stack([change @ mine for change, mine in zip(changes, found, strict=True)])
    return torch.cat([first[:, None], spacing[:, None], torch.from_numpy(coefficients)], dim=1)


def _spline_columns(rows: LabelRows, first: Tensor, spacing: Tensor, knots: int) -> Float[np.ndarray, "M C T"]:
    """What each coefficient of each pair's spline adds to the rows."""
    x = (rows.distances - first[rows.kind]) / spacing[rows.kind]
    interval = x.floor().clamp(min=0, max=knots - 1)
    values, slopes = (torch.stack(parts) for parts in b_splines(x - interval))
    energies, by_distance = torch.zeros(2, knots + 3, len(x), dtype=torch.float64)
    where = interval.long() + torch.arange(4)[:, None]
    energies.scatter_(0, where, values)
    by_distance.scatter_(0, where, slopes / spacing[rows.kind])
    made: np.ndarray = rows.columns(energies, by_distance).reshape(-1, knots + 3, rows.kinds)
    return made


def _from_start(count: int, spacing: float) -> Float[np.ndarray, "C C"]:
    """The coefficients from the shares of the fall at the first knot in places 0 and 2, and the other coefficients."""
    change: Any = np.eye(count)
    bends = [0.5 * spacing * spacing * decay for decay in DECAYS]
    change[0, :3] = spacing + bends[0], 1.0, spacing + bends[1]
    change[2, :3] = -spacing + bends[0], 1.0, -spacing + bends[1]
    return change


def bounded_least_squares(
    columns: Float[np.ndarray, "M C"], target: Float[np.ndarray, "M"], low: Float[np.ndarray, "C"]
) -> Float[np.ndarray, "C"]:
    """The unknowns of least squares that are not below `low`; exact, by active sets on the triangle of the columns."""
    size = np.linalg.norm(columns, axis=0)
    size = np.where(size > 0, size, 1.0)
    triangle: Any = np.linalg.qr(np.column_stack([columns / size, target]), mode="r")
    high = np.full(len(low), np.inf)
    found = lsq_linear(triangle[:, :-1], triangle[:, -1], (low * size, high), method="bvls", tol=1e-14)
    values: np.ndarray = np.maximum(found.x / size, low)
    return values
