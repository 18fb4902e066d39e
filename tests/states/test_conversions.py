"""From one kind of state to another, losing nothing that has to be lost."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import meanfield as mf
from meanfield.states.factors import random_cosines, systematic_choice

SINGULAR = np.ones((2, 2))


def problem_of(gram, dim):
    return mf.Problem(mf.CommitteeTarget(k=len(gram), gram=gram), dim=dim)


def random_problem(k, dim, seed):
    B = np.random.default_rng(seed).normal(size=(k, k))
    return problem_of(B @ B.T, dim)


@settings(deadline=None, max_examples=60)
@given(
    p=st.integers(1, 6),
    k=st.integers(1, 3),
    extra=st.integers(1, 8),
    turned=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_overlaps_survive_weights(p, k, extra, turned, seed):
    """Also where p + k exceeds d, so that the joint overlap matrix is singular."""
    problem = random_problem(k, k + extra, seed)
    overlaps = mf.gaussian_weights(problem, p, seed=seed).overlaps()
    again = overlaps.weights(problem, seed if turned else None).overlaps()
    for name in "QMP":
        one, two = getattr(overlaps, name), getattr(again, name)
        assert np.abs(one - two).max() < 1e-12 * max(1.0, np.abs(overlaps.Q).max())
    assert (again.a == overlaps.a).all()


@settings(deadline=None, max_examples=40)
@given(p=st.integers(1, 5), extra=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_measure_survives_overlaps_and_weights(p, extra, seed):
    problem = random_problem(2, 2 + extra, seed)
    rng = np.random.default_rng(seed)
    measure = mf.ParticleMeasure(rng.normal(size=p), rng.normal(size=(p, 2)), rng.random(p))
    size = np.abs(measure.u).max()
    weights = measure.weights(problem, seed=seed)
    assert np.allclose(weights.measure().u, measure.u, rtol=0, atol=1e-9 * size)
    assert np.allclose(weights.measure().r, measure.r, rtol=0, atol=1e-9 * size)
    assert (weights.a == measure.a).all()
    overlaps = measure.overlaps(problem, seed=seed)
    assert np.allclose(overlaps.measure().u, measure.u, rtol=0, atol=1e-9 * size)
    assert np.allclose(overlaps.measure().r ** 2, measure.r**2, rtol=0, atol=1e-9 * size**2)


def test_a_measure_of_weights_keeps_short_perpendicular_parts():
    """1e-9 outside a neuron of length 1: its square is lost in Q, not in W."""
    problem = problem_of(np.eye(1), 10)
    measure = mf.ParticleMeasure([1.0], [[1.0]], [1e-9])
    assert measure.weights(problem).measure().r[0] == pytest.approx(1e-9, rel=1e-5)


def test_singular_targets_keep_their_rank():
    problem = problem_of(SINGULAR, 12)
    measure = mf.gaussian_measure(problem, 5)
    assert measure.k == 1
    for state in (measure.overlaps(problem), measure.weights(problem)):
        assert np.allclose(state.measure().u, measure.u, atol=1e-12)
        assert np.allclose(state.measure().r, measure.r, atol=1e-12)
    overlaps = measure.overlaps(problem)
    assert np.allclose(overlaps.weights(problem).overlaps().Q, overlaps.Q, atol=1e-12)


def test_neurons_equal_to_targets_and_to_each_other_are_embedded():
    problem = problem_of(np.eye(2), 3)
    overlaps = mf.Overlaps(np.ones((3, 3)), np.tile([1.0, 0.0], (3, 1)), np.eye(2), np.ones(3))
    again = overlaps.weights(problem, seed=1).overlaps()
    assert np.allclose(again.Q, 1.0, atol=1e-12) and np.allclose(again.M, overlaps.M, atol=1e-12)


def test_infinite_dimension_makes_neurons_orthogonal_outside():
    problem = problem_of(np.eye(2), math.inf)
    measure = mf.aligned_measure(problem, 4, [0.1, 0.5])
    Q = measure.overlaps(problem).Q
    assert np.allclose(Q, measure.u @ measure.u.T + np.diag(measure.r**2), atol=1e-15)


@pytest.mark.parametrize("seed", [None, 3])
def test_the_turn_of_an_embedding(seed):
    problem = problem_of(np.eye(1), 8)
    overlaps = mf.gaussian_overlaps(problem, 3, seed=1)
    weights = overlaps.weights(problem, seed)
    assert weights == overlaps.weights(problem, seed)
    assert (np.abs(weights.W[:, 4:]).max() > 1e-3) == (seed is not None)
    many = np.array([overlaps.weights(problem, s).W[0, 1:] for s in range(400)])
    direction = many / np.linalg.norm(many, axis=1, keepdims=True)
    # the square of a coordinate of a uniform point of the sphere in R^7 is Beta(1/2, 3)
    for j in range(7):
        assert stats.kstest(direction[:, j] ** 2, "beta", args=(0.5, 3.0)).pvalue > 1e-4
        assert abs(direction[:, j].mean()) < 4.5 / math.sqrt(7 * 400)


@pytest.mark.parametrize("D", [1, 2, 5, 40])
def test_cosines_are_those_of_uniform_directions(D):
    """E c² = 1/D and E c⁴ = 3/(D (D + 2)), with fewer and more vectors than dimensions."""
    rng = np.random.default_rng(D)
    c = np.array([random_cosines(4, D, rng)[np.tril_indices(4, -1)] for _ in range(4000)])
    for power, mean in ((1, 0.0), (2, 1 / D), (4, 3 / (D * (D + 2)))):
        error = (c**power).std(axis=0) / math.sqrt(len(c)) + 1e-12
        assert (np.abs((c**power).mean(axis=0) - mean) < 5 * error).all()


# --- numbers of neurons ---


def test_resampling_keeps_the_law_where_it_can():
    problem = problem_of(np.eye(1), 30)
    measure = mf.gaussian_measure(problem, 7, second_layer="gaussian")
    assert measure.resampled(7) == measure
    tripled = measure.resampled(21, seed=5)
    assert np.array_equal(tripled.points(), np.repeat(measure.points(), 3, axis=0))
    halves = mf.gaussian_measure(problem, 10).resampled(5)
    assert halves.n == 5


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 30), count=st.integers(1, 60), seed=st.integers(0, 10**6))
def test_copies_are_the_mass_rounded_down_or_up(n, count, seed):
    rng = np.random.default_rng(seed)
    masses = rng.dirichlet(np.ones(n))
    for weights in (masses, None):
        chosen = systematic_choice(weights, n, count, rng)
        copies = np.bincount(chosen, minlength=n)
        expected = count * (np.full(n, 1 / n) if weights is None else weights)
        assert copies.sum() == count
        assert (copies >= np.floor(expected - 1e-9)).all()
        assert (copies <= np.ceil(expected + 1e-9)).all()


def test_resampling_is_unbiased():
    masses = np.array([0.5, 0.3, 0.15, 0.05])
    measure = mf.ParticleMeasure(np.arange(4.0), np.zeros((4, 1)), np.ones(4), mass=masses)
    draws = np.array([np.bincount(measure.resampled(3, s).a.astype(int), minlength=4)
                      for s in range(4000)])  # fmt: skip
    assert draws.mean(axis=0) / 3 == pytest.approx(masses, abs=0.015)
    assert measure.resampled(3).mass is None


def test_a_network_drawn_from_a_law():
    problem = problem_of(np.eye(1), 30)
    measure = mf.gaussian_measure(problem, 4, second_layer=[1, 2, 3, 4])
    wide = measure.overlaps(problem, p=8)
    assert wide.a.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert np.unique(wide.Q.round(9)).size > 8  # each copy has its own direction
    weighted = mf.ParticleMeasure([1.0, 2.0], [[0.1], [0.2]], [1.0, 1.0], mass=[0.25, 0.75])
    assert weighted.weights(problem, p=4).a.tolist() == [1.0, 2.0, 2.0, 2.0]
    for convert in (weighted.weights, weighted.overlaps):
        with pytest.raises(ValueError, match="p must be given: neurons of unequal mass"):
            convert(problem)


def test_wide_networks_of_a_law_have_its_risk():
    """E over directions of the finite network's risk is that of the law, up to 1/p."""
    problem = problem_of(np.eye(2), 20)
    measure = mf.aligned_measure(problem, 16, 0.3, spread=0.2, second_layer="gaussian", seed=1)
    limit = mf.population_risk(problem, measure)
    gaps = [
        np.mean([mf.population_risk(problem, measure.overlaps(problem, p, s)) for s in range(40)])
        - limit
        for p in (16, 64)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(4.0, rel=0.2)


def test_origins_travel():
    problem = problem_of(np.eye(1), 30)
    measure = mf.gaussian_measure(problem, 4, seed=9)
    assert measure.weights(problem).overlaps().measure().origin["seed"] == 9
    assert measure.resampled(2).origin["from"]["seed"] == 9


@pytest.mark.parametrize(
    ("convert", "error", "match"),
    [
        (
            lambda s, p: s.measure().weights(p.at_dim(math.inf)),
            ValueError,
            "must have a finite dim",
        ),
        (lambda s, p: s.weights(p.at_dim(math.inf)), ValueError, "must have a finite dim"),
        (lambda s, p: s.weights(None), TypeError, "problem must be a Problem"),
        (lambda s, p: s.measure().overlaps(5), TypeError, "problem must be a Problem"),
        (lambda s, p: s.weights(p, seed=-1), ValueError, "seed must be"),
        (lambda s, p: s.measure().weights(p, seed=0.5), TypeError, "seed must be"),
        (lambda s, p: s.measure().weights(p, p=0), ValueError, "p must be an integer"),
        (
            lambda s, p: s.weights(problem_of(np.eye(2), 9)),
            ValueError,
            "problem must have the over",
        ),
        (lambda s, p: s.weights(problem_of(2 * np.eye(1), 9)), ValueError, "problem must have the"),
        (lambda s, p: s.weights(p.at_dim(2)), ValueError, "span 3 directions .* there are only 1"),
        (lambda s, p: s.measure().overlaps(problem_of(np.eye(2), 9)), ValueError, "principal subs"),
        (lambda s, p: s.measure().resampled(0), ValueError, "n must be an integer of at least 1"),
    ],
)
def test_conversions_name_bad_input(convert, error, match):
    problem = problem_of(np.eye(1), 30)
    with pytest.raises(error, match=match):
        convert(mf.gaussian_overlaps(problem, 3), problem)
