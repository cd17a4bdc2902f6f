"""Inducing environments: few atoms that stand for all of an element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mlip.diversity import Points, farthest_structures, structures_by_leverage

COMPONENTS = 24  # of the coordinates, in which distances are taken


def inducing_points(points: Sequence[Float[Tensor, "_ _"]], count: int, method: str) -> list[Tensor]:
    """Of the points of each element some, `count` of all elements together, shared out by how many atoms each has.

    `method` is "farthest", each the farthest from those before it, or "cur", by leverage. Both look at the
    leading principal components. Points that are there twice are taken once.
    """
    shares = shared_out([len(mine) for mine in points], count)
    return [_chosen(mine, share, method) for mine, share in zip(points, shares, strict=True)]


def shared_out(atoms: Sequence[int], count: int) -> list[int]:
    """How many of `count` each element gets: in proportion to its atoms, at least one, at most all."""
    total = sum(atoms)
    return [min(mine, max(1, round(count * mine / total))) if mine else 0 for mine in atoms]


def _chosen(points: Float[Tensor, "n C"], count: int, method: str) -> Float[Tensor, "m C"]:
    if not count:
        return points[:0]
    if method == "cur":  # of points that are the same the leverage would take one after the other
        points = torch.unique(points, dim=0)
    centered = points - points.mean(dim=0)
    _, directions = torch.linalg.eigh(centered.T @ centered)
    values = (centered @ directions[:, -COMPONENTS:]).numpy()
    atoms = Points(values, np.zeros(len(values), np.int64), np.arange(len(values)))
    by_distance = method == "farthest"
    return points[
        farthest_structures(atoms, count).structures if by_distance else structures_by_leverage(values, count)
    ]
