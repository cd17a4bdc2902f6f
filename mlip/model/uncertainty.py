"""How unsure a potential is: over the members of a committee, or by the variance of a Gaussian process."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.batch import AtomsBatch, pair_vectors
from mlip.descriptors.backends import Featurizer, fastest
from mlip.model.assembly import Columns, Sites, covariances_with_points
from mlip.model.committee import Spread, spread_of_members
from mlip.model.coordinates import Environments, half_squares
from mlip.model.kernels import AtomicKernels, Posterior
from mlip.model.potential import Potential


def spread(potential: Potential, batch: AtomsBatch, *, features: Featurizer | None = None) -> Spread:
    """Calibrated standard deviations of what `evaluate` gives.

    Raises:
        ValueError: the potential is a single network or a pair potential, which have none, or a structure has too many
            atoms for those of a Gaussian process.
    """
    if isinstance(potential.atomic, AtomicKernels):
        atoms = int(torch.bincount(batch.structure).max())
        if atoms > potential.atomic.most_deviating:
            raise ValueError(
                f"a structure has {atoms} atoms; a Gaussian process has standard deviations for up to "
                f"{potential.atomic.most_deviating}, whose forces all depend on each other. Ask for none, or train a "
                "committee"
            )
        return _spread_of_kernels(potential, potential.atomic, batch)
    return spread_of_members(potential, batch, features=features)


@torch.no_grad()
def _spread_of_kernels(potential: Potential, kernels: AtomicKernels, batch: AtomsBatch) -> Spread:
    """The variance of `Posterior`, for energies, their derivatives by positions, and energies of atoms.

    Its cost grows with the cube of the atoms of a structure, each of whose forces depends on all pairs of atoms.
    """
    posterior, vectors = kernels.posterior, pair_vectors(batch).to(potential.dtype)
    backend = fastest(potential.descriptor, vectors.device)
    element = potential.element_of(batch.numbers)
    found = kernels.coordinates.environments(potential.scaling, backend, batch, vectors, element)
    energies, forces = vectors.new_zeros(len(batch.cell)), vectors.new_zeros(len(batch.numbers), 3)
    atomic = vectors.new_zeros(len(batch.numbers))
    for structure, count in enumerate(torch.bincount(batch.structure, minlength=len(batch.cell)).tolist()):
        mine = [environments.rows(batch.structure[environments.atom] == structure) for environments in found]
        sites = Sites([part.points[None] for part in mine], [part.changes[None, :, : 3 * count] for part in mine], True)
        block = Columns(sites).with_structure(kernels.covariance, sites, 0)
        rows = covariances_with_points(kernels.covariance, [sites], posterior.points)
        variance = _variance(posterior, block.diagonal(), rows)
        energies[structure], by_motion = variance[0], variance[1:]
        forces[batch.structure == structure] = by_motion.view(-1, 3)
        order = torch.cat([part.atom for part in mine])
        ones = torch.ones(count, dtype=vectors.dtype, device=vectors.device)
        atomic[order] = _variance(posterior, ones, _rows_of_atoms(kernels, posterior, mine))
    factors = potential.calibration
    return Spread(factors.energy * energies.sqrt(), factors.forces * forces.sqrt(), factors.energy * atomic.sqrt())


def _rows_of_atoms(kernels: AtomicKernels, posterior: Posterior, mine: list[Environments]) -> Float[Tensor, "n M"]:
    """Covariances of the energy of each atom with inducing environments, element by element."""
    tables = [
        kernels.covariance(half_squares(part.points, m)).value for part, m in zip(mine, posterior.points, strict=True)
    ]
    return torch.block_diag(*tables)


def _variance(posterior: Posterior, prior: Float[Tensor, "r"], rows: Float[Tensor, "r M"]) -> Float[Tensor, "r"]:
    """Of what has these covariances with inducing environments."""
    explained = torch.linalg.solve_triangular(posterior.prior, rows.T, upper=False).square().sum(dim=0)
    left = torch.linalg.solve_triangular(posterior.posterior.T, rows.T, upper=False).square().sum(dim=0)
    return posterior.signal.square() * ((prior - explained).clamp(min=0.0) + left)
