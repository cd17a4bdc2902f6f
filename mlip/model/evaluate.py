"""Energy, forces and stress of structures: the one function that makes a force."""

from __future__ import annotations

import torch
from torch import Tensor

from mlip.batch import AtomsBatch, Properties, pair_vectors, sum_per_structure
from mlip.descriptors.backends import Featurizer, fastest
from mlip.model.derivatives import forces_of, stress_of
from mlip.model.potential import Potential
from mlip.model.potential_pass import PotentialPass


def evaluate(
    potential: Potential,
    batch: AtomsBatch,
    *,
    forces: bool = True,
    stress: bool = True,
    train: bool = False,
    features: Featurizer | None = None,
    pair_terms: bool = True,
) -> Properties:
    r"""Energy of every structure, and its derivatives from one gradient by the pair vectors.

    With :math:`\mathbf g_p = \partial E / \partial \mathbf r_p` for every directed pair p = (i, j):

    .. math:: \mathbf F_i = \sum_{p:\,center = i} \mathbf g_p - \sum_{p:\,neighbor = i} \mathbf g_p, \qquad
              \sigma = \frac1V \sum_p \mathbf r_p \otimes \mathbf g_p

    `train` keeps the graph, so that anything made of energy, forces and stress can be differentiated by the weights.
    `features` replaces the fastest backend of the descriptor by something with the same values, such as the reference
    (`potential.descriptor`) or features kept from an earlier pass.
    Stress needs forces. Without `pair_terms` the potential's repulsion and baseline are left out, for labels from which
    they were taken.

    Returns:
        energy in eV (float64), forces in eV/Å and stress in eV/Å³ (ASE's sign, NaN for a structure without a volume) in
        the potential's dtype, atomic energies in eV (float64); forces and stress are None unless asked for.
        Those of a committee are the mean of its members'.
    """
    exact = pair_vectors(batch)
    vectors = exact.to(potential.dtype)
    featurizer = features or fastest(potential.descriptor, vectors.device)
    energies, gradient = (_differentiable if train else _by_products)(potential, batch, vectors, featurizer, forces)
    for term in potential.pair_terms if pair_terms else ():
        added, by_vectors = term(batch.numbers, batch.pairs, exact)
        energies = energies + added
        gradient = None if gradient is None else gradient + by_vectors.to(gradient.dtype)
    result = Properties(energy=sum_per_structure(energies, batch), atomic_energies=energies)
    if gradient is None:
        return result
    return result._replace(
        forces=forces_of(batch, gradient), stress=stress_of(batch, vectors.detach(), gradient) if stress else None
    )


@torch.no_grad()
def _by_products(
    potential: Potential, batch: AtomsBatch, vectors: Tensor, featurizer: Featurizer, forces: bool
) -> tuple[Tensor, Tensor | None]:
    """Atomic energies and the gradient by the pair vectors."""
    products = featurizer.products(batch.numbers, batch.pairs, vectors)
    energies, gradients = PotentialPass(potential, products.features, batch.numbers).mean()
    return energies, products.pair_gradients(gradients) if forces else None


@torch.enable_grad()
def _differentiable(
    potential: Potential, batch: AtomsBatch, vectors: Tensor, featurizer: Featurizer, forces: bool
) -> tuple[Tensor, Tensor | None]:
    """The same with its history."""
    vectors.requires_grad_(forces)
    energies = potential(featurizer(batch.numbers, batch.pairs, vectors), batch.numbers)
    if not forces:
        return energies, None
    if len(vectors) == 0:
        return energies, vectors * 0
    return energies, torch.autograd.grad(energies.sum(), vectors, create_graph=True)[0]
