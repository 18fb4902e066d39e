"""Starts with a given overlap have it, in every kind of state."""

import math

import numpy as np
import pytest

import meanfield as mf

K2 = mf.CommitteeTarget(k=2, gram=[[1.0, 0.3], [0.3, 1.0]])
SINGULAR = mf.CommitteeTarget(k=2, gram=[[1.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize("dim", [8, 1000, math.inf])
@pytest.mark.parametrize("overlap", [0.2, [0.3, -0.1], [[0.1, 0.2], [0.3, 0.0], [-0.2, 0.5]]])
@pytest.mark.parametrize("cosine", [None, 0.0, 0.4])
def test_overlaps_are_those_asked_for(dim, overlap, cosine):
    problem = mf.Problem(K2, dim=dim)
    wanted = np.broadcast_to(overlap, (3, 2))
    start = mf.aligned_overlaps(problem, 3, overlap, scale=1.2, cosine=cosine, seed=4)
    assert np.allclose(start.M, wanted, rtol=0, atol=1e-14)
    assert np.diag(start.Q) == pytest.approx(1.44, rel=1e-13)
    measure = mf.aligned_measure(problem, 3, overlap, scale=1.2, seed=4)
    assert np.allclose(start.measure().u, measure.u, rtol=0, atol=1e-13)
    assert np.allclose(start.measure().r, measure.r, rtol=0, atol=1e-13)
    angles = (start.Q - measure.u @ measure.u.T) / np.outer(measure.r, measure.r)
    if cosine is not None or math.isinf(dim):
        expected = cosine or 0.0
        assert np.allclose(angles, np.where(np.eye(3) > 0, 1.0, expected), atol=1e-13)
    if math.isfinite(dim):
        weights = mf.aligned_weights(problem, 3, overlap, 1.2, cosine=cosine, seed=4)
        Q = weights.overlaps().Q
        assert cosine is None or np.allclose(Q, start.Q, rtol=0, atol=1e-12)
        assert np.diag(Q) == pytest.approx(1.44, rel=1e-12)
        assert np.allclose(weights.overlaps().M, start.M, rtol=0, atol=1e-12)


def test_spread_is_gaussian_about_the_overlap_and_shared_by_dimensions():
    low, high = (
        mf.aligned_measure(mf.Problem(K2, dim=d), 4000, 0.3, spread=0.05, seed=1)
        for d in (5, math.inf)
    )
    assert low == high
    middle = mf.aligned_measure(mf.Problem(K2), 1, 0.3).u
    assert low.u.mean(0) == pytest.approx(middle[0], abs=4 * 0.05 / math.sqrt(4000))
    assert low.u.std(0) == pytest.approx(0.05, rel=0.05)
    assert (low.u**2).sum(1) + low.r**2 == pytest.approx(1.0, rel=1e-13)
    paired = mf.aligned_measure(mf.Problem(K2), 100, 0.3, spread=0.05, sampling="antithetic-sobol")
    assert paired.u.mean(0) == pytest.approx(middle[0], abs=1e-15)


def test_neurons_may_lie_in_the_subspace_or_be_all_parallel_outside():
    problem = mf.Problem(K2, dim=3)
    inside = mf.aligned_overlaps(problem, 2, [1.0, 0.3], cosine=1.0)
    assert inside.measure().r == pytest.approx(0.0, abs=1e-7)
    parallel = mf.aligned_weights(problem, 4, 0.1, cosine=1.0)
    assert np.linalg.matrix_rank(parallel.W, tol=1e-6) == 1


def test_a_singular_target_takes_overlaps_in_its_range():
    problem = mf.Problem(SINGULAR, dim=20)
    assert mf.aligned_measure(problem, 2, 0.5).u == pytest.approx(0.5 * np.ones((2, 1)))
    with pytest.raises(ValueError, match="overlap must lie in the range"):
        mf.aligned_measure(problem, 2, [0.5, 0.1])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"overlap": [0.1, 0.2, 0.3]}, ValueError, r"overlap must be a number or have shape"),
        ({"overlap": np.nan}, ValueError, "overlap must be finite"),
        ({"overlap": None}, TypeError, "overlap must be"),
        ({"overlap": [np.inf, 0.0]}, ValueError, "overlap must be finite"),
        ({"overlap": 0.95}, ValueError, r"leave \|u\| at most scale = 1.*\|u\| = 1.1"),
        ({"spread": -0.1}, ValueError, "spread must be at least 0"),
        ({"cosine": 1.1}, ValueError, "cosine must be between -0.333333 and 1 at p = 4"),
        ({"cosine": -0.5}, ValueError, "cosine must be between"),
        ({"cosine": "no"}, TypeError, "cosine must be a real number"),
        ({"cosine": 0.0, "dim": 5}, ValueError, "needs 4 directions .* only 3"),
    ],
)
def test_bad_input_is_named(arguments, error, match):
    given = {"overlap": 0.1, "dim": 30} | arguments
    problem = mf.Problem(K2, dim=given.pop("dim"))
    with pytest.raises(error, match=match):
        mf.aligned_overlaps(problem, 4, **given)
