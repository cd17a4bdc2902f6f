import math

import numpy as np
import pytest

from mlip.studies.power_law import fitted_power_law


def test_a_power_law_is_found_exactly():
    law = fitted_power_law([10, 20, 50, 400], [3.0 * n**-0.7 for n in (10, 20, 50, 400)])
    assert law.a == pytest.approx(3.0, rel=1e-12) and law.b == pytest.approx(0.7, rel=1e-12)
    assert law.b_error < 1e-12 and law(100) == pytest.approx(3.0 * 100**-0.7, rel=1e-12)


def test_errors_as_numpy_has_them():
    sizes, noise = [10, 10, 20, 40, 80, 80], np.random.default_rng(0).normal(size=6)
    errors = (np.array(sizes) ** -0.5 * np.exp(0.1 * noise)).tolist()
    law = fitted_power_law(sizes, errors)
    (slope, intercept), covariance = np.polyfit(np.log(sizes), np.log(errors), 1, cov=True)
    assert law.b == pytest.approx(-slope, rel=1e-9) and law.a == pytest.approx(math.exp(intercept), rel=1e-9)
    assert law.b_error == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-9)


def test_two_points_say_nothing_about_the_error():
    assert math.isnan(fitted_power_law([10, 20], [2.0, 1.0]).b_error)


@pytest.mark.parametrize(("sizes", "errors"), [([10, 10], [1.0, 2.0]), ([10, 20], [1.0, 0.0])])
def test_what_has_no_power_law(sizes, errors):
    with pytest.raises(ValueError, match="a power law needs"):
        fitted_power_law(sizes, errors)
