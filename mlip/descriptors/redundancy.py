"""What data say about a set of symmetry functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mlip.descriptors.functions import SymmetryFunction


def redundant_functions(
    features: Float[np.ndarray, "N D"], functions: Sequence[SymmetryFunction], *, tolerance: float = 1e-8
) -> list[str]:
    """What the training data say against a set: functions that are constant on them, and pairs with the same values.

    `features` are those of the centers of one element, in float64; `tolerance` is relative to the largest spread.
    """
    spread = features.std(axis=0)
    constant: np.ndarray = spread <= tolerance * max(float(spread.max()), np.finfo(float).tiny)
    messages = [
        f"function {d} is constant ({features[0, d]:.3g}): {functions[d]}" for d in np.flatnonzero(constant).tolist()
    ]
    varying = np.flatnonzero(~constant)
    # Equal columns have equal projections, so only neighbors among the sorted projections need to be compared.
    weights = np.random.default_rng(0).standard_normal(len(features))
    projections = weights @ features[:, varying]
    order = varying[np.argsort(projections)]
    close = tolerance * np.abs(weights).sum() * spread.max()
    for place, a in enumerate(order):
        for b in order[place + 1 :]:
            if weights @ (features[:, b] - features[:, a]) > close:
                break
            if np.abs(features[:, a] - features[:, b]).max() <= tolerance * spread[a]:
                first, second = sorted((int(a), int(b)))
                messages.append(f"functions {first} and {second} have the same values: {functions[first]}")
                break
    return messages
