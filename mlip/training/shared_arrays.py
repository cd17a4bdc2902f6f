"""Arrays that the ranks of one machine have in common, in memory or in a file, and that are gone when they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from mlip.descriptors.disk import ArrayFile, bytes_of, file_in_memory, file_on_disk
from mlip.training.distributed import Ranks


def arrays_on_disk(ranks: Ranks, path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> ArrayFile:
    """Arrays in a new file that the first rank of each machine makes; its name is gone as soon as all have it open.

    Raises:
        ValueError: the disk has no room for it, or a rank cannot open it.
    """
    first = ranks.neighbors[0]
    path = path.with_name(f"{path.name}.{first}")  # machines may see the same folder
    file = file_on_disk(path, bytes_of(shapes, dtype)) if ranks.rank == first else None
    ranks.wait()
    problem = None
    try:
        file = os.open(path, os.O_RDWR) if file is None else file
    except OSError as error:
        problem = (
            f"{path}: made by rank {first}, cannot be opened by rank {ranks.rank} ({error.strerror}). "
            "Set training.cache=memory or off"
        )
    problems = [found for found in ranks.gathered(problem) if found]
    if ranks.rank == first:
        path.unlink(missing_ok=True)
    if problems:
        raise ValueError(problems[0])
    assert file is not None
    return ArrayFile(file, shapes, dtype)


def arrays_in_memory(ranks: Ranks, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> ArrayFile | None:
    """Arrays in memory that the first rank of each machine makes; None on all ranks if one of them cannot have it."""
    first = ranks.neighbors[0]
    file = None
    with suppress(OSError):
        file = file_in_memory(bytes_of(shapes, dtype)) if ranks.rank == first else None
    place = ranks.gathered(None if file is None else f"/proc/{os.getpid()}/fd/{file}")[first]
    if file is None and place is not None:
        with suppress(OSError):  # a system that keeps its processes apart
            file = os.open(place, os.O_RDWR)
    everyone = ranks.gathered(file is not None)
    if all(everyone):
        assert file is not None
        return ArrayFile(file, shapes, dtype)
    if file is not None:
        os.close(file)
    return None
