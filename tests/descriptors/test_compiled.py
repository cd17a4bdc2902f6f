"""The compiled kernels: random parameters and structures, threads, extreme values, and the folder of machine code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlip.batch import collate, pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.compact_functions import SHAPES, CompactFunction
from mlip.descriptors.compiled import CUTOFFS, CompiledACSF, compiled
from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS, WITHOUT_INNER_CUTOFF
from mlip.descriptors.functions import (
    KINDS,
    Bessel,
    CompactNarrow,
    LogNormal,
    Narrow,
    Wide,
)
from mlip.descriptors.parameters import behler_angular, radial_grid
from mlip.kernels.angular import CHUNK
from mlip.kernels.arithmetic import (
    CHANGES,
    FEATURES,
    GRADIENTS,
    JACOBIAN,
    logarithm,
    sine_and_cosine,
)
from mlip.kernels.compile import cache_folder, kernel
from mlip.kernels.cutoffs import cutoff_values
from mlip.kernels.moments import FEWEST, LARGEST
from mlip.kernels.products import TRIPLES
from mlip.neighbors import neighbor_pairs
from mlip.structure import Structure

ELEMENTS = (1, 8)
PRECISIONS = (torch.float64, torch.float32)


@st.composite
def parameters(draw):
    """Kind and values of a function, up to the extremes that are in use."""
    kind = draw(st.sampled_from(list(KINDS.values())))
    values = {
        "cutoff": draw(st.sampled_from([1.3, 3.0, 4.5])),
        "cutoff_function": draw(st.sampled_from(sorted(CUTOFF_FUNCTIONS))),
        "center": draw(st.sampled_from([None, 1, 8])),
    }
    if values["cutoff_function"] not in WITHOUT_INNER_CUTOFF:
        values["inner_cutoff"] = draw(st.sampled_from([0.0, 0.9, 1.2]))
    if draw(st.booleans()):
        values["neighbors"] = draw(st.sampled_from([(1,), (8,)] if kind.order == 1 else [(1, 1), (1, 8), (8, 8)]))
    else:
        values["weights"] = draw(st.sampled_from([((1, 0.2), (8, 1.8)), ((8, -0.5),), ((1, 1.0), (8, 1.0))]))
    if issubclass(kind, CompactFunction):
        return kind, {**values, "cutoff_function": "hard", "inner_cutoff": 0.0, **draw(compact_values(kind))}
    if "eta" in kind.parameters:
        values["eta"] = draw(st.sampled_from([0.0, 1e-4, 0.3, 4.0, 16.0]))
    if "r_s" in kind.parameters:
        values["r_s"] = draw(st.floats(0.1 if kind is LogNormal else 0, 4))
    if kind in (Narrow, Wide):
        values["r_s"] = draw(st.sampled_from([0.0, 1.3, 2.2]))
    if kind is LogNormal:
        values["width"] = draw(st.sampled_from([0.05, 0.3, 2.0]))
    if "power" in kind.parameters:
        values["power"] = draw(st.sampled_from([0.0, 0.57, 1.8, 3.0]))
    if "n" in kind.parameters:
        values["n"] = draw(st.sampled_from([1, 2, 5, 12] if kind is Bessel else [0, 1, 2, 5, 12]))
    if "zeta" in kind.parameters:
        values["zeta"] = draw(st.sampled_from([1.0, 1.25, 1.5, 2.0, 4.0, 7.0, 12.5, 32.0, 64.0]))
    if "theta_s" in kind.parameters:
        values["theta_s"] = draw(st.floats(0, np.pi))
    if "lambda_" in kind.parameters:
        values["lambda_"] = draw(st.sampled_from([-1.0, 1.0]))
    return kind, values


@st.composite
def compact_values(draw, kind):
    """Edges and shape; angles that are even or end at 0° or 180°, and those between."""
    values = {"inner": draw(st.sampled_from([-4.5, -1.0, 0.0, 0.9])), "shape": draw(st.sampled_from(sorted(SHAPES)))}
    if kind is CompactNarrow:
        values["shape_jk"] = draw(st.sampled_from([None, "p2", "e", "p1a"]))
    if kind.order == 2:
        edges = [(-120, 120), (-180, 180), (20, 340), (0, 180), (0, 90), (70, 180), (40, 95)]
        values["theta_low"], values["theta_high"] = draw(st.sampled_from(edges))
    return values


def random_structure(seed, count, pbc, hand):
    """At most `count` atoms with at least 0.6 Å between them in a triclinic cell, left-handed if `hand` is -1."""
    generator = np.random.default_rng(seed)
    cell = np.diag(generator.uniform(2.0, 5.0, 3)) + generator.uniform(-0.5, 0.5, (3, 3))
    cell[0] *= hand
    positions = generator.uniform(0, 1, (count, 3)) @ cell
    while count > 1 and neighbor_pairs(positions[:count], cell, np.array(pbc), 0.6)[0].size:
        count -= 1
    numbers = generator.choice(ELEMENTS, count)
    return Structure(numbers=numbers, positions=positions[:count], cell=cell, pbc=np.array(pbc))


def same(found, expected, scale):
    assert torch.isfinite(found).all()
    assert (found - expected).abs().max() <= 1e-12 * scale if found.numel() else True


@given(
    chosen=st.lists(parameters(), min_size=1, max_size=8),
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 6),
    pbc=st.sampled_from([(False, False, False), (True, True, False), (True, True, True)]),
    hand=st.sampled_from([1, -1]),
)
def test_three_products_are_those_of_the_reference(chosen, seed, count, pbc, hand):
    """To 1e-12 of the largest Jacobian element times what it is multiplied with."""
    reference = ACSF(ELEMENTS, [kind(**values) for kind, values in chosen])
    structure = random_structure(seed, count, pbc, hand)
    batch, _ = to_batch(structure, reference.cutoff)
    if not batch.pairs.numel():
        return
    all_products_are_those_of(reference, batch, seed)


def all_products_are_those_of(reference, batch, seed=0):
    """Features, Jacobian, and the products with it and with its transpose, by the kernels and by autograd."""
    vectors = pair_vectors(batch)
    arguments = (batch.numbers, batch.pairs)
    kernels = CompiledACSF(reference)
    jacobian = reference.jacobian(*arguments, vectors)
    largest = max(1.0, float(jacobian.abs().max()))
    same(kernels.jacobian(*arguments, vectors), jacobian, largest)
    generator = torch.Generator().manual_seed(seed)
    g = torch.randn(
        len(batch.numbers), len(reference.functions), dtype=torch.float64, generator=generator
    ).requires_grad_()
    v = torch.randn(vectors.shape, dtype=torch.float64, generator=generator)
    vectors.requires_grad_()
    features = kernels(*arguments, vectors)
    same(features.detach(), reference(*arguments, vectors).detach(), 10.0)
    (transposed,) = torch.autograd.grad(features, vectors, g, create_graph=True)
    same(transposed.detach(), torch.einsum("pxd,pd->px", jacobian, g.detach()[batch.pairs[0]]), 100 * largest)
    (forward,) = torch.autograd.grad(transposed, g, v)
    expected = torch.zeros_like(g).detach().index_add(0, batch.pairs[0], torch.einsum("pxd,px->pd", jacobian, v))
    same(forward, expected, 100 * largest)


def crystal(atoms):
    """A jittered cubic crystal of two elements."""
    edge = round(atoms ** (1 / 3))
    generator = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = 2.2 * grid + generator.uniform(-0.3, 0.3, (len(grid), 3))
    return Structure(
        numbers=generator.choice(ELEMENTS, len(grid)),
        positions=positions,
        cell=2.2 * edge * np.eye(3),
        pbc=np.ones(3, dtype=bool),
    )


def test_the_number_of_threads_does_not_change_a_bit():
    chosen = [
        *radial_grid(ELEMENTS, cutoff=5.0, count=4),
        *behler_angular(ELEMENTS, kind="narrow", cutoff=5.0, etas=[0.02], zetas=[1, 4]),
    ]
    descriptor = ACSF(ELEMENTS, chosen)
    batch, _ = to_batch(crystal(216), descriptor.cutoff)
    vectors = pair_vectors(batch).requires_grad_()
    g = torch.randn(len(batch.numbers), len(chosen), dtype=torch.float64)
    found = []
    try:
        for threads in (1, 2, 3, 5):
            torch.set_num_threads(threads)
            features = compiled(descriptor)(batch.numbers, batch.pairs, vectors)
            found.append((features.detach(), torch.autograd.grad(features, vectors, g)[0]))
    finally:
        torch.set_num_threads(1)
    for features, gradients in found[1:]:
        assert torch.equal(features, found[0][0]) and torch.equal(gradients, found[0][1])
    same(found[0][0], descriptor(batch.numbers, batch.pairs, vectors).detach(), 10.0)


def test_a_batch_is_its_structures():
    descriptor = ACSF(ELEMENTS, radial_grid(ELEMENTS, cutoff=4.0, count=3))
    batches = [to_batch(crystal(n), 4.0)[0] for n in (8, 27)]
    whole = collate(batches)
    kernels = compiled(descriptor)
    assert kernels is compiled(descriptor), "made once"
    parts = [kernels(b.numbers, b.pairs, pair_vectors(b)) for b in batches]
    assert torch.equal(kernels(whole.numbers, whole.pairs, pair_vectors(whole)), torch.cat(parts))


@pytest.mark.parametrize("kind", [Wide, Narrow])
def test_atoms_on_a_line(kind):
    """1 - cos theta is zero there; powers of it and their slopes are finite."""
    chosen = [kind(neighbors=(1, 1), cutoff=4.0, eta=0.1, zeta=z, lambda_=s) for z in (1.0, 1.5, 2.0) for s in (-1, 1)]
    structure = Structure(
        numbers=np.array([1, 8, 1, 1]), positions=np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3.1]])
    )
    descriptor = ACSF(ELEMENTS, chosen)
    batch, _ = to_batch(structure, 4.0)
    vectors = pair_vectors(batch)
    kernels = compiled(descriptor)
    same(kernels(batch.numbers, batch.pairs, vectors), descriptor(batch.numbers, batch.pairs, vectors), 1.0)
    assert torch.isfinite(kernels.jacobian(batch.numbers, batch.pairs, vectors)).all()


def droplet():
    """A lone oxygen among many hydrogens, some in one direction or opposite from the first, and a small molecule."""
    generator = np.random.default_rng(5)
    ball = 4.0 * generator.uniform(-1, 1, (60, 3))
    line = np.outer([0.0, 0.9, 1.7, -1.1], [0.48, 0.6, 0.64])
    molecule = np.array([[40.0, 0, 0], [41, 0, 0], [40, 1.1, 0], [40, 0, 1.2]])
    apart = np.linalg.norm(ball, axis=1) > 0.5
    positions = np.concatenate([line, ball[apart], molecule])
    numbers = np.array([1, 1, 1, 1, 8, *[1] * (apart.sum() - 1), 8, 1, 1, 8])
    return Structure(numbers=numbers, positions=positions)


@pytest.mark.parametrize("numbers", ["a lone oxygen", "half oxygen"])
@pytest.mark.parametrize("zetas", [(1,), (2, 3), (4, 5), (6, 1), (3, 6, 7)])
def test_moments_and_triples_are_those_of_the_reference(zetas, numbers):
    """Both signs, some etas, one and two elements; zeta 7 is of triples, and so are centers with few neighbors."""
    structure = droplet()
    if numbers == "half oxygen":
        structure.numbers[:] = np.where(np.arange(len(structure)) % 2, 8, 1)
    chosen = behler_angular(ELEMENTS, kind="wide", cutoff=4.0, etas=[0.0, 0.03, 0.8], zetas=zetas)
    mixed = Wide(center=8, neighbors=(1, 8), cutoff=5.0, eta=0.1, zeta=2.0, lambda_=-1.0)
    reference = ACSF(ELEMENTS, [*chosen, mixed])
    batch, _ = to_batch(structure, reference.cutoff)
    neighbors = np.bincount(batch.pairs[0].numpy())
    degrees = compiled(reference).functions.groups[:-1, 6]
    small = [zeta for zeta in zetas if zeta <= LARGEST]
    assert sorted(degrees) == sorted([max(small), 2, *[0] * (7 in zetas)])
    assert neighbors[0] > FEWEST[LARGEST] and neighbors.min() < FEWEST[1]
    all_products_are_those_of(reference, batch)


@pytest.mark.parametrize("r_s", [(0.0, 0.0), (1.4, 1.4), (0.6, 2.3)])
def test_moments_of_weighted_neighbors(r_s):
    """All neighbors as if of one element: many pair with those of the other; also around distances."""
    common = {"weights": ((1, 0.3), (8, 1.7)), "cutoff": 4.0, "eta": 0.03}
    shapes = [(zeta, sign) for zeta in (1.0, 2.0, 4.0) for sign in (-1.0, 1.0)]
    chosen = [Wide(**common, zeta=zeta, lambda_=sign, r_s=r_s[zeta == 2]) for zeta, sign in shapes]
    reference = ACSF(ELEMENTS, chosen)
    assert compiled(reference).functions.groups[:-1, 6].tolist() == ([4] if r_s[0] == r_s[1] else [4, 2])
    all_products_are_those_of(reference, to_batch(droplet(), reference.cutoff)[0])


def test_moments_in_single_precision():
    """Also where the terms cancel: to 1e-6 of the largest."""
    reference = ACSF(ELEMENTS, behler_angular(ELEMENTS, kind="wide", cutoff=4.0, etas=[0.0, 0.3], zetas=range(1, 7)))
    batch, _ = to_batch(droplet(), reference.cutoff)
    vectors = pair_vectors(batch)
    exact, rounded = (compiled(reference).at(batch.numbers, batch.pairs, vectors.to(t)) for t in PRECISIONS)
    generator = np.random.default_rng(0)
    g = generator.standard_normal((len(batch.numbers), len(reference.functions)))
    v = generator.standard_normal(vectors.shape)
    for product, given_ in ((FEATURES, g[:0]), (GRADIENTS, g), (CHANGES, v), (JACOBIAN, g[:0])):
        found, expected = rounded.made(product, given_), exact.made(product, given_)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@given(chosen=st.lists(parameters(), min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_single_precision(chosen, seed):
    """All products in float32, from vectors formed in float64, are those in float64 to 1e-5 of what they add up."""
    descriptor = ACSF(ELEMENTS, [kind(**values) for kind, values in chosen])
    batch, _ = to_batch(random_structure(seed, 6, (True, True, False), 1), descriptor.cutoff)
    if not batch.pairs.numel():
        return
    kernels, vectors = CompiledACSF(descriptor), pair_vectors(batch)
    exact, rounded = (kernels.at(batch.numbers, batch.pairs, vectors.to(t)) for t in (torch.float64, torch.float32))
    jacobian = np.abs(exact.made(JACOBIAN)).reshape(-1, 3, len(chosen))
    assert rounded.made(JACOBIAN).dtype == np.float32
    np.testing.assert_allclose(rounded.made(FEATURES), exact.made(FEATURES), rtol=1e-5, atol=1e-5)
    generator = np.random.default_rng(seed)
    g = generator.standard_normal((len(batch.numbers), len(chosen)))
    v = generator.standard_normal(vectors.shape)
    scale = max(1.0, float(jacobian.max()))
    for product, factor in ((GRADIENTS, g), (CHANGES, v)):
        found, expected = rounded.made(product, factor), exact.made(product, factor)
        assert np.isfinite(found).all()
        assert np.abs(found - expected).max() <= 1e-5 * scale * max(1.0, float(np.abs(expected).max()))


def test_a_block_may_have_more_triples_than_a_chunk_and_a_center_more_than_a_block():
    """Centers with 3 and with some hundred neighbors, many classes: the parts of the kernels meet everywhere."""
    chosen = [
        *behler_angular(ELEMENTS, kind="narrow", cutoff=6.6, etas=[0.01, 0.1], zetas=[1, 2.5]),
        *behler_angular(ELEMENTS, kind="wide", cutoff=6.6, etas=[0.05], zetas=[3]),
        *radial_grid(ELEMENTS, cutoff=5.0, count=5),
    ]
    descriptor = ACSF(ELEMENTS, chosen)
    dense = crystal(27)
    positions = np.concatenate([dense.positions, [[60.0, 0, 0], [61, 0, 0], [60, 1.1, 0], [60, 0, 1.2]]])
    numbers = np.concatenate([dense.numbers, [8, 1, 1, 8]])
    cell = np.diag([200.0, 6.6, 6.6])
    structure = Structure(numbers, positions, cell, np.array([False, True, True]))
    batch, _ = to_batch(structure, descriptor.cutoff)
    vectors = pair_vectors(batch)
    neighbors = np.bincount(batch.pairs[0].numpy())
    assert neighbors.max() * (neighbors.max() - 1) > TRIPLES > CHUNK
    same(
        compiled(descriptor)(batch.numbers, batch.pairs, vectors), descriptor(batch.numbers, batch.pairs, vectors), 1e3
    )


def test_machine_code_of_other_sources_is_in_another_folder(monkeypatch, tmp_path):
    from mlip.kernels import compile as room

    here = cache_folder()
    (tmp_path / "angular.py").write_text("# changed", encoding="utf-8")
    monkeypatch.setattr(room, "__file__", str(tmp_path / "compile.py"))
    assert cache_folder() != here and cache_folder().parent == here.parent


@kernel
def elementary(x, y, result):
    """Logarithm of x; sine and cosine of pi y."""
    for n in range(x.shape[0]):
        result[0, n] = logarithm(x[n])
        result[1, n], result[2, n] = sine_and_cosine(y[n])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 2e-15), (np.float32, 1e-6)])
def test_elementary_functions(dtype, tolerance):
    """Over all that may be asked for: products of squares of distances, and waves in the cutoff sphere."""
    x, y = np.logspace(-4, 5, 4001).astype(dtype), np.linspace(0, 3, 4001).astype(dtype)
    found = np.empty((3, len(x)), dtype)
    elementary(x, y, found)
    turn = np.pi * y.astype(np.float64)
    expected = np.log(x.astype(np.float64)), np.sin(turn), np.cos(turn)
    for a, b in zip(found, expected, strict=True):
        assert (np.abs(a - b) <= tolerance * np.maximum(1, np.abs(b))).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 3e-15), (np.float32, 1e-6)])
@pytest.mark.parametrize("name", CUTOFF_FUNCTIONS)
def test_cutoff_functions_are_those_of_the_reference(name, dtype, tolerance):
    """Also at distances near zero and next to the cutoff, and their slopes; with an inner cutoff as without."""
    for inner in (0.0,) if name in WITHOUT_INNER_CUTOFF else (0.0, 0.7, 2.6):
        r = torch.tensor([1e-3, *np.linspace(0.01, 5.2, 500), 5.3 - 1e-9], dtype=torch.float64, requires_grad=True)
        expected = CUTOFF_FUNCTIONS[name](r, 5.3, **({"inner": inner} if inner else {}))
        (slope,) = torch.autograd.grad(expected.sum(), r) if expected.requires_grad else (torch.zeros_like(r),)
        squares = (r.detach().numpy() ** 2).astype(dtype)
        value, per_r = np.empty_like(squares), np.empty_like(squares)
        cutoff_values(squares, 5.3, inner, CUTOFFS[name], value, per_r)
        rounding = tolerance * 5.3 / (5.3 - inner)  # that of a distance is a larger share of the way to the cutoff
        np.testing.assert_allclose(value, expected.detach(), rtol=0, atol=rounding)
        np.testing.assert_allclose(per_r * r.detach().numpy(), slope, rtol=0, atol=rounding)
