import math
from dataclasses import replace

import pytest
from physics import zoo

from mlip.descriptors.acsf import ACSF, applies, involves
from mlip.descriptors.functions import (
    KINDS,
    Bessel,
    Chebyshev,
    CompactNarrow,
    CompactRadial,
    CompactWide,
    LogNormal,
    Narrow,
    Radial,
    Shifted,
    Wide,
    function_from_dict,
)

PAIR = {"neighbors": (1, 8), "cutoff": 4.0}
ANY_SHAPE = {"inner": 0.0, "shape": "p2"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Radial(neighbors=(1, 8), cutoff=4.0, eta=1.0), r"Radial: neighbors are \(1, 8\); expected 1"),
        (lambda: Wide(neighbors=(8,), cutoff=4.0, eta=1.0, zeta=1.0, lambda_=1.0), "expected 2"),
        (lambda: Radial(neighbors=(1,), cutoff=0.0, eta=1.0), "cutoff is 0.0"),
        (lambda: Radial(neighbors=(1,), cutoff=math.inf, eta=1.0), "cutoff is inf"),
        (lambda: Radial(neighbors=(1,), cutoff=-2.0, eta=1.0), "cutoff is -2.0"),
        (lambda: Radial(neighbors=(1,), cutoff=4.0, eta=-0.1), "eta is -0.1"),
        (lambda: Radial(neighbors=(1,), cutoff=4.0, eta=1.0, r_s=math.nan), "r_s is nan"),
        (lambda: Narrow(**PAIR, eta=1.0, zeta=0.5, lambda_=1.0), "zeta is 0.5"),
        (lambda: Shifted(**PAIR, eta=1.0, zeta=1.0, r_s=1.0, theta_s=math.inf), "theta_s is inf"),
        (lambda: LogNormal(neighbors=(1,), cutoff=4.0, r_s=0.0, width=0.3), "r_s is 0.0; a log_normal"),
        (lambda: LogNormal(neighbors=(1,), cutoff=4.0, r_s=1.0, width=0.0), "width is 0.0; a log_normal"),
        (lambda: LogNormal(neighbors=(1,), cutoff=4.0, r_s=1.0, width=0.3, power=-1.0), "power is -1.0"),
        (lambda: Bessel(neighbors=(1,), cutoff=4.0, n=0), "n is 0; a bessel"),
        (lambda: Chebyshev(**PAIR, eta=1.0, r_s=1.0, n=-1), "n is -1; it must not be negative"),
        (lambda: Bessel(neighbors=(1,), weights=((1, 1.0),), cutoff=4.0, n=1), "there are weights; give one"),
        (lambda: Bessel(weights=((1, 0.0),), cutoff=4.0, n=1), "the weight of H is 0.0"),
        (lambda: Bessel(weights=((1, 1.0), (1, 2.0)), cutoff=4.0, n=1), "each element may have one"),
        (lambda: CompactRadial(neighbors=(1,), cutoff=4.0, inner=4.0, shape="p1"), "expected inner < cutoff"),
        (lambda: CompactRadial(neighbors=(1,), cutoff=4.0, inner=0.0, shape="p5"), "shape is 'p5'; known: p1, p1a"),
        (
            lambda: CompactRadial(neighbors=(1,), cutoff=4.0, inner=0.0, shape="e", cutoff_function="cosine"),
            "a compact_radial function ends by itself: leave it out",
        ),
        (lambda: CompactWide(**PAIR, **ANY_SHAPE, theta_low=90, theta_high=90), "expected theta_low < theta_high"),
        (lambda: CompactWide(**PAIR, **ANY_SHAPE, theta_low=-10, theta_high=90), "symmetric about 0° or 180°"),
        (lambda: CompactNarrow(**PAIR, **ANY_SHAPE, theta_low=60, theta_high=190), "symmetric about 0° or 180°"),
        (lambda: CompactNarrow(**PAIR, **ANY_SHAPE, theta_low=-190, theta_high=190), "at most 360° apart"),
        (
            lambda: CompactNarrow(**PAIR, **ANY_SHAPE, theta_low=0, theta_high=90, shape_jk="x"),
            "shape_jk is 'x'; known: p1",
        ),
        (lambda: Radial(neighbors=(1,), cutoff=4.0, eta=1.0, cutoff_function="cosin"), "'cosin'; known: hard, cosine"),
    ],
)
def test_wrong_numbers_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_neighbors_are_ascending():
    assert Wide(neighbors=(8, 1), cutoff=4.0, eta=1.0, zeta=1.0, lambda_=1.0).neighbors == (1, 8)


