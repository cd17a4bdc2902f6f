"""What the descriptor does with functions: columns, centers, precision, and a file of its numbers."""

import pytest
import torch
from physics import zoo

from mlip.batch import pair_vectors, to_batch
from mlip.descriptors.acsf import ACSF


def features(descriptor, structure, dtype=torch.float64):
    batch = to_batch(zoo.STRUCTURES[structure], 4.5)[0]
    return batch, descriptor(batch.numbers, batch.pairs, pair_vectors(batch).to(dtype))


def test_columns_stand_in_the_order_of_the_functions():
    functions = [*zoo.mixed_formulas(), *zoo.per_center()]
    order = torch.randperm(len(functions)).tolist()
    _, straight = features(ACSF(zoo.ELEMENTS, functions), "triclinic")
    _, shuffled = features(ACSF(zoo.ELEMENTS, [functions[i] for i in order]), "triclinic")
    assert torch.allclose(shuffled, straight[:, order], rtol=1e-13, atol=1e-14)
    assert len({tuple(column) for column in straight.T.tolist()}) > len(functions) // 2


def test_every_column_alone():
    functions = zoo.per_center()
    _, together = features(ACSF(zoo.ELEMENTS, functions), "wire")
    for column, function in enumerate(functions):
        _, alone = features(ACSF(zoo.ELEMENTS, [function]), "wire")
        assert torch.allclose(alone[:, 0], together[:, column], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("center", zoo.ELEMENTS)
def test_functions_of_one_center_are_zero_elsewhere(center):
    functions = [*zoo.radial(center=center), *zoo.shifted(center=center)]
    batch, values = features(ACSF(zoo.ELEMENTS, functions), "molecule")
    assert (values[batch.numbers != center] == 0).all()
    assert (values[batch.numbers == center] != 0).any(dim=1).all()


def test_repeated_function_is_a_repeated_column():
    function = zoo.shifted()[3]
    _, values = features(ACSF(zoo.ELEMENTS, [function, zoo.radial()[0], function]), "triclinic")
    assert (values[:, 0] == values[:, 2]).all() and values[:, 0].abs().max() > 0


def test_single_precision_is_near_double():
    descriptor = ACSF(zoo.ELEMENTS, zoo.mixed_formulas())
    _, double = features(descriptor, "triclinic")
    _, single = features(descriptor, "triclinic", torch.float32)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), double, rtol=2e-5, atol=1e-5)


def test_no_neighbors_no_features():
    descriptor = ACSF(zoo.ELEMENTS, zoo.mixed_formulas())
    batch = to_batch(zoo.LONE_ATOM, 4.5)[0]
    assert batch.pairs.shape == (2, 0)
    assert (descriptor(batch.numbers, batch.pairs, pair_vectors(batch)) == 0).all()
    assert descriptor.jacobian(batch.numbers, batch.pairs, pair_vectors(batch)).shape == (
        0,
        3,
        len(descriptor.functions),
    )


def test_elements_are_ascending_whatever_their_order():
    assert ACSF([8, 1, 6, 1], zoo.radial()).elements == (1, 6, 8)
