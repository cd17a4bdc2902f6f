"""Inducing environments, and what a fit is said to cost."""

import pytest
import torch

from gpr.small import COVARIANCES, everything, seen
from mlip.gpr.estimate import NUMBER, Size, cost_of_full, cost_of_sparse, largest_labels, largest_points, speed
from mlip.gpr.inducing import inducing_points, shared_out
from mlip.gpr.observations import size_of

SIZES = [Size(484, 22, 198, 12), Size(9_000, 1000, 9000, 60), Size(24_950, 950, 8550, 236), Size(50, 50, 2000, 30)]


@pytest.mark.parametrize(
    ("atoms", "count", "wanted"),
    [([60, 30, 10], 10, [6, 3, 1]), ([1000, 1], 10, [10, 1]), ([4, 0, 8], 100, [4, 0, 8]), ([5, 5], 1, [1, 1])],
)
def test_shares(atoms, count, wanted):
    assert shared_out(atoms, count) == wanted


@pytest.mark.parametrize("method", ["farthest", "cur"])
def test_chosen_environments(method):
    """They are atoms of their element, each once, and they do not depend on the order of atoms."""
    points = [torch.randn(n, 5, dtype=torch.float64) for n in (30, 0, 12)]
    found = inducing_points(points, 14, method)
    assert [len(mine) for mine in found] == [10, 0, 4]
    for mine, among in zip(found, points, strict=True):
        if len(mine):
            same = (mine[:, None] == among[None]).all(dim=2)
            assert same.any(dim=1).all() and (same.sum(dim=0) <= 1).all()
    turned = inducing_points([mine.flip(0) for mine in points], 14, method)
    for mine, other in zip(found, turned, strict=True):
        torch.testing.assert_close(mine, other)


def test_the_farthest_cover_more():
    """Within their own greatest distance lie all points, which random ones do not reach."""
    points = torch.randn(400, 3, dtype=torch.float64)
    far = inducing_points([points], 30, "farthest")[0]
    left = [float(torch.cdist(points, some).min(dim=1).values.max()) for some in (far, points[:30])]
    assert left[0] < 0.7 * left[1]
    assert left[0] <= float(torch.pdist(far).min()), "those chosen are farther from each other than any is from them"


def test_leverage_takes_every_direction():
    """One point off in a direction of its own is among the first."""
    points = torch.zeros(50, 4, dtype=torch.float64)
    points[:, 0] = torch.linspace(-1, 1, 50, dtype=torch.float64)
    for n in (1, 2, 3):
        points[10 * n, n] = 2.0
    found = inducing_points([points], 4, "cur")[0]
    assert (found[:, 1:] == 2.0).any(dim=0).all()


@pytest.mark.parametrize("method", ["farthest", "cur"])
def test_points_that_repeat_are_taken_once(method):
    points = torch.randn(9, 4, dtype=torch.float64)
    found = inducing_points([points.repeat(3, 1)], 27, method)[0]
    assert len(found) == 9 and torch.pdist(found).min() > 0


@pytest.mark.parametrize("size", SIZES)
def test_what_fits_has_the_cost_of_the_limit(size):
    """Labels of structures like these: a share of all of them."""
    for limit in (cost_of_full(size).bytes, 3.7e9, 1e11):
        most = largest_labels(size, limit)
        share = most / size.labels
        there = size._replace(labels=most, structures=size.structures * share, atoms=size.atoms * share)
        assert cost_of_full(there).bytes == pytest.approx(limit, rel=2e-3 if most > 1000 else 0.02)
    assert largest_labels(size, cost_of_full(size).bytes) == pytest.approx(size.labels, abs=2)
    for points in (1, 100, 4000):
        limit = cost_of_sparse(size._replace(points=points)).bytes
        assert abs(largest_points(size, limit) - points) <= 1
    assert largest_points(size, 1.0) == 0


def test_costs_grow():
    size = SIZES[1]
    twice = size._replace(labels=2 * size.labels, structures=2 * size.structures, atoms=2 * size.atoms)
    assert 3.5 < cost_of_full(twice).bytes / cost_of_full(size).bytes <= 4
    assert 4 <= cost_of_full(twice).operations / cost_of_full(size).operations <= 8
    assert cost_of_full(size).bytes > NUMBER * size.labels**2
    assert speed() > 1e6


def test_the_memory_of_changes_is_that_which_they_take():
    """The sum of all tables is what the estimate says, with the motions that are counted there."""
    structures = everything()[9:13]
    of = seen(structures)
    size, covariance = size_of(of.examples, of.descriptor), COVARIANCES["squared_exponential"]
    tables = [table for family in of.families(covariance) for table in family.sites.changes]
    kept = sum(
        len(values) * W.shape[1] for values, W in zip(of.features, of.coordinates(covariance).projections, strict=True)
    )
    share = kept / (size.atoms * size.coordinates)  # of all coordinates those that vary
    assert sum(table.numel() for table in tables) == pytest.approx(12 / 13 * share * size.changes), "12 motions, not 13"
