"""Which device a name means, and how the CPU is used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

# A rank's number among those on its machine, as Open MPI, MPICH and SLURM tell it.
LOCAL_RANK = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")


def device_of(name: str) -> torch.device:
    """The device by name; "auto" is the GPU if there is one.

    Raises:
        ValueError: the name is not a device's, or there is no GPU of that number.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"device is '{name}'; expected auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device is {name}; torch sees {torch.cuda.device_count()} CUDA devices. Use auto or cpu")
    return device


def device_of_rank(name: str, rank: int | None = None) -> torch.device:
    """The device by name for one of the ranks on a machine: "auto" and "cuda" share its GPUs out among them.

    `rank` is its number there; None: as the environment says.
    """
    gpus = torch.cuda.device_count()
    if name in ("auto", "cuda") and gpus:
        if rank is None:
            rank = next((int(os.environ[variable]) for variable in LOCAL_RANK if variable in os.environ), 0)
        name = f"cuda:{rank % gpus}"
    return device_of(name)


def configure_cpu(threads: int, matrix_threads: int | None = None) -> None:
    """Use so many threads in torch, its kernels and the matrix products of compiled kernels.

    These may have a number of their own. They are scipy's, whose library must be loaded before it can be told.
    """
    import scipy.linalg.cython_blas  # noqa: F401

    torch.set_num_threads(threads)
    threadpool_limits(threads if matrix_threads is None else matrix_threads, user_api="blas")


@contextmanager
def denormals_are_zero() -> Iterator[None]:
    """Take numbers below the smallest normal one (1e-38 in float32) as zero while this lasts.

    They arise at the tails of Gaussians and mean nothing, but they slow a processor down a hundred times.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
