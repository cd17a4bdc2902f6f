"""Time LAMMPS with a potential, on some ranks, beside the potential's own evaluator.

    python scripts/benchmark_lammps.py runs/si --lattice diamond 5.43 --ranks 1 2

The potential is one of a single element; the crystal is hot (600 K, NVE). Figures are microseconds per atom and step:

- evaluator: `FusedPotential` in this process, pairs kept, nothing else
- LAMMPS on each number of ranks, for a crystal of --cells (strong scaling), and for one that grows with the ranks
  (weak scaling); the time is LAMMPS's own of its run, and its parts are those of the slowest rank
- two cutoffs: the same where each rank evaluates the ghosts within a cutoff as well, so that it needs no forces from
  others. It is what the exchange of ghosts' forces saves

The last line is a JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from ase.build import bulk
from ase.data import atomic_masses

from mlip.device import configure_cpu
from mlip.elements import symbol
from mlip.interfaces.lammps.domain import Domain, DomainResult
from mlip.interfaces.lammps.halo import Halo
from mlip.model.checkpoint import load_potential
from mlip.model.fused import FusedPotential
from mlip.verlet import VerletList

INPUT = """\
units metal
atom_style atomic
lattice {lattice}
region box block 0 {x} 0 {y} 0 {z}
create_box 1 box
create_atoms 1 box
mass 1 {mass}
velocity all create 1200 42 loop geom
fix move all nve
timestep 0.001
run 50
run {steps}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("potential", help="run folder or potential file")
    parser.add_argument("--lattice", nargs=2, default=["diamond", "5.43"], metavar=("NAME", "Å"))
    parser.add_argument("--cells", type=int, default=5, help="along each axis (default: 5)")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=100, help="default: 100")
    parser.add_argument("--turns", type=int, default=3, help="of which the median is taken (default: 3)")
    parser.add_argument("--worker", nargs=3, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--two-cutoffs", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    configure_cpu(1)
    if options.worker:
        worker(options)
        return
    figures: dict[str, Any] = {"evaluator_us": evaluator(options)}
    print(f"evaluator {figures['evaluator_us']:38.1f} us per atom and step")
    n = options.cells
    for ranks in options.ranks:
        for name, cells, two in (
            ("strong", (n, n, n), False), ("strong, two cutoffs", (n, n, n), True), ("weak", (n, n, n * ranks), False),
        ):  # fmt: skip
            made = [launched(options, ranks, cells, two) for _ in range(options.turns)]
            made.sort(key=lambda result: result["us"])
            result = figures[f"{ranks} ranks, {name}"] = made[len(made) // 2]
            print(
                f"{ranks} ranks, {name:19} {result['atoms']:6} atoms {result['us']:7.1f} us, "
                f"per rank {result['us'] * ranks:7.1f}: evaluation {result['evaluate']:.0%}, search "
                f"{result['search']:.1%}, exchange {result['exchange']:.1%}; ghosts {result['ghosts']:.1f} per atom"
            )
    print(json.dumps(figures))


def evaluator(options: argparse.Namespace) -> float:
    """Of the same crystal, in µs per atom."""
    potential = load_potential(options.potential)
    name, constant = options.lattice
    atoms = bulk(symbol(potential.elements[0]), name, float(constant), cubic=True).repeat(options.cells)
    atoms.rattle(0.1, seed=1)
    fused, pairs = FusedPotential(potential), VerletList(potential.cutoff, 0.5)
    batch = pairs.kept(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    times = []
    for _ in range(15):
        begin = time.perf_counter()
        fused.at(batch, atoms.positions, atoms.cell.array)
        times.append(time.perf_counter() - begin)
    return 1e6 * median(times) / len(atoms)


def launched(options: argparse.Namespace, ranks: int, cells: tuple[int, int, int], two_cutoffs: bool) -> dict[str, Any]:
    """What the first rank of a run says."""
    mpiexec = Path(sys.executable).parent / "mpiexec"
    command = [str(mpiexec), "-n", str(ranks), sys.executable, __file__, options.potential, "--lattice",
               *options.lattice, "--steps", str(options.steps), "--worker", *map(str, cells),
               *(["--two-cutoffs"] if two_cutoffs else [])]  # fmt: skip
    outcome = subprocess.run(command, capture_output=True, text=True)
    if outcome.returncode:
        raise SystemExit(outcome.stderr)
    result: dict[str, Any] = json.loads(outcome.stdout.splitlines()[-1])
    return result


def worker(options: argparse.Namespace) -> None:
    """One rank: runs LAMMPS and adds up where the time goes."""
    from mlip.interfaces.lammps import attachment
    from mlip.interfaces.lammps.library import start
    from mlip.interfaces.lammps.script import prepared

    potential = load_potential(options.potential)
    if options.two_cutoffs:
        attachment.Domain, attachment.Halo = TwoCutoffs, Nothing  # type: ignore[attr-defined, misc, assignment]
    reach = 2 * potential.cutoff if options.two_cutoffs else potential.cutoff
    lammps, ranks = start(["-log", "none", "-screen", "none"])
    x, y, z = options.worker
    number = potential.elements[0]
    text = INPUT.format(
        lattice=" ".join(options.lattice), x=x, y=y, z=z, mass=atomic_masses[number], steps=options.steps
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.lammps"
        path.write_text(text, encoding="utf-8")
        script = prepared(path, reach)
        path.write_text(script.before, encoding="utf-8")
        lammps.file(str(path))
        attached = attachment.Attachment(lammps, ranks, potential, [symbol(number)])
        lammps.command("run 50")
        seconds = {"evaluate": 0.0, "search": 0.0, "exchange": 0.0}
        for name, owner, method in (
            ("evaluate", attachment.Domain, "evaluate"), ("search", attachment.Domain, "search"),
            ("exchange", attachment.Halo, "give_back"), ("exchange", attachment.Halo, "__init__"),
        ):  # fmt: skip
            setattr(owner, method, timed(getattr(owner, method), name, seconds))
        begin = time.perf_counter()
        lammps.command(f"run {options.steps}")
        whole = time.perf_counter() - begin
    atoms = int(lammps.get_natoms())
    shares = {name: ranks.allreduce(used, op=_largest()) / whole for name, used in seconds.items()}
    ghosts = ranks.allreduce(lammps.extract_global("nghost")) / atoms
    if ranks.rank == 0:
        result = {"atoms": atoms, "us": 1e6 * whole / options.steps / atoms, "ghosts": ghosts, **shares,
                  "searches": attached.domain.searches}  # fmt: skip
        print(json.dumps(result))


def _largest() -> Any:
    from mpi4py import MPI

    return MPI.MAX


def timed(function: Any, name: str, seconds: dict[str, float]) -> Any:
    """The same, and its time is added up."""

    def wrapped(*arguments: Any) -> Any:
        begin = time.perf_counter()
        result = function(*arguments)
        seconds[name] += time.perf_counter() - begin
        return result

    return wrapped


class TwoCutoffs(Domain):
    """Evaluates the ghosts within a cutoff as well, in order of own atoms, these, and the rest."""

    def search(self, numbers: np.ndarray, own: int, positions: np.ndarray) -> None:
        """Find which ghosts are near, and the pairs of all these."""
        super().search(numbers, own, positions)
        assert self._batch is not None
        near = np.zeros(len(numbers), bool)
        near[self._batch.pairs[1].numpy()] = True
        near[:own] = True
        self._order = np.argsort(~near, kind="stable")
        super().search(numbers[self._order], int(near.sum()), positions[self._order])
        self._searched, self._own = positions.copy(), own

    def evaluate(self, positions: np.ndarray) -> DomainResult:
        """Energies of own atoms, and forces that are right for these."""
        made = super().evaluate(positions[self._order])
        return DomainResult(made.energies[: self._own], made.forces[: self._own], made.virial, None)


class Nothing(Halo):
    """No exchange: own atoms have all their forces."""

    def give_back(self, rows: np.ndarray) -> np.ndarray:
        """The rows of own atoms."""
        return rows


if __name__ == "__main__":
    main()
