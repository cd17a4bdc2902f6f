"""Which implementation of the symmetry functions serves a device."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sysconfig
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mlip.descriptors.acsf import ACSF
from mlip.descriptors.compact_functions import CompactFunction
from mlip.descriptors.operation import Products
from mlip.kernels import has_kernels

logger = logging.getLogger(__name__)


@runtime_checkable
class Featurizer(Protocol):
    """What gives the features of every atom, and their derivatives by the pair vectors."""

    def __call__(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> Tensor:
        """Features (N,D) from atomic numbers (N,), pairs (2,P) and pair vectors (P,3), differentiable by these."""

    def products(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> Products:
        """Features and the products with their Jacobian at these pair vectors."""


@runtime_checkable
class Backend(Featurizer, Protocol):
    """An implementation of the symmetry functions; `ACSF` itself is the reference."""

    def jacobian(self, numbers: Tensor, pairs: Tensor, vectors: Tensor) -> Tensor:
        """Derivative (P,3,D) of the center's features by each pair vector."""


@cache
def has_triton() -> bool:
    """Whether Triton is there for the CUDA kernels, and the C compiler and Python headers with which it starts them.

    Triton itself comes with PyTorch for CUDA on Linux.
    """
    if importlib.util.find_spec("triton") is None:
        return False
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if compiler and (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return True
    logger.warning(
        "symmetry functions run in plain PyTorch, which is slower: the CUDA kernels need a C compiler and the headers "
        "of Python (Debian: apt install gcc python3-dev)"
    )
    return False


def fastest(descriptor: ACSF, device: torch.device) -> Backend:
    """The numba kernels on a CPU, the Triton kernels on a CUDA device; without these the reference in plain PyTorch."""
    if not descriptor.functions:
        return descriptor
    if device.type == "cpu" and has_kernels():
        from mlip.descriptors.compiled import compiled

        return compiled(descriptor)
    compact = any(isinstance(function, CompactFunction) for function in descriptor.functions)  # not in Triton
    if device.type == "cuda" and has_triton() and not compact:
        from mlip.descriptors.cuda import on_device

        return on_device(descriptor)
    return descriptor
