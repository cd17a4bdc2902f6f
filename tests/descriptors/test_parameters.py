import math
import warnings

import numpy as np
import pytest

from mlip.descriptors.functions import Narrow, Radial, Shifted, Wide
from mlip.descriptors.parameters import angular_grid, ani1x, behler_angular, radial_grid
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


def test_ani1x_has_the_constants_of_torchani(monkeypatch):
    monkeypatch.setenv("TORCHANI_NO_WARN_EXTENSIONS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchani = pytest.importorskip("torchani.aev")
        computer = torchani.AEVComputer.like_1x()
    functions = ani1x([1, 6, 7, 8])
    assert computer.out_dim == len(functions)
    radial, angular = computer.radial, computer.angular
    first_radial = [f for f in functions if isinstance(f, Radial) and f.neighbors == (1,)]
    first_angular = [f for f in functions if isinstance(f, Shifted) and f.neighbors == (1, 1)]
    assert [f.r_s for f in first_radial] == pytest.approx(radial.shifts.tolist(), abs=1e-6)
    assert {f.eta for f in first_radial} == set(radial.eta.flatten().tolist())
    assert {f.eta for f in first_angular} == set(angular.eta.flatten().tolist())
    assert {f.zeta for f in first_angular} == set(angular.zeta.flatten().tolist())
    assert sorted({f.r_s for f in first_angular}) == pytest.approx(angular.shifts.tolist(), abs=1e-6)
    assert sorted({f.theta_s for f in first_angular}) == pytest.approx(angular.sections.tolist(), abs=1e-6)


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
