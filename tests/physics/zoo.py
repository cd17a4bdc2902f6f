"""Small float64 potentials of every kind with random weights, and structures of low symmetry to try them on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch import Tensor

from mlip.batch import collate, pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import (
    AxilrodTeller,
    Bessel,
    Chebyshev,
    CompactNarrow,
    CompactRadial,
    CompactWide,
    LogNormal,
    Narrow,
    Radial,
    Shifted,
    ShiftedAxilrodTeller,
    SymmetryFunction,
    Wide,
)
from mlip.model.atomic import NoModel
from mlip.model.coordinates import Coordinates
from mlip.model.covariance import Covariance
from mlip.model.kernels import AtomicKernels
from mlip.model.networks import AtomicNetworks
from mlip.model.potential import Potential
from mlip.model.repulsion import ZBL
from mlip.model.scaling import FeatureScaling, fitted_scaling
from mlip.pair.potential import PairPotential
from mlip.structure import Structure

ELEMENTS = (1, 6, 8)
NEIGHBOR_PAIRS = tuple(combinations_with_replacement(ELEMENTS, 2))
PERIODIC = {"triclinic": (True,) * 3, "slab": (True, True, False), "wire": (True, False, False)}


def random_positions(
    generator: np.random.Generator,
    atoms: int,
    cell: np.ndarray,
    pbc: Sequence[bool] = (False, False, False),
    *,
    closest: float = 1.1,
) -> np.ndarray:
    """Points in the cell, one after the other, none closer than `closest` (Å) to another or to an image."""
    shifts = np.array(np.meshgrid(*([-1, 0, 1] if periodic else [0] for periodic in pbc))).reshape(3, -1).T @ cell
    found = np.empty((0, 3))
    for point in generator.random((1000, 3)) @ cell:
        images = (found[:, None] + shifts[None]).reshape(-1, 3)
        if len(found) == 0 or np.linalg.norm(images - point, axis=1).min() > closest:
            found = np.vstack([found, point])
        if len(found) == atoms:
            return found
    raise AssertionError(f"{atoms} atoms do not fit into {cell.tolist()}")


def random_structure(
    seed: int, numbers: Sequence[int], cell: Sequence[Sequence[float]], pbc: Sequence[bool], origin: str
) -> Structure:
    generator = np.random.default_rng(seed)
    box = np.array(cell, dtype=float)
    positions = random_positions(generator, len(numbers), box, pbc) + generator.normal(size=3)
    return Structure(np.array(numbers), positions, box, np.array(pbc), origin=origin)


TRICLINIC = [[4.1, 0.3, -0.2], [1.1, 3.7, 0.4], [-0.6, 0.9, 4.4]]
STRUCTURES: dict[str, Structure] = {
    "molecule": random_structure(1, [6, 1, 8, 1, 6, 8], np.diag([3.0, 3.2, 3.4]).tolist(), (False,) * 3, "molecule"),
    "triclinic": random_structure(2, [8, 6, 1, 1, 6], TRICLINIC, (True,) * 3, "triclinic"),
    "left-handed": random_structure(3, [1, 8, 6, 6], [*TRICLINIC[1::-1], TRICLINIC[2]], (True,) * 3, "left-handed"),
    "one-atom": random_structure(
        4, [6], [[1.93, 0.13, 0.22], [0.74, 2.53, -0.11], [0.35, 0.57, 2.92]], (True,) * 3, "one-atom"
    ),
    "slab": random_structure(5, [1, 8, 6, 1], TRICLINIC, PERIODIC["slab"], "slab"),
    "wire": random_structure(
        6, [6, 8, 1], [[2.2, 0.4, 0.3], [0.3, 3.0, 0.2], [0.1, 0.4, 3.0]], PERIODIC["wire"], "wire"
    ),
}
STRUCTURES["wire"].cell[1:] = 0.0  # a wire needs no other lattice vector, the slab has one that means nothing
# Sizes and periodicities that meet in one batch, among them atoms without any neighbor.
LONE_ATOM = Structure(np.array([8]), np.array([[0.3, -4.0, 2.0]]), origin="lone atom")
STRANGERS = Structure(np.array([1, 6]), np.array([[0.0, 0.0, 0.0], [30.0, 1.0, 2.0]]), origin="strangers")
MIXED = [STRUCTURES["molecule"], LONE_ATOM, *(STRUCTURES[name] for name in list(STRUCTURES)[1:]), STRANGERS]


def radial(
    cutoff: float = 4.0, name: str = "cosine", center: int | None = None, inner: float = 0.0
) -> list[SymmetryFunction]:
    common = {"cutoff": cutoff, "cutoff_function": name, "center": center, "inner_cutoff": inner}
    shapes = [(0.4, 0.0), (3.0, 1.7), (1.2, 2.6)]
    return [Radial(neighbors=(z,), eta=eta, r_s=r_s, **common) for z in ELEMENTS for eta, r_s in shapes]


def behler(
    kind: type,
    cutoff: float = 3.6,
    name: str = "cosine",
    center: int | None = None,
    inner: float = 0.0,
    r_s: Sequence[float] = (0.0,),
) -> list[SymmetryFunction]:
    common = {"cutoff": cutoff, "cutoff_function": name, "center": center, "inner_cutoff": inner}
    shapes = [(0.03, 1.0, 1.0), (0.08, 2.5, -1.0)]
    return [
        kind(neighbors=pair, eta=eta, zeta=zeta, lambda_=lambda_, r_s=r_s[n % len(r_s)], **common)
        for pair in NEIGHBOR_PAIRS
        for n, (eta, zeta, lambda_) in enumerate(shapes)
    ]


def shifted(cutoff: float = 3.6, name: str = "cosine", center: int | None = None) -> list[SymmetryFunction]:
    common = {"cutoff": cutoff, "cutoff_function": name, "center": center}
    shapes = [(0.7, 1.4, 6.0, 0.4), (1.1, 2.2, 2.0, 1.9)]
    return [
        Shifted(neighbors=pair, eta=eta, r_s=r_s, zeta=zeta, theta_s=theta_s, **common)
        for pair in NEIGHBOR_PAIRS
        for eta, r_s, zeta, theta_s in shapes
    ]


def log_normal(cutoff: float = 4.0, name: str = "cosine", center: int | None = None) -> list[SymmetryFunction]:
    common = {"cutoff": cutoff, "cutoff_function": name, "center": center}
    shapes = [(1.3, 0.3, 0.0), (1.9, 0.2, 1.8), (2.6, 0.4, 1.0)]
    return [
        LogNormal(neighbors=(z,), r_s=r_s, width=width, power=power, **common)
        for z in ELEMENTS
        for r_s, width, power in shapes
    ]


def bessel(cutoff: float = 4.0, name: str = "polynomial", center: int | None = None) -> list[SymmetryFunction]:
    common = {"cutoff": cutoff, "cutoff_function": name, "center": center}
    return [Bessel(neighbors=(z,), n=n, **common) for z in ELEMENTS for n in (1, 2, 5)]


def chebyshev(cutoff: float = 3.6, name: str = "cosine", center: int | None = None) -> list[SymmetryFunction]:
    common = {"cutoff": cutoff, "cutoff_function": name, "center": center}
    shapes = [(0.7, 1.4, 0), (0.7, 1.4, 3), (1.1, 2.2, 1), (1.1, 2.2, 6)]
    return [
        Chebyshev(neighbors=pair, eta=eta, r_s=r_s, n=n, **common) for pair in NEIGHBOR_PAIRS for eta, r_s, n in shapes
    ]


def axilrod_teller(cutoff: float = 3.6, name: str = "cosine", center: int | None = None) -> list[SymmetryFunction]:
    """Two powers, and one of them with two shells."""
    common = {"cutoff": cutoff, "cutoff_function": name, "center": center}
    shapes = [(0.7, 1.4, 0, 0.57), (0.7, 1.4, 2, 0.57), (1.1, 2.2, 1, 0.57), (0.3, 1.8, 4, 3.0)]
    return [
        AxilrodTeller(neighbors=pair, eta=eta, r_s=r_s, n=n, power=power, **common)
        for pair in NEIGHBOR_PAIRS
        for eta, r_s, n, power in shapes
    ]


def shifted_axilrod_teller(cutoff: float = 3.6, name: str = "cosine") -> list[SymmetryFunction]:
    """Two powers, and one of them with two shells."""
    common = {"cutoff": cutoff, "cutoff_function": name}
    shapes = [
        (0.7, 1.4, 4.0, 0.9, 1.0),
        (0.7, 1.4, 4.0, 2.1, 1.0),
        (1.1, 2.2, 2.5, 0.3, 1.0),
        (0.3, 1.8, 16.0, 2.9, 2.3),
    ]
    return [
        ShiftedAxilrodTeller(neighbors=pair, eta=eta, r_s=r_s, zeta=zeta, theta_s=theta_s, power=power, **common)
        for pair in NEIGHBOR_PAIRS
        for eta, r_s, zeta, theta_s, power in shapes
    ]


def compact(cutoff: float = 3.6, shapes: Sequence[str] = ("p1", "p2a", "e")) -> list[SymmetryFunction]:
    """Intervals with a left edge below and above zero, angles that are even at 0° or at 180°, or end there."""
    intervals = [(-cutoff, -140.0, 140.0), (0.4, 35.0, 165.0), (0.4, 20.0, 340.0), (-1.0, 0.0, 180.0)]
    radial = [
        CompactRadial(neighbors=(z,), inner=inner, shape=shape, cutoff=cutoff)
        for z in ELEMENTS
        for inner in (-cutoff, 0.5)
        for shape in shapes
    ]
    angular = [
        (CompactNarrow, CompactWide)[(n + p) % 2](
            neighbors=pair, inner=inner, theta_low=low, theta_high=high, shape=shapes[n % len(shapes)], cutoff=cutoff
        )
        for p, pair in enumerate(NEIGHBOR_PAIRS)
        for n, (inner, low, high) in enumerate(intervals)
    ]
    return [*radial, *angular]


def weighted(functions: Sequence[SymmetryFunction], weights: Sequence[float]) -> list[SymmetryFunction]:
    """Each kind of function once, for all neighbors with a weight."""
    of = tuple((z, weight) for z, weight in zip(ELEMENTS, weights, strict=True) if weight)
    single = [replace(f, neighbors=(), weights=of) for f in functions]
    return list(dict.fromkeys(single))


def of_all_elements() -> list[SymmetryFunction]:
    """Every kind with weights, at some cutoffs and centers; in one set of weights an element does not count."""
    z, other = (0.2, 1.2, 1.6), (1.0, 0.0, -0.7)
    return [
        *weighted([*radial(4.0), *log_normal(3.7), *bessel(3.27)], z),
        *weighted([*behler(Narrow, 3.1), *behler(Wide, 3.2), *shifted(3.27)], z),
        *weighted([*radial(4.0, center=8)[:2], *behler(Wide, 3.2)[:2]], other),
        *radial(4.0)[:3],
        *weighted(compact(3.1, ("p3", "p4a")), z),
        *weighted([*chebyshev(3.2), *axilrod_teller(3.2)[:3], *shifted_axilrod_teller(3.2)[:3]], other),
    ]


def per_center() -> list[SymmetryFunction]:
    """Other functions for every element of the center, and one that holds for all."""
    return [
        *radial(4.1, "polynomial", center=1),
        *behler(Wide, 3.3, "tanh", center=6),
        *radial(3.8, "cosine", center=6)[::2],
        *shifted(3.5, "polynomial", center=8),
        *radial(4.0)[:4],
    ]


def moved() -> list[SymmetryFunction]:
    """Behler's angular functions around r_s, some of them by moments of the neighbors, and one at the center."""
    return [
        *behler(Narrow, 3.3, r_s=(0.0, 1.1)),
        *behler(Narrow, 3.3, r_s=(1.9, 0.6))[::3],
        *behler(Wide, 3.4, r_s=(1.3, 0.7)),
        *behler(Wide, 3.4, "polynomial", inner=1.2, r_s=(1.3, 0.0))[::3],
        *weighted(behler(Wide, 3.1, r_s=(2.2, 2.2)), (0.4, 1.2, -0.8)),
    ]


