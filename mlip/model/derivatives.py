"""Forces and stress from the energy's gradient by the pair vectors, and the way back."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mlip.batch import AtomsBatch
from mlip.kernels import has_kernels


def forces_of(batch: AtomsBatch, gradient: Float[Tensor, "P 3"]) -> Float[Tensor, "N 3"]:
    r"""Forces :math:`\mathbf F_i = \sum_{p:\,center = i} \mathbf g_p - \sum_{p:\,neighbor = i} \mathbf g_p` (eV/Å)."""
    forces = gradient.new_zeros(len(batch.numbers), 3)
    if forces.device.type == "cpu" and not gradient.requires_grad and has_kernels():
        from mlip.kernels.evaluation import add_forces

        add_forces(*batch.pairs.numpy(), gradient.numpy(), forces.numpy())
        return forces
    return forces.index_add(0, batch.pairs[0], gradient).index_add(0, batch.pairs[1], gradient, alpha=-1)


def stress_of(
    batch: AtomsBatch, vectors: Float[Tensor, "P 3"], gradient: Float[Tensor, "P 3"]
) -> Float[Tensor, "S 3 3"]:
    r"""Stress :math:`\sigma = V^{-1} \sum_p \mathbf r_p \otimes \mathbf g_p` (eV/Å³), NaN without a volume."""
    products = vectors[:, :, None] * gradient[:, None, :]
    virial = gradient.new_zeros(len(batch.cell), 3, 3).index_add(0, batch.structure[batch.pairs[0]], products)
    volume = _volume(batch, gradient.dtype)
    periodic = (volume > 0)[:, None, None]
    stress = 0.5 * (virial + virial.mT) / torch.where(volume > 0, volume, 1.0)[:, None, None]
    return torch.where(periodic, stress, torch.nan)


def forces_transposed(batch: AtomsBatch, by_forces: Float[Tensor, "*K N 3"]) -> Float[Tensor, "*K P 3"]:
    """Derivative of anything by the gradient, from its derivative by the forces."""
    center, neighbor = batch.pairs
    return by_forces.index_select(-2, center) - by_forces.index_select(-2, neighbor)


def stress_transposed(
    batch: AtomsBatch, vectors: Float[Tensor, "P 3"], by_stress: Float[Tensor, "*K S 3 3"]
) -> Float[Tensor, "*K P 3"]:
    """Derivative of anything by the gradient, from its derivative by the stress."""
    volume = _volume(batch, by_stress.dtype)
    symmetric = 0.5 * (by_stress + by_stress.mT) * torch.where(volume > 0, 1 / volume, 0.0)[:, None, None]
    return torch.einsum("px,...pxy->...py", vectors, symmetric[..., batch.structure[batch.pairs[0]], :, :])


def _volume(batch: AtomsBatch, dtype: torch.dtype) -> Float[Tensor, "S"]:
    return torch.linalg.det(batch.cell).abs().to(dtype)
