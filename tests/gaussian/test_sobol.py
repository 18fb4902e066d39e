"""Sobol points, and samples of scramblings: how many points, and what error their spread states."""

import numpy as np
import pytest
from scipy.special import ndtri

from meanfield.gaussian.sobol import (
    REPLICATES,
    error_of_mean,
    inside,
    scramblings,
    sobol_points,
    sobol_uniforms,
)


def test_one_point_in_each_cell_of_every_coordinate():
    """What makes the sequence one: 2^m points stratify each axis into 2^m intervals."""
    uniforms = sobol_uniforms(3, 6, 1)
    cells = np.sort((uniforms * 64).astype(int), axis=0)
    np.testing.assert_array_equal(cells, np.repeat(np.arange(64)[:, None], 3, axis=1))
    np.testing.assert_array_equal(sobol_points(3, 6, 1), ndtri(uniforms))


def test_ends_of_the_unit_interval_have_finite_quantiles():
    moved = inside(np.array([0.0, 0.25, 1.0]))
    assert np.isfinite(ndtri(moved)).all() and moved[1] == 0.25


@pytest.mark.parametrize(("samples", "each"), [(1, 1), (8, 1), (9, 2), (128, 16), (129, 32)])
def test_as_many_points_as_asked_for_and_a_power_of_two(samples, each):
    found = scramblings(3, samples, 5)
    assert len(found) == REPLICATES and all(points.shape == (each, 3) for points in found)
    assert scramblings(3, 1, 5, least=2)[0].shape == (2, 3)


def test_each_scrambling_is_another_and_the_seed_says_which():
    first, again, other = (scramblings(2, 512, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({points[0].tobytes() for points in first}) == REPLICATES


def test_the_stated_error_is_twice_the_standard_error_of_the_mean():
    each = np.random.default_rng(1).standard_normal((REPLICATES, 3, 2))
    standard = each.std(axis=0, ddof=1) / np.sqrt(REPLICATES)
    assert error_of_mean(each) == pytest.approx(2.0 * np.linalg.norm(standard), rel=1e-12)
    assert error_of_mean(list(each)) == error_of_mean(each)
    assert error_of_mean(np.ones((REPLICATES, 3))) == 0.0


def test_it_bounds_the_true_error_of_a_mean():
    """⟨cos x⟩ = e^(−1/2), from samples of several sizes: nineteen times in twenty."""
    inside = 0
    for seed in range(40):
        each = np.array([np.cos(points[:, 0]).mean() for points in scramblings(1, 256, seed)])
        inside += abs(each.mean() - np.exp(-0.5)) <= error_of_mean(each)
    assert inside >= 34
