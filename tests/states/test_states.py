"""States: what they hold, how one gives the next, what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf

I2 = np.eye(2)


def random_weights(p=4, d=7, k=2, seed=0):
    rng = np.random.default_rng(seed)
    return mf.Weights(rng.normal(size=(p, d)), rng.normal(size=(k, d)), rng.normal(size=p))


def test_measure_holds_its_neurons():
    measure = mf.ParticleMeasure([1, 2, 3], [0.1, 0.2, 0.3], [0, 1, 2])
    assert (measure.n, measure.k) == (3, 1)
    assert measure.points().tolist() == [[1, 0.1, 0], [2, 0.2, 1], [3, 0.3, 2]]
    with pytest.raises(ValueError, match="read-only"):
        measure.a[0] = 0.0


def test_states_do_not_share_memory_with_the_caller():
    a, u, r = np.ones(2), np.ones((2, 1)), np.ones(2)
    measure = mf.ParticleMeasure(a, u, r)
    a[:] = u[:] = r[:] = 7.0
    assert measure.points().tolist() == [[1, 1, 1], [1, 1, 1]]


@settings(deadline=None, max_examples=40)
@given(
    p=st.integers(1, 6), k=st.integers(1, 3), extra=st.integers(0, 5), seed=st.integers(0, 10**6)
)
def test_overlaps_are_the_scalar_products(p, k, extra, seed):
    d = k + extra
    weights = random_weights(p, d, k, seed)
    overlaps = weights.overlaps()
    for i in range(p):
        for j in range(p):
            assert overlaps.Q[i, j] == pytest.approx(sum(weights.W[i] * weights.W[j]) / d)
        for r in range(k):
            assert overlaps.M[i, r] == pytest.approx(sum(weights.W[i] * weights.W_star[r]) / d)
    assert np.allclose(overlaps.P, weights.W_star @ weights.W_star.T / d)
    assert (overlaps.p, overlaps.k, weights.dim) == (p, k, d)
    assert (overlaps.a == weights.a).all()


@settings(deadline=None, max_examples=40)
@given(
    p=st.integers(1, 6), k=st.integers(1, 3), extra=st.integers(1, 5), seed=st.integers(0, 10**6)
)
def test_measure_splits_a_neuron_along_and_across_the_target(p, k, extra, seed):
    weights = random_weights(p, k + extra, k, seed)
    measure = weights.overlaps().measure()
    # the projection on the rows of W*, whatever the basis of their span
    span, _ = np.linalg.qr(weights.W_star.T)
    along = weights.W @ span
    across = weights.W - along @ span.T
    d = weights.dim
    assert np.allclose((measure.u**2).sum(1), (along**2).sum(1) / d, atol=1e-10)
    assert np.allclose(measure.u @ measure.u.T, along @ along.T / d, atol=1e-10)
    assert np.allclose(measure.r, np.sqrt((across**2).sum(1) / d), atol=1e-6)
    assert (measure.a == weights.a).all()


def test_measure_of_a_singular_target_lives_on_its_rank():
    overlaps = mf.Overlaps(Q=[[1.0]], M=[[0.6, 0.6]], P=np.ones((2, 2)), a=[1.0])
    measure = overlaps.measure()
    assert measure.k == 1
    assert measure.u[0, 0] == pytest.approx(0.6)
    assert measure.r[0] == pytest.approx(0.8)


def test_origin_travels_down_and_does_not_count_in_equality():
    W, W_star = np.eye(2, 3), np.eye(1, 3)
    weights = mf.Weights(W, W_star, np.ones(2), origin={"seed": 3})
    assert weights.overlaps().measure().origin == {"seed": 3}
    assert weights == mf.Weights(W, W_star, np.ones(2))


def test_a_state_of_another_kind_is_told_the_way():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=30, learning_rate=0.5)
    law, network = mf.gaussian_measure(problem, n=5), mf.gaussian_overlaps(problem, p=2)
    run = mf.solve_overlaps(problem, network, 0.1, save_at=2)
    for solve, start, match in (
        (mf.solve_overlaps, law, r"Overlaps, got ParticleMeasure; its \.overlaps\(problem, p\)"),
        (mf.solve_mean_field, network, r"ParticleMeasure, got Overlaps; its \.measure\(\)"),
        (mf.simulate_sgd, law, r"Weights or Overlaps, got ParticleMeasure; its \.weights"),
        (mf.solve_overlaps, run, r"Overlaps, got Solution; its \.final"),
        (mf.solve_overlaps, 3, r"Overlaps, got int; gaussian_overlaps\(problem, \.\.\.\)"),
    ):
        with pytest.raises(TypeError, match=match):
            solve(problem, start, 1.0)
    assert law.overlaps(problem, 2).M.shape == (2, 1)  # the ways exist
    assert network.measure().n == law.weights(problem, 2).measure().n == 2


@pytest.mark.parametrize("kind", ["measure", "overlaps", "weights"])
def test_equality_looks_at_every_array(kind):
    def build(change=None):
        arrays = {
            "measure": {"a": np.ones(2), "u": np.ones((2, 1)), "r": np.ones(2)},
            "overlaps": {"Q": I2, "M": 0.1 * I2, "P": I2, "a": np.ones(2)},
            "weights": {"W": np.ones((2, 3)), "W_star": np.ones((1, 3)), "a": np.ones(2)},
        }[kind]
        if change is not None:
            arrays[change] = 1.25 * arrays[change]
        maker = {"measure": mf.ParticleMeasure, "overlaps": mf.Overlaps, "weights": mf.Weights}
        return maker[kind](**arrays), list(arrays)

    state, names = build()
    assert state == build()[0] and state != "state"
    for name in names:
        assert state != build(name)[0]
    with pytest.raises(TypeError, match="unhashable"):
        hash(state)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (
            {"a": [1.0, 1.0, 1.0]},
            ValueError,
            r"u must have shape \(n, k\) with n = 3, got \(2, 1\)",
        ),
        ({"a": np.ones((2, 1))}, ValueError, r"a must have shape \(n,\)"),
        ({"a": [], "u": np.zeros((0, 1)), "r": []}, ValueError, "a must hold at least one neuron"),
        ({"a": [1.0, np.nan]}, ValueError, "a must be finite"),
        ({"u": np.zeros((3, 1))}, ValueError, "u must have shape"),
        ({"u": np.zeros((2, 1, 1))}, ValueError, "u must have shape"),
        ({"u": np.zeros((2, 0))}, ValueError, "u must have at least one column"),
        ({"u": [np.nan, 0.0]}, ValueError, "u must be finite"),
        ({"u": [[1.0], [1.0, 2.0]]}, TypeError, "u must be an array of real numbers"),
        ({"u": "up"}, TypeError, "u must be an array of real numbers"),
        ({"r": [1.0]}, ValueError, r"r must have shape \(n,\) with n = 2"),
        ({"r": [1.0, np.inf]}, ValueError, "r must be finite"),
        ({"r": [1.0, -0.5]}, ValueError, "r must be at least 0, got a smallest entry of -0.5"),
    ],
)
def test_measure_names_bad_input(arguments, error, match):
    good = {"a": [1.0, 1.0], "u": [[0.0], [1.0]], "r": [1.0, 1.0]}
    with pytest.raises(error, match=match):
        mf.ParticleMeasure(**(good | arguments))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"Q": np.eye(3)}, ValueError, r"Q must have shape \(p, p\) with p = 2"),
        ({"M": np.eye(3)}, ValueError, r"M must have shape \(p, k\) = \(2, 2\)"),
        ({"P": np.ones((2, 3))}, ValueError, r"P must have shape \(k, k\)"),
        ({"a": [1.0]}, ValueError, "Q must have shape"),
        ({"a": []}, ValueError, "a must hold at least one neuron"),
        ({"Q": [[1.0, 0.5], [0.4, 1.0]]}, ValueError, "Q and P must be symmetric"),
        ({"P": [[1.0, 0.5], [0.4, 1.0]]}, ValueError, "Q and P must be symmetric"),
        ({"Q": [[1.0, 2.0], [2.0, 1.0]]}, ValueError, "positive semi-definite.*eigenvalue of -1"),
        ({"M": 2 * I2}, ValueError, "Q, M and P must form a positive semi-definite"),
        ({"M": [[np.nan, 0.0], [0.0, 0.0]]}, ValueError, "M must be finite"),
        ({"Q": None}, TypeError, "Q must be an array"),
    ],
)
def test_overlaps_name_bad_input(arguments, error, match):
    good = {"Q": I2, "M": np.zeros((2, 2)), "P": I2, "a": [1.0, 1.0]}
    with pytest.raises(error, match=match):
        mf.Overlaps(**(good | arguments))


def test_overlaps_on_the_edge_of_semi_definite_are_allowed():
    # a neuron that is the target itself: the joint matrix is singular
    mf.Overlaps(Q=[[1.0]], M=[[1.0]], P=[[1.0]], a=[1.0])
    mf.Overlaps(Q=np.ones((3, 3)), M=np.ones((3, 1)), P=[[1.0]], a=np.ones(3))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"W": np.ones((3, 5))}, ValueError, r"W must have shape \(p, d\) with p = 2"),
        ({"W_star": np.ones((1, 4))}, ValueError, r"W_star must have shape \(k, d\) with d = 5"),
        ({"W": np.full((2, 5), np.nan)}, ValueError, "W must be finite"),
        ({"a": []}, ValueError, "a must hold at least one neuron"),
        ({"a": "ones"}, TypeError, "a must be an array"),
    ],
)
def test_weights_name_bad_input(arguments, error, match):
    good = {"W": np.ones((2, 5)), "W_star": np.ones((1, 5)), "a": [1.0, 1.0]}
    with pytest.raises(error, match=match):
        mf.Weights(**(good | arguments))
