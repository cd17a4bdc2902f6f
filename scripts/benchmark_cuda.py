"""Time energies, forces and training on a CUDA device: boxes of 10^3 to 10^6 atoms, many molecules, a training step.

    pip install "mlip[bench]"
    python scripts/benchmark_cuda.py --quick

The networks are untrained, one per element, those of an empty config, in float32: random weights cost what trained ones
do. TorchANI has the symmetry functions of ANI-1x, as in benchmark_md.py; --descriptor ani1x gives mlip the same ones.

  box, pairs given     energy and forces of a jittered periodic crystal of H, C and O whose pairs are known: a step of
                       dynamics between two neighbor searches. In microseconds per atom; the JSON object also has
                       atom-steps per second.
  box, pairs searched  the same with the search for pairs on the device; TorchANI with its cell list.
  box, plain PyTorch   the same as given, by the reference instead of the kernels.
  batch                energies and forces of many different ethanols in one call, with the search.
  training step        on energies and forces of a random batch of ethanols, features kept on the device.

The ceilings are what the device does at best: a copy of a large tensor (bytes read and written) and products of large
matrices, without TF32. Each figure is a median; n/a stands for too little memory, or not tried. The last line is a JSON
object with every figure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import timing
import torch
from benchmark_md import box
from benchmark_training import mlip_step
from timing import Row
from torch import Tensor

from mlip import Structure, collate, evaluate, to_batch
from mlip.arithmetic import round_products
from mlip.batch import AtomsBatch, with_pairs
from mlip.config import Config
from mlip.descriptors.backends import fastest
from mlip.descriptors.store import FeatureStore
from mlip.model.potential import Potential
from mlip.training.examples import Examples

SHORT = 0.3  # Å; no two atoms are so near
MOST_BY_PEER = 20_000  # atoms of the boxes that TorchANI and plain PyTorch are given
TRAINING_BATCHES = (8, 32)


class Size(NamedTuple):
    """How much is measured."""

    cells: tuple[tuple[int, int, int], ...]  # of boxes, four atoms each
    molecules: int
    matrix: int  # edge of the matrices of the ceilings
    repeats: int


THOUSAND, TEN_THOUSAND = (6, 6, 7), (13, 14, 14)
SIZES = {
    "full": Size((THOUSAND, TEN_THOUSAND, (29, 29, 30), (63, 63, 63)), 1000, 8192, 20),
    "quick": Size((THOUSAND, TEN_THOUSAND), 1000, 4096, 10),
    "tiny": Size(((3, 3, 3),), 8, 64, 2),
}


def main() -> None:
    arguments = timing.parser_of(__doc__).parse_args()
    name = timing.size_of(arguments)
    if not (torch.cuda.is_available() or name == "tiny"):
        print("benchmark_cuda: torch sees no CUDA device; --tiny runs on the CPU", file=sys.stderr)
        raise SystemExit(2)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = SIZES[name]
    repeats = arguments.repeats or size.repeats
    config = timing.config_of(arguments.descriptor)
    structures = timing.ethanol(size.molecules)
    potential = timing.untrained_potential(config, structures[:100]).requires_grad_(False).eval().to(device)
    peers = {}
    if timing.torchani_is_there():
        for search in ("all_pairs", "cell_list"):
            peers[search] = timing.torchani_model(config, potential.elements, search).requires_grad_(False).to(device)
    ceilings = ceilings_of(device, size.matrix, repeats)
    rows, speed = [], {}
    for cells in size.cells:
        crystal = box(cells)
        found = box_rows(potential, peers.get("cell_list"), crystal, device, repeats)
        speed |= {row.name: round(1e6 / row.mlip) for row in found if row.mlip}
        rows += found
    rows.append(batch_row(potential, peers.get("all_pairs"), structures, device, repeats))
    rows += training_rows(config, structures, device, repeats)
    timing.report(
        "cuda",
        rows,
        size=name,
        repeats=repeats,
        threads=arguments.threads,
        descriptor=arguments.descriptor,
        functions=len(potential.descriptor.functions),
        hidden=list(config.model.networks.hidden),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        backend=type(fastest(potential.descriptor, device)).__name__,
        atom_steps_per_second=speed,
        ceilings=ceilings,
    )


def ceilings_of(device: torch.device, edge: int, repeats: int) -> dict[str, float]:
    """Bandwidth of a copy (GB/s) and rates of a matrix product (TFLOP/s)."""
    found = {}
    source = torch.rand(4 * edge * edge, device=device)
    target = torch.empty_like(source)
    seconds = _median(lambda: target.copy_(source), device, repeats)
    found["copy_gb_per_second"] = 2 * source.numel() * source.itemsize / seconds / 1e9
    round_products(False)
    for dtype in (torch.float32, torch.float64):
        matrix = torch.rand(edge, edge, dtype=dtype, device=device)
        seconds = _median(lambda matrix=matrix: matrix @ matrix, device, repeats)
        found[f"{dtype}".removeprefix("torch.") + "_tflops"] = 2 * edge**3 / seconds / 1e12
    print("ceilings: " + ", ".join(f"{name} {value:.3g}" for name, value in found.items()))
    return found


def box_rows(potential: Potential, peer: Any, crystal: Structure, device: torch.device, repeats: int) -> list[Row]:
    """A periodic box: pairs given, pairs searched, and plain PyTorch."""
    batch = without_pairs([crystal]).to(device)
    count = len(crystal)
    given = with_pairs(batch, potential.cutoff)
    works: dict[str, Callable[[], object]] = {
        "given": lambda: evaluate(potential, given, stress=False),
        "searched": lambda: evaluate(potential, with_pairs(batch, potential.cutoff), stress=False),
    }
    if count <= MOST_BY_PEER:
        works["plain"] = lambda: evaluate(potential, given, stress=False, features=potential.descriptor)
        if peer is not None:
            cell, pbc = torch.tensor(crystal.cell, dtype=torch.float32), torch.tensor(crystal.pbc)
            works["torchani"] = _torchani(
                peer, batch.numbers[None], batch.positions[None], cell.to(device), pbc.to(device)
            )
    found = {name: _scaled(_median(work, device, repeats), 1e6 / count) for name, work in works.items()}
    print(f"box of {count} atoms: {given.pairs.shape[1] / count:.1f} neighbors per atom")
    return [
        Row(f"box_{count}_{name}", f"box of {count} atoms, {what}", "µs/atom", found[name], found.get(other))
        for name, what, other in [
            ("given", "pairs given", ""),
            ("searched", "pairs searched", "torchani"),
            ("plain", "plain PyTorch", ""),
        ]
        if name in found
    ]


def batch_row(potential: Potential, peer: Any, structures: list[Structure], device: torch.device, repeats: int) -> Row:
    """Many molecules in one call."""
    batch = without_pairs(structures).to(device)
    ours = _median(lambda: evaluate(potential, with_pairs(batch, potential.cutoff), stress=False), device, repeats)
    theirs = None
    if peer is not None:
        numbers, positions = (part.view(len(structures), -1, *part.shape[1:]) for part in batch[:2])
        theirs = _median(_torchani(peer, numbers, positions), device, repeats)
    what = f"batch of {len(structures)}, pairs searched"
    return Row("batch", what, "ms", _scaled(ours, 1e3), _scaled(theirs, 1e3))


def training_rows(config: Config, structures: list[Structure], device: torch.device, repeats: int) -> list[Row]:
    """Training steps with kept features."""
    rows = []
    for batch in TRAINING_BATCHES:
        if batch > len(structures):
            continue
        potential = timing.untrained_potential(config, structures[:100]).to(device)
        examples = Examples(structures, potential.cutoff, device)
        examples.store = FeatureStore(potential.descriptor, examples.atoms, potential.dtype)
        seconds = _median(mlip_step(config, potential, examples, batch), device, 10 * repeats)
        rows.append(Row(f"step_{batch}", f"training step of {batch}", "ms", _scaled(seconds, 1e3)))
    return rows


def without_pairs(structures: list[Structure]) -> AtomsBatch:
    """Structures as a batch whose pairs are still to be found."""
    return collate([to_batch(structure, SHORT)[0] for structure in structures])


def _torchani(peer: Any, numbers: Tensor, positions: Tensor, *box: Tensor) -> Callable[[], object]:
    from torchani.grad import single_point

    return lambda: single_point(peer, numbers, positions.float(), *box, forces=True)


def _median(work: Callable[[], object], device: torch.device, repeats: int) -> float | None:
    """Median seconds of a work until the device has done it; None if its memory does not suffice."""

    def done() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    try:
        return timing.medians({"": done}, repeats)[""]
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None


def _scaled(seconds: float | None, units_per_second: float) -> float | None:
    return None if seconds is None else units_per_second * seconds


if __name__ == "__main__":
    main()
