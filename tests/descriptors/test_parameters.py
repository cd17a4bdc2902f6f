import math
import warnings
from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
import torch
from physics import zoo

from mlip.batch import pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import AxilrodTeller, Chebyshev, Narrow, Radial, Shifted, Wide
from mlip.descriptors.parameters import (
    angular_grid,
    ani1x,
    ani2x,
    behler_angular,
    bessel_waves,
    chebyshev_grid,
    log_normal_grid,
    radial_grid,
)
from mlip.descriptors.redundancy import redundant_functions


def test_ani1x_has_the_published_functions():
    functions = ani1x([1, 6, 7, 8])
    radial = [f for f in functions if isinstance(f, Radial)]
    angular = [f for f in functions if isinstance(f, Shifted)]
    assert (len(functions), len(radial), len(angular)) == (384, 64, 320)
    assert {(f.eta, f.cutoff, f.cutoff_function) for f in radial} == {(16.0, 5.2, "cosine")}
    assert {(f.eta, f.zeta, f.cutoff, f.cutoff_function) for f in angular} == {(8.0, 32.0, 3.5, "cosine")}
    shells = sorted(f.r_s for f in radial if f.neighbors == (8,))
    assert shells == pytest.approx([0.9 + 0.26875 * n for n in range(16)])
    assert shells[-1] == pytest.approx(4.93125)
    of_a_pair = [f for f in angular if f.neighbors == (6, 8)]
    assert len(of_a_pair) == 32 and len({f.neighbors for f in angular}) == 10
    assert sorted({f.r_s for f in of_a_pair}) == pytest.approx([0.9, 1.55, 2.2, 2.85])
    assert sorted({f.theta_s for f in of_a_pair}) == pytest.approx(
        [0.19634954, 0.58904862, 0.9817477, 1.3744468, 1.7671459, 2.1598449, 2.552544, 2.9452431]
    )


def test_ani2x_has_the_published_functions():
    functions = ani2x([1, 6, 7, 8, 9, 16, 17])
    radial = [f for f in functions if isinstance(f, Radial)]
    angular = [f for f in functions if isinstance(f, Shifted)]
    assert (len(functions), len(radial), len(angular)) == (1008, 112, 896)
    assert {(f.eta, f.cutoff, f.cutoff_function) for f in radial} == {(19.7, 5.1, "cosine")}
    assert {(f.eta, f.zeta, f.cutoff, f.cutoff_function) for f in angular} == {(12.5, 14.1, 3.5, "cosine")}
    shells = sorted(f.r_s for f in radial if f.neighbors == (16,))
    assert shells == pytest.approx([0.8 + 0.26875 * n for n in range(16)])
    assert shells[-1] == pytest.approx(4.83125)
    of_a_pair = [f for f in angular if f.neighbors == (6, 17)]
    assert sorted({f.r_s for f in of_a_pair}) == pytest.approx(
        [0.8, 1.1375, 1.475, 1.8125, 2.15, 2.4875, 2.825, 3.1625]
    )
    assert sorted({f.theta_s for f in of_a_pair}) == pytest.approx([0.39269908, 1.178097, 1.9634954, 2.7488936])


