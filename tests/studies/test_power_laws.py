"""Fits of power laws whose truth is known."""

import math

import numpy as np
import pytest

from meanfield.studies.power_laws import Resampled, fit_limit, fit_rate

DIMS = np.array([10.0, 30.0, 100.0, 300.0, 1000.0, math.inf])


def law(slope, first=0.0, second=0.0, prefactor=2.0):
    d = DIMS[:-1]
    return np.append(prefactor * d**slope * (1 + first / d + second / d**2), 0.0)


@pytest.mark.parametrize("slope", [-2.0, -1.0, -0.5, 0.3])
def test_a_pure_power_is_found(slope):
    rate = fit_rate(DIMS, law(slope))
    assert math.isclose(rate.slope, slope, abs_tol=1e-10)
    assert math.isclose(rate.prefactor, 2.0, rel_tol=1e-9)
    assert rate.points == 5
    assert rate.high - rate.low < 1e-9


@pytest.mark.parametrize("second", [-8.0, 0.0, 8.0])
@pytest.mark.parametrize("first", [-3.0, -1.0, 1.0, 3.0])
def test_corrections_in_one_over_d_are_covered(first, second):
    rate = fit_rate(DIMS, law(-1.0, first, second))
    assert rate.low < -1.0 < rate.high
    assert abs(rate.slope + 1.0) < 0.03
    assert rate.high - rate.low < 0.3
    assert rate.low <= rate.slope <= rate.high


@pytest.mark.parametrize("first", [-1.0, 1.0])
def test_the_first_correction_is_fitted_not_suffered(first):
    """b/d stands in for log(1 + b/d): what is left of it is of second order."""
    rate = fit_rate(DIMS, law(-1.0, first))
    assert abs(rate.slope + 1.0) < 1e-3
    assert rate.high - rate.low < 4e-3


def test_the_interval_adds_scatter_and_what_the_smallest_dimension_decides():
    d, values = DIMS[:-1], law(-1.0, 3.0, 8.0)
    rate, without = fit_rate(DIMS, values), fit_rate(DIMS[1:], values[1:])
    design = np.column_stack((np.ones(5), np.log(d), 1.0 / d))
    solution, squares, *_ = np.linalg.lstsq(design, np.log(values[:-1]), rcond=None)
    error = math.sqrt(squares[0] / 2 * np.linalg.inv(design.T @ design)[1, 1])
    student = 4.302652729911275  # 97.5 % at two degrees of freedom
    half = student * error + abs(without.slope - rate.slope)
    assert math.isclose(rate.slope, solution[1], rel_tol=1e-9)
    assert math.isclose(rate.high - rate.slope, half, rel_tol=1e-6)
    assert math.isclose(rate.slope - rate.low, half, rel_tol=1e-6)


def test_noise_widens_the_interval_to_cover_the_truth():
    rng = np.random.default_rng(0)
    covered, widths = 0, []
    for _ in range(200):
        noise = np.append(np.exp(0.02 * rng.standard_normal(5)), 1.0)
        rate = fit_rate(DIMS, law(-1.0, 1.0) * noise)
        covered += rate.low < -1.0 < rate.high
        widths.append(rate.high - rate.low)
    assert covered >= 186  # at least 93 %
    assert np.median(widths) > 0.02


def test_what_is_infinite_or_not_positive_is_left_out():
    values = law(-1.0)
    values[0] = -1.0
    assert fit_rate(DIMS, values).points == 4
    values[1] = 0.0
    assert fit_rate(DIMS, values).points == 3
    values[2] = math.nan
    with pytest.raises(ValueError, match="three"):
        fit_rate(DIMS, values)


@pytest.mark.parametrize("second", [-8.0, 0.0, 8.0])
@pytest.mark.parametrize("first", [-3.0, 3.0])
def test_three_dimensions_are_fitted_and_say_what_the_correction_moves(first, second):
    dims = np.array([10.0, 30.0, 100.0])
    rate = fit_rate(dims, dims**-1.0 * (1 + first / dims + second / dims**2))
    assert rate.points == 3
    assert rate.low < -1.0 < rate.high
    assert 1e-3 < rate.high - rate.low < 0.6


