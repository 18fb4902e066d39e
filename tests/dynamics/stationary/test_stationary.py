"""Stationary points against the closed form of Saad & Solla, and against trajectories."""

import numpy as np
import pytest

import meanfield as mf


def committee(k, gamma=0.0):
    """An isotropic erf committee, and a start near the symmetric plateau of as many neurons."""
    problem = mf.Problem(mf.CommitteeTarget(k=k), dim=1000, learning_rate=gamma)
    Q, M = 1 / (2 * k - 1), 1 / np.sqrt(k * (2 * k - 1))
    near = mf.Overlaps(np.full((k, k), Q + 0.02), np.full((k, k), M - 0.01), np.eye(k), np.ones(k))
    return problem, near, Q, M


@pytest.mark.parametrize("k", [2, 3, 5])
def test_symmetric_plateau_in_closed_form(k):
    """Q = 1/(2k − 1), M = 1/√(k(2k − 1)), risk (π/6 − k asin 1/2k)/πk, on the edge of the cone."""
    problem, near, Q, M = committee(k)
    point = mf.find_stationary(problem, near)
    assert point.success, point.message
    assert np.abs(point.overlaps.Q - Q).max() < 1e-10
    assert np.abs(point.overlaps.M - M).max() < 1e-10
    assert abs(point.risk - (np.pi / 6 - k * np.arcsin(1 / (2 * k))) / (np.pi * k)) < 1e-12
    assert point.residual < 1e-12
    assert point.kind == "saddle"


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_escape_rate_is_the_growth_along_a_trajectory(gamma):
    problem, near, _, _ = committee(2, gamma)
    point = mf.find_stationary(problem, near, sgd_noise=gamma > 0)
    assert point.success, point.message
    way = point.direction()
    assert way.M[0, 0] * way.M[0, 1] < 0  # neurons part towards different directions
    M = point.overlaps.M + 1e-6 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    Q = M @ M.T + point.overlaps.Q - point.overlaps.M @ point.overlaps.M.T
    start = mf.Overlaps(Q, M, np.eye(2), np.ones(2))
    run = mf.solve_overlaps(problem, start, 250.0, save_at=251, sgd_noise=gamma > 0, rtol=1e-9)
    apart = run.states.varying["M"][:, 0, 0] - run.states.varying["M"][:, 0, 1]
    linear = (apart > 1e-5) & (apart < 1e-3)
    rate = np.polyfit(run.t[linear], np.log(apart[linear]), 1)[0]
    assert point.escape_rate == pytest.approx(rate, rel=1e-3)


def test_a_second_layer_and_spheres():
    """One unit learning one: the minimum on the sphere, and along it with a second layer."""
    target = mf.CommitteeTarget(k=1, activation="square")
    problem = mf.Problem(target, "square", dim=100)
    start = mf.Overlaps([[1.0]], [[0.9]], [[1.0]], [1.0])
    top = mf.find_stationary(problem, start, spherical=True)
    assert (top.kind, top.success) == ("stable", True)
    assert top.overlaps.M[0, 0] == pytest.approx(1.0, abs=1e-10)
    # ṁ = (1 − m²) c'(m) with c = 2m²: 4m at the saddle
    saddle = mf.find_stationary(
        problem, mf.Overlaps([[1.0]], [[0.01]], [[1.0]], [1.0]), spherical=True
    )
    assert saddle.overlaps.M[0, 0] == pytest.approx(0.0, abs=1e-10)
    assert saddle.escape_rate == pytest.approx(4.0, rel=1e-6)
    moving = mf.Problem(target, "square", dim=100, second_layer_rate=1.0)
    valley = mf.find_stationary(moving, start)
    assert (valley.kind, valley.success) == ("marginal", True)  # a w² is the same along a curve
    assert valley.risk < 1e-20


def test_says_where_it_knows_nothing():
    problem = mf.Problem(mf.CommitteeTarget(k=2, activation="tanh"), "tanh", dim=100)
    flat = mf.Overlaps(np.full((2, 2), 0.33), np.full((2, 2), 0.4), np.eye(2), np.ones(2))
    point = mf.find_stationary(problem, flat)
    assert not point.success
    assert "edge of the cone" in point.message or "no step" in point.message
    noisy = mf.Problem(mf.CommitteeTarget(k=2, activation="tanh"), "tanh", 100, 1.0)
    with pytest.raises(ValueError, match="sgd_noise must be False"):
        mf.find_stationary(noisy, flat, sgd_noise=True)
    with pytest.raises(ValueError, match="temperature 0"):
        mf.find_stationary(mf.Problem(mf.CommitteeTarget(k=2), dim=9, temperature=1.0), flat)


