"""How densely the training set's features lie around an atom's: where they are sparse, a potential extrapolates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mlip.model.moments import Moments
from mlip.model.scaling import fitted_scaling

COMPONENTS = 16  # directions of their own variance; `FeatureDensity` has what led to it
SMALLEST = 1e-4  # of variances of scaled features; below it is rounding or a set of atoms that are all the same
TABLES = ("mean", "scale", "components", "variances", "rest", "reach")
ROWS = 65536  # atoms at once, so that memory stays small


class Distance(NamedTuple):
    """How far each atom's features are from the training set's."""

    distance: Float[np.ndarray, "N"]  # 1 for the farthest atom of the training set; 0 where the set is not known
    function: Int[np.ndarray, "N"]  # column of the function that has the largest share in it

    def split(self, sizes: Sequence[int]) -> list[Distance]:
        """The atoms of a batch, one structure at a time."""
        ends = np.cumsum(sizes)[:-1]
        return [Distance(*fields) for fields in zip(*(np.split(field, ends) for field in self), strict=True)]


class FeatureDensity:
    r"""A normal distribution of the features of training atoms, for each element apart, and the distances in it.

    .. math:: d_i^2 = \frac{1}{r_e^2}\left[\sum_{k \le K} \frac{t_{ik}^2}{\lambda_{ek}}
              + \frac{1}{\sigma_e^2} \left(|y_i|^2 - \sum_{k \le K} t_{ik}^2\right)\right], \qquad
              y_{id} = \frac{G_{id} - \mu_{ed}}{s_{ed}}, \quad t_{ik} = v_{ek} \cdot y_i

    ======================= ==========================================================================
    :math:`\mu, s`          mean and scale of each function, `scaling` "half"
    :math:`v_k, \lambda_k`  principal components of y and their variances, K of them
    :math:`\sigma^2`        mean variance in the other directions
    :math:`r_e`             distance of the farthest training atom, so that d = 1 is there
    ======================= ==========================================================================

    The density falls with exp(-r² d² / 2). Ranges see one function after the other, this sees functions that do not go
    together as they did in training. Of ethanol, 300 structures at 500 K and 250 functions: an atom has d > 1 in 1 % of
    validation structures and in 10, 40 and 55 % of structures at 700, 1000 and 1500 K, where 0, 3, 16 and 25 % have one
    outside of a range by its width; the rank correlation with the error of an atom's force is 0.75 against 0.56.
    Distances from the nearest of 256 training atoms far from each other, in the same components, reach 0.63 at 16 times
    the cost. 4 components give 0.69, 24 give 0.77.

    Source: Tipping, Bishop, J. R. Stat. Soc. B 61, 611 (1999), eq. 7 for the covariance.

    Its tables are float64 numpy arrays, for it makes no predictions and is asked for few atoms at a time.

    Raises:
        ValueError: the tables do not fit together.
    """

    def __init__(
        self,
        mean: Tensor,  # (E,D)
        scale: Tensor,  # (E,D)
        components: Tensor,  # (E,K,D)
        variances: Tensor,  # (E,K)
        rest: Tensor,  # (E,)
        reach: Tensor,  # (E,)
    ) -> None:
        given = mean, scale, components, variances, rest, reach
        tables = [table.detach().double().cpu().numpy().copy() for table in given]
        self.mean, self.scale, self.components, self.variances, self.rest, self.reach = tables
        elements, functions = self.mean.shape if self.mean.ndim == 2 else (0, 0)
        kept = self.variances.shape[-1] if self.variances.ndim else 0
        expected = [(elements, functions)] * 2 + [(elements, kept, functions), (elements, kept)] + [(elements,)] * 2
        if [table.shape for table in tables] != expected:
            raise ValueError(
                f"the tables of the density have the shapes {', '.join(str(table.shape) for table in tables)}; "
                "expected mean and scale (E,D), components (E,K,D), variances (E,K), rest and reach (E,)"
            )

    def tables(self) -> dict[str, Tensor]:
        """The arguments that make the same density again, as tensors."""
        return {name: torch.from_numpy(getattr(self, name).copy()) for name in TABLES}

    def distances(self, features: Float[Tensor, "N D"], element: Int[Tensor, "N"]) -> Distance:
        """How far atoms with these features, of the elements with these rows, are from the training set's."""
        values, rows = features.detach().double().cpu().numpy(), element.cpu().numpy()
        found = Distance(np.zeros(len(values)), np.zeros(len(values), np.int64))
        for row in range(len(self.mean)):
            atoms = np.flatnonzero(rows == row)
            if len(atoms):
                y = (values[atoms] - self.mean[row]) / self.scale[row]
                shares = y * self._weighed(y, row)  # these add up to the square of the distance
                found.distance[atoms] = np.sqrt(shares.sum(axis=1).clip(min=0.0)) / self.reach[row]
                found.function[atoms] = shares.argmax(axis=1)
        return found

    def _weighed(self, y: Float[np.ndarray, "n D"], row: int) -> Float[np.ndarray, "n D"]:
        """Scaled features times the inverse of their covariance."""
        components, rest = self.components[row], self.rest[row]
        along = y @ components.T
        weighed: np.ndarray = y / rest + (along * (1.0 / self.variances[row] - 1.0 / rest)) @ components
        return weighed


def fitted_density(
    given: Sequence[Float[Tensor, "_ D"] | Moments], components: int = COMPONENTS
) -> FeatureDensity | None:
    """The density of the features of each element's atoms in the training set; None if only moments are known.

    An element without atoms is not known: its distances are 0.
    """
    features = [values for values in given if not isinstance(values, Moments)]
    if len(features) < len(given):
        return None
    scaling = fitted_scaling(features, "half")
    elements, functions = len(features), features[0].shape[1]
    kept = min(components, functions)
    density = FeatureDensity(
        torch.zeros(elements, functions),
        scaling.scale,
        torch.zeros(elements, kept, functions),
        torch.ones(elements, kept),
        torch.ones(elements),
        torch.full((elements,), torch.inf),
    )
    for row, values in enumerate(features):
        if len(values):
            _fit(density, row, values.detach())
    return density


def _fit(density: FeatureDensity, row: int, values: Float[Tensor, "n D"]) -> None:
    kept, functions = density.components.shape[1:]
    density.mean[row] = values.double().mean(dim=0).cpu().numpy()
    covariance = np.zeros((functions, functions))
    for part in values.split(ROWS):
        y = (part.double().cpu().numpy() - density.mean[row]) / density.scale[row]
        covariance += y.T @ y / len(values)
    variances, vectors = np.linalg.eigh(covariance)  # ascending
    others = variances[: functions - kept]
    density.components[row] = vectors[:, functions - kept :].T
    density.variances[row] = variances[functions - kept :].clip(min=SMALLEST)
    density.rest[row] = max(float(others.mean()) if len(others) else 0.0, SMALLEST)
    density.reach[row] = 1.0
    where = torch.full((len(values),), row)
    parts = zip(values.split(ROWS), where.split(ROWS), strict=True)
    farthest = max(float(density.distances(part, rows).distance.max()) for part, rows in parts)
    density.reach[row] = max(farthest, 1.0)  # atoms that are all the same leave some room around them
