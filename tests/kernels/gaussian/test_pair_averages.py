"""Closed forms of the pair averages against two-dimensional quadrature."""

import math

import numpy as np
import pytest

from meanfield.activations import ACTIVATIONS
from meanfield.kernels.gaussian.pair_averages import pair_average, pair_matrices
from tests.reference import pairs as reference

NAMES = ["erf", "relu", "square"]
CODE = {name: ACTIVATIONS[name].code for name in NAMES}
COVARIANCES = [
    (1.0, 1.0, 0.0),
    (1.0, 1.0, 0.6),
    (0.3, 2.0, -0.5),
    (2.5, 0.4, 0.9),
    (9.0, 4.0, 5.9),  # correlation 0.983
    (0.01, 0.02, -0.014),  # correlation −0.99
    (1.0, 1.0, 1.0),  # the same unit twice
    (1.0, 4.0, -2.0),
]


@pytest.mark.parametrize(("q1", "q2", "c"), COVARIANCES)
@pytest.mark.parametrize("tau", NAMES)
@pytest.mark.parametrize("sigma", NAMES)
def test_against_quadrature(sigma, tau, q1, q2, c):
    expected = reference.pair_average(sigma, tau, q1, q2, c)
    found = pair_average(CODE[sigma], CODE[tau], q1, q2, c)
    size = math.sqrt(q1 * q2)
    for name, got, wanted in zip("IAB", found, expected, strict=True):
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-10 * size), name


@pytest.mark.parametrize("tau", NAMES)
@pytest.mark.parametrize("sigma", NAMES)
def test_slopes_give_the_drift_by_steins_lemma(sigma, tau):
    """E σ'(x) τ(y) l = B cov(x, l) + A cov(y, l), for l = x and l = y."""
    q1, q2, c = 0.7, 1.6, 0.5
    _, A, B = pair_average(CODE[sigma], CODE[tau], q1, q2, c)

    def drift(l):
        return reference.average(
            lambda x, y: reference.SLOPE[sigma](x) * reference.SIGMA[tau](y) * l(x, y), q1, q2, c
        )

    assert drift(lambda x, y: x) == pytest.approx(B * q1 + A * c, rel=1e-9, abs=1e-11)
    assert drift(lambda x, y: y) == pytest.approx(B * c + A * q2, rel=1e-9, abs=1e-11)


def test_erf_as_in_saad_and_solla():
    q1, q2, c = 0.8, 1.9, -0.4
    value, A, _ = pair_average(CODE["erf"], CODE["erf"], q1, q2, c)
    assert value == pytest.approx(2 / math.pi * math.asin(c / math.sqrt((1 + q1) * (1 + q2))))
    assert A == pytest.approx(2 / math.pi / math.sqrt((1 + q1) * (1 + q2) - c * c))


def test_relu_as_in_the_arc_cosine_kernel():
    q1, q2, c = 0.8, 1.9, -0.4
    value, A, _ = pair_average(CODE["relu"], CODE["relu"], q1, q2, c)
    angle = math.acos(c / math.sqrt(q1 * q2))
    shape = math.sin(angle) + (math.pi - angle) * math.cos(angle)
    assert value == pytest.approx(math.sqrt(q1 * q2) * shape / (2 * math.pi))
    assert A == pytest.approx((math.pi - angle) / (2 * math.pi))


@pytest.mark.parametrize("angle", [1e-3, 1e-5, 1e-7])
def test_relu_keeps_its_digits_for_nearly_parallel_units(angle):
    """1/2 − A = angle/2π: by an arc cosine it would be a percent off at 1e-7."""
    q1 = 1.0 + angle**2  # x = y + angle · y⊥
    _, A, _ = pair_average(CODE["relu"], CODE["relu"], q1, 1.0, 1.0)
    expected = math.atan(math.sqrt(q1 - 1.0)) / (2 * math.pi)
    assert 0.5 - A == pytest.approx(expected, abs=2e-16)


@pytest.mark.parametrize("tau", NAMES)
@pytest.mark.parametrize("sigma", NAMES)
@pytest.mark.parametrize(("q1", "q2"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_vanishing_units_stay_finite(sigma, tau, q1, q2):
    found = pair_average(CODE[sigma], CODE[tau], q1, q2, 0.0)
    assert np.isfinite(found).all()
    assert found[0] == 0.0  # σ(0) = 0 for all of them


@pytest.mark.parametrize("name", NAMES)
def test_covariance_above_its_bound_by_rounding_is_forgiven(name):
    q = 0.1 + 0.2
    assert np.isfinite(pair_average(CODE[name], CODE[name], q, q, q * (1 + 4e-16))).all()


def test_unknown_code_is_not_a_number():
    assert np.isnan(pair_average(7, 0, 1.0, 1.0, 0.0)).all()


def test_matrices_hold_every_pair():
    rng = np.random.default_rng(0)
    q1, q2, c = rng.uniform(1, 2, 3), rng.uniform(1, 2, 4), rng.uniform(-0.9, 0.9, (3, 4))
    stacked = np.array(pair_matrices(CODE["erf"], CODE["relu"], q1, q2, c))
    for i in range(3):
        for j in range(4):
            one = pair_average(CODE["erf"], CODE["relu"], q1[i], q2[j], c[i, j])
            assert stacked[:, i, j] == pytest.approx(one, rel=1e-15)
