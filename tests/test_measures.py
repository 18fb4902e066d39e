"""Merging and resampling: fewer neurons, and a bound on what that moves."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf
from tests.fields.cases import make_measure, make_problem


def clusters(n=200, groups=8, width=1e-3, k=2, seed=0):
    """Neurons in tight groups, with unequal masses."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((groups, k + 2))
    points = centres[rng.integers(0, groups, n)] + width * rng.standard_normal((n, k + 2))
    mass = rng.dirichlet(np.ones(n))
    return mf.ParticleMeasure(points[:, 0], points[:, 1:-1], np.abs(points[:, -1]), mass)


@settings(deadline=None, max_examples=25)
@given(tolerance=st.floats(1e-4, 2.0), k=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_the_error_of_merging_bounds_the_distance(tolerance, k, seed):
    measure = clusters(60, 6, 0.05, k, seed)
    merged, error = mf.measures.merge(measure, tolerance)
    assert error <= tolerance and merged.n <= measure.n
    # a distance of 0 is the root of what rounding leaves of a cost
    assert float(mf.transport.wasserstein(measure, merged)) <= error + 1e-7
    assert math.isclose(merged.masses.sum(), 1.0, rel_tol=1e-14)
    for one, other in ((measure.a, merged.a), (measure.u, merged.u), (measure.r, merged.r)):
        np.testing.assert_allclose(merged.masses @ other, measure.masses @ one, atol=1e-12)


def test_merging_uses_what_it_is_allowed():
    measure = clusters(400, 10, 1e-3)
    merged, error = mf.measures.merge(measure, 0.01)
    assert merged.n <= 4 * 10
    assert 1e-4 < error <= 0.01
    apart, none = mf.measures.merge(measure, 0.0)
    assert apart.n == measure.n and none == 0.0


def test_neurons_that_coincide_merge_at_no_cost():
    measure = make_measure(2, n=10)
    chosen = np.repeat(np.arange(10), 5)
    copies = mf.ParticleMeasure(measure.a[chosen], measure.u[chosen], measure.r[chosen])
    merged, error = mf.measures.merge(copies, 0.0)
    assert merged.n == 10 and error == 0.0
    np.testing.assert_allclose(merged.masses, 0.1, rtol=1e-14)
    assert set(map(tuple, merged.points())) == set(map(tuple, measure.points()))
    again, _ = mf.measures.merge(merged, 0.0)
    assert again.n == 10


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 120), k=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_the_error_of_resampling_bounds_the_distance(n, k, seed):
    measure = clusters(60, 6, 0.3, k, seed)
    chosen, error = mf.measures.resample(measure, n, seed)
    assert chosen.n == n and chosen.mass is None
    assert set(map(tuple, chosen.points())) <= set(map(tuple, measure.points()))
    assert float(mf.transport.wasserstein(measure, chosen)) <= error + 1e-9


def test_resampling_in_order_beats_chance():
    """Neighbours on the curve stand for each other: closer than as many independent draws."""
    measure = mf.gaussian_measure(make_problem("erf", D=4), 4000, seed=1)
    chosen, error = mf.measures.resample(measure, 100)
    drawn = np.random.default_rng(0).integers(0, 4000, 100)
    by_chance = mf.ParticleMeasure(measure.a[drawn], measure.u[drawn], measure.r[drawn])
    near = float(mf.transport.wasserstein(measure, chosen, method="exact"))
    assert near <= error < 3.0 * near
    assert near < 0.8 * float(mf.transport.wasserstein(measure, by_chance, method="exact"))
    every, none = mf.measures.resample(measure, 4000)
    assert none == 0.0 and set(map(tuple, every.points())) == set(map(tuple, measure.points()))


@pytest.mark.parametrize("sigma", ["tanh", "relu"])
def test_a_merged_run_is_the_run_within_its_error(sigma):
    """Velocities are Lipschitz, so laws that start close stay close for a time."""
    problem = make_problem(sigma, "erf", k=1, D=math.inf, kappa=1.0)
    rng = np.random.default_rng(2)
    centres = make_measure(1, n=6, seed=3)
    chosen = rng.integers(0, 6, 120)
    measure = mf.ParticleMeasure(
        centres.a[chosen] + 1e-4 * rng.standard_normal(120),
        centres.u[chosen] + 1e-4 * rng.standard_normal((120, 1)),
        centres.r[chosen] + 0.5 + 1e-4 * rng.standard_normal(120),
    )
    merged, error = mf.measures.merge(measure, 3e-3)
    assert merged.n <= 12
    whole, small = (
        mf.solve_mean_field(problem, m, 5.0, save_at=6, rtol=1e-8) for m in (measure, merged)
    )
    # centres keep the mean: risks differ by the error of second order
    np.testing.assert_allclose(small.risk, whole.risk, rtol=0, atol=0.1 * error)
    assert float(mf.transport.wasserstein(whole.final, small.final)) < 5.0 * error


def test_bad_arguments_are_named():
    measure = make_measure(1, n=4)
    for function, value, name in (
        (mf.measures.merge, -1.0, "tolerance"),
        (mf.measures.merge, math.nan, "tolerance"),
        (mf.measures.resample, 0, "n"),
    ):
        with pytest.raises(ValueError, match=name):
            function(measure, value)
    with pytest.raises(TypeError, match="measure"):
        mf.measures.merge([1.0], 0.1)
