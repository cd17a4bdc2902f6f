"""Choosing few of many features, held to the same algorithms written with other means."""

import numpy as np
import pytest
from scipy.linalg import qr, svd

from mlip.descriptors.selection import METHODS, cur, farthest, gram_matrix


def some_features(rows=60, columns=14, seed=0):
    """Columns of very different size, three of them sums of others, one of these a twin."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, columns)) * generator.uniform(0.1, 3.0, size=columns)
    x[:, 4], x[:, 9], x[:, 11] = x[:, 2], x[:, 0] - 0.5 * x[:, 1], x[:, 3] + x[:, 5]
    return x


def cur_of_columns(x, count):
    """The algorithm of the paper on the features themselves: leverage in the first right singular vector."""
    x, chosen = x.copy(), []
    for _ in range(count):
        weights = svd(x, full_matrices=False)[2][0] ** 2
        chosen.append(int(np.argmax(weights)))
        direction = x[:, chosen[-1]] / np.linalg.norm(x[:, chosen[-1]])
        x -= np.outer(direction, direction @ x)
        x[:, chosen] = 0.0
    return chosen


def test_farthest_is_the_order_of_a_pivoted_decomposition():
    x = np.delete(some_features(), 4, axis=1)
    order = qr(x - x.mean(axis=0), mode="r", pivoting=True)[1]
    assert farthest(gram_matrix([x]), 8) == order[:8].tolist()


def test_cur_is_that_of_the_paper():
    x = np.delete(some_features(), 4, axis=1)
    assert cur(gram_matrix([x]), 6) == cur_of_columns(x - x.mean(axis=0), 6)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_sums_of_others_are_left_out(method):
    x = some_features()
    chosen = method(gram_matrix([x]), 14)
    assert len(chosen) == len(set(chosen)) == 11
    rest = x - x.mean(axis=0)
    error = rest - rest[:, chosen] @ np.linalg.lstsq(rest[:, chosen], rest, rcond=None)[0]
    assert np.abs(error).max() < 1e-10
    assert method(gram_matrix([x]), 5) == chosen[:5]
    assert 2 in chosen and 4 not in chosen, "of twins the first"


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_order_of_features_does_not_matter(method):
    x = some_features()
    x = np.delete(x, 4, axis=1)
    order = np.random.default_rng(5).permutation(13)
    assert [order[d] for d in method(gram_matrix([x[:, order]]), 6)] == method(gram_matrix([x]), 6)


def test_every_element_counts_the_same():
    x, y = some_features(seed=1), some_features(seed=2)
    once = gram_matrix([x, y])
    assert gram_matrix([np.concatenate([x] * 7), 3.0 * y]) == pytest.approx(once, rel=1e-12)
    assert np.trace(once) == pytest.approx(2 * 14)
    nothing = [np.zeros((0, 14)), x[:1], np.ones((9, 14))]
    assert (gram_matrix([x, y, *nothing]) == once).all()
    assert farthest(gram_matrix(nothing), 3) == []