def polynomials() -> list[SymmetryFunction]:
    """Every polynomial cutoff function, with and without an inner cutoff."""
    return [
        *radial(4.1, "polynomial_1", inner=1.3),
        *radial(3.9, "polynomial_3")[::2],
        *radial(4.0, "polynomial_4", inner=0.8)[::2],
        *behler(Narrow, 3.2, "polynomial_1"),
        *behler(Narrow, 3.3, "polynomial_3", inner=1.7),
        *behler(Wide, 3.4, "polynomial_4")[::2],
        *behler(Narrow, 3.1, "polynomial_4", inner=2.1)[::3],
        *(replace(f, inner_cutoff=1.4) for f in shifted(3.5, "polynomial")[::2]),
    ]


def mixed_cutoffs() -> list[SymmetryFunction]:
    """Every cutoff function and Behler's and ANI's formulas, each at another cutoff, in no order."""
    functions = [
        *radial(4.2, "polynomial"),
        *behler(Narrow, 3.1, "polynomial"),
        *behler(Wide, 2.9, "cosine"),
        *behler(Wide, 3.0, "polynomial")[::3],
        *shifted(3.4, "tanh"),
    ]
    return [functions[i] for i in np.random.default_rng(7).permutation(len(functions))]


def mixed_formulas() -> list[SymmetryFunction]:
    """Some functions of every formula, each at another cutoff, in no order."""
    functions = [
        *mixed_cutoffs(),
        *log_normal(4.0, "tanh")[::2],
        *bessel(3.9, "cosine")[::2],
        *chebyshev(3.2, "tanh")[::3],
        *axilrod_teller(3.0, "polynomial")[::3],
    ]
    return [functions[i] for i in np.random.default_rng(8).permutation(len(functions))]


