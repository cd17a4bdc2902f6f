"""Time a training step of a committee beside that of a single potential.

    python scripts/benchmark_committee.py --members 4

Both train the networks of an empty config in float32 on the CPU in one thread, on random batches of
data/ethanol_xtb.npz, with kept features and the default optimizer. The parts of a step are timed as well: networks,
the two products with the kept Jacobian, and the optimizer, whose every tenth step takes longer; so its figure, and that
of the whole step, is a mean over ten steps.

The two take turns, so that a busy machine slows both alike. The last line is a JSON object with every figure: ms for
one potential and for the committee, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timing
import torch
from timing import CPU

from mlip.assembly import make_potential, plan_of
from mlip.config import Config
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.store import FeatureStore
from mlip.device import configure_cpu, denormals_are_zero
from mlip.featurization import features_by_element
from mlip.structure import Structure
from mlip.training.examples import Examples
from mlip.training.loop import Trainer
from mlip.training.optimizers import make_optimizer

STEPS = 10  # between two renewals of the optimizer's basis


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=4, help="of the committee (default: 4)")
    parser.add_argument("--structures", type=int, default=400, help="to take batches from (default: 400)")
    parser.add_argument("--turns", type=int, default=10, help="of ten steps each (default: 10)")
    options = parser.parse_args()
    configure_cpu(1)
    structures = timing.ethanol(options.structures)
    config = timing.config_of("grid")
    descriptor = timing.descriptor_of(config, structures)
    examples = Examples(structures, descriptor.cutoff, CPU)
    examples.store = FeatureStore(descriptor, examples.atoms, torch.float32)
    trainers = [trainer(config, members, descriptor, structures, examples) for members in (1, options.members)]
    figures = {}
    for batch_size in (8, 32):
        with denormals_are_zero():
            works = [parts(each, batch_size) for each in trainers]
            figures[str(batch_size)] = {
                name: compared([work[name] for work in works], options.turns) for name in works[0]
            }
        print(f"batch of {batch_size}: ms of one, of {options.members} members, ratio")
        for name, (one, many, ratio) in figures[str(batch_size)].items():
            print(f"  {name:>14} {one:7.3f} {many:7.3f} {ratio:5.2f}")
    print(json.dumps({"benchmark": "committee", "members": options.members, "figures": figures}))


def trainer(config: Config, members: int, descriptor: ACSF, structures: list[Structure], examples: Examples) -> Trainer:
    """A trainer of a fresh potential with so many members."""
    committee = config.model.committee.model_copy(update={"members": members})
    config = config.model_copy(update={"model": config.model.model_copy(update={"committee": committee})})
    features = features_by_element(descriptor, examples)
    potential = make_potential(config, descriptor, structures, [0.0] * len(descriptor.elements), features)
    chosen = config.training.optimizer.model_dump()
    return Trainer(
        potential,
        lambda w: make_optimizer(weights=w, **chosen),
        examples,
        examples,
        plan_of(config, examples.atoms.whole),
        Path(),
    )


def parts(trained: Trainer, batch_size: int) -> dict[str, Callable[[], object]]:
    """The whole step and what it is made of, each to be called again and again."""
    generator = np.random.default_rng(0)
    examples, potential = trained.train_examples, trained.potential

    def pick() -> list[int]:
        return generator.permutation(len(examples))[:batch_size].tolist()

    batch, labels, kept = examples.take(pick())
    assert kept is not None
    networks = trained.step._networks
    assert networks is not None
    element = potential.element_of(batch.numbers)
    by_outputs = torch.randn(potential.members, len(element))
    by_gradients = torch.randn(potential.members, *kept.features.shape)
    by_pairs = torch.randn(potential.members, batch.pairs.shape[1], 3)
    applied = networks(kept.features, element)
    loss = trained.stage.loss
    return {
        "whole step": lambda: trained._step(pick(), 1e-3),
        "but optimizer": lambda: trained.step(batch, labels, loss, forces=True, stress=False, features=kept),
        "optimizer": lambda: trained.optimizer.step(),
        "networks": lambda: networks(kept.features, element),
        "their gradient": lambda: applied.add_weight_gradients(by_outputs, by_gradients),
        "J^T g": lambda: kept.pair_gradients(by_gradients),
        "J v": lambda: kept.feature_changes(by_pairs),
    }


@torch.no_grad()
def compared(works: list[Callable[[], object]], turns: int) -> tuple[float, float, float]:
    """Medians over turns of the mean time of ten calls (ms), and their ratio."""
    times: list[list[float]] = [[], []]
    for turn in range(turns + 1):
        for work, found in zip(works, times, strict=True):
            start = time.perf_counter()
            for _ in range(STEPS):
                work()
            if turn:  # the first one warms up
                found.append(1e3 * (time.perf_counter() - start) / STEPS)
    one, many = (float(np.median(found)) for found in times)
    return one, many, many / one


if __name__ == "__main__":
    main()
