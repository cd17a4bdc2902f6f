"""What `scripts/study_md17.py` trains and times: families of potentials on one set of structures.

Each training is a run folder below the work folder; one that is finished is only read, one that was cut short goes on.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import yaml
from ase import Atoms, units
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from mlip import MLIPCalculator, load_potential, read_structures, run, write_extxyz
from mlip.config import Config, Data
from mlip.configfile import apply_override, parse_config
from mlip.data.split import Split, write_split
from mlip.data.write import to_atoms
from mlip.device import configure_cpu
from mlip.durable import write_whole
from mlip.evaluation import evaluate_structures
from mlip.model.committee import committee_of
from mlip.reading import read_options
from mlip.studies.tasks import Study, begin

ROOT = Path(__file__).parents[1]
BUNDLED = ROOT / "data" / "ethanol_xtb.npz"
RMD17 = ROOT.parent / "shared" / "data" / "rmd17_ethanol" / "train.xyz"
TIMESTEP, TEMPERATURE = 0.5, 300.0  # fs, K
AT_ONCE = 10  # steps that are timed together
STEP_FILE = "md_step.json"
EVERYTHING, ENERGIES = "energies and forces", "energies alone"  # labels that are learned from
MILLI = 1e3


class Family(NamedTuple):
    """A kind of potential: whose sections model and training it has (None: the defaults'), and what differs."""

    config: str | None
    settings: tuple[str, ...]


FAMILIES = {
    "pair": Family(None, ("model.kind=pair", "model.pair=spline")),
    "sparse gpr": Family(None, ("model.kind=gpr", "model.gpr.form=sparse")),
    "gpr": Family(None, ("model.kind=gpr", "model.gpr.form=full")),
    "network": Family("rmd17_ethanol", ()),
    "committee": Family("rmd17_ethanol", ("model.committee.members=4",)),
}


class Size(NamedTuple):
    """How much is trained, tested and timed."""

    sizes: tuple[int, ...]  # training structures of the learning curves; larger ones than there are become all
    valid: int  # structures at most
    test: int
    seeds: int
    length: float  # of the networks' trainings, as a share of the whole
    blocks: int  # of steps that are timed
    settings: tuple[str, ...] = ()  # of all families with features


FULL = Size((50, 100, 200, 400, 950), 50, 1000, 20, 1.0, 100)
QUICK = Size(
    (20, 40), 10, 40, 2, 0.005, 3,
    ("model.descriptor=[{set: radial, cutoff: 4, count: 6}, {set: angular, cutoff: 3.5, shells: 1, angles: 2}]",),
)  # fmt: skip


def amounts(count: int, size: Size, separate_test: bool) -> dict[str, int]:
    """How `count` structures of a file are divided: half of them at most are for the test, a twentieth validates."""
    test = 0 if separate_test else min(size.test, count // 2)
    valid = min(size.valid, max(1, count // 20))
    return {"train": min(size.sizes[-1], count - valid - test), "valid": valid, "test": test}


def lengths(count: int, config: Config, largest: int, length: float) -> tuple[int, int]:
    r"""Epochs and batch size for a smaller training set, from those of a config for `largest` structures.

    .. math:: \text{epochs} \propto N^{-3/4}, \qquad \text{batch} \propto N^{1/2}

    The two powers lead from configs/rmd17_ethanol.yaml (950 structures: 55 epochs of batches of 16) to
    configs/rmd17_few.yaml (50: 500 of 4), each chosen on validation structures; the number of steps doubles on the way.
    """
    batch = config.training.batch_size
    assert not isinstance(batch, str)
    share = largest / count
    return max(1, round(length * config.training.epochs * share**0.75)), max(1, round(batch / share**0.5))


class Trainings:
    """The trainings of the study: structures divided once by a seed, smaller sets are the first of the larger ones."""

    def __init__(self, folder: Path, data: Data, size: Size, threads: int) -> None:
        self.folder, self.size, self.threads = folder, size, threads
        count = len(read_structures(data.train, read_options(data, index=data.index)))
        self.amounts = amounts(count, size, data.test is not None)
        self._data = data.model_dump(mode="json", exclude={"split"})
        self._warm: set[str] = set()
        self._studies = {EVERYTHING: begin(self._config("network", 1, EVERYTHING, None))}
        self.largest = self.amounts["train"]
        self.sizes = sorted({min(n, self.largest) for n in size.sizes})

    def division(self) -> dict[str, int]:
        """Structures that train, validate and test."""
        parts = self._study(EVERYTHING).parts
        return {name: len(getattr(parts, name)) for name in ("train", "valid", "test")}

    def train(self, family: str, count: int, seed: int = 1, labels: str = EVERYTHING) -> dict[str, Any]:
        """Errors (meV, meV/Å) and seconds of one training on the first `count` structures, and its time per step."""
        study = self._study(labels)
        name = f"{family}_{labels}_{count}_seed_{seed}".replace(" ", "_")
        if not (study.folder / name / run.RESULTS_FILE).exists():
            self._warm_up(family)
            print(f"{time.strftime('%H:%M:%S')} {family}, {labels}, {count} structures, seed {seed}", flush=True)
        split = study.parts.split._replace(train=study.parts.split.train[:count])
        results = study.train(name, self._config(family, seed, labels, count), split, quiet=True)
        return {
            "structures": count,
            "seed": seed,
            "seconds": results["seconds"],
            "step": self.step(study.folder / name),
            "valid": errors(results["valid"]),
            "test": errors(results["test"]),
        }

    def average(self, family: str, count: int, seeds: Sequence[int]) -> dict[str, Any]:
        """Errors of the mean prediction of networks from several seeds."""
        study = self._study(EVERYTHING)
        name = f"{family}_{EVERYTHING}_{count}_seed_".replace(" ", "_")
        potential = committee_of([load_potential(study.folder / f"{name}{seed}") for seed in seeds])
        found = evaluate_structures(potential, study.parts.test)[0]["all"]
        return {"members": len(seeds), "test": errors(found)}

    def step(self, folder: Path) -> float:
        """Seconds for a step of dynamics of one molecule (median), measured once for each training."""
        file = folder / STEP_FILE
        if not file.exists():
            structure = self._study(EVERYTHING).parts.test[0]
            configure_cpu(self.threads)
            seconds = seconds_per_step(folder, to_atoms(structure), self.size.blocks)
            write_whole(file, json.dumps(seconds))
        return float(json.loads(file.read_text(encoding="utf-8")))

    def _study(self, labels: str) -> Study:
        if labels not in self._studies:
            parts = self._study(EVERYTHING).parts
            self._files_of_energies(parts.train, parts.valid, parts.test)
            self._studies[labels] = begin(self._config("network", 1, labels, None))
        return self._studies[labels]

    def _files_of_energies(self, train: Sequence[Any], valid: Sequence[Any], test: Sequence[Any]) -> None:
        """Training and validation structures in a file that has no forces: whatever is trained cannot see them."""
        folder = self.folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        write_extxyz(folder / "energies.xyz", [replace(s, forces=None, stress=None) for s in [*train, *valid]])
        write_extxyz(folder / "test.xyz", test)
        places = list(range(len(train) + len(valid)))
        write_split(folder / "split.json", Split(places[: len(train)], places[len(train) :], []))

    def _config(self, family: str, seed: int, labels: str, count: int | None) -> Config:
        """The config of a training; of the study as a whole without `count`."""
        if labels == EVERYTHING:
            data = {**self._data, "split": {**self.amounts, "seed": 1}}
        else:
            files = {name: str(self.folder / "data" / name) for name in ("energies.xyz", "test.xyz", "split.json")}
            data = {"train": files["energies.xyz"], "test": files["test.xyz"], "split": {"file": files["split.json"]}}
        folder = self.folder / labels.replace(" ", "_")
        values: dict[str, Any] = {
            "run": {"dir": str(folder), "seed": seed, "device": "cpu", "threads": self.threads},
            "data": data,
        }
        config, settings = FAMILIES[family]
        if config is not None:
            text = (ROOT / "configs" / f"{config}.yaml").read_text(encoding="utf-8")
            values |= {name: section for name, section in yaml.safe_load(text).items() if name in ("model", "training")}
        for setting in [*settings, *self.size.settings]:
            apply_override(values, setting)
        made = parse_config(values, f"{family}, {labels}")
        if config is None or count is None:
            return made
        epochs, batch = lengths(count, made, FULL.sizes[-1], self.size.length)
        shorter = made.training.model_copy(update={"epochs": epochs, "batch_size": batch})
        return made.model_copy(update={"training": shorter})

    def _warm_up(self, family: str) -> None:
        """Train on a few structures once, so that no later training is timed with the compilation of its kernels."""
        if family in self._warm or self.size is QUICK:
            return
        with tempfile.TemporaryDirectory() as folder:
            config = self._config(family, 1, EVERYTHING, self.largest)
            few = config.data.split.model_copy(
                update={"train": min(20, self.largest), "valid": min(5, self.amounts["valid"]), "test": 0}
            )
            data = config.data.model_copy(update={"split": few, "test": None})
            settings = config.run.model_copy(update={"dir": folder, "overwrite": True})
            training = config.training.model_copy(update={"epochs": 1})
            run.train(
                config.model_copy(update={"data": data, "run": settings, "training": training}),
                quiet=True,
            )
        self._warm.add(family)


def errors(found: dict[str, Any]) -> dict[str, float | None]:
    """Mean absolute errors of energies (meV) and forces (meV/Å); None where there are no labels."""
    kinds = {"energy": found.get("energy_mae"), "forces": found.get("forces_mae")}
    return {kind: None if value is None else MILLI * value for kind, value in kinds.items()}


def seconds_per_step(folder: Path, atoms: Atoms, blocks: int) -> float:
    """Median time of a step of velocity Verlet; each block of steps begins at the same structure and velocities."""
    atoms.calc = MLIPCalculator(folder, device="cpu")
    thermalize_momenta(atoms, temperature_K=TEMPERATURE, rng=np.random.default_rng(1))
    positions, momenta = atoms.positions.copy(), atoms.get_momenta()
    times = []
    for _ in range(blocks + 1):
        atoms.positions[:] = positions
        atoms.set_momenta(momenta)
        motion = VelocityVerlet(atoms, timestep=TIMESTEP * units.fs)
        began = time.perf_counter()
        motion.run(AT_ONCE)
        times.append((time.perf_counter() - began) / AT_ONCE)
    return median(times[1:])  # the first compiles and searches neighbors