def potential(
    functions: Sequence[SymmetryFunction],
    seed: int,
    *,
    activation: Sequence[str | Sequence[str]] = ("tanh", "silu", "softplus"),
    scaling: str = "standard",
    anchored: bool = False,
    references: Sequence[float] = (-3.1, -7.7, 5.2),
    members: int = 1,
    repulsion: tuple[float, float] | None = None,
    baseline: PairPotential | None = None,
) -> Potential:
    """A potential with random weights, scaled on the features of random structures."""
    torch_generator = torch.Generator().manual_seed(seed)
    descriptor = ACSF(ELEMENTS, functions)
    batch = collate([to_batch(structure, descriptor.cutoff)[0] for structure in STRUCTURES.values()])
    features = descriptor(batch.numbers, batch.pairs, pair_vectors(batch))
    networks = AtomicNetworks(len(functions), [[7, 5], [6], [5, 4, 3]], activation, torch_generator, members)
    networks.double()
    for parameter in networks.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch_generator, dtype=torch.float64)
    return Potential(
        descriptor,
        fitted_scaling([features[batch.numbers == z] for z in ELEMENTS], scaling),
        networks,
        references,
        energy_scale=math.sqrt(2.0),
        anchored=anchored,
        repulsion=None if repulsion is None else ZBL(ELEMENTS, *repulsion),
        baseline=baseline,
    )


