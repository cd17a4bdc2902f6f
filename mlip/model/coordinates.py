"""Where a Gaussian process sees an atom's environment: linear coordinates of its scaled features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mlip.batch import AtomsBatch
from mlip.descriptors.backends import Backend
from mlip.model.covariance import Covariance
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
        backend: Backend,
        batch: AtomsBatch,
        vectors: Float[Tensor, "P 3"],
        element: Int[Tensor, "N"],
        *,
        motions: bool = True,
        strain: bool = False,
    ) -> list[Environments]:
        """Points of all atoms by element, and their changes when atoms move along x, y, z one after the other (K = 3
        times the most atoms of a structure), or under the six strains of the whole, in Voigt's order, besides.

        The descriptor's Jacobian by pair vectors is taken to coordinates first, and then added up by the atoms that
        the pairs begin and end at.
        """
        x = scaling(backend(batch.numbers, batch.pairs, vectors), element)
        by_pair = backend.jacobian(batch.numbers, batch.pairs, vectors) if motions or strain else None
        places = _Places(batch)
        found = []
        for e, projection in enumerate(self.projections):
            rows = (element == e).nonzero().flatten()
            u = self.points(x[rows], e)
            along = u.new_zeros(len(rows), 0, projection.shape[1])
            if by_pair is not None:
                mine = (element[batch.pairs[0]] == e).nonzero().flatten()
                jacobian = by_pair[mine] @ (projection / scaling.scale[e][:, None])
                center = torch.searchsorted(rows, batch.pairs[0, mine])
                along = torch.cat(
                    [
                        *([places.motions(jacobian, center, len(rows), mine)] if motions else []),
                        *([_strains(jacobian, center, len(rows), vectors[mine])] if strain else []),
                    ],
                    dim=1,
                )
            found.append(Environments(rows, u, onto_sphere(along, u) if self.covariance.on_sphere else along))
        return found


class _Places:
    """Which atom of its structure each pair begins and ends at."""

    def __init__(self, batch: AtomsBatch) -> None:
        counts = torch.bincount(batch.structure, minlength=len(batch.cell))
        first = counts.cumsum(0) - counts
        self._center, self._neighbor = batch.pairs - first[batch.structure[batch.pairs[0]]]
        self._most = int(counts.max()) if len(counts) else 0

    def motions(
        self, jacobian: Float[Tensor, "p 3 C"], center: Int[Tensor, "p"], atoms: int, pairs: Int[Tensor, "p"]
    ) -> Float[Tensor, "n K C"]:
        """Changes of the atoms that are the `center` of these pairs, when each atom of their structure moves."""
        table = jacobian.new_zeros(atoms * self._most, *jacobian.shape[1:])
        table.index_add_(0, center * self._most + self._neighbor[pairs], jacobian)
        table.index_add_(0, center * self._most + self._center[pairs], jacobian, alpha=-1.0)
        return table.view(atoms, 3 * self._most, jacobian.shape[2])


def _strains(
    jacobian: Float[Tensor, "p 3 C"], center: Int[Tensor, "p"], atoms: int, vectors: Float[Tensor, "p 3"]
) -> Float[Tensor, "n 6 C"]:
    """Changes of the atoms that are the `center` of these pairs under each strain, off-diagonal ones in both places."""
    changes = jacobian.new_zeros(atoms, len(VOIGT), jacobian.shape[2])
    for place, (a, b) in enumerate(VOIGT):
        moved = 0.5 * (vectors[:, b, None] * jacobian[:, a] + vectors[:, a, None] * jacobian[:, b])
        changes[:, place].index_add_(0, center, moved)
    return changes


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
