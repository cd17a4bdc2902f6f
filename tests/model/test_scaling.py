import numpy as np
import pytest
import torch

from mlip.model.scaling import SCALINGS, FeatureScaling, fitted_scaling

FIRST = np.random.default_rng(0).normal(size=(30, 4)) * [1.0, 10.0, 0.3, 3.0] + [0.0, 5.0, 1.0, -2.0]
SECOND = np.random.default_rng(1).random(size=(12, 4))


def scaled(method, values=(FIRST, SECOND)):
    scaling = fitted_scaling([torch.from_numpy(v) for v in values], method)
    parts = [scaling(torch.from_numpy(v), torch.full((len(v),), row)).numpy() for row, v in enumerate(values) if len(v)]
    return scaling, parts


def test_standard_has_no_mean_and_unit_spread():
    for part in scaled("standard")[1]:
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(part.std(axis=0), 1, rtol=1e-12)


def test_common_keeps_the_proportions():
    _, parts = scaled("common")
    for part, values in zip(parts, (FIRST, SECOND), strict=True):
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-11)
        np.testing.assert_allclose((part.std(axis=0) ** 2).mean(), 1, rtol=1e-12)
        np.testing.assert_allclose(part.std(axis=0) / values.std(axis=0), (part.std(axis=0) / values.std(axis=0))[0])


@pytest.mark.parametrize("method", SCALINGS)
def test_no_function_is_amplified_beyond_a_hundredfold(method):
    """A function that hardly varies on the data may vary much elsewhere, where an atom leaves its molecule."""
    values = FIRST * [1.0, 1.0, 1e-6, 1.0]
    scale = scaled(method, (values, SECOND))[0].scale[0]
    assert float(scale.max() / scale.min()) <= 100 * (1 + 1e-12)


def test_half_is_half_way_to_one_scale():
    _, parts = scaled("half")
    for part, values in zip(parts, (FIRST, SECOND), strict=True):
        spread = values.std(axis=0)
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-11)
        np.testing.assert_allclose(part.std(axis=0), np.sqrt(spread / spread.mean()), rtol=1e-12)


def test_minmax_is_from_zero_to_one():
    for part in scaled("minmax")[1]:
        np.testing.assert_allclose(part.min(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(part.max(axis=0), 1, rtol=1e-12)


def test_none_changes_nothing():
    _, parts = scaled("none")
    assert np.array_equal(parts[0], FIRST) and np.array_equal(parts[1], SECOND)


@pytest.mark.parametrize("method", SCALINGS)
def test_constant_functions_stay_finite(method):
    values = FIRST.copy()
    values[:, 1] = 7.0
    scaling, (part, _) = scaled(method, (values, SECOND))
    assert torch.isfinite(scaling.scale).all() and float(scaling.scale[0, 1]) > 0
    np.testing.assert_allclose(part[:, 1], 7.0 if method == "none" else 0.0, atol=1e-12)


@pytest.mark.parametrize("method", SCALINGS)
def test_all_constant_and_absent_elements_are_left_alone(method):
    scaling, (part,) = scaled(method, (np.full((5, 4), 2.0), np.empty((0, 4))))
    assert np.isfinite(part).all()
    assert (scaling.scale == 1).all() and (scaling.shift[1] == 0).all()


def test_single_precision_features_are_fitted_in_double():
    wide = fitted_scaling([torch.from_numpy(FIRST)], "standard")
    narrow = fitted_scaling([torch.from_numpy(FIRST).float()], "standard")
    assert narrow.scale.dtype == torch.float64
    assert torch.allclose(narrow.scale, wide.scale, rtol=1e-5)


def test_unknown_method():
    with pytest.raises(ValueError, match="'standart'; known: common, half, standard, minmax, none"):
        fitted_scaling([torch.zeros(2, 2)], "standart")


def test_unfitted_scaling_is_the_identity():
    values = torch.randn(4, 3)
    assert torch.equal(FeatureScaling(2, 3)(values, torch.tensor([0, 1, 1, 0])), values)
