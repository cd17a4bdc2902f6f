"""Ranges of features: fitted, kept in files, joined where training sets are."""

import numpy as np
import pytest
import torch
from physics import zoo

from mlip.model import checkpoint
from mlip.model.checkpoint import fingerprint, load_potential, potential_content, potential_from, save_potential
from mlip.model.committee import committee_of, member_of
from mlip.model.ranges import FeatureRanges, fitted_ranges, unknown_ranges
from model.ranged import ALL, features_of, with_ranges


def same_ranges(one, other):
    return torch.equal(one.lowest, other.lowest) and torch.equal(one.highest, other.highest)


def test_fitted_to_each_element():
    values = np.random.default_rng(0).normal(size=(20, 3))
    ranges = fitted_ranges([torch.from_numpy(values), torch.empty(0, 3), torch.from_numpy(values[:1]).float()])
    np.testing.assert_array_equal(ranges.lowest[0], values.min(axis=0))
    np.testing.assert_array_equal(ranges.highest[0], values.max(axis=0))
    assert (ranges.lowest[1] == -torch.inf).all() and (ranges.highest[1] == torch.inf).all()
    assert torch.equal(ranges.lowest[2], ranges.highest[2]) and ranges.lowest.dtype == torch.float64
    assert ranges.known and not unknown_ranges(2, 3).known


def test_plain_values_make_ranges():
    ranges = FeatureRanges([[0.0, -1.0]], [[2.0, float("inf")]])
    assert ranges.lowest.tolist() == [[0.0, -1.0]] and ranges.known
    with pytest.raises(ValueError, match=r"function 1 of element 0 .* from 3\.0 to 2\.0"):
        FeatureRanges([[0.0, 3.0]], [[2.0, 2.0]])
    with pytest.raises(ValueError, match=r"from nan to 2\.0"):
        FeatureRanges([[float("nan")]], [[2.0]])
    with pytest.raises(ValueError, match=r"shapes \(1, 2\) and \(2, 2\)"):
        FeatureRanges([[0.0, 1.0]], [[2.0, 2.0], [3.0, 3.0]])


def test_of_other_functions_are_refused():
    content = potential_content(zoo.POTENTIALS["radial"]())
    with pytest.raises(ValueError, match="the ranges are a table of"):
        potential_from({**content, "ranges": {"lowest": [[0.0]], "highest": [[1.0]]}})


def test_kept_in_files_and_no_part_of_the_predictions(tmp_path):
    potential = with_ranges()
    save_potential(tmp_path / "p.pt", potential, {})
    again = load_potential(tmp_path / "p.pt", dtype=torch.float32)
    assert same_ranges(again.ranges, potential.ranges) and potential.ranges.known
    before = fingerprint(potential)
    potential.ranges = unknown_ranges(*potential.ranges.lowest.shape)
    assert fingerprint(potential) == before


def test_old_files_know_none(tmp_path, monkeypatch):
    content = potential_content(with_ranges())
    del content["ranges"]
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    checkpoint.save(tmp_path / "p.pt", checkpoint.POTENTIAL, content)
    monkeypatch.undo()
    old = load_potential(tmp_path / "p.pt")
    assert not old.ranges.known and fingerprint(old) == fingerprint(with_ranges())


def test_of_a_committee_are_those_of_all_members():
    one, other = with_ranges(structures=ALL[:2]), with_ranges(structures=ALL[2:])
    together = committee_of([one, other])
    assert same_ranges(together.ranges, with_ranges(structures=ALL).ranges)
    assert same_ranges(one.ranges, with_ranges(structures=ALL[:2]).ranges), "members keep theirs"
    assert same_ranges(member_of(together, 1).ranges, together.ranges)
    one.ranges = unknown_ranges(*one.ranges.lowest.shape)
    assert not committee_of([one, other]).ranges.known


def test_how_far_outside_by_hand():
    low, high = [[0.0, 1.0, 5.0], [0.0, 0.0, 0.0]], [[2.0, 2.0, 5.0], [0.0, 0.0, 0.0]]
    ranges = FeatureRanges(low, high)
    np.testing.assert_allclose(ranges.widths, [[2.0, 1.0, 0.02], [0.01] * 3], rtol=1e-12)
    values = [[1.0, 1.5, 5.0], [2.1, 2.05, 5.0], [3.0, 0.0, 5.1], [0.0, 0.5, 0.001]]
    found = ranges.outside(torch.tensor(values, dtype=torch.float64), torch.tensor([0, 0, 0, 1]))
    np.testing.assert_allclose(found.severity, [0.0, 0.0, 5.0, 50.0], rtol=1e-12)
    assert found.function.tolist() == [-1, -1, 2, 1] and found.functions.tolist() == [0, 0, 3, 1]
    strict = ranges.outside(torch.tensor(values[1:2], dtype=torch.float64), torch.tensor([0]), tolerance=0.0)
    assert strict.functions.tolist() == [2] and strict.severity[0] == pytest.approx(0.05)


def test_nothing_is_outside_of_what_is_not_known():
    ranges = FeatureRanges([[-float("inf"), 0.0]], [[float("inf"), 1.0]])
    found = ranges.outside(torch.tensor([[1e9, 0.5], [-1e9, 3.0]]), torch.tensor([0, 0]))
    assert found.severity.tolist() == [0.0, 2.0] and found.function.tolist() == [-1, 1]
    assert not unknown_ranges(1, 2).outside(torch.full((3, 2), 1e9), torch.zeros(3, dtype=torch.int64)).functions.any()


def test_rounding_does_not_count_where_values_hardly_differ():
    values = 40.0 + 1e-4 * torch.rand(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ranges = fitted_ranges([values])
    rounded = values.float() * (1 + 1e-6)
    assert not ranges.outside(rounded, torch.zeros(50, dtype=torch.int64)).functions.any()


@pytest.mark.parametrize("name", ["mixed formulas", "weighted", "per center"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_no_structure_of_the_training_set_is_outside(name, dtype):
    potential = with_ranges(name)
    features, element = features_of(potential, ALL)
    for tolerance in (0.0, 1e-4) if dtype == torch.float64 else (1e-4,):
        assert not potential.ranges.outside(features.to(dtype), element, tolerance).functions.any()
