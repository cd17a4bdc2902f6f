"""How exactly a device computes, and whether it does so in the same way every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
WORKSPACES = (":4096:8", ":16:8")  # with which cuBLAS adds up in the same order every time


def require_repeatable(device: torch.device) -> None:
    """See that products on a device can have the same bits in every run.

    Raises:
        ValueError: the environment does not tell cuBLAS to, which reads it when it starts.
    """
    found = os.environ.get(WORKSPACE)
    if device.type == "cuda" and found not in WORKSPACES:
        raise ValueError(
            f"run.deterministic is true, but matrix products of cuBLAS are not deterministic while {WORKSPACE} is "
            f"{found or 'not set'}. Before the start: export {WORKSPACE}={WORKSPACES[0]}, or set "
            "run.deterministic=false"
        )


def round_products(tf32: bool) -> None:
    """Whether GPUs round the factors of float32 matrix products to 10 bits (TF32), whatever the environment says.

    TORCH_ALLOW_TF32_CUBLAS_OVERRIDE, which some containers set, would have them do it.
    """
    # One call for the old names of this setting (allow_tf32) and the new ones (fp32_precision), which must not mix.
    torch.set_float32_matmul_precision("high" if tf32 else "highest")


def products_are_rounded() -> bool:
    """Whether they do now."""
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return bool(matmul.fp32_precision == "tf32")
    return matmul.allow_tf32  # torch before 2.9


@contextmanager
def arithmetic(device: torch.device, tf32: bool = False, deterministic: bool = False) -> Iterator[None]:
    """What torch does while this lasts; afterwards it does what it did before.

    `tf32` is for GPUs only (`round_products`). With `deterministic` sums with `index_add` go in a fixed order, on a GPU
    at the cost of a sort, and an operation that has none is refused.

    Raises:
        ValueError: an operation without a fixed order was called, or the environment gives cuBLAS none.
    """
    if deterministic:
        require_repeatable(device)
    filling: Any = torch.utils.deterministic
    rounded, fill = products_are_rounded(), filling.fill_uninitialized_memory
    before, only_warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    try:
        round_products(tf32 and device.type == "cuda")
        if deterministic:
            torch.use_deterministic_algorithms(True)
            filling.fill_uninitialized_memory = False  # nothing reads it
        yield
    except RuntimeError as error:
        if not (deterministic and "deterministic" in str(error)):
            raise
        reason = str(error).split(". ")[0]
        raise ValueError(
            f"run.deterministic is true, but {reason}. Set run.deterministic=false, or run.device=cpu"
        ) from error
    finally:
        round_products(rounded)
        torch.use_deterministic_algorithms(before, warn_only=only_warn)
        filling.fill_uninitialized_memory = fill
