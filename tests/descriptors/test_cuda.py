"""The Triton kernels against the reference: on a CUDA device, or else in Triton's interpreter on the CPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from physics import zoo
from physics.laws import same

from mlip.batch import collate, pair_vectors, to_batch
from mlip.descriptors import backends
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.compact_functions import CompactFunction
from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS, WITHOUT_INNER_CUTOFF
from mlip.descriptors.functions import (
    KINDS,
    AxilrodTeller,
    Bessel,
    Chebyshev,
    LogNormal,
    Narrow,
    Radial,
    Shifted,
    ShiftedAxilrodTeller,
    Wide,
)
from mlip.descriptors.parameters import angular_grid, behler_angular, radial_grid
from mlip.model.evaluate import evaluate
from mlip.structure import Structure

pytest.importorskip("triton", reason='Triton is not installed, nor its interpreter: pip install "mlip[triton]"')

from mlip.descriptors.cuda import CudaACSF, on_device

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HOME = "CUDA" if DEVICE.type == "cuda" else "Triton interpreter"
H, O = 1, 8  # noqa: E741
WATER = Structure(np.array([O, H, H]), np.array([[0.1, 0.0, 0.2], [0.9, 0.4, 0.1], [-0.4, 0.8, 0.3]]), origin="water")
CLUSTER = zoo.random_structure(8, [1, 8, 8, 1, 1], np.diag([2.6, 2.8, 3.0]).tolist(), (False,) * 3, "cluster")
CELL = zoo.random_structure(9, [8, 1], [[2.3, 0.1, 0.2], [0.5, 2.6, -0.1], [0.3, 0.4, 2.9]], (True,) * 3, "cell")
ALONE = Structure(np.array([O]), np.zeros((1, 3)), origin="alone")


def products(featurize, batch, dtype=torch.float64):
    """G, Jᵀg, J v and J for random g and v; J v is the derivative of vᵀ(Jᵀg) by g."""
    generator = torch.Generator().manual_seed(5)
    vectors = pair_vectors(batch).to(dtype).requires_grad_()
    arguments = batch.numbers, batch.pairs
    features = featurize(*arguments, vectors)
    g = torch.randn(features.shape, dtype=torch.float64, generator=generator).to(features).requires_grad_()
    v = torch.randn(vectors.shape, dtype=torch.float64, generator=generator).to(features)
    (transposed,) = torch.autograd.grad(features, vectors, g, create_graph=True)
    (forward,) = torch.autograd.grad(transposed, g, v)
    found = features, transposed, forward, featurize.jacobian(*arguments, vectors.detach())
    return [tensor.detach().cpu() for tensor in found]


def check(functions, *structures, tolerance=1e-12):
    """All products are those of the reference, relative to the largest element of each."""
    descriptor = ACSF((H, O), functions)
    batch = collate([to_batch(structure, descriptor.cutoff)[0] for structure in structures])
    found = products(CudaACSF(descriptor), batch.to(DEVICE))
    for name, a, b in zip(("G", "Jᵀg", "J v", "J"), found, products(descriptor, batch), strict=True):
        same(a, b, name, tolerance)
        assert b.abs().max() > 1e-3, f"{name} is all but zero here: a test of nothing"


def functions_of(kind, cutoff=3.1, name="cosine", zetas=(1.0, 2.5, 7.0)):
    """Some for any center, one for oxygen only; not every combination of shells and angles."""
    if kind is Radial:
        shapes = [{"eta": 0.4}, {"eta": 3.0, "r_s": 1.7}, {"eta": 1.2, "r_s": 2.6}]
    elif kind is LogNormal:
        shapes = [{"r_s": 1.3, "width": 0.3}, {"r_s": 2.0, "width": 0.2, "power": 1.8}]
    elif kind is Bessel:
        shapes = [{"n": n} for n in (1, 2, 5)]
    elif kind is Chebyshev:
        shapes = [{"eta": 0.7, "r_s": 1.4, "n": n} for n in (0, 1, 4)]
    elif kind is AxilrodTeller:
        shapes = [{"eta": 0.7, "r_s": 1.4, "n": n, "power": p} for n, p in ((0, 0.6), (3, 0.6), (1, 3.0))]
    elif kind is ShiftedAxilrodTeller:
        numbers = ((1.0, 0.4, 0.6), (2.5, 1.0, 0.6), (7.0, 2.8, 2.0))
        shapes = [{"eta": 0.7, "r_s": 1.4, "zeta": z, "theta_s": t, "power": p} for z, t, p in numbers]
    elif kind is Shifted:
        shapes = [{"eta": 0.7, "r_s": 1.4, "zeta": z, "theta_s": 0.4 * z % 3} for z in zetas]
    else:
        shapes = [{"eta": 0.03 * n, "zeta": z, "lambda_": (-1) ** n} for n, z in enumerate(zetas)]
    neighbors = [(H,), (O,)] if kind.order == 1 else [(H, H), (H, O), (O, O)]
    common = {"cutoff": cutoff, "cutoff_function": name}
    everywhere = [kind(neighbors=n, **common, **shape) for n in neighbors for shape in shapes]
    return [*everywhere, kind(center=O, neighbors=neighbors[0], **common, **shapes[0])]


def test_home_of_the_kernels():
    """Without a CUDA device the kernels run in the interpreter, or this file would test nothing."""
    from mlip.gpu.radial import radial

    assert ("Interpreted" in type(radial).__name__) == (DEVICE.type == "cpu")


IN_TRITON = [kind for kind in KINDS.values() if not issubclass(kind, CompactFunction)]


@pytest.mark.parametrize("kind", IN_TRITON, ids=lambda kind: f"{HOME}-{kind.__name__}")
def test_each_formula(kind):
    check(functions_of(kind), CLUSTER, ALONE, WATER)


def test_functions_without_a_kernel_are_left_to_the_reference(monkeypatch):
    monkeypatch.setattr(backends, "has_triton", lambda: True)
    with_kernels = ACSF((H, O), functions_of(Radial))
    without = ACSF((H, O), [*functions_of(Radial), *zoo.compact()[:1]])
    assert isinstance(backends.fastest(with_kernels, torch.device("cuda")), CudaACSF)
    assert backends.fastest(without, torch.device("cuda")) is without


def test_weights_of_elements():
    """Two sets of weights beside functions of named elements; for the second, hydrogen does not count."""
    sets = [((H, 0.3), (O, 1.6)), ((O, -0.7),)]
    of_all = [replace(f, neighbors=(), weights=w) for kind in (Radial, Narrow, AxilrodTeller) for w in sets
              for f in functions_of(kind)[-3:]]  # fmt: skip
    check([*of_all, *functions_of(Radial)[:2], *functions_of(Narrow)[:2]], CLUSTER, ALONE, WATER)


@pytest.mark.parametrize("name", CUTOFF_FUNCTIONS, ids=lambda name: f"{HOME}-{name}")
def test_each_cutoff_function(name):
    """The second set also with an inner cutoff, between the distances of the molecule."""
    inner = 0.0 if name in WITHOUT_INNER_CUTOFF else 1.2
    narrow = [replace(f, inner_cutoff=inner) for f in functions_of(Narrow, 2.4, name)[:3]]
    check([*functions_of(Radial, 3.0, name)[:3], *narrow], WATER)


@pytest.mark.parametrize("kind", [Narrow, Wide], ids=lambda kind: f"{HOME}-{kind.__name__}")
def test_moved_functions(kind):
    """Some at the center, and others around two distances."""
    moved = [replace(f, r_s=r_s) for f in functions_of(kind)[3:6] for r_s in (0.0, 0.8, 1.9)]
    check(moved, CLUSTER, WATER)


@pytest.mark.parametrize("kind", [Narrow, Shifted], ids=lambda kind: f"{HOME}-{kind.__name__}")
def test_more_neighbors_than_a_block(kind):
    """An atom among its own images, and more than one cutoff."""
    check([*functions_of(Radial, 4.4), *functions_of(kind, 4.1, zetas=(1.0, 4.0))[-3:]], CELL)


def test_more_functions_than_a_program_holds():
    sets = [
        *radial_grid([H, O], cutoff=3.0, count=19),
        *angular_grid([H, O], cutoff=2.8, shells=5, angles=9),
        *behler_angular([H, O], kind="wide", cutoff=2.5, etas=[0.1], zetas=[1, 64]),
    ]
    check(sets, WATER)


def test_functions_that_are_repeated():
    check([*functions_of(Wide)[:4], *functions_of(Wide)[:4], *functions_of(Radial)[:2] * 2], WATER)


@pytest.mark.parametrize("zeta", [1.0, 1.5, 2.0])
def test_atoms_on_a_line(zeta):
    """1 - cos theta is zero there, to which any power of zeta - 1 is raised."""
    line = Structure(np.array([H, O, H, H]), np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3.1]]), origin="line")
    both = [Wide(neighbors=(H, H), cutoff=4.0, eta=0.1, zeta=zeta, lambda_=s) for s in (-1.0, 1.0)]
    descriptor = ACSF((H, O), both)
    batch = to_batch(line, 4.0)[0]
    found = products(CudaACSF(descriptor), batch.to(DEVICE))
    same(found[0], products(descriptor, batch)[0], "G", 1e-14)
    assert all(tensor.isfinite().all() for tensor in found)


def test_no_pairs_at_all():
    descriptor = ACSF((H, O), functions_of(Radial))
    batch = to_batch(ALONE, descriptor.cutoff)[0]
    for found, expected in zip(products(CudaACSF(descriptor), batch), products(descriptor, batch), strict=True):
        assert found.shape == expected.shape and not found.any()


def test_single_precision_in_and_out():
    descriptor = ACSF((H, O), [*functions_of(Radial), *functions_of(Narrow)])
    batch = to_batch(CLUSTER, descriptor.cutoff)[0]
    found = products(CudaACSF(descriptor), batch.to(DEVICE), torch.float32)
    assert all(tensor.dtype == torch.float32 for tensor in found)
    for a, b in zip(found, products(descriptor, batch), strict=True):
        assert (a - b).abs().max() < 2e-6 * b.abs().max()


def test_equal_input_gives_equal_bits():
    descriptor = ACSF((H, O), [*functions_of(Radial), *functions_of(Shifted)])
    batch = to_batch(WATER, descriptor.cutoff)[0].to(DEVICE)
    once, again = (products(CudaACSF(descriptor), batch) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_energy_forces_and_stress():
    potential = zoo.POTENTIALS["per center"]()
    batch = to_batch(zoo.STRUCTURES["one-atom"], potential.cutoff)[0]
    expected = evaluate(potential, batch, features=potential.descriptor)
    potential.to(DEVICE)
    found = evaluate(potential, batch.to(DEVICE), features=on_device(potential.descriptor))
    for name, a, b in zip(expected._fields, found, expected, strict=True):
        same(a.cpu(), b, name, 1e-11)


def test_who_serves_a_cuda_device(monkeypatch):
    descriptor = ACSF((H, O), functions_of(Radial))
    monkeypatch.setattr(backends, "has_triton", lambda: True)
    chosen = backends.fastest(descriptor, torch.device("cuda"))
    assert isinstance(chosen, CudaACSF) and chosen is on_device(descriptor), "made once"
    monkeypatch.setattr(backends, "has_triton", lambda: False)
    assert backends.fastest(descriptor, torch.device("cuda")) is descriptor


def test_without_a_c_compiler_plain_pytorch_serves_and_says_so(monkeypatch, caplog):
    answer = backends.has_triton.__wrapped__
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setattr(backends.sysconfig, "get_paths", lambda: {"include": str(Path(__file__).parent)})
    monkeypatch.setattr(Path, "exists", lambda path: path.name == "Python.h")
    assert answer() and not caplog.records
    monkeypatch.delenv("CC")
    monkeypatch.setattr(backends.shutil, "which", lambda name: None)
    assert not answer()
    assert "apt install gcc" in caplog.text


def test_kernels_compile_for_a_device_that_is_not_there():
    """What the interpreter forgives (types that change in a loop, say) the compiler does not."""
    script = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"gather", "radial", "angular_sums", "angular_gradients", "angular_jacobian"}
