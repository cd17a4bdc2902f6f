"""What `scripts/silicon.py` runs, by mlip's own commands: training, and dynamics of crystal, melt and quenched melt.

Each stage of dynamics is one `mlip md` in a folder of its own name, left alone where it has been run before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from ase import Atoms
from ase.build import bulk
from ase.io import read, write

ROOT = Path(__file__).parents[1]
MELTING_POINT = 1687.0  # K, measured
TIMESTEP = 2.0  # fs
# Temperatures (K) of the set's own dynamics, from cold to hot. Source: Zuo et al. 2020, computational methods.
TEMPERATURES = (300.0, 0.5 * MELTING_POINT, 0.9 * MELTING_POINT, 1.5 * MELTING_POINT, 2.0 * MELTING_POINT)


class Stage(NamedTuple):
    """A piece of dynamics, and the one whose last frame it goes on from."""

    name: str
    before: str  # a stage, or "crystal" or "cell": 216 atoms at zero pressure, 64 atoms in the cell of the training set
    ensemble: str
    temperature: float  # K
    length: float  # ps
    interval: int = 10  # steps between frames
    friction: float = 0.005  # 1/fs


def stages(scale: float) -> list[Stage]:
    """All dynamics, in order; `scale` makes each longer or shorter."""
    _, _, hot, melt, hottest = TEMPERATURES
    quench = [2100.0, 1800.0, 1500.0, 1200.0, 900.0, 600.0, 300.0]
    found = [
        Stage("crystal_heated", "crystal", "langevin", 300.0, 2.0),
        Stage("crystal_300K", "crystal_heated", "nve", 300.0, 8.0, 5),
        Stage("cell_heated", "cell", "langevin", hot, 2.0),
        Stage("cell_1518K", "cell_heated", "nose-hoover", hot, 6.0),
        Stage("melt_heated", "cell", "langevin", hottest, 4.0),
        Stage("melt_cooled", "melt_heated", "langevin", melt, 3.0),
        Stage("melt_2530K", "melt_cooled", "nose-hoover", melt, 12.0),
    ]
    for kelvin in quench:
        found.append(Stage(f"quench_{kelvin:.0f}K", found[-1].name, "langevin", kelvin, 8.0))
    return [stage._replace(length=stage.length * scale) for stage in found]


def train(data: Path, folder: Path) -> Path:
    """The run folder of a potential trained with configs/mlearn_si.yaml on train.xyz of `data`."""
    run = folder / "potential"
    if not (run / "results.json").exists():
        config = str(ROOT / "configs" / "mlearn_si.yaml")
        files = [f"data.{part}={data / part}.xyz" for part in ("train", "test")]
        _mlip(folder, "train", config, *files, f"run.dir={run}", "run.overwrite=true")
    return run


def run(stage: Stage, potential: Path, folder: Path, starts: dict[str, Atoms]) -> dict:
    """Run one stage unless it has been run; returns the summary of `mlip md`, with counts of extrapolation."""
    here = folder / stage.name
    summary = here / "summary.json"
    if summary.exists():
        return json.loads(summary.read_text(encoding="utf-8"))
    here.mkdir(parents=True, exist_ok=True)
    start = here / "start.xyz"
    write(start, starts[stage.before] if stage.before in starts else read(folder / stage.before / "md.traj", -1))
    for old in here.glob("md.traj*"):  # of a run that was cut short
        old.unlink()
    output = _mlip(
        folder, "md", str(potential), str(start), "--json", "--ensemble", stage.ensemble,
        "--temperature", str(stage.temperature), "--timestep", str(TIMESTEP), "--friction", str(stage.friction),
        "--steps", str(round(1e3 * stage.length / TIMESTEP)), "--interval", str(stage.interval),
        "--output", str(here / "md.traj"),
    )  # fmt: skip
    summary.write_text(output, encoding="utf-8")
    return json.loads(output)


def starting_cells(lattice_constant: float, training_cell: Atoms) -> dict[str, Atoms]:
    """Crystals to start from: of 216 atoms at zero pressure, and of 64 in the training set's volume."""
    edge = training_cell.cell.lengths()[0] / 2  # it holds 2 x 2 x 2 cubes of 8 atoms
    return {
        "crystal": bulk("Si", cubic=True, a=lattice_constant).repeat(3),
        "cell": bulk("Si", cubic=True, a=edge).repeat(2),
    }


def training_dynamics(data: Path) -> dict[float, list[Atoms]]:
    """Frames of the set's own dynamics of the 64-atom cell (train and test), by temperature (K).

    The files do not say temperatures, but hold the five runs one after the other, and hotter means higher energy.
    """
    runs: list[list[Atoms]] = [[] for _ in TEMPERATURES]
    for part in ("train", "test"):
        frames = [atoms for atoms in read(data / f"{part}.xyz", ":") if atoms.info.get("group") == "AIMD-NVT"]
        each = len(frames) // len(runs)
        blocks = [frames[n * each : (n + 1) * each] for n in range(len(runs))]
        blocks.sort(key=lambda block: sum(atoms.get_potential_energy() for atoms in block))
        for held, block in zip(runs, blocks, strict=True):
            held += block
    return dict(zip(TEMPERATURES, runs, strict=True))


def _mlip(folder: Path, *arguments: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "mlip", *arguments], stdout=subprocess.PIPE, text=True, check=False, cwd=Path.cwd()
    )
    if done.returncode:
        raise ValueError(f"mlip {' '.join(arguments)}: ended with exit status {done.returncode}")
    return done.stdout
