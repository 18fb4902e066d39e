"""Staircases are climbed step by step; a bare product is not seen (Abbe et al. 2022, 2023)."""

import math

import numpy as np
import pytest
from scipy.special import erf

import meanfield as mf

N = 40


def shifted_erf(x):
    return erf((x + 0.7) / math.sqrt(2.0))


def shifted_erf_slope(x):
    return math.sqrt(2.0 / math.pi) * np.exp(-0.5 * (x + 0.7) ** 2)


# Hermite coefficients of every degree, which erf, ReLU and GELU do not have
STUDENT = mf.activations.custom(shifted_erf, shifted_erf_slope, strip=3.5)


def learn(target, t_end, spread=0.0):
    problem = mf.Problem(target, STUDENT, second_layer_rate=1.0)
    second_layer = 4 * np.linspace(-1, 1, N)
    start = mf.aligned_measure(problem, N, 0.0, spread=spread, second_layer=second_layer)
    solution = mf.solve_mean_field(problem, start, t_end, save_at=61)
    assert solution.success
    return solution


def coordinates(solution):
    """Root mean square of u over the neurons, (T, k)."""
    return np.sqrt((solution.states.varying["u"] ** 2).mean(axis=1))


def crossing(t, values, level):
    i = int(np.argmax(values > level))
    assert i > 0, "never crossed"
    return float(np.interp(level, values[i - 1 : i + 1], t[i - 1 : i + 1]))


@pytest.mark.slow
def test_a_staircase_is_climbed_in_order_from_nothing():
    target = mf.targets.staircase(3)
    assert (mf.targets.information_exponent(target), mf.targets.leap_index(target)) == (1, 1)
    solution = learn(target, 8.0)
    u = coordinates(solution)
    assert u[0].max() == 0.0
    first, second, third = (crossing(solution.t, u[:, j], 0.2) for j in range(3))
    assert 2 * first < second and 1.5 * second < third < 4.0
    assert solution.risk[-1] < 0.55 * solution.risk[0]


def test_a_bare_product_has_no_first_step():
    target = mf.targets.parity(3)
    assert (mf.targets.information_exponent(target), mf.targets.leap_index(target)) == (3, 3)
    solution = learn(target, 8.0)
    assert coordinates(solution).max() < 1e-12
    assert solution.risk[-1] == pytest.approx(0.5, rel=1e-9)
    small = learn(target, 8.0, spread=0.05)  # as in d = 400: not in that time either
    assert small.risk[-1] > 0.99 * small.risk[0]


@pytest.mark.slow
def test_a_product_is_found_after_a_time_inverse_to_the_start():
    """dδ/dt ~ δ², so halving the start doubles the time: d^((ℓ − 2)/2) at ℓ = 3, δ = 1/√d."""
    times = []
    for spread in (0.04, 0.02):
        solution = learn(mf.targets.parity(3), 1.6 / spread, spread)
        growth = coordinates(solution).mean(axis=1)
        times.append(crossing(solution.t, growth / growth[0], 2.0))
    assert times[1] / times[0] == pytest.approx(2.0, rel=0.05)
