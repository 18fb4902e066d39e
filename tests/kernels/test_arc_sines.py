"""Eight arc sines at once against the library's, where they are easy and where they are not."""

import math

import numpy as np
import pytest

from meanfield.kernels.arc_sines import EDGE, asin_sum


def arc_sine(x):
    """One number, by way of a sum with a single term."""
    return asin_sum(np.array([x]), np.ones(1), 1.0, np.ones(1), np.empty(EDGE))[0]


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-9, 0.3, 0.5, 0.5 + 1e-15, 0.9, 1 - 1e-12, 1.0])
def test_one_arc_sine(x):
    for signed in (x, -x):
        assert arc_sine(signed) == pytest.approx(math.asin(signed), rel=4e-16, abs=0.0)


def test_no_angle_has_a_sine_beyond_one():
    for x in (1.0 + 1e-12, -2.0, math.inf, math.nan):
        assert math.isnan(arc_sine(x))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 67])
def test_a_sum_of_arc_sines(count):
    rng = np.random.default_rng(count)
    c, scale, e = rng.uniform(-1, 1, count), rng.uniform(0, 1, count), rng.normal(size=count)
    expected = math.fsum(e * np.arcsin(0.9 * c * scale))
    total, size = asin_sum(c, scale, 0.9, e, np.empty(EDGE))
    assert total == pytest.approx(expected, abs=1e-15 * np.abs(e).sum())
    assert size == pytest.approx(np.abs(e * np.arcsin(0.9 * c * scale)).sum(), rel=1e-14)
