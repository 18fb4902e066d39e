"""Neurons of unequal mass: the field sees the measure, not how it is written down."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf
from meanfield.fields.pairs.closed import PairField
from meanfield.fields.polynomial import PolynomialField
from meanfield.fields.slices.field import SliceField
from tests.fields.cases import make_measure, make_problem, velocity

EVALUATORS = (
    ("square", PolynomialField),
    ("erf", PairField),
    ("relu", PairField),
    ("erf", SliceField),
)


def evaluate(kind, problem, measure):
    """Velocities, risk and variances of a measure under one evaluator."""
    field = kind(problem)
    field.prepare(measure)
    arrays = measure.arrays()
    return velocity(field, measure), np.array([field.risk(*arrays), *field.variance_parts(*arrays)])


def weighted(measure, mass):
    return mf.ParticleMeasure(measure.a, measure.u, measure.r, mass)


def taken(measure, chosen, mass):
    return mf.ParticleMeasure(measure.a[chosen], measure.u[chosen], measure.r[chosen], mass)


@settings(deadline=None, max_examples=12)
@given(
    evaluator=st.sampled_from(EVALUATORS),
    D=st.sampled_from([3, 40, math.inf]),
    seed=st.integers(0, 10**6),
)
def test_splitting_and_order_change_nothing(evaluator, D, seed):
    sigma, kind = evaluator
    problem = make_problem(sigma, "erf", k=2 if kind is PolynomialField else 1, D=D)
    rng = np.random.default_rng(seed)
    mass = rng.dirichlet(np.ones(12))
    measure = weighted(make_measure(problem.subspace_dim, n=12, seed=seed), mass)
    whole, values = evaluate(kind, problem, measure)
    share = rng.uniform(0.1, 0.9)
    parts = np.append(np.arange(12), 5)
    split_mass = np.append(mass, (1.0 - share) * mass[5])
    split_mass[5] *= share
    order = rng.permutation(13)
    split, split_values = evaluate(kind, problem, taken(measure, parts[order], split_mass[order]))
    tolerance = 1e-7 if kind is SliceField else 1e-11
    for one, other in zip(whole, split, strict=True):
        np.testing.assert_allclose(other, one[parts[order]], rtol=0, atol=tolerance)
    np.testing.assert_allclose(split_values, values, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("sigma", "kind"), EVALUATORS)
def test_a_mass_is_a_number_of_neurons(sigma, kind):
    problem, measure = make_problem(sigma, k=1, D=20), make_measure(1, n=6)
    counts = np.array([1, 3, 2, 1, 4, 1])
    repeated = taken(measure, np.repeat(np.arange(6), counts), None)
    one, values = evaluate(kind, problem, weighted(measure, counts / counts.sum()))
    other, other_values = evaluate(kind, problem, repeated)
    first = np.cumsum(counts) - counts
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(mine, theirs[first], rtol=0, atol=1e-7)
    np.testing.assert_allclose(values, other_values, rtol=0, atol=1e-7)


def test_the_risk_falls_by_the_weighted_squared_velocity():
    problem = make_problem("erf", k=2, D=9, kappa=0.5)
    mass = np.random.default_rng(0).dirichlet(np.ones(20))
    measure = weighted(make_measure(2, n=20), mass)
    field = PairField(problem)
    field.prepare(measure)
    da, du, dr = velocity(field, measure)
    h, (a, u, r) = 1e-4, measure.arrays()
    up, down = (field.risk(a + s * da, u + s * du, r + s * dr) for s in (h, -h))
    expected = -float(mass @ ((du**2).sum(axis=1) + dr**2 + da**2 / 0.5))
    assert math.isclose((up - down) / (2 * h), expected, rel_tol=1e-6)


def test_equal_masses_are_no_masses():
    measure = make_measure(1, n=8)
    equal = weighted(measure, np.full(8, 0.125))
    assert measure.mass is None and np.array_equal(measure.masses, equal.masses)
    assert measure == equal
    assert measure != weighted(measure, np.arange(1, 9) / 36)
    problem = make_problem(D=20)
    one, other = (mf.solve_mean_field(problem, m, 1.0, save_at=3) for m in (measure, equal))
    assert np.array_equal(one.risk, other.risk)


def test_masses_stay_through_a_run_a_file_and_a_pickle(tmp_path):
    mass = np.arange(1.0, 9.0) / 36.0
    measure = weighted(make_measure(1, n=8), mass)
    assert pickle.loads(pickle.dumps(measure)) == measure
    run = mf.solve_mean_field(make_problem(D=20), measure, 1.0, save_at=3)
    assert all(np.array_equal(state.mass, mass) for state in run.states)
    read = mf.load(run.save(tmp_path / "run.npz"))
    assert read == run and np.array_equal(read.final.mass, mass)


@pytest.mark.parametrize(
    ("mass", "words"),
    [
        ([0.5, 0.6], "sum to 1"),
        ([1.0, 0.0], "positive"),
        ([1.5, -0.5], "positive"),
        ([1.0], "shape"),
        ([math.nan, 1.0], "finite"),
    ],
)
def test_bad_masses_are_refused(mass, words):
    with pytest.raises(ValueError, match=f"mass must .*{words}"):
        mf.ParticleMeasure([1, 1], [0, 0], [1, 1], mass)
