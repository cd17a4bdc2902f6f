"""Points in feature space that stand for whole structures, so that structures can be compared."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def element_sums(
    values: Float[np.ndarray, "N D"],
    element: Int[np.ndarray, "N"],
    structure: Int[np.ndarray, "N"],
    elements: int,
    structures: int,
) -> tuple[Float[np.ndarray, "S E D"], Int[np.ndarray, "S E"]]:
    """Sums of features over the atoms of each element in each structure, and how many atoms these are."""
    place = structure * elements + element
    sums = np.zeros((structures * elements, values.shape[1]))
    np.add.at(sums, place, values)
    counts = np.bincount(place, minlength=structures * elements)
    return sums.reshape(structures, elements, -1), counts.reshape(structures, elements)


def mean_points(
    sums: Float[np.ndarray, "S E D"],
    counts: Int[np.ndarray, "S E"],
    shift: Float[np.ndarray, "E D"],
    scale: Float[np.ndarray, "E D"],
) -> Float[np.ndarray, "S K"]:
    r"""A point for each structure: scaled features in the mean over atoms of each element, and the composition.

    .. math:: x_{s,ed} = \sqrt{\frac{w_{se}}{D}}\, \frac{\bar G_{sed} - c_{ed}}{s_{ed}}, \qquad x_{s,e} = w_{se},
              \qquad w_{se} = n_{se} / n_s

    with the scaling c, s of the features, so that structures have a distance of about 1 where the mean environments of
    all their atoms differ by a standard deviation of each function. Order, rotation and repetition of a cell change
    nothing.
    """
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = sums / np.maximum(counts, 1)[:, :, None]
    weight = np.sqrt(share / sums.shape[2])[:, :, None]
    return np.hstack([(weight * (mean - shift) / scale).reshape(len(sums), -1), share])
