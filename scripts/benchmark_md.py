"""Time energies and forces: ethanol in dynamics, many molecules at once, and a periodic box, in mlip and in TorchANI.

    pip install "mlip[bench]"
    python scripts/benchmark_md.py --quick

Both programs evaluate untrained networks of the same widths (one per element, those of an empty config) in float32 on
the CPU: random weights cost what trained ones do. TorchANI has the symmetry functions of ANI-1x for H, C and O; its own
weights would have to be downloaded, so its model is assembled from its parts. It runs as pip installs it, without the
extensions it can compile where there is a CUDA toolkit. With --descriptor ani1x mlip computes the same functions
(but for TorchANI's constant factors); else those of an empty config, which reach further and so see more neighbors.

  ASE step             a step of ase.md.verlet.VelocityVerlet with the ASE calculator of each program. The timestep is
                       so short that the molecule stays as it is, and mlip's neighbor list with it.
  one evaluation       the model alone, on one ethanol whose pairs are given.
  batch                many different ethanols in one call. mlip takes the pairs ready made (`pairs given`), as training
                       does; `pairs searched` includes searching them, as TorchANI always does.
  box                  a jittered periodic crystal of H, C and O, one call with the neighbor search, in microseconds per
                       atom; TorchANI with its cell list. About 52 neighbors per atom within the 6.0 Å of our default
                       functions, 36 within the 5.2 Å of ANI-1x.

Each figure is a median; the programs take turns, so that a busy machine slows both alike. Trust the ratios (below 1:
mlip is faster) more than the times. The last line is a JSON object with every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import timing
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.md.verlet import VelocityVerlet
from timing import Row

from mlip import MLIPCalculator, collate, evaluate, to_batch
from mlip.config import Config
from mlip.model.potential import Potential
from mlip.structure import Structure

AT_ONCE = 10  # steps and evaluations of one molecule that are timed together
TIMESTEP = 0.001  # fs
LATTICE_CONSTANT = 4.166  # Å, fcc: 54 neighbors within 6.0 Å
ANI1X_CUTOFF = 5.2  # Å, of its radial functions


class Size(NamedTuple):
    """How much is measured."""

    molecules: int
    cells: tuple[int, int, int]  # cubic fcc cells of four atoms
    repeats: int


SIZES = {
    "full": Size(1000, (10, 10, 5), 40),
    "quick": Size(200, (5, 5, 5), 30),
    "tiny": Size(8, (3, 3, 3), 2),
}


def main() -> None:
    arguments = timing.parser_of(__doc__).parse_args()
    name = timing.size_of(arguments)
    size = SIZES[name]
    repeats = arguments.repeats or size.repeats
    config = timing.config_of(arguments.descriptor)
    structures = timing.ethanol(size.molecules)
    potential = timing.untrained_potential(config, timing.ethanol(100)).requires_grad_(False).eval()
    peer = timing.torchani_is_there()
    crystal = box(size.cells)

    rows = [
        ase_step(config, potential, structures[0], repeats, peer),
        one_evaluation(config, potential, structures[0], repeats, peer),
        *batch_rows(config, potential, structures, repeats, peer),
        box_row(config, potential, crystal, repeats, peer),
    ]
    timing.report(
        "md",
        rows,
        size=name,
        molecules=len(structures),
        box_atoms=len(crystal),
        box_neighbors={"mlip": neighbors(crystal, potential.cutoff), "torchani": neighbors(crystal, ANI1X_CUTOFF)},
        repeats=repeats,
        threads=arguments.threads,
        descriptor=arguments.descriptor,
        functions=len(potential.descriptor.functions),
        hidden=list(config.model.networks.hidden),
    )


def ase_step(config: Config, potential: Potential, structure: Structure, repeats: int, peer: bool) -> Row:
    """Velocity Verlet of one molecule through ASE."""
    works = {"mlip": dynamics(structure, MLIPCalculator(potential))}
    if peer:
        model = timing.torchani_model(config, potential.elements).requires_grad_(False)
        works["torchani"] = dynamics(structure, model.ase())
    return _row("ase_step", "ASE step, ethanol", "ms", works, repeats, 1e3 / AT_ONCE)


def one_evaluation(config: Config, potential: Potential, structure: Structure, repeats: int, peer: bool) -> Row:
    """Energy and forces of one molecule from given pairs."""
    batch, _ = to_batch(structure, potential.cutoff)

    def ours() -> None:
        for _ in range(AT_ONCE):
            evaluate(potential, batch, stress=False)

    works: dict[str, Callable[[], object]] = {"mlip": ours}
    if peer:
        model = timing.torchani_model(config, potential.elements).requires_grad_(False)
        numbers, positions = _tensors([structure])
        pairs = model.neighborlist(model.cutoff, numbers, positions).indices
        shifts = torch.zeros(pairs.shape[1], 3)

        def theirs() -> None:
            for _ in range(AT_ONCE):
                coordinates = positions.clone().requires_grad_()
                energy = model.compute_from_external_neighbors(numbers, coordinates, pairs, shifts).energies
                torch.autograd.grad(energy.sum(), coordinates)

        works["torchani"] = theirs
    return _row("one_evaluation", "one evaluation, ethanol", "ms", works, repeats, 1e3 / AT_ONCE)


def batch_rows(
    config: Config, potential: Potential, structures: Sequence[Structure], repeats: int, peer: bool
) -> list[Row]:
    """Energy and forces of many molecules in one call."""

    def pairs_of_all() -> Any:
        return collate([to_batch(structure, potential.cutoff)[0] for structure in structures])

    batch = pairs_of_all()
    works: dict[str, Callable[[], object]] = {
        "given": lambda: evaluate(potential, batch, stress=False),
        "searched": lambda: evaluate(potential, pairs_of_all(), stress=False),
    }
    if peer:
        from torchani.grad import single_point

        model = timing.torchani_model(config, potential.elements).requires_grad_(False)
        numbers, positions = _tensors(structures)
        works["torchani"] = lambda: single_point(model, numbers, positions, forces=True)
    found = {name: 1e3 * value for name, value in timing.medians(works, repeats).items()}
    return [
        Row(f"batch_{pairs}", f"batch of {len(structures)}, pairs {pairs}", "ms", found[pairs], found.get("torchani"))
        for pairs in ("given", "searched")
    ]


def box_row(config: Config, potential: Potential, crystal: Structure, repeats: int, peer: bool) -> Row:
    """Energy and forces of a periodic box with the neighbor search."""
    works: dict[str, Callable[[], object]] = {
        "mlip": lambda: evaluate(potential, to_batch(crystal, potential.cutoff)[0], stress=False)
    }
    if peer:
        from torchani.grad import single_point

        model = timing.torchani_model(config, potential.elements, neighborlist="cell_list").requires_grad_(False)
        numbers, positions = _tensors([crystal])
        cell, pbc = torch.tensor(crystal.cell, dtype=torch.float32), torch.tensor(crystal.pbc)
        works["torchani"] = lambda: single_point(model, numbers, positions, cell, pbc, forces=True)
    return _row("box", f"box of {len(crystal)} atoms, periodic", "µs/atom", works, repeats, 1e6 / len(crystal))


def dynamics(structure: Structure, calculator: Calculator) -> Callable[[], object]:
    """Some steps of velocity Verlet from rest."""
    atoms = Atoms(structure.numbers, structure.positions, calculator=calculator)
    motion = VelocityVerlet(atoms, timestep=TIMESTEP * units.fs)
    return lambda: motion.run(AT_ONCE)


def box(cells: tuple[int, int, int]) -> Structure:
    """A jittered fcc crystal with ethanol's share of each element."""
    generator = np.random.default_rng(1)
    atoms = bulk("C", "fcc", a=LATTICE_CONSTANT, cubic=True).repeat(cells)
    atoms.numbers = generator.choice([1, 1, 1, 1, 1, 1, 6, 6, 8], len(atoms))
    atoms.rattle(0.1, rng=generator)
    atoms.wrap()
    return Structure(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


def neighbors(structure: Structure, cutoff: float) -> float:
    """Mean number of neighbors of an atom."""
    return round(to_batch(structure, cutoff)[0].pairs.shape[1] / len(structure), 1)


def _row(
    name: str, what: str, unit: str, works: dict[str, Callable[[], object]], repeats: int, units_per_second: float
) -> Row:
    found = {program: units_per_second * value for program, value in timing.medians(works, repeats).items()}
    return Row(name, what, unit, found["mlip"], found.get("torchani"))


def _tensors(structures: Sequence[Structure]) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.tensor(np.stack([structure.numbers for structure in structures]))
    return numbers, torch.tensor(np.stack([structure.positions for structure in structures]), dtype=torch.float32)


if __name__ == "__main__":
    main()
