"""Small whole files of every kind that is read, made once."""

import gzip
from dataclasses import replace
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase.io import write
from interfaces.trained import ALCU, crystal, molecule

from mlip.data.file_units import FileUnits
from mlip.data.options import ReadOptions
from mlip.data.read import read_structures
from mlip.data.save import save_structures

FOLDER = TemporaryDirectory(prefix="mlip-fuzz-")
UNITS = FileUnits("eV", "Ang")


@cache
def periodic():
    return read_structures(ALCU, ReadOptions(index=":3"))


@cache
def molecules():
    return read_structures(ALCU.with_name("ethanol_xtb.npz"), ReadOptions(index=":4"))


def saved(name, structures):
    """The bytes of a file that mlip writes."""
    path = Path(FOLDER.name) / name
    if not path.exists():
        save_structures(path, structures, format="auto" if path.suffix != ".data" else "input_data", units=UNITS)
    return path.read_bytes()


@cache
def sample(name):
    """Bytes of a whole file."""
    if name == "md17.xyz":
        rows = [
            "9\n-97000.1\n" + "\n".join(f"H {x} {y} {z} 0.1 0.2 0.3" for x, y, z in s.positions) for s in molecules()
        ]
        return ("\n".join(rows) + "\n").encode()
    if name == "rmd17.npz":
        buffer, some = BytesIO(), molecules()
        np.savez(
            buffer, nuclear_charges=some[0].numbers.astype(np.uint8), coords=np.stack([s.positions for s in some]),
            energies=np.array([s.energy for s in some]), forces=np.stack([s.forces for s in some]),
        )  # fmt: skip
        return buffer.getvalue()
    if name == "packed.xyz.gz":
        return gzip.compress(sample("periodic.xyz"))
    if name.endswith(".traj"):
        write(Path(FOLDER.name) / name, [crystal(), molecule()])
        return (Path(FOLDER.name) / name).read_bytes()
    if name == "POSCAR":
        text = StringIO()
        write(text, crystal(), format="vasp")
        return text.getvalue().encode()
    if name == "input.data":
        return saved(name, [replace(structure, stress=None) for structure in periodic()])
    return saved(name, periodic() if "periodic" in name else molecules())