def test_every_function_reads_back():
    functions = [*zoo.mixed_formulas(), *zoo.per_center(), *zoo.of_all_elements()]
    assert {type(f) for f in functions} == set(KINDS.values())
    assert [function_from_dict(f.as_dict()) for f in functions] == functions


def test_functions_of_older_files_have_no_inner_cutoff_and_no_r_s():
    function = Narrow(**PAIR, eta=0.1, zeta=2.0, lambda_=-1.0)
    old = {name: value for name, value in function.as_dict().items() if name not in ("inner_cutoff", "r_s")}
    assert function_from_dict(old) == function and (function.inner_cutoff, function.r_s) == (0.0, 0.0)


def test_a_function_says_its_numbers():
    function = Wide(**PAIR, eta=0.1, zeta=2.0, lambda_=-1.0, r_s=1.5)
    said = "wide around any of H-O: eta 0.1, zeta 2, lambda_ -1, r_s 1.5, cutoff 4"
    assert str(function) == said
    assert str(replace(function, inner_cutoff=1.25)) == f"{said}, inner cutoff 1.25"


def test_descriptor_needs_functions():
    with pytest.raises(ValueError, match="no symmetry functions"):
        ACSF([1], [])


@pytest.mark.parametrize(
    "function",
    [
        Radial(neighbors=(7,), cutoff=4.0, eta=1.0),
        Radial(neighbors=(1,), cutoff=4.0, eta=1.0, center=7),
        Wide(neighbors=(1, 7), cutoff=4.0, eta=1.0, zeta=1.0, lambda_=1.0),
        Bessel(weights=((1, 0.2), (7, 1.0)), cutoff=4.0, n=1),
    ],
)
def test_descriptor_names_elements_it_does_not_have(function):
    with pytest.raises(ValueError, match=r"function 1 .*names elements \[7\]; the potential knows \[1, 8\]"):
        ACSF([8, 1], [Radial(neighbors=(1,), cutoff=3.0, eta=1.0), function])


def test_descriptor_cutoff_is_the_largest():
    assert ACSF(zoo.ELEMENTS, zoo.mixed_formulas()).cutoff == 4.2


def test_functions_of_a_center():
    any_center, of_carbon = (Radial(neighbors=(8,), cutoff=3.0, eta=1.0, center=c) for c in (None, 6))
    assert [applies(f, z) for f in (any_center, of_carbon) for z in (1, 6)] == [True, True, False, True]
    assert involves([any_center, of_carbon], 1, 8).tolist() == [True, False]
    assert involves([any_center, of_carbon], 6, 8).tolist() == [True, True]
    assert involves([any_center, of_carbon], 6, 1).tolist() == [False, False]


def test_functions_that_weigh_elements():
    of_all, of_oxygen = (Bessel(weights=w, cutoff=3.0, n=1) for w in [((8, 1.6), (1, 0.2)), ((8, 1.6),)])
    assert of_all.weights == ((1, 0.2), (8, 1.6)), "ascending"
    assert involves([of_all, of_oxygen], 1, 8).tolist() == [True, True]
    assert involves([of_all, of_oxygen], 1, 1).tolist() == [True, False]
    assert str(of_all) == "bessel around any of 0.2 H + 1.6 O: n 1, cutoff 3"
