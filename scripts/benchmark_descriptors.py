"""Time the symmetry functions, and energy and forces of water, beside a plain scalar loop and TorchANI.

    pip install "mlip[bench]"
    python scripts/benchmark_descriptors.py --quick

Symmetry functions: G, the product with the transposed Jacobian (Jt g, for forces) and with the Jacobian (J v, for
training), of one ethanol with the functions of an empty config (264) and with a small set (90), and of water per atom,
in float64 and float32. G stands beside a loop over neighbors and functions written straight from the formulas: the
library's exp, cos and pow, one number at a time, float64, compiled by numba. The ratio to it can be compared between
machines.

  water        functions of the kind and number that are usual for it (27 for H, 30 for O, as in RuNNer's RPBE-D3 water
               of Morawietz, Singraber, Dellago, Behler, PNAS 113, 8368 (2016)), cutoff 12 Bohr, networks 25-25 with
               tanh. Radial, 1/Bohr^2 and Bohr: eta 0.001, 0.01, 0.03, 0.06 with r_s 0; 0.15, 0.3, 0.6, 1.5 with r_s
               1.9 for H-H, 0.9 for H-O and O-H, 4.0 for O-O. Narrow, eta and zeta: H-OH 0.2 and 1 (lambda 1); H-OH
               and O-HH 0.07 and 1, 0.03 and 1, 0.01 and 4; H-OO, O-OH and O-OO 0.03 and 1, 0.001 and 4 (lambda 1
               and -1).
  wide         wide functions of water (1/Å²: eta 0.01 and 0.1; zeta 1, 2 and 4; both signs), G and Jt g in float64, by
               moments of the neighbors and by triples.
  evaluation   energy and forces of a water box with the neighbor search, and of ethanol with given pairs, as in
               dynamics; TorchANI has ANI-1x's functions for these elements, the same networks, and its cell list.
  batch        many ethanols in one call of `evaluate`, pairs given; TorchANI searches them.
  boxes        water of growing size, pairs given: time, and memory taken for the evaluation, per atom (not --quick).
  threads      a box of 8232 atoms with one and two threads (not --quick).

Each figure is a median; works that are compared take turns. The last line is a JSON object with every figure.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numba
import numpy as np
import timing
import torch
from ase.units import Bohr
from timing import Row

from mlip import collate, evaluate, to_batch
from mlip.batch import AtomsBatch, pair_vectors
from mlip.config import Config
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.compiled import CompiledACSF, compiled
from mlip.descriptors.functions import Narrow, Radial, Shifted, SymmetryFunction
from mlip.descriptors.parameters import angular_grid, behler_angular, radial_grid
from mlip.kernels.arithmetic import CHANGES, FEATURES, GRADIENTS
from mlip.model.fused import FusedPotential
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.scaling import FeatureScaling
from mlip.structure import Structure

SPACING = 3.15  # Å between molecules: 96 neighbors within 12 Bohr
PRECISIONS = {"f64": torch.float64, "f32": torch.float32}


class Size(NamedTuple):
    """How much is measured."""

    edge: int  # molecules along the edge of the water box
    molecules: int
    repeats: int
    boxes: tuple[int, ...]  # edges of the growing boxes
    threads: int  # edge of the box for two threads, 0 for none


SIZES = {
    "full": Size(8, 1000, 15, (7, 15, 32), 14),
    "quick": Size(6, 200, 9, (), 0),
    "tiny": Size(3, 4, 2, (2,), 2),
}


def main() -> None:
    arguments = timing.parser_of(__doc__).parse_args()
    name = timing.size_of(arguments)
    size = SIZES[name]
    repeats = arguments.repeats or size.repeats
    config = timing.config_of(arguments.descriptor)
    peer = timing.torchani_is_there()
    ethanol = timing.ethanol(size.molecules)
    potential = timing.untrained_potential(config, timing.ethanol(100)).requires_grad_(False).eval()
    few = ACSF(
        (1, 6, 8),
        [*radial_grid((1, 6, 8), cutoff=6.0, count=10), *angular_grid((1, 6, 8), cutoff=6.0, shells=2, angles=5)],
    )
    one, box = to_batch(ethanol[0], potential.cutoff)[0], water(size.edge)
    batch = to_batch(box, 12 * Bohr)[0]
    rows = [
        *products("ethanol", "ethanol", potential.descriptor, one, 1, repeats),
        *products("ethanol_90", "ethanol", few, one, 1, repeats),
        *products("water", "water, per atom", water_descriptor(), batch, len(box), repeats),
        *wide(batch, len(box), repeats),
        *evaluations(config, box, repeats, peer),
        *molecules(potential, one, repeats),
        many(config, potential, ethanol, repeats, peer),
        *growing(size.boxes, repeats),
        *threads(size.threads, repeats),
    ]
    timing.report(
        "descriptors",
        rows,
        size=name,
        repeats=repeats,
        threads=arguments.threads,
        descriptor=arguments.descriptor,
        functions=len(potential.descriptor.functions),
        hidden=list(config.model.networks.hidden),
        water={"atoms": len(box), "neighbors": batch.pairs.shape[1] / len(box), "hidden": [25, 25]},
    )


def products(
    name: str, what: str, descriptor: ACSF, batch: AtomsBatch, atoms: int, repeats: int, at_once: int = 10
) -> list[Row]:
    """The three products in both precisions, and G by the scalar loop."""
    generator = np.random.default_rng(0)
    vectors, works = pair_vectors(batch), {}
    for precision, dtype in PRECISIONS.items():
        place = compiled(descriptor).at(batch.numbers, batch.pairs, vectors.to(dtype))
        g = generator.standard_normal((len(batch.numbers), len(descriptor.functions))).astype(place.dtype)
        v = generator.standard_normal(vectors.shape).astype(place.dtype)
        for product_name, number, given in (("G", FEATURES, g), ("Jtg", GRADIENTS, g), ("Jv", CHANGES, v)):
            works[f"{product_name}_{precision}"] = _several(lambda p=place, n=number, x=given: p.made(n, x), at_once)
    found = timing.medians(works, repeats)
    scalar = scalar_loop(descriptor, batch, min(repeats, 5)) / atoms
    return [
        Row(
            f"{name}_{work}",
            f"{work.replace('_', ', ')}, {what} ({len(descriptor.functions)} functions)",
            "µs",
            1e6 * seconds / at_once / atoms,
            scalar=1e6 * scalar if work.startswith("G") else None,
        )
        for work, seconds in found.items()
    ]


def wide(batch: AtomsBatch, atoms: int, repeats: int) -> list[Row]:
    """G and its product with the transposed Jacobian, from moments and, the tables denying that, from triples."""
    descriptor = ACSF((1, 8), behler_angular((1, 8), kind="wide", cutoff=12 * Bohr, etas=(0.01, 0.1), zetas=(1, 2, 4)))
    g = np.random.default_rng(0).standard_normal((len(batch.numbers), len(descriptor.functions)))
    works = {}
    for path in ("moments", "triples"):
        owner = CompiledACSF(descriptor)
        if path == "triples":
            owner.functions.groups[:, 6] = 0
        place = owner.at(batch.numbers, batch.pairs, pair_vectors(batch))
        works[f"G_{path}"] = lambda p=place: p.made(FEATURES)
        works[f"Jtg_{path}"] = lambda p=place: p.made(GRADIENTS, g)
    what = f"wide functions of water, per atom ({len(descriptor.functions)} functions)"
    return [
        Row(f"wide_{work}", f"{work.replace('_', ' by ')}, {what}", "µs", 1e6 * seconds / atoms)
        for work, seconds in timing.medians(works, repeats).items()
    ]


def evaluations(config: Config, box: Structure, repeats: int, peer: bool) -> list[Row]:
    """Energy and forces of the water box, with the neighbor search."""
    works: dict[str, Callable[[], object]] = {}
    for precision, dtype in PRECISIONS.items():
        fused = FusedPotential(water_potential(dtype))
        works[precision] = lambda f=fused: f(to_batch(box, f.potential.cutoff)[0])
    if peer:
        from torchani.grad import single_point

        networks = config.model.networks.model_copy(update={"hidden": (25, 25), "activation": "tanh"})
        same = config.model_copy(update={"model": config.model.model_copy(update={"networks": networks})})
        model = timing.torchani_model(same, (1, 8), neighborlist="cell_list").requires_grad_(False)
        numbers, positions = torch.tensor(box.numbers)[None], torch.tensor(box.positions, dtype=torch.float32)[None]
        cell, pbc = torch.tensor(box.cell, dtype=torch.float32), torch.tensor(box.pbc)
        works["torchani"] = lambda: single_point(model, numbers, positions, cell, pbc, forces=True)
    found = {name: 1e6 * seconds / len(box) for name, seconds in timing.medians(works, repeats).items()}
    return [
        Row(
            f"water_{precision}",
            f"energy, forces, neighbors of water, {precision}",
            "µs/atom",
            found[precision],
            found.get("torchani"),
        )
        for precision in PRECISIONS
    ]


def molecules(potential: Potential, batch: AtomsBatch, repeats: int, at_once: int = 10) -> list[Row]:
    """Energy and forces of one ethanol by the evaluator of dynamics."""
    works = {}
    for precision, dtype in PRECISIONS.items():
        fused = FusedPotential(potential.to(dtype))
        works[precision] = _several(lambda f=fused: f(batch), at_once)
    found = timing.medians(works, repeats)
    return [
        Row(f"fused_{precision}", f"energy, forces of ethanol, {precision}", "µs", 1e6 * seconds / at_once)
        for precision, seconds in found.items()
    ]


def many(config: Config, potential: Potential, structures: list[Structure], repeats: int, peer: bool) -> Row:
    """Energy and forces of many ethanols in one call."""
    batch = collate([to_batch(structure, potential.cutoff)[0] for structure in structures])
    works: dict[str, Callable[[], object]] = {"mlip": lambda: evaluate(potential, batch, stress=False)}
    if peer:
        from torchani.grad import single_point

        model = timing.torchani_model(config, potential.elements).requires_grad_(False)
        numbers = torch.tensor(np.stack([structure.numbers for structure in structures]))
        positions = torch.tensor(np.stack([structure.positions for structure in structures]), dtype=torch.float32)
        works["torchani"] = lambda: single_point(model, numbers, positions, forces=True)
    found = {name: 1e3 * seconds for name, seconds in timing.medians(works, repeats).items()}
    return Row("batch", f"batch of {len(structures)} ethanols", "ms", found["mlip"], found.get("torchani"))


def growing(edges: tuple[int, ...], repeats: int) -> list[Row]:
    """Time and memory per atom of boxes of growing size, with given pairs."""
    rows = []
    fused = FusedPotential(water_potential(torch.float64))
    for edge in edges:
        box = water(edge)
        batch = to_batch(box, fused.potential.cutoff)[0]
        fused(batch)
        tracemalloc.start()
        fused(batch)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        seconds = timing.medians({"mlip": lambda b=batch: fused(b)}, min(repeats, 3))["mlip"]
        what = f"water of {len(box)} atoms, f64"
        rows.append(Row(f"box_{len(box)}", f"{what}: time", "µs/atom", 1e6 * seconds / len(box)))
        rows.append(Row(f"box_{len(box)}_memory", f"{what}: memory", "kB/atom", 1e-3 * peak / len(box)))
    return rows


def threads(edge: int, repeats: int) -> list[Row]:
    """One box with one and with two threads."""
    if not edge:
        return []
    box, before = water(edge), torch.get_num_threads()
    fused = FusedPotential(water_potential(torch.float64))
    batch = to_batch(box, fused.potential.cutoff)[0]

    def work(count: int) -> None:
        torch.set_num_threads(count)
        fused(batch)

    found = timing.medians({"1": lambda: work(1), "2": lambda: work(2)}, min(repeats, 5))
    torch.set_num_threads(before)
    return [
        Row(f"threads_{count}", f"water of {len(box)} atoms, threads: {count}", "µs/atom", 1e6 * seconds / len(box))
        for count, seconds in found.items()
    ]


def water(edge: int) -> Structure:
    """Molecules of water, turned at random, on a jittered simple cubic lattice."""
    generator = np.random.default_rng(1)
    centers = SPACING * np.array(list(product(range(edge), repeat=3)), dtype=float)
    centers += generator.uniform(-0.2, 0.2, centers.shape)
    half, bond = math.radians(104.5 / 2), 0.957
    arms = bond * np.array([[0.0, 0, 0], [math.sin(half), math.cos(half), 0], [-math.sin(half), math.cos(half), 0]])
    turns = np.linalg.qr(generator.standard_normal((len(centers), 3, 3)))[0]
    positions = (centers[:, None] + arms @ turns).reshape(-1, 3)
    return Structure(np.tile([8, 1, 1], len(centers)), positions, SPACING * edge * np.eye(3), np.ones(3, dtype=bool))


def water_descriptor() -> ACSF:
    """The functions described above."""
    cutoff, per_square = 12 * Bohr, 1 / Bohr**2
    functions: list[SymmetryFunction] = []
    for (center, neighbor), r_s in {(1, 1): 1.9, (1, 8): 0.9, (8, 1): 0.9, (8, 8): 4.0}.items():
        shells = [(eta, 0.0) for eta in (0.001, 0.01, 0.03, 0.06)] + [(eta, r_s) for eta in (0.15, 0.3, 0.6, 1.5)]
        functions += [
            Radial(center=center, neighbors=(neighbor,), eta=eta * per_square, r_s=r_s * Bohr, cutoff=cutoff)
            for eta, r_s in shells
        ]
    near, far = ((0.07, 1.0), (0.03, 1.0), (0.01, 4.0)), ((0.03, 1.0), (0.001, 4.0))
    both = (1.0, -1.0)
    sets = [(1, (1, 8), ((0.2, 1.0),), (1.0,)), (1, (1, 8), near, both), (8, (1, 1), near, both)]
    sets += [(1, (8, 8), far, both), (8, (1, 8), far, both), (8, (8, 8), far, both)]
    for center, neighbors, values, signs in sets:
        functions += [
            Narrow(center=center, neighbors=neighbors, eta=eta * per_square, zeta=zeta, lambda_=sign, cutoff=cutoff)
            for (eta, zeta), sign in product(values, signs)
        ]
    return ACSF((1, 8), functions)


def water_potential(dtype: torch.dtype) -> Potential:
    """Untrained networks 25-25 on the water functions."""
    descriptor = water_descriptor()
    width = len(descriptor.functions)
    networks = AtomicNetworks(width, [[25, 25]] * 2, ["tanh"] * 2, torch.Generator().manual_seed(0))
    potential = Potential(descriptor, FeatureScaling(2, width), networks, [0.0, 0.0])
    return potential.to(dtype).requires_grad_(False).eval()


def scalar_loop(descriptor: ACSF, batch: AtomsBatch, repeats: int) -> float:
    """Seconds that all features take in the plain loop, from the first atoms (as many as a quick timing allows)."""
    kinds = {Radial: 0, Narrow: 1, Shifted: 2}
    table = np.zeros((len(descriptor.functions), 9))
    for row, f in zip(table, descriptor.functions, strict=True):
        row[:5] = kinds[type(f)], f.center or 0, f.neighbors[0], f.neighbors[-1], f.cutoff
        row[5 : 5 + len(f.values)] = f.values
    numbers, pairs = batch.numbers.numpy(), batch.pairs.numpy()
    start = np.searchsorted(pairs[0], np.arange(len(numbers) + 1))
    atoms = min(len(numbers), 12)
    arguments = (atoms, start, numbers, numbers[pairs[1]], pair_vectors(batch).numpy(), table)
    features = compiled(descriptor)(batch.numbers, batch.pairs, pair_vectors(batch)).numpy()
    assert np.allclose(_scalar(*arguments), features[:atoms], rtol=1e-9, atol=1e-9), "both compute the same"
    return timing.medians({"scalar": lambda: _scalar(*arguments)}, repeats)["scalar"] * len(numbers) / atoms


@numba.njit
def _scalar(atoms, start, numbers, neighbors, vectors, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """G2, G4 and ANI's angular functions, term by term."""
    result = np.zeros((atoms, len(table)))
    for i in range(atoms):
        for d in range(len(table)):
            kind, center, first, second, cutoff, a, b, c, e = table[d]
            if center != 0 and center != numbers[i]:
                continue
            for p in range(start[i], start[i + 1]):
                x = vectors[p]
                r = math.sqrt(x[0] ** 2 + x[1] ** 2 + x[2] ** 2)
                if r >= cutoff:
                    continue
                fc = 0.5 * (math.cos(math.pi * r / cutoff) + 1)
                if kind == 0:
                    if neighbors[p] == first:
                        result[i, d] += math.exp(-a * (r - b) ** 2) * fc
                    continue
                for q in range(p + 1, start[i + 1]):
                    same = neighbors[p] == first and neighbors[q] == second
                    if not same and not (neighbors[p] == second and neighbors[q] == first):
                        continue
                    y = vectors[q]
                    s = math.sqrt(y[0] ** 2 + y[1] ** 2 + y[2] ** 2)
                    t = math.sqrt((x[0] - y[0]) ** 2 + (x[1] - y[1]) ** 2 + (x[2] - y[2]) ** 2)
                    if s >= cutoff or (kind == 1 and t >= cutoff):
                        continue
                    cosine = (x[0] * y[0] + x[1] * y[1] + x[2] * y[2]) / (r * s)
                    fcs = fc * 0.5 * (math.cos(math.pi * s / cutoff) + 1)
                    if kind == 1:
                        fcs *= 0.5 * (math.cos(math.pi * t / cutoff) + 1)
                        angle = 2 * (0.5 * (1 + c * cosine)) ** b
                        result[i, d] += angle * math.exp(-a * (r * r + s * s + t * t)) * fcs
                    else:
                        angle = 2 * (0.5 * (1 + math.cos(math.acos(0.95 * cosine) - e))) ** c
                        result[i, d] += angle * math.exp(-a * (0.5 * (r + s) - b) ** 2) * fcs
    return result


def _several(work: Callable[[], object], times: int) -> Callable[[], None]:
    def repeated() -> None:
        for _ in range(times):
            work()

    return repeated


if __name__ == "__main__":
    main()
