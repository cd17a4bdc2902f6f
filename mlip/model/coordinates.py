"""Where a Gaussian process sees an atom's environment: linear coordinates of its scaled features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mlip.batch import AtomsBatch
from mlip.descriptors.operation import Products
from mlip.model.covariance import Covariance
from mlip.model.derivatives import forces_transposed
from mlip.model.scaling import FeatureScaling

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


class Environments(NamedTuple):
    """The atoms of one element in some structures, and how they change along K motions of each structure."""

    atom: Int[Tensor, "n"]  # counted in the batch
    points: Float[Tensor, "n C"]
    changes: Float[Tensor, "n K C"]  # per Å of an atom's motion; per unit of strain

    def rows(self, chosen: Bool[Tensor, "n"]) -> Environments:
        """Some of the atoms."""
        return Environments(self.atom[chosen], self.points[chosen], self.changes[chosen])


class Coordinates(NamedTuple):
    """What takes scaled features x of an atom of element e to its point :math:`W_e^T x`."""

    covariance: Covariance
    projections: Sequence[Tensor]  # W_e (D,C_e)

    def points(self, features: Float[Tensor, "n D"], element: int) -> Float[Tensor, "n C"]:
        """The point of each atom of an element, from its scaled features."""
        points = features @ self.projections[element]
        return on_sphere(points) if self.covariance.on_sphere else points

    @torch.no_grad()
    def environments(
        self,
        scaling: FeatureScaling,
        products: Products,
        batch: AtomsBatch,
        vectors: Float[Tensor, "P 3"],
        element: Int[Tensor, "N"],
        *,
        motions: bool = True,
        strain: bool = False,
    ) -> list[Environments]:
        """Points of all atoms by element, and their changes when atoms move along x, y, z one after the other (K = 3
        times the most atoms of a structure), or under the six strains of the whole, in Voigt's order, besides.

        Changes of scaled features are taken to coordinates at once, so that of a motion no more is kept.
        """
        x = scaling(products.features, element)
        atoms = [(element == e).nonzero().flatten() for e in range(len(self.projections))]
        points = [self.points(x[rows], e) for e, rows in enumerate(atoms)]
        matrices = [W / scaling.scale[e][:, None] for e, W in enumerate(self.projections)]
        changes: list[list[Tensor]] = [[] for _ in atoms]
        for moved in _moved(batch, vectors, motions, strain):
            change = products.feature_changes(moved)
            for e, rows in enumerate(atoms):
                changes[e].append(change[rows] @ matrices[e])
        found = []
        for rows, u, mine in zip(atoms, points, changes, strict=True):
            width = u.shape[1] - int(self.covariance.on_sphere)
            along = torch.stack(mine, dim=1) if mine else u.new_zeros(len(rows), 0, width)
            found.append(Environments(rows, u, onto_sphere(along, u) if self.covariance.on_sphere else along))
        return found


def _moved(batch: AtomsBatch, vectors: Tensor, motions: bool, strain: bool) -> Iterator[Float[Tensor, "P 3"]]:
    """What each motion of all structures does to the pair vectors."""
    counts = torch.bincount(batch.structure, minlength=len(batch.cell))
    first = counts.cumsum(0) - counts
    for atom in range(int(counts.max()) if motions and len(counts) else 0):
        moving = (first + atom)[counts > atom]
        for axis in range(3):
            motion = vectors.new_zeros(len(batch.numbers), 3)
            motion[moving, axis] = -1.0  # a pair vector ends at the neighbor
            yield forces_transposed(batch, motion)
    for a, b in VOIGT if strain else ():
        tensor = vectors.new_zeros(3, 3)
        tensor[a, b] += 0.5
        tensor[b, a] += 0.5
        yield vectors @ tensor


def half_squares(u: Float[Tensor, "n C"], others: Float[Tensor, "m C"]) -> Float[Tensor, "n m"]:
    """Half the squared distance of each two points."""
    squares = 0.5 * (u.square().sum(dim=1)[:, None] + others.square().sum(dim=1))
    return torch.addmm(squares, u, others.T, alpha=-1.0).clamp(min=0.0)


def on_sphere(u: Float[Tensor, "n C"]) -> Float[Tensor, "n C1"]:
    """Points with another coordinate, 1, divided by their length."""
    whole = torch.cat([u, torch.ones_like(u[:, :1])], dim=1)
    return whole / whole.norm(dim=1, keepdim=True)


def onto_sphere(changes: Float[Tensor, "n K C"], points: Float[Tensor, "n C1"]) -> Float[Tensor, "n K C1"]:
    """Changes of points on the sphere, from those of the points that were put on it."""
    whole = torch.cat([changes, torch.zeros_like(changes[:, :, :1])], dim=2)
    away = (whole @ points[:, :, None]) * points[:, None, :]
    return (whole - away) * points[:, None, -1:]


def from_sphere(gradients: Float[Tensor, "n C1"], points: Float[Tensor, "n C1"]) -> Float[Tensor, "n C"]:
    """Gradients by points that were put on the sphere, from those by where they are there."""
    away = (gradients * points).sum(dim=1, keepdim=True)
    return ((gradients - away * points) * points[:, -1:])[:, :-1]
