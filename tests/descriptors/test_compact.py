"""Functions with compact support: against n2p2's own numbers, at their edges, and for atoms on a line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mlip.batch import pair_vectors, to_batch
from mlip.descriptors import backends as backends_of_devices
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.compact_functions import SHAPES, core
from mlip.descriptors.compiled import CompiledACSF
from mlip.descriptors.functions import CompactNarrow, CompactRadial, CompactWide
from mlip.interfaces.n2p2.compact import as_n2p2_computes
from mlip.kernels.arithmetic import arc_cosine
from mlip.kernels.compile import kernel
from mlip.kernels.shapes import find_shape
from mlip.structure import Structure

N2P2 = Path(__file__).parents[1] / "reference" / "n2p2" / "t20_21_22_scale"
NUMBERS = {"H": 1, "C": 6, "O": 8}
KINDS = {20: CompactRadial, 21: CompactNarrow, 22: CompactWide}


def rows(name):
    lines = (N2P2 / name).read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def n2p2_functions():
    """In n2p2's order of each element, one element after the other."""
    functions = []
    for _, center, kind, shape, *rest in rows("symfunc_order.txt"):
        of = KINDS[int(kind)]
        neighbors, numbers = rest[: of.order], [float(number) for number in rest[of.order : -1]]
        interval = dict(zip(("inner", "cutoff", "theta_low", "theta_high"), numbers, strict=False))
        elements = tuple(NUMBERS[element] for element in neighbors)
        functions.append(of(neighbors=elements, center=NUMBERS[center], shape=shape, **interval))
    return as_n2p2_computes(functions)


def n2p2_structure():
    atoms = [row for row in rows("input.data")[:11] if row[0] == "atom"]
    return Structure(np.array([NUMBERS[row[4]] for row in atoms]), np.array([row[1:4] for row in atoms], dtype=float))


BACKENDS = {"reference": lambda descriptor: descriptor, "cpu kernels": CompiledACSF}
backends = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)


@pytest.fixture(scope="module")
def ethanol():
    descriptor = ACSF((1, 6, 8), n2p2_functions())
    batch = to_batch(n2p2_structure(), descriptor.cutoff)[0]
    return descriptor, batch


def columns_of(descriptor, number):
    return [column for column, f in enumerate(descriptor.functions) if f.center == number]


@backends
def test_values_are_those_of_n2p2(ethanol, backend):
    descriptor, batch = ethanol
    found = backend(descriptor)(batch.numbers, batch.pairs, pair_vectors(batch)).numpy()
    for atom, _, count, *values in rows("symfunc_G.txt"):
        columns = columns_of(descriptor, int(batch.numbers[int(atom)]))
        assert len(columns) == int(count) == len(values)
        np.testing.assert_allclose(found[int(atom), columns], np.array(values, dtype=float), rtol=1e-12, atol=1e-12)


@backends
def test_derivatives_are_those_of_n2p2(ethanol, backend):
    descriptor, batch = ethanol
    jacobian = backend(descriptor).jacobian(batch.numbers, batch.pairs, pair_vectors(batch)).numpy()
    atoms = len(batch.numbers)
    found = np.zeros((atoms, atoms, len(descriptor.functions), 3))
    for (center, neighbor), slopes in zip(batch.pairs.T.tolist(), jacobian, strict=True):
        found[center, neighbor] += slopes.T
        found[center, center] -= slopes.T
    wanted = np.zeros_like(found)
    for i, j, k, *slope in rows("symfunc_dGdr.txt"):
        column = columns_of(descriptor, int(batch.numbers[int(i)]))[int(k)]
        wanted[int(i), int(j), column] = np.array(slope, dtype=float)
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-10)


def narrow(shape, low=-120.0, high=120.0, **more):
    values = {"neighbors": (1, 8), "inner": -4.0, "cutoff": 4.0, "theta_low": low, "theta_high": high, **more}
    return CompactNarrow(shape=shape, **values)


def test_what_n2p2_takes_from_the_function_before():
    """Sorted by shape: e, p1, p2; each with the edges of the one before gets its C(r_jk), others their own."""
    functions = [narrow("p2", -80, 80), narrow("p1"), narrow("e", -130, 130), narrow("p1", neighbors=(8, 8))]
    assert [f.shape_jk for f in as_n2p2_computes(functions)] == ["e", "e", None, None]
    assert as_n2p2_computes(as_n2p2_computes(functions)) == as_n2p2_computes(functions)
    apart = [narrow("p1", cutoff=3.9), narrow("e"), narrow("p1", inner=0.1), narrow("p1", center=1)]
    assert as_n2p2_computes(apart) == apart
    assert as_n2p2_computes([narrow("p1"), narrow("p1", -80, 80)])[1].shape_jk is None, "it is the same"


def test_where_the_value_of_n2p2_jumps_there_is_a_warning(caplog):
    functions = [narrow("e", 20, 90), narrow("p1", 10, 80)]
    assert as_n2p2_computes(functions) == functions
    assert "its value jumps there" in caplog.text and "values differ from n2p2's" in caplog.text


