"""Choosing few of many points: held to brute force, whatever the order of structures."""

from itertools import combinations

import numpy as np
import pytest

from mlip.diversity import Points, farthest_structures, squared_distances, structures_by_leverage


def random_points(structures=25, kinds=3, seed=0, columns=4):
    """Points of structures with one to five atoms of several kinds."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 6, structures)
    structure = np.repeat(np.arange(structures), sizes)
    return Points(
        generator.normal(size=(len(structure), columns)), generator.integers(0, kinds, len(structure)), structure
    )


def far(points, candidate, chosen):
    """Largest over a candidate's points of the distance to the nearest chosen point of its kind."""
    largest = 0.0
    for r in np.flatnonzero(points.structure == candidate):
        nearest = np.inf
        for q in np.flatnonzero(np.isin(points.structure, chosen)):
            if points.kind[q] == points.kind[r]:
                nearest = min(nearest, float(np.linalg.norm(points.values[r] - points.values[q])))
        largest = max(largest, nearest)
    return largest


def from_the_middle(points, candidate):
    """Largest over a candidate's points of the distance to the mean of their kind."""
    return max(
        float(np.linalg.norm(points.values[r] - points.values[points.kind == points.kind[r]].mean(axis=0)))
        for r in np.flatnonzero(points.structure == candidate)
    )


def by_brute_force(points, count, first):
    chosen, distances = [first], [np.inf]
    while len(chosen) < count:
        scores = {s: far(points, s, chosen) for s in range(points.structures) if s not in chosen}
        if np.isinf(max(scores.values())):
            best = min((s for s in scores if np.isinf(scores[s])), key=lambda s: from_the_middle(points, s))
        else:
            best = max(scores, key=scores.get)
        chosen.append(best)
        distances.append(scores[best])
    return chosen, distances


@pytest.mark.parametrize("seed", range(4))
def test_farthest_points_are_those_of_brute_force(seed):
    points = random_points(seed=seed)
    found = farthest_structures(points, 12)
    chosen, distances = by_brute_force(points, 12, found.structures[0])
    assert found.structures == chosen
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)
    assert farthest_structures(points, 12, first=7).structures == by_brute_force(points, 12, 7)[0]


def test_the_first_is_nearest_to_the_middle():
    values = np.array([[0.0], [10.0], [4.0], [6.1]])
    found = farthest_structures(Points(values, np.zeros(4, int), np.arange(4)), 4)
    assert found.structures == [2, 1, 0, 3], "the mean is 5.025"
    np.testing.assert_allclose(found.distances, [np.inf, 6.0, 4.0, 2.1], rtol=1e-12)


def test_no_choice_leaves_more_than_twice_the_best_radius():
    values = np.random.default_rng(1).normal(size=(12, 2))
    points = Points(values, np.zeros(12, int), np.arange(12))
    away = np.linalg.norm(values[:, None] - values[None], axis=2)
    for count in (2, 3, 4):
        chosen = farthest_structures(points, count).structures
        best = min(away[:, list(some)].min(axis=1).max() for some in combinations(range(12), count))
        assert away[:, chosen].min(axis=1).max() <= 2 * best + 1e-12


@pytest.mark.parametrize("method", ["farthest", "leverage"])
def test_order_of_structures_changes_nothing(method):
    values = np.random.default_rng(2).normal(size=(30, 5))
    order = np.random.default_rng(3).permutation(30)

    def choose(values):
        if method == "leverage":
            return structures_by_leverage(values, 8)
        return farthest_structures(Points(values, np.zeros(30, int), np.arange(30)), 8).structures

    assert [int(order[place]) for place in choose(values[order])] == choose(values)


def test_what_is_covered_is_not_chosen_again():
    points = random_points(20, seed=5)
    covered = farthest_structures(points, 6).structures
    rows = np.isin(points.structure, covered)
    old = Points(points.values[rows], points.kind[rows], np.unique(points.structure[rows], return_inverse=True)[1])
    found = farthest_structures(points, 20, old)
    assert not set(found.structures) & set(covered) and len(found.structures) == 14
    np.testing.assert_allclose(found.distances[0], max(far(points, s, covered) for s in found.structures), rtol=1e-12)
    assert farthest_structures(points, 20, points).structures == []


def test_repetitions_are_chosen_once():
    values = np.repeat(np.random.default_rng(6).normal(size=(5, 3)), 4, axis=0)
    points = Points(values, np.zeros(20, int), np.arange(20))
    found = farthest_structures(points, 20)
    assert len(found.structures) == 5 and len({n // 4 for n in found.structures}) == 5


def test_distances_of_many_points_by_parts():
    generator = np.random.default_rng(7)
    values, others = generator.normal(size=(9000, 3)), generator.normal(size=(7, 3))
    whole = ((values[:, None] - others[None]) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(squared_distances(values, others), whole, rtol=1e-12)
    assert np.isinf(squared_distances(values[:2], np.empty((0, 3)))).all()


def test_leverage_is_that_of_the_singular_vectors():
    values = np.random.default_rng(8).normal(size=(15, 4)) * [3.0, 2.0, 1.0, 0.5]
    left, expected = values.copy(), []
    for _ in range(4):
        leverage = np.linalg.svd(left, full_matrices=False)[0][:, 0] ** 2
        leverage[expected] = -1.0
        best = int(leverage.argmax())
        expected.append(best)
        row = left[best].copy()
        left = left - np.outer(left @ row, row) / (row @ row)
    assert structures_by_leverage(values, 4) == expected
    more = structures_by_leverage(values, 15)
    assert more[:4] == expected and sorted(more) == list(range(15)), "it begins again when nothing is left"
    assert structures_by_leverage(np.zeros((3, 2)), 3) == []


def test_kinds_that_nothing_is_chosen_of_come_first_in_any_order():
    points = random_points(30, kinds=6, seed=9)
    chosen = farthest_structures(points, 10).structures
    order = np.random.default_rng(1).permutation(30)
    rows = np.concatenate([np.flatnonzero(points.structure == s) for s in order])
    sizes = [int((points.structure == s).sum()) for s in order]
    turned = Points(points.values[rows], points.kind[rows], np.repeat(np.arange(30), sizes))
    assert [int(order[place]) for place in farthest_structures(turned, 10).structures] == chosen
