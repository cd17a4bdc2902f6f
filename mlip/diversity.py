"""Choosing few of many structures that differ as much as they can; pure algorithms on points in feature space."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

SAME = 1e-6  # distance of points up to which they are one; features are of the size of one
TIE = 1e-9  # relative; of scores that rounding may have put apart the first wins
ROWS = 4096  # points whose distances are taken at once, so that memory stays small


class Points(NamedTuple):
    """Points in feature space, one or several of each structure. Only points of one kind are compared."""

    values: Float[np.ndarray, "R K"]
    kind: Int[np.ndarray, "R"]
    structure: Int[np.ndarray, "R"]  # the structure of each point: 0, 0, 1, ..., ascending without a gap

    @property
    def structures(self) -> int:
        """How many structures the points are of."""
        return int(self.structure[-1]) + 1 if len(self.structure) else 0


class Chosen(NamedTuple):
    """Structures in the order in which they were chosen."""

    structures: list[int]
    distances: list[float]  # of each from all that were chosen before it; infinite for a first one


def squared_distances(values: Float[np.ndarray, "R K"], others: Float[np.ndarray, "Q K"]) -> Float[np.ndarray, "R"]:
    r"""Squared distance of each point from the nearest of the others, exactly 0 where it is one of them.

    .. math:: d_r^2 = \min_q \lVert x_r - y_q \rVert^2

    Infinite if there are no others.
    """
    nearest = np.full(len(values), np.inf)
    for first in range(0, len(values), ROWS):
        part = values[first : first + ROWS]
        for other in others:
            away = part - other
            np.minimum(
                nearest[first : first + ROWS], np.einsum("rk,rk->r", away, away), out=nearest[first : first + ROWS]
            )
    return nearest


def farthest_structures(
    points: Points,
    count: int,
    covered: Points | None = None,
    step: Callable[[], object] = lambda: None,
    *,
    first: int | None = None,
) -> Chosen:
    r"""At most `count` structures, each with the point that is farthest from all points of those before it.

    .. math:: s = \arg\max_s \max_{r \in s} \min_{q \in \text{chosen},\; \text{kind}_q = \text{kind}_r}
              \lVert x_r - x_q \rVert

    Structures of `covered` count as chosen before. It begins with `first`. Where no point of a kind is chosen yet, the
    structure comes whose points are nearest to the mean of their kind, so that nothing depends on the order of
    structures. It ends early when all that are left repeat what is chosen. `step` is called after each choice.

    Source: Gonzalez, Theor. Comput. Sci. 38, 293 (1985): the largest distance that is left is at most twice the
    smallest possible; for atoms as in Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), section II B.
    """
    starts = np.searchsorted(points.structure, np.arange(points.structures))
    kinds = [np.flatnonzero(points.kind == kind) for kind in np.unique(points.kind)]
    nearest = np.full(len(points.kind), np.inf)
    for rows in kinds:
        if covered is not None:
            old = covered.values[covered.kind == points.kind[rows[0]]]
            nearest[rows] = squared_distances(points.values[rows], old)
    middle = np.empty(len(points.kind))
    for rows in kinds:
        middle[rows] = squared_distances(points.values[rows], points.values[rows].mean(axis=0, keepdims=True))
    chosen, taken = Chosen([], []), np.zeros(points.structures, bool)
    if first is not None and count:
        _take(points, kinds, first, np.inf, nearest, chosen, taken)
        step()
    while len(chosen.structures) < min(count, points.structures):
        scores = np.where(taken, -1.0, np.maximum.reduceat(nearest, starts))
        score = float(scores.max())
        if score <= SAME**2:
            break
        if np.isinf(score):  # some have points of a kind of which nothing is chosen
            best = _best(np.where(np.isinf(scores), -np.maximum.reduceat(middle, starts), -np.inf))
        else:
            best = _best(scores)
        _take(points, kinds, best, float(np.sqrt(score)), nearest, chosen, taken)
        step()
    return chosen


def _best(scores: Float[np.ndarray, "S"]) -> int:
    """The place of the highest score; of several that rounding may have put apart the first."""
    highest = scores.max()
    return int(np.argmax(scores >= highest - TIE * abs(highest)))


def _take(
    points: Points,
    kinds: Iterable[np.ndarray],
    structure: int,
    distance: float,
    nearest: Float[np.ndarray, "R"],
    chosen: Chosen,
    taken: np.ndarray,
) -> None:
    """Choose a structure: the points of its kinds are no farther from the chosen ones than from it."""
    mine = np.flatnonzero(points.structure == structure)
    for rows in kinds:
        new = points.values[mine[points.kind[mine] == points.kind[rows[0]]]]
        if len(new):
            nearest[rows] = np.minimum(nearest[rows], squared_distances(points.values[rows], new))
    taken[structure] = True
    chosen.structures.append(structure)
    chosen.distances.append(distance)


def structures_by_leverage(
    values: Float[np.ndarray, "S K"], count: int, step: Callable[[], object] = lambda: None
) -> list[int]:
    r"""At most `count` structures, each with the largest leverage in the first singular vector of what is left.

    .. math:: s = \arg\max_s u_s^2, \quad X = u \sigma v^T + \dots, \qquad
              X \leftarrow X \left(1 - \frac{x_s x_s^T}{x_s^T x_s}\right)

    with a row x of X for each structure. When nothing is left of any, as after as many structures as X has independent
    columns, it begins again with those that are not chosen.

    Source: Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), section II A (CUR with k = 1), for rows.
    """
    chosen: list[int] = []
    free = np.ones(len(values), bool)
    left = values.copy()
    smallest = SAME**2
    while len(chosen) < min(count, len(values)):
        square = np.einsum("sk,sk->s", left, left)
        square[~free] = 0.0
        if square.max() <= smallest:
            left = np.where(free[:, None], values, 0.0)
            if np.einsum("sk,sk->s", left, left).max() <= smallest:
                break  # only structures in the origin
            continue
        vector = np.linalg.eigh(left.T @ left)[1][:, -1]
        best = _best(np.where(square > smallest, (left @ vector) ** 2, -1.0))
        direction = left[best] / np.sqrt(square[best])
        left -= np.outer(left @ direction, direction)
        free[best] = False
        chosen.append(best)
        step()
    return chosen
