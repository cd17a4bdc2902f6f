"""Tiny potentials, trained once per session through the command line, and structures to try them on."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from interfaces.command import Outcome, mlip

DATA = Path(__file__).parents[2] / "data"
ETHANOL, ALCU = DATA / "ethanol_xtb.npz", DATA / "alcu_emt.xyz"
TINY = (
    "model.descriptor=[{set: radial, cutoff: 4, count: 4}, "
    "{set: angular, cutoff: 3.5, shells: 1, angles: 2, eta: 0.41, zeta: 2}]",
    "model.networks.hidden=[8]",
    "training.epochs=4",
    "training.optimizer={name: adam}",  # a few steps of it are harmless, and rounding errors stay small
    "data.index=:60",
    "data.split={valid: 10, test: 10}",
    "run.threads=1",
)
_FOLDER = tempfile.TemporaryDirectory(prefix="mlip-tests-")


def train(folder: Path, data: Path, *overrides: str, options: tuple[str, ...] = ("--quiet",)) -> Outcome:
    """Train a tiny potential into `folder / "run"`."""
    config = folder / "tiny.yaml"
    config.write_text(f"run: {{dir: {folder / 'run'}}}\ndata: {{train: {data}}}\n", encoding="utf-8")
    return mlip("train", config, *TINY, *overrides, *options)


@cache
def ethanol() -> Path:
    """The run folder of a potential for a molecule."""
    return _trained("ethanol", ETHANOL)


@cache
def alcu() -> Path:
    """The run folder of a potential for a crystal, with stress."""
    return _trained("alcu", ALCU)


def molecule() -> Atoms:
    """The first ethanol of the sample."""
    with np.load(ETHANOL) as file:
        return Atoms(file["z"], file["R"][0])


def crystal() -> Atoms:
    """The first structure of the alloy sample: eight atoms in a triclinic cell, without labels."""
    atoms = read(ALCU, 0)
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def _trained(name: str, data: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=name, dir=_FOLDER.name))
    outcome = train(folder, data)
    assert outcome.status == 0, outcome.err
    return folder / "run"
