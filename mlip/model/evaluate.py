"""Energy, forces and stress of structures: the one function that makes a force."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mlip.batch import AtomsBatch, Properties, pair_vectors, sum_per_structure
from mlip.descriptors.backends import fastest
from mlip.model.derivatives import forces_of, stress_of
from mlip.model.potential import Potential

Featurize = Callable[[Tensor, Tensor, Tensor], Tensor]  # (numbers (N,), pairs (2,P), vectors (P,3)) -> features (N,D)


def evaluate(
    potential: Potential,
    batch: AtomsBatch,
    *,
    forces: bool = True,
    stress: bool = True,
    train: bool = False,
    features: Featurize | None = None,
) -> Properties:
    r"""Energy of every structure, and its derivatives from one gradient by the pair vectors.

    With :math:`\mathbf g_p = \partial E / \partial \mathbf r_p` for every directed pair p = (i, j):

    .. math:: \mathbf F_i = \sum_{p:\,center = i} \mathbf g_p - \sum_{p:\,neighbor = i} \mathbf g_p, \qquad
              \sigma = \frac1V \sum_p \mathbf r_p \otimes \mathbf g_p

    `train` keeps the graph, so that a loss on forces and stress can be differentiated by the weights. `features`
    replaces the fastest backend of the descriptor by something with the same values, such as the reference
    (`potential.descriptor`) or features kept from an earlier pass.
    Stress needs forces.

    Returns:
        energy in eV (float64), forces in eV/Å and stress in eV/Å³ (ASE's sign, NaN for a structure without a volume) in
        the potential's dtype, atomic energies in eV (float64); forces and stress are None unless asked for.
    """
    vectors = pair_vectors(batch).to(potential.dtype)
    with torch.set_grad_enabled(train or forces):
        vectors.requires_grad_(forces)
        featurize = features or fastest(potential.descriptor, vectors.device)
        values = featurize(batch.numbers, batch.pairs, vectors)
        atomic_energies = potential(values, batch.numbers)
        energy = sum_per_structure(atomic_energies, batch)
        if not forces:
            return Properties(energy=energy, atomic_energies=atomic_energies)
        if len(vectors) == 0:
            gradient = vectors * 0
        else:
            (gradient,) = torch.autograd.grad(energy.sum(), vectors, create_graph=train)
    result = Properties(
        energy=energy,
        forces=forces_of(batch, gradient),
        stress=stress_of(batch, vectors.detach(), gradient) if stress else None,
        atomic_energies=atomic_energies,
    )
    return result if train else result.detach()
