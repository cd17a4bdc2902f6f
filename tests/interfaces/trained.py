"""Tiny potentials, trained once per session through the command line, and structures to try them on."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.calculators.tersoff import Tersoff, TersoffParameters
from ase.io import read, write

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


@cache
def silicon() -> Path:
    """The run folder of a potential that learned Tersoff's silicon well enough to have its elastic constants."""
    folder, generator = Path(tempfile.mkdtemp(prefix="silicon", dir=_FOLDER.name)), np.random.default_rng(1)
    frames = []
    for _ in range(120):
        atoms = bulk("Si", cubic=True, a=5.43)
        atoms.set_cell(atoms.cell @ (np.eye(3) + generator.normal(scale=0.01, size=(3, 3))), scale_atoms=True)
        atoms.positions += generator.normal(scale=0.05, size=(8, 3))
        atoms.calc = tersoff()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=stress)
        frames.append(atoms)
    write(folder / "silicon.xyz", frames, format="extxyz")
    outcome = train(
        folder, folder / "silicon.xyz",
        "model.descriptor=[{set: radial, cutoff: 4, count: 8}, {set: angular, cutoff: 3.6}]",
        "model.networks.hidden=[16]", "training.epochs=60", "training.batch_size=4", "training.optimizer={name: soap}",
        "data.index=:120", "data.split={valid: 10}",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    return folder / "run"


def tersoff() -> Tersoff:
    """Silicon of Tersoff, Phys. Rev. B 38, 9902 (1988): a known potential, short-ranged and quick."""
    parameters = TersoffParameters(
        A=1830.8, B=471.18, lambda1=2.4799, lambda2=1.7322, lambda3=0.0, beta=1.1e-6, gamma=1.0, m=3.0, n=0.78734,
        c=100390.0, d=16.217, h=-0.59825, R=2.85, D=0.15
    )  # fmt: skip
    return Tersoff({("Si", "Si", "Si"): parameters})


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
