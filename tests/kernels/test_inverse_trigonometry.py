"""Arc sines and angles of many numbers against the library's, where easy and where not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meanfield.kernels.inverse_trigonometry import (
    EDGE,
    absolute_product,
    angles,
    asin_sum,
)
from meanfield.kernels.options import serial


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


@serial
def many(y, x, out):
    angles(y, x, y.size, out)


def found(y, x):
    out = np.empty(len(y))
    many(y, x, out)
    return out


def test_angles_to_rounding():
    y, x = np.random.default_rng(0).standard_normal((2, 10_000))
    y[:1000] *= 10.0 ** -np.arange(0.0, 100.0, 0.1)
    x[500:1500] *= 10.0 ** -np.arange(0.0, 100.0, 0.1)
    expected = np.arctan2(np.abs(y), np.abs(x))
    np.testing.assert_allclose(found(y, x), expected, rtol=1e-15, atol=0)


def test_axes_origin_and_nonsense():
    y, x = np.array([0.0, 0.0, 1.0, -2.0, 1.0, np.nan]), np.array([0.0, 3.0, 0.0, 0.0, -1.0, 1.0])
    np.testing.assert_array_equal(found(y, x)[:4], [0.0, 0.0, 0.5 * np.pi, 0.5 * np.pi])
    assert abs(found(y, x)[4] - 0.25 * np.pi) < 3e-16
    assert np.isnan(found(y, x)[5])


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-280, 1e100), st.floats(-1e100, -1e-280))
def test_complementary(y, x):
    one, other = found(np.array([y]), np.array([x])), found(np.array([x]), np.array([y]))
    np.testing.assert_allclose(one + other, 0.5 * np.pi, rtol=3e-16)


@serial
def absolute_products(s, out):
    for i in range(s.size):
        out[i] = absolute_product(s[i])


def test_the_average_of_an_absolute_product():
    s = np.concatenate((np.linspace(-1.0, 1.0, 2001), [-1e-9, 1.0 - 1e-12, 1e-300]))
    out = np.empty_like(s)
    absolute_products(s, out)
    np.testing.assert_allclose(out, np.sqrt(1.0 - s * s) + s * np.arcsin(s), rtol=1e-15)