@backends
def test_weights_are_products_with_sums_over_all_elements(backend):
    """Types 23 to 25 of n2p2: the functions of each element or pair of elements, times their atomic numbers."""
    batch = to_batch(n2p2_structure(), 4.2)[0]
    common = {"inner": 0.3, "cutoff": 4.2, "shape": "p2"}
    angles = {**common, "theta_low": 30.0, "theta_high": 330.0}
    z = (1, 6, 8)
    weights = tuple((number, float(number)) for number in z)
    for kind, numbers in ((CompactRadial, common), (CompactNarrow, angles), (CompactWide, angles)):
        named = [(a,) for a in z] if kind.order == 1 else [(a, b) for a in z for b in z if a <= b]
        descriptor = ACSF(z, [kind(neighbors=of, **numbers) for of in named])
        single = ACSF(z, [kind(weights=weights, **numbers)])
        apart, found = (
            backend(d)(batch.numbers, batch.pairs, pair_vectors(batch)).numpy() for d in (descriptor, single)
        )
        np.testing.assert_allclose(found[:, 0], apart @ [math.prod(of) for of in named], rtol=1e-13)


def test_on_a_cuda_device_they_are_left_to_the_reference(ethanol, monkeypatch):
    descriptor, _ = ethanol
    monkeypatch.setattr(backends_of_devices, "has_triton", lambda: True)
    assert backends_of_devices.fastest(descriptor, torch.device("cuda")) is descriptor
    assert isinstance(backends_of_devices.fastest(descriptor, torch.device("cpu")), CompiledACSF)


INTERVALS = {  # shape, edges -> second derivative by x = |theta - center| / width where the angle is 0 and 180 degrees
    "even at 0": ("p1", -120.0, 120.0, -6.0, 0.0),
    "even at 180": ("p1", 30.0, 330.0, 0.0, -6.0),
    "ends at both": ("p1", 0.0, 180.0, 6.0, 6.0),
    "even at 0, ends at 180": ("p1", -180.0, 180.0, -6.0, 6.0),
    "exponential": ("e", -150.0, 150.0, -2.0, 0.0),
    "flat": ("p2", -120.0, 120.0, 0.0, 0.0),
    "inside": ("p1", 40.0, 160.0, 0.0, 0.0),
}


@backends
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("bend", [1e-9, 1e-7, 1e-5])
def test_atoms_on_a_line_have_the_limit(backend, interval, bend, dtype):
    """The force that bends a line of atoms grows with the bend, also where the cosine is 1 in floating point."""
    shape, low, high, *curvatures = INTERVALS[interval]
    common = {"inner": -4.0, "cutoff": 4.0, "shape": shape}
    angle = {"theta_low": low, "theta_high": high}
    functions = [CompactWide(neighbors=(8, 8), **common, **angle), CompactRadial(neighbors=(8,), **common)]
    numbers, pairs = torch.tensor([1, 8, 8]), torch.tensor([[0, 0], [1, 2]])
    width = math.radians(high - low) / 2
    for side, curvature in zip((1.0, -1.0), curvatures, strict=True):
        bent = [1.5 * math.cos(bend), 1.5 * math.sin(bend), 0.0]
        vectors = torch.tensor([bent, [1.2 * side, 0.0, 0.0]], dtype=dtype)
        single = backend(ACSF((1, 8), functions[1:]))
        shells = math.prod(
            single(numbers[[0, 1]], torch.tensor([[0], [1]]), v[None])[0, 0].item() for v in vectors.double()
        )
        (slope,) = backend(ACSF((1, 8), functions)).jacobian(numbers, pairs, vectors)[1, 1, :1].tolist()
        wanted = -side * shells * curvature / width**2 * bend / 1.2
        assert abs(slope - wanted) < 1e-4 * abs(wanted) + 20 * bend**2


@kernel
def elementary(x, order, angle, value, slope):
    """Arc cosine and a shape, as the kernels have them."""
    for n in range(x.shape[0]):
        angle[n] = arc_cosine(x[n])
    find_shape(order, x, value, slope)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 3e-15), (np.float32, 1e-6)])
def test_elementary_functions(dtype, tolerance):
    """The arc cosine, to the last digits near 1; the shapes and their slopes from the center to the edge."""
    x = np.concatenate([-1 + np.logspace(-16, 0, 200), 1 - np.logspace(-16, 0, 200), np.linspace(-1, 1, 201)])
    x = x.astype(dtype)
    angle, value, slope = (np.empty_like(x) for _ in range(3))
    elementary(x, 1.0, angle, value, slope)
    expected = np.arccos(x.astype(np.float64))
    assert (np.abs(angle - expected) <= tolerance * np.where(x > 0, expected, 1.0)).all()
    x = np.concatenate([np.linspace(0, 1.1, 501), 1 - np.logspace(-9, -1, 100)]).astype(dtype)
    angle, value, slope = (np.empty_like(x) for _ in range(3))
    for order in set(SHAPES.values()):
        elementary(np.minimum(x, dtype(1)), float(order), angle, value, slope)
        y = torch.tensor(x, dtype=torch.float64)[:, None].clamp(max=1.0).requires_grad_()
        wanted = core((2 - y) * y if order < 0 else y, torch.tensor([abs(float(order))]))
        (derivative,) = torch.autograd.grad(wanted.sum(), y)
        np.testing.assert_allclose(value, wanted.detach().numpy()[:, 0], rtol=0, atol=tolerance)
        np.testing.assert_allclose(slope, derivative.numpy()[:, 0], rtol=0, atol=20 * tolerance)
