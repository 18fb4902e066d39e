"""Starts have the law they claim, and share their draws across dimensions."""

import math

import numpy as np
import pytest
from scipy import stats

import meanfield as mf
from meanfield.starts import SAMPLINGS

K2 = mf.CommitteeTarget(k=2, gram=[[1.0, 0.3], [0.3, 1.0]])
ANTITHETIC = [s for s in SAMPLINGS if s.startswith("antithetic")]


@pytest.mark.parametrize("sampling", ["random", "sobol"])
@pytest.mark.parametrize("dim", [3, 20, 10**6])
def test_law_of_the_neurons(dim, sampling):
    scale = 1.7
    measure = mf.gaussian_measure(mf.Problem(K2, dim=dim), 4000, scale, 1, sampling)
    D = dim - 2
    for j in range(2):
        normal = measure.u[:, j] * math.sqrt(dim) / scale
        assert stats.kstest(normal, "norm").pvalue > 1e-3
    chi2 = measure.r**2 * dim / scale**2
    assert stats.kstest(chi2, "chi2", args=(D,)).pvalue > 1e-3
    assert (
        abs(np.corrcoef(np.column_stack((measure.u, measure.r)).T)[np.triu_indices(3, 1)]).max()
        < 0.06
    )
    assert (measure.a == 1).all()


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_infinite_dimension_is_a_point_mass(sampling):
    measure = mf.gaussian_measure(mf.Problem(K2), 6, scale=2.0, sampling=sampling)
    assert measure == mf.ParticleMeasure(np.ones(6), np.zeros((6, 2)), np.full(6, 2.0))


@pytest.mark.parametrize("sampling", ANTITHETIC)
@pytest.mark.parametrize("dim", [3, 50])
def test_antithetic_starts_have_exact_moments(dim, sampling):
    scale = 0.8
    measure = mf.gaussian_measure(mf.Problem(K2, dim=dim), 500, scale, 2, sampling)
    assert abs(measure.u.mean(axis=0)).max() < 1e-16
    assert (measure.u**2).mean(axis=0) == pytest.approx(scale**2 / dim, rel=1e-13)
    assert (measure.r**2).mean() == pytest.approx(scale**2 * (dim - 2) / dim, rel=1e-13)
    mirrored = {(*-u, r) for u, r in zip(measure.u, measure.r, strict=True)}
    assert mirrored == {(*u, r) for u, r in zip(measure.u, measure.r, strict=True)}


def test_antithetic_counts_round_up_to_even():
    problem = mf.Problem(K2, dim=10)
    assert [mf.gaussian_measure(problem, n, sampling="antithetic").n for n in (1, 2, 7)] == [
        2,
        2,
        8,
    ]
    assert [mf.gaussian_measure(problem, n, sampling="sobol").n for n in (1, 2, 7)] == [1, 2, 7]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_draws_are_common_to_all_dimensions(sampling):
    low, high = (
        mf.gaussian_measure(mf.Problem(K2, dim=d), 64, seed=4, sampling=sampling)
        for d in (10, 1000)
    )
    assert low.u * math.sqrt(10) == pytest.approx(high.u * math.sqrt(1000), rel=1e-12)
    assert (np.argsort(low.r, kind="stable") == np.argsort(high.r, kind="stable")).all()


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_seed_fixes_the_start(sampling):
    problem = mf.Problem(K2, dim=10)
    first, again, other = (mf.gaussian_measure(problem, 32, 1.0, s, sampling) for s in (0, 0, 1))
    assert first == again
    assert first != other
    assert first.origin == {"start": "gaussian", "scale": 1.0, "seed": 0, "sampling": sampling}


def test_sobol_start_is_spread_more_evenly_than_a_random_one():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50)
    means = {
        sampling: np.std(
            [mf.gaussian_measure(problem, 256, 1.0, s, sampling).u.mean() for s in range(20)]
        )
        for sampling in ("random", "sobol")
    }
    assert means["sobol"] < 0.2 * means["random"]


def test_principal_space_of_a_singular_target_is_its_rank():
    target = mf.CommitteeTarget(k=2, gram=np.ones((2, 2)))
    measure = mf.gaussian_measure(mf.Problem(target, dim=10), 5000, seed=3)
    assert measure.k == 1
    assert (measure.r**2).mean() == pytest.approx(0.9, rel=0.03)


def test_weights_carry_the_gram_matrix_exactly():
    problem = mf.Problem(K2, dim=40)
    weights = mf.gaussian_weights(problem, 300, scale=1.5, seed=2)
    assert (weights.W.shape, weights.W_star.shape) == ((300, 40), (2, 40))
    assert np.allclose(weights.overlaps().P, K2.gram, rtol=0, atol=1e-15)
    assert stats.kstest(weights.W.ravel() / 1.5, "norm").pvalue > 1e-3
    assert (weights.a == 1).all()
    # u of its measure are the weights' first coordinates, since W* = √d B lies in them
    measure = weights.overlaps().measure()
    assert measure.u == pytest.approx(weights.W[:, :2] / math.sqrt(40), abs=1e-12)
    assert weights == mf.gaussian_weights(problem, 300, scale=1.5, seed=2)
    assert weights != mf.gaussian_weights(problem, 300, scale=1.5, seed=3)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"problem": None}, TypeError, "problem must be a Problem"),
        ({"n": 0}, ValueError, "n must be an integer of at least 1"),
        ({"n": -3}, ValueError, "n must be an integer of at least 1, got -3"),
        ({"n": 10.0}, TypeError, "n must be an integer"),
        ({"scale": 0.0}, ValueError, "scale must be greater than 0"),
        ({"scale": -1}, ValueError, "scale must be greater than 0"),
        ({"scale": np.nan}, ValueError, "scale must be finite"),
        ({"seed": -1}, ValueError, "seed must be an integer of at least 0"),
        ({"seed": None}, TypeError, "seed must be an integer"),
        ({"sampling": "halton"}, ValueError, "sampling must be one of"),
    ],
)
def test_measure_names_bad_input(arguments, error, match):
    with pytest.raises(error, match=match):
        mf.gaussian_measure(**({"problem": mf.Problem(K2, dim=10), "n": 4} | arguments))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"problem": mf.Problem(K2)}, ValueError, "problem must have a finite dim"),
        ({"problem": K2}, TypeError, "problem must be a Problem"),
        ({"p": 0}, ValueError, "p must be an integer of at least 1"),
        ({"scale": -1.0}, ValueError, "scale must be greater than 0"),
        ({"seed": 0.5}, TypeError, "seed must be an integer"),
    ],
)
def test_weights_name_bad_input(arguments, error, match):
    with pytest.raises(error, match=match):
        mf.gaussian_weights(**({"problem": mf.Problem(K2, dim=10), "p": 4} | arguments))
