"""Angles of many points against the library's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meanfield.kernels.arctangents import angles
from meanfield.kernels.options import serial


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
