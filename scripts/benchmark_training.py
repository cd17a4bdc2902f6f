"""Time a training step on energies and forces of ethanol, in mlip and in TorchANI.

    pip install "mlip[bench]"
    python scripts/benchmark_training.py --quick

Both programs train the same networks (one per element, those of an empty config) in float32 on the CPU, on random
batches of data/ethanol_xtb.npz, with a fused Adam (TorchANI: AdamW, as it is usually trained) and the same loss:
squared errors of the energy per atom and of the force components.

  features kept        mlip, training.cache: memory. Symmetry functions and their Jacobians are computed once, before
                       the first epoch; a step is a pass through the networks and two products with the Jacobian.
  features recomputed  mlip, training.cache: off. Every step computes the symmetry functions, as TorchANI's does.
  TorchANI             the symmetry functions of ANI-1x for H, C and O; forces by autograd with create_graph=True.

The store is what the kept features cost: time to compute them, and memory to hold them, per 1000 structures. The peak
memory is that of the process when mlip has filled the store and made a few steps, before TorchANI is loaded.

Each figure is the median of many steps; the programs take turns, so that a busy machine slows all of them alike. Trust
the ratios (below 1: mlip is faster) more than the milliseconds. With --descriptor ani1x mlip has the same
symmetry functions as TorchANI, but for its constant factors. The last line is a JSON object with every figure.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timing
import torch
from timing import CPU, Row

from mlip.assembly import plan_of
from mlip.config import Config
from mlip.config.section import Section
from mlip.config.training import Adam, Soap
from mlip.descriptors.store import FeatureStore, bytes_needed
from mlip.model.potential import Potential
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.loop import Trainer
from mlip.training.optimizers import make_optimizer

ADAM, SOAP = Adam(name="adam"), Soap(name="soap")  # the same work in both programs, and the default of mlip
BATCH_SIZES = (8, 32)


class Size(NamedTuple):
    """How much is measured."""

    structures: int
    repeats: int


SIZES = {"full": Size(1000, 300), "quick": Size(200, 100), "tiny": Size(32, 2)}


def main() -> None:
    parser = timing.parser_of(__doc__)
    parser.add_argument("--structures", type=int, metavar="N", help=f"to train on, at least {max(BATCH_SIZES)}")
    arguments = parser.parse_args()
    size = timing.size_of(arguments)
    count, repeats = arguments.structures or SIZES[size].structures, arguments.repeats or SIZES[size].repeats
    structures = timing.ethanol(count)
    if len(structures) < max(BATCH_SIZES):
        parser.error(f"{len(structures)} structures; a batch needs {max(BATCH_SIZES)}")
    config = timing.config_of(arguments.descriptor)
    potential = timing.untrained_potential(config, structures[:100])
    descriptor = potential.descriptor

    examples = Examples(structures, descriptor.cutoff, CPU)
    FeatureStore(descriptor, Examples(structures[:8], descriptor.cutoff, CPU).atoms, torch.float32)
    start = time.perf_counter()
    examples.store = FeatureStore(descriptor, examples.atoms, torch.float32)
    seconds = time.perf_counter() - start
    megabytes = bytes_needed(descriptor, examples.atoms, torch.float32) / 1e6
    kept = {batch: mlip_step(config, potential, examples, batch) for batch in BATCH_SIZES}
    timing.medians({str(batch): step for batch, step in kept.items()}, 3)
    peak = peak_memory()

    again = timing.untrained_potential(config, structures[:100])
    plain = Examples(structures, descriptor.cutoff, CPU)
    peer = timing.torchani_is_there()
    rows = []
    for batch in BATCH_SIZES:
        works = {"kept": kept[batch], "recomputed": mlip_step(config, again, plain, batch)}
        works["soap"] = mlip_step(config, timing.untrained_potential(config, structures[:100]), examples, batch, SOAP)
        if peer:
            works["torchani"] = torchani_step(config, potential, structures, batch)
        found = {name: 1e3 * value for name, value in timing.medians(works, repeats).items()}
        for name in ("kept", "recomputed"):
            what = f"step of {batch}, features {name}"
            rows.append(Row(f"step_{batch}_{name}", what, "ms", found[name], found.get("torchani")))
        rows.append(Row(f"step_{batch}_soap", f"step of {batch}, features kept, SOAP", "ms", found["soap"]))
    thousands = len(structures) / 1000
    rows += [
        Row("store_seconds", "store, time to fill per 1000 structures", "s", seconds / thousands),
        Row("store_size", "store, size per 1000 structures", "MB", megabytes / thousands),
        Row("peak_memory", f"peak memory with {len(structures)} structures kept", "MB", peak),
    ]
    timing.report(
        "training",
        rows,
        size=size,
        structures=len(structures),
        repeats=repeats,
        threads=arguments.threads,
        descriptor=arguments.descriptor,
        functions=len(descriptor.functions),
        hidden=list(config.model.networks.hidden),
    )


def mlip_step(
    config: Config, potential: Potential, examples: Examples, batch: int, optimizer: Section = ADAM
) -> Callable[[], object]:
    """A training step with the next batch: the very method of the training loop, so that this cannot drift from it."""
    options = optimizer.model_dump()
    none = Examples([], potential.cutoff, CPU)
    trainer = Trainer(
        potential,
        lambda weights: make_optimizer(weights=weights, **options),
        examples,
        none,
        plan_of(config, examples.atoms.whole),
        Path("never written"),
    )
    choose = batches(len(examples), batch)
    return lambda: trainer._step(choose(), options["learning_rate"])


def torchani_step(
    config: Config, potential: Potential, structures: Sequence[Structure], batch: int
) -> Callable[[], object]:
    """The same in TorchANI, as its tutorial trains on forces. Labels are in eV, less the same reference energies."""
    from torchani.grad import forces_for_training

    model = timing.torchani_model(config, potential.elements)
    optimizer = torch.optim.AdamW(model.parameters(), lr=ADAM.learning_rate, fused=True)
    numbers = torch.tensor(np.stack([structure.numbers for structure in structures]))
    positions = torch.tensor(np.stack([structure.positions for structure in structures]), dtype=torch.float32)
    references = potential.reference_energies[potential.element_of(numbers[0])].sum()
    energies = (torch.tensor([structure.energy for structure in structures]).double() - references).float()
    forces = torch.tensor(np.stack([structure.forces for structure in structures]), dtype=torch.float32)
    atoms = numbers.shape[1]
    choose = batches(len(structures), batch)

    def step() -> None:
        rows = torch.tensor(choose())
        coordinates = positions[rows].requires_grad_()
        predicted = model((numbers[rows], coordinates)).energies
        predicted_forces = forces_for_training(predicted, coordinates)
        loss = ((predicted - energies[rows]) / atoms).square().mean() + (
            predicted_forces - forces[rows]
        ).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        float(loss.detach())  # a loop watches its loss; ours does

    return step


def batches(structures: int, batch: int) -> Callable[[], list[int]]:
    """A function that gives the next random batch, in the same order for every program."""
    generator = np.random.default_rng(1)
    return lambda: generator.choice(structures, batch, replace=False).tolist()


def peak_memory() -> float | None:
    """Highest resident memory of this process so far (MB); None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    main()
