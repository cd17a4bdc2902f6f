"""The structure that dynamics starts from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from mlip.data.paths import existing_file

if TYPE_CHECKING:
    from ase import Atoms


def read_start(path: str | Path) -> Atoms:
    """The last frame of any file that ASE reads.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, an empty file, or nothing that ASE reads.
    """
    from ase import Atoms
    from ase.io import read

    file = existing_file(path)
    try:
        return cast(Atoms, read(str(file.absolute()), do_not_split_by_at_sign=True))
    except Exception as error:  # ASE's readers raise whatever comes up
        raise ValueError(
            f"{file}: ASE cannot read it ({type(error).__name__}: {error}). Give a structure file"
        ) from error
