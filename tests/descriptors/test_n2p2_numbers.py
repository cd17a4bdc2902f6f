"""Symmetry functions and their derivatives for one ethanol molecule against numbers made by n2p2 itself.

The numbers are from n2p2 3.0.0-dev (git 61daa0d): a potential with cutoff type 3 and functions 12 and 13, and one with
cutoff type 6, inner cutoff 0.3 and functions 2 and 3, on a structure of rMD17.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlip.batch import pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.backends import fastest
from mlip.descriptors.functions import Narrow, Radial
from mlip.structure import Structure

ETHANOL = Structure(
    np.array([6, 6, 8, 1, 1, 1, 1, 1, 1]),
    np.array(
        [
            [0.12094563, 0.65181569, 0.08231295],
            [-0.83960123, -0.01158130, -1.03152690],
            [0.71786084, -0.52446707, 0.86506884],
            [1.04922096, 1.02027259, -0.38094633],
            [-0.53664824, 1.39853324, 0.59502759],
            [-1.46948627, 0.75813081, -1.66781067],
            [-0.30837784, -0.81337247, -1.44284206],
            [-1.63859115, -0.44436605, -0.44168736],
            [0.07158801, -1.22472901, 0.91762027],
        ]
    ),
)
OXYGEN, HYDROGEN = 2, 8  # of the hydroxyl group, by their place


def weighted():
    """Types 12 and 13 with the atomic numbers as weights."""
    common = {"weights": ((1, 1.0), (6, 6.0), (8, 8.0)), "cutoff": 5.0, "cutoff_function": "tanh_normalized"}
    return [
        Radial(**common, eta=0.3),
        Radial(**common, eta=1.0, r_s=1.5),
        Narrow(**common, eta=0.05, zeta=1.0, lambda_=1.0),
        Narrow(**common, eta=0.05, r_s=0.5, zeta=3.0, lambda_=-1.0),
    ]


def polynomial():
    """Types 2 and 3 around oxygen with hydrogen, and with carbon beside it."""
    short, far = ({"cutoff": c, "inner_cutoff": 0.3 * c, "cutoff_function": "polynomial"} for c in (2.8, 3.5))
    return [
        Radial(neighbors=(1,), **far, eta=0.5),
        Radial(neighbors=(1,), **far, eta=2.0, r_s=1.2),
        Narrow(neighbors=(1, 6), **short, eta=0.1, zeta=4.0, lambda_=-1.0),
        Narrow(neighbors=(1, 1), **far, eta=0.02, zeta=2.5, lambda_=1.0),
        Narrow(neighbors=(1, 6), **far, eta=0.05, zeta=1.0, lambda_=1.0),
    ]


# Of oxygen: the functions, and their derivatives by the place of the hydrogen (1/Å).
EXPECTED = {
    weighted: (
        [2.3760489773792637, 4.4393865395890231, 4.6504057323601655, 0.40061455308173793],
        [
            [3.731425611661e-01, 4.043145892095e-01, -3.034194580505e-02],
            [-2.032347658113e-01, -2.202128339241e-01, 1.652595788237e-02],
            [-2.554190684919e-01, 9.502190028166e-01, -6.911305334897e-01],
            [6.956874985610e-01, 3.939970520338e-02, 2.953844056089e-01],
        ],
    ),
    polynomial: (
        [0.77588039819025933, 1.1225222596370206, 0.039486147723251992, 0.5133540602221105, 2.2556373493906898],
        [
            [4.098631190509e-01, 4.441027528281e-01, -3.332786403907e-02],
            [-5.897373037478e-01, -6.390034815680e-01, 4.795426513024e-02],
            [8.566608802870e-02, 6.395666729762e-02, 6.181009635317e-03],
            [-2.408347770228e-01, 2.079388973952e-01, -3.960935884858e-01],
            [-3.348841615406e-01, 7.098425699656e-01, -5.565822690586e-01],
        ],
    ),
}


@pytest.mark.parametrize("functions", EXPECTED, ids=lambda make: make.__name__)
@pytest.mark.parametrize("backend", ["reference", "fastest"])
def test_functions_and_derivatives_are_those_of_n2p2(functions, backend):
    descriptor = ACSF((1, 6, 8), functions())
    featurize = descriptor if backend == "reference" else fastest(descriptor, torch.device("cpu"))
    batch, _ = to_batch(ETHANOL, descriptor.cutoff)
    arguments = batch.numbers, batch.pairs, pair_vectors(batch)
    values, derivatives = EXPECTED[functions]
    np.testing.assert_allclose(featurize(*arguments)[OXYGEN], values, rtol=1e-13)
    between = (batch.pairs[0] == OXYGEN) & (batch.pairs[1] == HYDROGEN)
    (found,) = featurize.jacobian(*arguments)[between]
    np.testing.assert_allclose(found.T, derivatives, rtol=0, atol=2e-12)  # given to 13 digits
