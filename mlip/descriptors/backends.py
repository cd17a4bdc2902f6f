"""Which implementation of the symmetry functions serves a device."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mlip.descriptors.acsf import ACSF
from mlip.kernels import has_kernels


@runtime_checkable
class Backend(Protocol):
    """An implementation of the features of every atom; `ACSF` itself is the reference."""

    def __call__(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> Tensor:
        """Features (N,D) from atomic numbers (N,), pairs (2,P) and pair vectors (P,3), differentiable by these."""

    def jacobian(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> Tensor:
        """Derivative (P,3,D) of the center's features by each pair vector."""


def fastest(descriptor: ACSF, device: torch.device) -> Backend:
    """The compiled kernels on a CPU that has numba, else the reference in plain PyTorch."""
    if device.type == "cpu" and has_kernels():
        from mlip.descriptors.compiled import compiled

        return compiled(descriptor)
    return descriptor
