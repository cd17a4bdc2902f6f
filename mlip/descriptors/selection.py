"""Choosing few of many features that carry the same information; pure algorithms on their Gram matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

REDUNDANT = 1e-10  # of the largest feature's square; what is left of a feature below it is rounding
ROUNDING = 1e-24  # of the mean square of all features; a smaller variance is not of the data
TIE = 1e-9  # relative; of scores that rounding may have put apart the first wins
ITERATIONS = 30  # of the power method, from the vector of the step before


def gram_matrix(features: Sequence[Float[np.ndarray, "_ D"]]) -> Float[np.ndarray, "D D"]:
    r"""How alike D features are on the centers of each element, every element counting the same.

    .. math:: C_{dd'} = \sum_e \frac{1}{N_e \langle\sigma^2\rangle_e}
              \sum_{i \in e} (G_{id} - \mu_{ed}) (G_{id'} - \mu_{ed'})

    with the mean :math:`\mu_{ed}` and the mean variance :math:`\langle\sigma^2\rangle_e` of all features, so that a
    feature that varies much counts more, as it does with a common feature scaling.
    """
    total = np.zeros((features[0].shape[1],) * 2)
    for values in features:
        if len(values) < 2:
            continue
        centered = values - values.mean(axis=0)
        variance = float((centered**2).mean())
        if variance > ROUNDING * float((values**2).mean()):
            total += centered.T @ centered / (len(values) * variance)
    return total


def farthest(gram: Float[np.ndarray, "D D"], count: int) -> list[int]:
    """At most `count` features, each the farthest from the span of those before it (pivoted Gram-Schmidt).

    Source: farthest point sampling of features as in Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), section II B,
    with the distance from the span of the chosen ones, which also sees features that are sums of others.
    """
    return _greedy(gram, count, lambda left: np.diag(left))


def cur(gram: Float[np.ndarray, "D D"], count: int) -> list[int]:
    """At most `count` features, each with the largest weight in the first principal component of what is left.

    Source: Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), section II A (CUR with k = 1).
    """
    component = np.sqrt(np.diag(gram))

    def weights(left: np.ndarray) -> np.ndarray:
        nonlocal component
        for _ in range(ITERATIONS):
            component = left @ component
            component /= max(float(np.linalg.norm(component)), np.finfo(float).tiny)
        return component**2

    return _greedy(gram, count, weights)


METHODS = {"farthest": farthest, "cur": cur}


def _greedy(gram: np.ndarray, count: int, score: Callable[[np.ndarray], np.ndarray]) -> list[int]:
    """Take the feature with the highest score, project it out of all others, and again."""
    left = gram.copy()
    smallest = REDUNDANT * float(np.diag(gram).max(initial=0.0))
    chosen: list[int] = []
    while len(chosen) < count:
        new = np.diag(left) > smallest
        new[chosen] = False
        if not new.any():
            break
        scores = np.where(new, score(left), -1.0)
        best = int(np.argmax(scores >= (1 - TIE) * scores.max()))
        chosen.append(best)
        row = left[best]
        left -= np.outer(row, row / row[best])
    return chosen