def kernels(covariance: Covariance, seed: int, *, slopes: bool, anchored: bool = False) -> Potential:
    """A Gaussian process on the features of random structures, with random weights of their atoms."""
    made = potential([*radial(4.0), *chebyshev(3.2)[:6], *behler(Wide)[:4]], seed, anchored=anchored)
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    batch = collate([to_batch(structure, made.cutoff)[0] for structure in STRUCTURES.values()])
    features = made.descriptor(batch.numbers, batch.pairs, pair_vectors(batch)).detach()
    element = made.element_of(batch.numbers)
    projections = [0.3 * random(features.shape[1], width) for width in (5, 7, 4)]
    coordinates, scaled = Coordinates(covariance, projections), made.scaling(features, element)
    points = [coordinates.points(scaled[element == e], e) for e in range(len(ELEMENTS))]
    weights = [random(len(mine)) for mine in points]
    if not slopes:  # at its own point an atom would feel nothing
        points = [mine + 0.5 * random(*mine.shape) for mine in points]
    along = [random(*mine.shape) for mine in points] if slopes else None
    made.atomic = AtomicKernels(covariance, projections, points, weights, along)
    return made


ROWS: dict[str, list[list[float]]] = {  # of curves that matter at the distances of the structures
    "lennard_jones": [[0.3 + 0.07 * n, 1.5 + 0.1 * n] for n in range(6)],
    "morse": [[0.5 + 0.1 * n, 1.9 - 0.1 * n, 1.3 + 0.13 * n] for n in range(6)],
    "buckingham": [[900.0 + 50 * n, 0.24 + 0.01 * n, 2.0 + n] for n in range(6)],
    "born_mayer": [[90.0 + 50 * n, 0.3 + 0.02 * n] for n in range(6)],
    "zbl": [[14.4 * (1 + 7 * n), 0.2 + 0.02 * n] for n in range(6)],
    "spline": [[1.2 + 0.05 * n, 0.4, 4.0, 2.1, 0.9 - 0.1 * n, -0.7, 0.3, 0.4 * n, -0.2, 0.6, 0.1] for n in range(6)],
}


