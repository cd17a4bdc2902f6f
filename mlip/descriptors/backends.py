"""Which implementation of the symmetry functions serves a device."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mlip.descriptors.acsf import ACSF


@runtime_checkable
class Backend(Protocol):
    """An implementation of the features of every atom; `ACSF` itself is the reference."""

    def __call__(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> Tensor:
        """Features (N,D) from atomic numbers (N,), pairs (2,P) and pair vectors (P,3), differentiable by these."""

    def jacobian(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> Tensor:
        """Derivative (P,3,D) of the center's features by each pair vector."""


@cache
def has_kernels() -> bool:
    """Whether numba is there to compile the CPU kernels."""
    return importlib.util.find_spec("numba") is not None


@cache
def has_triton() -> bool:
    """Whether Triton is there to compile the CUDA kernels; it comes with PyTorch for CUDA on Linux."""
    return importlib.util.find_spec("triton") is not None


def fastest(descriptor: ACSF, device: torch.device) -> Backend:
    """The numba kernels on a CPU, the Triton kernels on a CUDA device; without these the reference in plain PyTorch."""
    if device.type == "cpu" and has_kernels():
        from mlip.descriptors.compiled import compiled

        return compiled(descriptor)
    if device.type == "cuda" and has_triton():
        from mlip.descriptors.cuda import on_device

        return on_device(descriptor)
    return descriptor
