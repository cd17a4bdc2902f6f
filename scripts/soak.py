"""Dynamics for long: NVE of ethanol (200 ps) and NPT of silicon (20 ps), and whether they stayed physical.

    mlip train configs/ethanol.yaml
    mlip train configs/mlearn_si.yaml data.train=mlearn_si/train.xyz data.test=mlearn_si/test.xyz
    python scripts/soak.py --ethanol runs/ethanol --silicon runs/mlearn_si --folder soak

Both go the way of `mlip md`, with its watch for forces, drift and extrapolation. Ethanol starts from the first geometry
of `data/ethanol_xtb.npz`, silicon from 2 x 2 x 2 cubic cells of diamond with a lattice constant of 5.43 Å, both with
velocities of 300 K. Recorded are

  drift            of the conserved energy: the slope of a straight line through it times the length (meV/atom), and
                   what it swings around that line
  temperature      mean, deviation, lowest and highest of the frames (K)
  volume           mean and deviation of the frames (Å³/atom), for silicon
  bonds            in how many frames atoms are bonded otherwise than at the start (1.3 times the sum of covalent radii)
  extrapolation    steps in which an atom is outside of the training set's features, and the worst

The trajectories stay in the folder; `soak.json` there has every figure. A run that leaves physics is recorded as such,
with its step and reason, and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import iread
from ase.neighborlist import natural_cutoffs, neighbor_list

from mlip import MLIPCalculator
from mlip.dynamics import Simulation, Unphysical
from mlip.ensembles import Conditions
from mlip.model.checkpoint import fingerprint

ETHANOL = Path(__file__).parents[1] / "data" / "ethanol_xtb.npz"
REACH = 1.3  # of a bond, in sums of covalent radii: between a stretched bond and the next neighbor


def ethanol() -> Atoms:
    """The first geometry of the bundled sample."""
    with np.load(ETHANOL) as file:
        return Atoms(file["z"], file["R"][0])


def silicon() -> Atoms:
    """64 atoms of diamond."""
    return bulk("Si", cubic=True, a=5.43).repeat(2)


def soak(name: str, atoms: Atoms, run: str, conditions: Conditions, steps: int, folder: Path, quiet: bool) -> dict:
    """Run, and say what became of it."""
    output = folder / f"{name}.xyz"
    atoms.calc = MLIPCalculator(run, extrapolation="count")
    potential = atoms.calc.potential
    simulation = Simulation(atoms, conditions, output, interval=100, potential=fingerprint(potential))
    simulation.start()
    result: dict[str, Any] = {
        "atoms": len(atoms), "conditions": asdict(conditions), "dtype": str(potential.dtype).removeprefix("torch."),
        "members": potential.members, "stopped": None,
    }  # fmt: skip
    try:
        result |= simulation.run(steps, quiet=quiet)
    except Unphysical as reason:
        assert simulation.extrapolation is not None
        result |= {
            "steps": simulation.step,
            "stopped": str(reason),
            "extrapolation": simulation.extrapolation.results(),
        }
    return result | of_log(output, len(atoms)) | of_frames(output)


def of_log(output: Path, atoms: int) -> dict[str, Any]:
    """Temperature and volume of the frames, without their first tenth."""
    with output.with_name(output.name + ".csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = rows[len(rows) // 10 :]
    temperature = np.array([float(row["temperature"]) for row in rows])
    result = {
        "temperature": {
            "mean": temperature.mean(), "std": temperature.std(),
            "lowest": temperature.min(), "highest": temperature.max(),
        }
    }  # fmt: skip
    if "volume" in rows[0]:
        volume = np.array([float(row["volume"]) for row in rows]) / atoms
        result["volume_per_atom"] = {"mean": volume.mean(), "std": volume.std()}
    return result


def of_frames(output: Path) -> dict[str, Any]:
    """In how many frames the bonds are not those of the first."""
    first: set | None = None
    frames = changed = 0
    for frame in iread(output, format="extxyz"):
        bonds = set(starmap(_bond, zip(*neighbor_list("ijS", frame, natural_cutoffs(frame, mult=REACH)), strict=True)))
        first = first if first is not None else bonds
        frames, changed = frames + 1, changed + (bonds != first)
    return {"frames": frames, "frames_with_other_bonds": changed, "bonds": len(first or ()) // 2}


def _bond(center: int, neighbor: int, shift: np.ndarray) -> tuple[int, ...]:
    return (int(center), int(neighbor), *shift.tolist())


def table(results: dict[str, dict[str, Any]]) -> str:
    """The figures for a person."""
    rows = [f"{'':28}" + "".join(f"{name:>24}" for name in results)]

    def row(title: str, texts: Sequence[str]) -> None:
        rows.append(f"{title:28}" + "".join(f"{text:>24}" for text in texts))

    runs = list(results.values())
    row("ensemble", [one["conditions"]["ensemble"] for one in runs])
    row("length (ps)", [f"{1e-3 * one['steps'] * one['conditions']['timestep']:g}" for one in runs])
    row("stopped", ["no" if one["stopped"] is None else f"step {one['steps']}" for one in runs])
    finished = [one for one in runs if one["stopped"] is None]
    if len(finished) == len(runs):
        row("drift (meV/atom)", [f"{one['drift_meV_per_atom']:+.4f}" for one in runs])
        row("swing (meV/atom)", [f"{one['fluctuation_meV_per_atom']:.4f}" for one in runs])
    row("temperature (K)", [f"{one['temperature']['mean']:.1f} ± {one['temperature']['std']:.1f}" for one in runs])
    volumes = [one.get("volume_per_atom") for one in runs]
    row("volume (Å³/atom)", [f"{v['mean']:.3f} ± {v['std']:.3f}" if v else "-" for v in volumes])
    row("frames with other bonds", [f"{one['frames_with_other_bonds']} of {one['frames']}" for one in runs])
    counts = [one["extrapolation"] or {} for one in runs]
    row("steps outside of training", [f"{c.get('steps_outside', 0)} of {c.get('steps', 0)}" for c in counts])
    row("of them far outside", [str(c.get("steps_far_outside", 0)) for c in counts])
    return "\n".join(rows)


def main() -> int:
    """Read the options, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ethanol", metavar="RUN", help="run folder or potential file for H, C and O")
    parser.add_argument("--silicon", metavar="RUN", help="the same for silicon")
    parser.add_argument("--folder", type=Path, default=Path("soak"), help="for trajectories and soak.json; a new one")
    parser.add_argument("--nve-ps", type=float, default=200.0, help="of ethanol (default: 200)")
    parser.add_argument("--npt-ps", type=float, default=20.0, help="of silicon (default: 20)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args()
    if not (options.ethanol or options.silicon):
        parser.error("give --ethanol RUN, --silicon RUN or both")
    options.folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = {}
    watched = {"temperature": 300.0, "on_extrapolation": "warn"}
    if options.ethanol:
        nve = Conditions(ensemble="nve", timestep=0.5, **watched)
        steps = round(options.nve_ps * 1e3 / nve.timestep)
        results["ethanol"] = soak("ethanol", ethanol(), options.ethanol, nve, steps, options.folder, options.quiet)
    if options.silicon:
        npt = Conditions(ensemble="npt", timestep=1.0, **watched)
        steps = round(options.npt_ps * 1e3 / npt.timestep)
        results["silicon"] = soak("silicon", silicon(), options.silicon, npt, steps, options.folder, options.quiet)
    environment = {"machine": platform.machine(), "python": platform.python_version()}
    text = json.dumps({**results, "environment": environment}, indent=1)
    (options.folder / "soak.json").write_text(text + "\n", encoding="utf-8")
    print(table(results))
    return int(any(one["stopped"] is not None for one in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