@pytest.mark.parametrize(("made", "numbers"), [(ani1x, [1, 6, 7, 8]), (ani2x, [1, 6, 7, 8, 16, 9, 17])])
def test_ani_has_the_numbers_of_torchani(monkeypatch, made, numbers):
    """For every element of the model at once; its constants are rounded, and its radial numbers a quarter of these."""
    monkeypatch.setenv("TORCHANI_NO_WARN_EXTENSIONS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchani = pytest.importorskip("torchani.aev")
        computer = (torchani.AEVComputer.like_1x() if made is ani1x else torchani.AEVComputer.like_2x()).double()
    pairs = list(combinations_with_replacement(numbers, 2))
    order = [*((z,) for z in numbers for _ in range(16)), *(tuple(sorted(p)) for p in pairs for _ in range(32))]
    functions = made(numbers)
    atoms = zoo.random_structure(11, 2 * numbers, np.diag([4.0, 4.2, 4.4]).tolist(), (False,) * 3, "molecule")
    batch = to_batch(atoms, 5.2)[0]
    ours = ACSF(numbers, functions)(batch.numbers, batch.pairs, pair_vectors(batch))
    ours[:, [f.order == 1 for f in functions]] *= 0.25
    index = torch.tensor([numbers.index(z) for z in atoms.numbers])[None]
    theirs = computer(index, torch.from_numpy(atoms.positions)[None])[0]
    assert theirs.shape == ours.shape and theirs.max() > 0.2
    for of in set(order):  # the same order of shells and angles, another of the elements
        column = [d for d, f in enumerate(functions) if f.neighbors == of]
        expected = theirs[:, [d for d, other in enumerate(order) if other == of]]
        torch.testing.assert_close(ours[:, column], expected.to(ours), rtol=0, atol=2e-6)


def test_radial_grid():
    functions = radial_grid([8, 1], cutoff=6.0, count=13, start=0.8)
    assert [f.neighbors for f in functions] == [(1,)] * 13 + [(8,)] * 13
    assert [f.r_s for f in functions[:13]] == pytest.approx([0.8 + 0.4 * n for n in range(13)])
    assert {round(f.eta, 9) for f in functions} == {round(1 / 0.4**2, 9)}
    assert {f.cutoff for f in functions} == {6.0}
    given = radial_grid([1], cutoff=5.0, count=2, eta=3.5, cutoff_function="tanh")
    assert {(f.eta, f.cutoff_function) for f in given} == {(3.5, "tanh")}


def test_angular_grid():
    functions = angular_grid([1, 6, 8], cutoff=4.0, shells=2, angles=6, start=1.0)
    assert len(functions) == 6 * 2 * 6 and all(isinstance(f, Shifted) for f in functions)
    assert {f.zeta for f in functions} == {9.0}
    assert {f.eta for f in functions} == {1.5 / 1.5**2}
    assert sorted({f.r_s for f in functions}) == [1.0, 2.5]
    assert sorted({f.theta_s for f in functions}) == pytest.approx([(m + 0.5) * math.pi / 6 for m in range(6)])
    assert {f.zeta for f in angular_grid([1], cutoff=4.0, shells=1, angles=1)} == {1.0}, "smooth forces need one"
    chosen = angular_grid([1], cutoff=4.0, shells=1, angles=4, eta=0.0, zeta=5.0)
    assert {(f.eta, f.zeta) for f in chosen} == {(0.0, 5.0)}


@pytest.mark.parametrize(("spacing", "to"), [("log", np.log), ("inverse", np.reciprocal)])
def test_radial_grid_in_another_coordinate(spacing, to):
    functions = radial_grid([1], cutoff=6.0, count=8, start=0.75, spacing=spacing)
    shells = np.array([f.r_s for f in functions])
    steps = np.diff(to(np.append(shells, 6.0)))
    assert shells[0] == 0.75 and steps == pytest.approx(np.full(8, steps[0]))
    # Of a width that is small against the distance, the next shell has the value 1/e at this one, as on an even grid.
    fine = radial_grid([1], cutoff=6.0, count=4000, start=0.75, spacing=spacing)
    assert [a.eta * (b.r_s - a.r_s) ** 2 for a, b in pairwise(fine)] == pytest.approx([1.0] * 3999, abs=0.02)


def test_log_normal_grid():
    functions = log_normal_grid([8, 1], cutoff=6.4, count=6, start=0.8, power=1.8)
    assert [f.neighbors for f in functions] == [(1,)] * 6 + [(8,)] * 6
    assert [f.r_s for f in functions[:6]] == pytest.approx([0.8 * 2 ** (n / 2) for n in range(6)])
    assert {(round(f.width, 9), f.power) for f in functions} == {(round(math.log(2) / 2 / math.sqrt(2), 9), 1.8)}
    assert {f.width for f in log_normal_grid([1], cutoff=5.0, count=2, width=0.4)} == {0.4}


def test_bessel_waves():
    functions = bessel_waves([1, 8], cutoff=5.0, count=4)
    assert [(f.neighbors, f.n) for f in functions] == [((z,), n) for z in (1, 8) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(("power", "kind"), [(None, Chebyshev), (0.57, AxilrodTeller)])
def test_chebyshev_grid(power, kind):
    functions = chebyshev_grid([1, 6], cutoff=4.0, shells=2, degree=3, start=1.0, power=power)
    assert len(functions) == 3 * 2 * 4 and {type(f) for f in functions} == {kind}
    assert {(f.r_s, f.n, f.eta) for f in functions} == {(r_s, n, 1.5 / 1.5**2) for r_s in (1.0, 2.5) for n in range(4)}


def test_weights_have_the_mean_one():
    """As wACSF, but for one factor; the number of functions does not depend on that of the elements."""
    for elements in ([6], [8, 1, 6], [13, 29, 1, 8, 7, 6]):
        functions = angular_grid(elements, cutoff=4.0, shells=2, angles=3, weighted=True)
        assert len(functions) == 6
        (weights,) = {f.weights for f in functions}
        assert [z for z, _ in weights] == sorted(elements)
        assert sum(w for _, w in weights) == pytest.approx(len(elements))
        assert {round(w / z, 12) for z, w in weights} == {round(weights[0][1] / weights[0][0], 12)}


@pytest.mark.parametrize(("kind", "made"), [("narrow", Narrow), ("wide", Wide)])
def test_behler_angular(kind, made):
    functions = behler_angular([6, 1], kind=kind, cutoff=5.0, etas=(0.01, 0.1), zetas=(1.0, 2.0, 4.0))
    assert len(functions) == 3 * 2 * 3 * 2 and {type(f) for f in functions} == {made}
    assert len({(f.neighbors, f.eta, f.zeta, f.lambda_) for f in functions}) == len(functions)
    assert {f.lambda_ for f in functions} == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: radial_grid([1], cutoff=6.0, count=0), "0 radial shells"),
        (lambda: radial_grid([1], cutoff=6.0, count=4, start=6.0), "starts at 6.0"),
        (lambda: radial_grid([1], cutoff=6.0, count=4, start=-0.1), "starts at -0.1"),
        (lambda: radial_grid([1], cutoff=6.0, count=4, start=0.0, spacing="log"), "starts at 0.0 Å; spacing 'log'"),
        (lambda: log_normal_grid([1], cutoff=6.0, count=4, start=0.0), "starts at 0.0 Å; a logarithmic"),
        (lambda: angular_grid([1], cutoff=4.0, shells=0, angles=3), "0 radial shells"),
        (lambda: angular_grid([1], cutoff=4.0, shells=2, angles=0), "angles is 0"),
        (lambda: behler_angular([1], kind="wide", cutoff=4.0, etas=(-1.0,), zetas=(1.0,)), "eta is -1.0"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_redundancy_report_finds_what_was_planted():
    functions = radial_grid([1], cutoff=6.0, count=6)
    features = np.random.default_rng(0).normal(size=(40, 6))
    assert redundant_functions(features, functions) == []
    features[:, 4] = features[:, 1]
    features[:, 2] = 0.25
    messages = redundant_functions(features, functions)
    assert len(messages) == 2
    assert messages[0].startswith("function 2 is constant (0.25)")
    assert messages[1].startswith("functions 1 and 4 have the same values")


def test_redundancy_report_is_not_fooled_by_nearly_equal_functions():
    features = np.random.default_rng(1).normal(size=(40, 2))
    features[:, 1] = features[:, 0] * (1 + 1e-5)
    assert redundant_functions(features, radial_grid([1], cutoff=6.0, count=2)) == []


def test_redundancy_report_when_the_first_atom_tells_nothing():
    """The first atom has the same value in every column, so only the other atoms tell equal columns."""
    features = np.random.default_rng(2).normal(size=(40, 4))
    features[:, 3] = features[:, 0]
    features[0] = 0.0
    messages = redundant_functions(features, radial_grid([1], cutoff=6.0, count=4))
    assert [message.split(" have")[0] for message in messages] == ["functions 0 and 3"]


def test_all_functions_constant():
    messages = redundant_functions(np.zeros((5, 2)), radial_grid([1], cutoff=6.0, count=2))
    assert [message.split(" (")[0] for message in messages] == ["function 0 is constant", "function 1 is constant"]
