"""Each symmetry function against its formula, written out in plain Python."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from physics import zoo

from descriptors import oracle
from mlip.batch import collate, pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.cutoffs import CUTOFF_FUNCTIONS, WITHOUT_INNER_CUTOFF
from mlip.descriptors.functions import Narrow, Radial, Shifted, Wide
from mlip.structure import Structure


def features(functions, structures):
    descriptor = ACSF(zoo.ELEMENTS, functions)
    batch = collate([to_batch(structure, descriptor.cutoff)[0] for structure in structures])
    return descriptor(batch.numbers, batch.pairs, pair_vectors(batch)).numpy()


def expected(functions, structures):
    return np.array([[oracle.value(f, s, i) for f in functions] for s in structures for i in range(len(s))])


@pytest.mark.parametrize("structure", zoo.STRUCTURES)
@pytest.mark.parametrize(
    "functions",
    [
        zoo.radial(2.9, "polynomial"),
        zoo.behler(Narrow, 3.4, "cosine"),
        zoo.behler(Wide, 3.3, "tanh"),
        zoo.shifted(3.3, "cosine"),
        zoo.log_normal(3.1, "tanh"),
        zoo.bessel(3.2, "polynomial"),
        zoo.chebyshev(3.1, "cosine"),
        zoo.axilrod_teller(3.0, "polynomial"),
        zoo.compact(3.2, ("p1", "p2", "p3", "p4", "e")),
        zoo.compact(3.3, ("p1a", "p2a", "p3a", "p4a")),
        zoo.of_all_elements(),
        zoo.behler(Narrow, 3.4, "polynomial_3", inner=0.9, r_s=(0.7, 1.6)),
        zoo.behler(Wide, 3.3, "exponential", inner=1.1, r_s=(2.1, 0.4)),
    ],
    ids=[
        "radial",
        "narrow",
        "wide",
        "shifted",
        "log normal",
        "bessel",
        "chebyshev",
        "axilrod teller",
        "compact",
        "narrow compact",
        "weighted",
        "moved narrow",
        "moved wide",
    ],
)
def test_formula(functions, structure):
    found = features(functions, [zoo.STRUCTURES[structure]])
    wanted = expected(functions, [zoo.STRUCTURES[structure]])
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)


def test_many_functions_in_any_order_and_of_any_center():
    functions = [*zoo.per_center(), *zoo.mixed_formulas()[:12]]
    structures = [zoo.STRUCTURES["molecule"], zoo.STRUCTURES["wire"]]
    np.testing.assert_allclose(features(functions, structures), expected(functions, structures), rtol=1e-11, atol=1e-13)


@given(
    eta=st.floats(0, 20),
    r_s=st.floats(0, 4),
    zeta=st.floats(1, 64),
    theta_s=st.floats(0, math.pi),
    sign=st.sampled_from([-1.0, 1.0]),
    cutoff=st.floats(1.5, 4.5),
    inner=st.floats(0, 0.9),
    name=st.sampled_from(list(CUTOFF_FUNCTIONS)),
)
def test_any_numbers(eta, r_s, zeta, theta_s, sign, cutoff, inner, name):
    inner *= cutoff * (name not in WITHOUT_INNER_CUTOFF)
    common = {"cutoff": cutoff, "cutoff_function": name, "inner_cutoff": inner}
    functions = [
        Radial(neighbors=(6,), eta=eta, r_s=r_s, **common),
        Narrow(neighbors=(8, 1), eta=eta, zeta=zeta, lambda_=sign, r_s=r_s, **common),
        Wide(neighbors=(8, 8), eta=eta, zeta=zeta, lambda_=sign, r_s=r_s, **common),
        Shifted(neighbors=(1, 6), eta=eta, r_s=r_s, zeta=zeta, theta_s=theta_s, **common),
    ]
    molecule = [zoo.STRUCTURES["molecule"]]
    np.testing.assert_allclose(features(functions, molecule), expected(functions, molecule), rtol=1e-9, atol=1e-12)


def test_one_pair_by_hand():
    pair = Structure(np.array([1, 8]), np.array([[0.0, 0, 0], [0, 0, 1.5]]))
    found = features([Radial(neighbors=(8,), eta=0.5, r_s=1.0, cutoff=3.0)], [pair])
    assert found[0, 0] == pytest.approx(math.exp(-0.125) * 0.5, rel=1e-14)
    assert found[1, 0] == 0, "the oxygen has no oxygen neighbor"


def test_one_triple_by_hand():
    """A right angle with legs of 1 Å: cos θ = 0, each unordered pair of neighbors counts once."""
    legs = Structure(np.array([8, 1, 1]), np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]))
    wide = Wide(neighbors=(1, 1), eta=0.1, zeta=2.0, lambda_=1.0, cutoff=2.0)
    narrow = Narrow(neighbors=(1, 1), eta=0.1, zeta=2.0, lambda_=1.0, cutoff=2.0)
    shifted = Shifted(neighbors=(1, 1), eta=3.0, r_s=1.0, zeta=2.0, theta_s=math.pi / 2, cutoff=2.0)
    far = 0.5 * (math.cos(math.pi / math.sqrt(2)) + 1)
    assert features([wide, narrow, shifted], [legs])[0] == pytest.approx(
        [0.5 * math.exp(-0.2) * 0.25, 0.5 * math.exp(-0.4) * 0.25 * far, 0.5 * 4 * 0.25], rel=1e-13
    )


def test_pairs_beyond_the_cutoff_change_nothing():
    descriptor = ACSF(zoo.ELEMENTS, zoo.mixed_formulas())
    near, far = (to_batch(zoo.STRUCTURES["triclinic"], cutoff)[0] for cutoff in (descriptor.cutoff, 6.5))
    assert far.pairs.shape[1] > near.pairs.shape[1]
    found, wanted = (descriptor(b.numbers, b.pairs, pair_vectors(b)) for b in (far, near))
    assert torch.allclose(found, wanted, rtol=1e-13, atol=1e-14)