def test_plateaus_of_a_run():
    problem = committee(2)[0]
    begin = mf.Overlaps(
        [[0.2, 0.05], [0.05, 0.2]], [[0.11, 0.1], [0.1, 0.11]], np.eye(2), np.ones(2)
    )
    run = mf.solve_overlaps(problem, begin, 300.0, sgd_noise=False, save_at=601)
    (plateau,) = mf.plateaus(run)
    assert plateau.point.success
    assert plateau.risk == pytest.approx(plateau.point.risk, rel=0.02)
    assert plateau.begin < plateau.time < plateau.end
    # from a deviation of 0.01, growing at the escape rate to order one
    assert 0.5 < plateau.length * plateau.point.escape_rate / np.log(20) < 2.0
    smooth = mf.Overlaps([[0.9]], [[0.8]], [[1.0]], [1.0])
    assert mf.plateaus(mf.solve_overlaps(mf.Problem(mf.CommitteeTarget(k=1)), smooth, 5.0)) == []
    sgd = mf.simulate_sgd(mf.Problem(mf.CommitteeTarget(k=1), dim=9, learning_rate=1.0), smooth, 1)
    with pytest.raises(ValueError, match="overlap equations"):
        mf.plateaus(sgd)


def test_rates_made_uneven_by_the_tolerance_are_no_plateaus():
    problem = mf.Problem(mf.CommitteeTarget(k=2), dim=1000, learning_rate=0.5)
    begin = mf.aligned_overlaps(problem, p=2, overlap=0.1, spread=1e-3, seed=1)
    run = mf.solve_overlaps(problem, begin, 700.0, save_at=1401)
    assert run.risk[-1] < 1e-10  # where it rises and falls within rtol
    (plateau,) = mf.plateaus(run)
    assert plateau.risk == pytest.approx(3.1e-3, rel=0.02)


def test_label_noise_lifts_the_plateau():
    """With the γ/p term, F is that of `overlap_velocity`, label noise included."""
    target = mf.CommitteeTarget(k=2, noise=0.3)
    problem, near = mf.Problem(target, dim=1000, learning_rate=1.0), committee(2)[1]
    point = mf.find_stationary(problem, near, sgd_noise=True)
    assert point.success, point.message
    velocity = mf.overlap_velocity(problem, point.overlaps)
    assert np.abs(velocity.Q).max() < 1e-10


KINKED = [("relu", "relu", 2), ("leaky_relu", "leaky_relu", 2), ("relu", "erf", 3)]


@pytest.mark.parametrize(("student", "link", "p"), KINKED)
def test_kinked_units_with_the_noise_of_sgd(student, link, p):
    """F is 0, and a deviation grows, or falls, along a trajectory as the eigenvalue says."""
    problem = mf.Problem(mf.CommitteeTarget(2, link, noise=0.1), student, 1000, 0.5)
    near = mf.Overlaps(
        np.full((p, p), 0.5) + 0.3 * np.eye(p), np.full((p, 2), 0.5), np.eye(2), np.ones(p)
    )
    point = mf.find_stationary(problem, near, sgd_noise=True)
    assert point.success, point.message
    assert 0.0 < point.derivative_error < 1e-7
    assert np.abs(mf.overlap_velocity(problem, point.overlaps).Q).max() < 1e-12
    way = point.direction()
    start = mf.Overlaps(
        point.overlaps.Q + 1e-6 * way.Q, point.overlaps.M + 1e-6 * way.M, np.eye(2), np.ones(p)
    )
    run = mf.solve_overlaps(problem, start, 30.0, save_at=31, rtol=1e-10)
    moved = run.states.varying["M"] - point.overlaps.M
    size = np.abs(np.tensordot(moved, way.M, axes=2))
    rate = np.polyfit(run.t, np.log(size), 1)[0]
    assert point.escape_rate == pytest.approx(rate, rel=0.01)


def test_the_plateau_of_a_kinked_run_has_a_point():
    problem = mf.Problem(mf.CommitteeTarget(2, "relu"), "relu", 1000, 0.5)
    begin = mf.Overlaps(
        np.full((2, 2), 0.05) + 0.15 * np.eye(2), np.full((2, 2), 0.1) + 0.01 * np.eye(2),
        np.eye(2), np.ones(2),
    )  # fmt: skip
    run = mf.solve_overlaps(problem, begin, 60.0, save_at=241, rtol=1e-7)
    (plateau,) = mf.plateaus(run)
    assert (plateau.point.kind, plateau.point.success) == ("saddle", True)
    assert plateau.risk == pytest.approx(plateau.point.risk, rel=0.02)


def test_kinks_on_the_edge_of_the_cone_are_refused_or_have_no_spectrum():
    problem = mf.Problem(mf.CommitteeTarget(1, "relu"), "relu", 100, 0.5)
    learnt = mf.Overlaps([[1.0]], [[1.0]], [[1.0]], [1.0])
    point = mf.find_stationary(problem, learnt)
    assert (point.success, point.risk) == (False, 0.0)
    assert "edge of the cone" in point.message
    assert np.isnan(point.eigenvalues).all()
    with pytest.raises(ValueError, match="overlaps must lie inside the cone"):
        mf.find_stationary(problem, learnt, sgd_noise=True)
    # with γ/p > 0 the flow ends there: Newton's method says that it has no derivatives
    point = mf.find_stationary(problem, mf.Overlaps([[0.9]], [[0.8]], [[1.0]], [1.0]), True)
    assert not point.success