def test_a_rate_reads_as_a_number_with_its_interval():
    text = str(fit_rate(DIMS, law(-1.0)))
    assert text.startswith("-1.000 [")


def replicas_of(rng, values, noise, R):
    """R noisy copies of a law, and 300 bootstrap means of them."""
    rows = values * (1 + noise * rng.standard_normal((R, len(values))))
    chosen = rng.integers(R, size=(300, R))
    return rows.mean(axis=0), Resampled(rows[chosen].mean(axis=1), R)


def test_the_bootstrap_error_is_the_scatter_of_slopes():
    rng = np.random.default_rng(1)
    fits = [fit_rate(DIMS, *replicas_of(rng, law(-1.0), 0.05, 12)) for _ in range(60)]
    scatter = np.std([rate.slope for rate in fits])
    assert 0.8 < np.median([rate.sampling for rate in fits]) / scatter < 1.2


@pytest.mark.parametrize("R", [3, 6])
def test_intervals_over_replicas_cover_the_truth(R):
    rng = np.random.default_rng(2)
    fits = [fit_rate(DIMS, *replicas_of(rng, law(-1.0), 0.05, R)) for _ in range(150)]
    assert sum(rate.low < -1.0 < rate.high for rate in fits) >= 140


@pytest.mark.parametrize("R", [2, 4])
@pytest.mark.parametrize("kind", ["apart", "common", "slope"])
def test_intervals_over_replicas_are_not_wider_than_their_scatter(R, kind):
    """Noise of each dimension, of all alike, or of the slope: 95 % hold the truth, and not more."""
    rng = np.random.default_rng(3)
    dims = DIMS[:-1]
    fits = []
    for _ in range(200):
        noise = 0.05 * rng.standard_normal((R, 5))
        if kind == "common":
            noise += 0.3 * rng.standard_normal((R, 1))
        if kind == "slope":
            noise = 0.2 * noise + 0.02 * rng.standard_normal((R, 1)) * np.log(dims)
        rows = law(-1.0, 1.0)[:-1] * np.exp(noise)
        means = rows[rng.integers(R, size=(200, R))].mean(axis=1)
        fits.append(fit_rate(dims, rows.mean(axis=0), Resampled(means, R)))
    covered = sum(rate.low < -1.0 < rate.high for rate in fits)
    assert 0.9 * 200 <= covered <= 0.995 * 200
    halves = [0.5 * (rate.high - rate.low) for rate in fits]
    assert np.median(halves) < (3.2 if R == 4 else 5.5) * np.std([rate.slope for rate in fits])


def test_goodness_of_fit():
    rate = fit_rate(DIMS, law(-1.0, 1.0))
    assert rate.r_squared > 0.99999 and rate.residual < 1e-3
    bent = fit_rate(DIMS, np.append(np.exp(np.sin(DIMS[:-1])), 0.0))
    assert bent.r_squared < 0.9 and bent.residual > 0.1


@pytest.mark.parametrize("coefficients", [(1.0,), (1.0, -3.0), (2.0, 5.0, -40.0)])
def test_limits_of_expansions_in_one_over_d(coefficients):
    d = DIMS[:-1]
    values = 0.25 + sum(c / d ** (i + 1) for i, c in enumerate(coefficients))
    limit = fit_limit(DIMS, np.append(values, math.nan), 0.25)
    assert limit.agrees and abs(limit.value - 0.25) < 1e-9
    assert str(limit).endswith("solved 0.25")
    noisy = [
        fit_limit(DIMS[:-1], *(lambda pair: (pair[0], 0.25, pair[1]))(
            replicas_of(np.random.default_rng(seed), values, 0.01, 8)
        ))
        for seed in range(60)
    ]  # fmt: skip
    assert sum(limit.agrees for limit in noisy) >= 54


def test_a_limit_needs_three_dimensions():
    with pytest.raises(ValueError, match="three"):
        fit_limit(np.array([1.0, 2.0, math.inf]), np.ones(3), 1.0)