def curves(form: str, cutoff: float = 3.9, inner: float = 2.6) -> PairPotential:
    """A pair potential with numbers for each pair of elements."""
    return PairPotential(ELEMENTS, form, cutoff, inner, ROWS[form])


def of_pairs(form: str, *, repulsion: tuple[float, float] | None = None) -> Potential:
    """A potential of model.kind pair: no functions, no networks."""
    return Potential(
        ACSF(ELEMENTS, (), 4.1),
        FeatureScaling(len(ELEMENTS), 0),
        NoModel(),
        (-3.1, -7.7, 5.2),
        anchored=True,
        repulsion=None if repulsion is None else ZBL(ELEMENTS, *repulsion),
        baseline=curves(form),
    )


POTENTIALS: dict[str, Callable[[], Potential]] = {
    "radial": lambda: potential(radial(), 1),
    "narrow": lambda: potential(behler(Narrow), 2, activation=("gaussian", "tanh", "cosine")),
    "wide": lambda: potential(behler(Wide), 3, scaling="minmax"),
    "shifted": lambda: potential(shifted(), 4, scaling="half"),
    "tanh cutoff": lambda: potential([*radial(4.0, "tanh"), *behler(Narrow, 3.6, "tanh")], 5, anchored=True),
    "polynomial cutoff": lambda: potential([*radial(4.0, "polynomial"), *shifted(3.2, "polynomial")], 6),
    "mixed cutoffs": lambda: potential(mixed_cutoffs(), 7, activation=("gelu", "sigmoid", "celu")),
    "per center": lambda: potential(per_center(), 8, anchored=True, scaling="half"),
    "mixed activations": lambda: potential(
        [*radial(4.1, center=1), *radial(3.9, "polynomial")[::2], *radial(3.8, "tanh", center=8)],
        17,
        activation=(
            ["tanh", "harmonic", "reverse_sigmoid"],
            ["tanh", "exponential"],
            ["softplus", "linear", "gaussian", "linear"],
        ),
        scaling="half",
        anchored=True,
        members=2,
    ),
    "mixed formulas": lambda: potential(mixed_formulas(), 16, scaling="half"),
    "log normal": lambda: potential(log_normal(), 10),
    "bessel": lambda: potential([*bessel(), *bessel(3.8, "tanh")[:4]], 11),
    "chebyshev": lambda: potential([*chebyshev(), *chebyshev(3.3, "polynomial")[:4]], 12, scaling="half"),
    "axilrod teller": lambda: potential([*axilrod_teller(), *axilrod_teller(3.2, "tanh")[:3]], 13, scaling="half"),
    "shifted axilrod teller": lambda: potential(
        [
            *shifted_axilrod_teller(),
            *shifted_axilrod_teller(3.2, "tanh"),
            *shifted_axilrod_teller(3.1, "polynomial")[::3],
        ],
        15,
        scaling="half",
    ),
    "weighted": lambda: potential([*of_all_elements(), *log_normal(3.9, "polynomial")[:2]], 14),
    "compact": lambda: potential(compact(), 22),
    "compact, other shapes": lambda: potential(
        [
            *compact(3.4, ("p2", "p3", "p4"))[::2],
            *compact(3.7, ("p1a", "p3a", "p4a"))[::3],
            *(replace(f, shape_jk="p2") for f in compact(3.3, ("p1", "e")) if isinstance(f, CompactNarrow)),
        ],
        23,
        scaling="half",
    ),
    "polynomials": lambda: potential(polynomials(), 17, scaling="half"),
    "exponential cutoff": lambda: potential(
        [*radial(4.0, "exponential"), *behler(Narrow, 3.6, "exponential", inner=1.5)], 18, scaling="half"
    ),
    "normalized tanh": lambda: potential(
        [*radial(4.0, "tanh_normalized"), *behler(Narrow, 3.6, "tanh_normalized")], 19
    ),
    "inner cutoff": lambda: potential(
        [*radial(4.0, inner=2.3), *behler(Narrow, 3.6, inner=1.1), *chebyshev(3.2)[:4]],
        20,
        anchored=True,
    ),
    "hard cutoff": lambda: potential([*radial(4.0, "hard"), *behler(Narrow, 3.6, "hard")], 21, scaling="half"),
    "moved": lambda: potential(moved(), 22, scaling="half"),
    "repulsion": lambda: potential([*radial(4.0), *behler(Wide)], 10, anchored=True, repulsion=(1.0, 1.9)),
    "baseline": lambda: potential(
        [*radial(4.0), *behler(Wide)], 12, members=2, repulsion=(1.0, 1.9), baseline=curves("spline")
    ),
    **{f"pairs, {form}": partial(of_pairs, form) for form in ROWS},
    "pairs and repulsion": partial(of_pairs, "morse", repulsion=(1.0, 1.9)),
    "squared exponential": partial(kernels, Covariance("squared_exponential"), 24, slopes=True),
    "rational quadratic": partial(kernels, Covariance("rational_quadratic", alpha=1.7), 25, slopes=True, anchored=True),
    "polynomial": partial(kernels, Covariance("polynomial", zeta=4.0), 26, slopes=True),
    "sparse process": partial(kernels, Covariance("squared_exponential"), 27, slopes=False),
    "unscaled": lambda: potential([*radial(3.37), *shifted(3.05)], 9, scaling="none", references=(0.0, 0.0, 0.0)),
    "committee": lambda: potential([*radial(4.0), *shifted(3.4)], 10, anchored=True, members=3),
}
NETWORKS = [name for name, make in POTENTIALS.items() if not isinstance(make, partial)]  # those that have some
FUSED = [name for name, make in POTENTIALS.items() if make().atomic.fused]  # those with kernels for dynamics
