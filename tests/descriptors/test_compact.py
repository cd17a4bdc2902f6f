"""Functions with compact support: against n2p2's own numbers, at their edges, and for atoms on a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlip.batch import pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF
from mlip.descriptors.functions import CompactNarrow, CompactRadial, CompactWide
from mlip.interfaces.n2p2_compact import as_n2p2_computes
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


@pytest.fixture(scope="module")
def ethanol():
    descriptor = ACSF((1, 6, 8), n2p2_functions())
    batch = to_batch(n2p2_structure(), descriptor.cutoff)[0]
    return descriptor, batch


def columns_of(descriptor, number):
    return [column for column, f in enumerate(descriptor.functions) if f.center == number]


def test_values_are_those_of_n2p2(ethanol):
    descriptor, batch = ethanol
    found = descriptor(batch.numbers, batch.pairs, pair_vectors(batch)).numpy()
    for atom, _, count, *values in rows("symfunc_G.txt"):
        columns = columns_of(descriptor, int(batch.numbers[int(atom)]))
        assert len(columns) == int(count) == len(values)
        np.testing.assert_allclose(found[int(atom), columns], np.array(values, dtype=float), rtol=1e-12, atol=1e-12)


def test_derivatives_are_those_of_n2p2(ethanol):
    descriptor, batch = ethanol
    jacobian = descriptor.jacobian(batch.numbers, batch.pairs, pair_vectors(batch)).numpy()
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
