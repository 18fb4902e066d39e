"""Averages of targets against students in every description; errors that reach the solution."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.gaussian.hermite_expansions import expand
from meanfield.targets import hermite_link, potential_of
from meanfield.targets.potentials.base import relative_error
from meanfield.targets.potentials.hermite_sums import HermiteSums
from meanfield.targets.potentials.nodes import NodeSums

Z = np.linspace(-20.0, 20.0, 40_001)
WEIGHT = np.exp(-0.5 * Z * Z) / math.sqrt(2.0 * math.pi) * (Z[1] - Z[0])


def two_neurons(problem):
    """Neurons of lengths near 1 that do not see each other across the subspace, and their law."""
    u, r, a = np.array([[0.5], [1.2]]), np.array([1.0, 0.7]), np.array([1.0, -1.0])
    overlaps = mf.Overlaps(Q=u @ u.T + np.diag(r * r), M=u, P=[[1.0]], a=a)
    return overlaps, u, r, a


def risk_by_hand(problem, link):
    """½E f*² − E f f* + ½E f² over a grid of z, for independent perpendicular parts."""
    overlaps, u, r, a = two_neurons(problem)
    g0 = np.array([problem.student.average(x * Z, np.full_like(Z, s), math.inf)
                   for x, s in zip(u[:, 0], r, strict=True)])  # fmt: skip
    own = (g0 * WEIGHT) @ g0.T
    itself = expand(problem.student, np.diag(overlaps.Q)).square
    np.fill_diagonal(own, itself)
    cross = (g0 * WEIGHT) @ link(Z[:, None])
    return 0.5 - 0.5 * a @ cross + 0.125 * a @ own @ a


@pytest.mark.parametrize("activation", ["erf", "relu", "gelu"])
@pytest.mark.parametrize("degree", [24, 40, [0.0] * 3 + [0.6] + [0.0] * 26 + [0.8]])
def test_hermite_links_in_overlaps_and_sgd(activation, degree):
    link = hermite_link(degree)
    problem = mf.Problem(link, activation, 50, learning_rate=0.1)
    overlaps, *_ = two_neurons(problem)
    exact = risk_by_hand(problem, link)
    assert mf.population_risk(problem, overlaps) == pytest.approx(exact, abs=1e-9)
    run = mf.simulate_sgd(problem, overlaps, 0.01, save_at=[0.0])
    assert run.risk[0, 0] == pytest.approx(exact, abs=1e-9)
    assert run.stats["average_error"] < 1e-9


@pytest.mark.parametrize("degree", [24, 30, 60])
@pytest.mark.parametrize("activation", ["erf", "square", "hermite3", "relu"])
def test_hermite_links_in_the_mean_field(activation, degree):
    """Neurons with r = 0 meet at no perpendicular angle, so that f is a function of z."""
    problem = mf.Problem(hermite_link(degree), activation, 50)
    u, a = np.array([[0.5], [1.2]]), np.array([1.0, -1.0])
    f = 0.5 * a @ problem.student(u * Z)
    exact = 0.5 * WEIGHT @ (f * f) - WEIGHT @ (f * problem.target(Z[:, None])) + 0.5
    measure = mf.ParticleMeasure(a, u, np.zeros(2))
    assert mf.population_risk(problem, measure) == pytest.approx(exact, abs=2e-6)


def kinked(z):
    return np.abs(z[:, 0] - 0.5 * z[:, 1]) + 0.2


def jumps(z):
    return np.sign(z[:, 0] + 0.37 * z[:, 1])


@pytest.mark.parametrize(
    ("function", "k", "activation"), [(kinked, 2, "relu"), (jumps, 2, "erf"), (jumps, 2, "relu")]
)
def test_nodes_say_what_kinks_cost_them(function, k, activation):
    """Against the same averages along the direction of the kink, where they are one-dimensional."""
    target = mf.MultiIndexTarget(function, k)
    problem, u, r = mf.Problem(target, activation), np.array([[0.45, -0.3]]), np.array([0.6])
    averages = potential_of(target, problem.student, expanded=True)
    assert isinstance(averages, NodeSums)
    b = np.array([1.0, -0.5]) if function is kinked else np.array([1.0, 0.37])
    size = math.sqrt(b @ b)
    x = np.sort(np.concatenate((Z, [0.0, 0.0])))
    line = np.abs(size * x) + 0.2 if function is kinked else np.sign(x)
    along = float(u[0] @ b) / size
    beside = math.sqrt(float(u[0] @ u[0]) - along**2 + r[0] ** 2)
    values = problem.student.average(along * x, np.full_like(x, beside), math.inf)
    exact = np.trapezoid(line * values * np.exp(-0.5 * x * x), x) / math.sqrt(2.0 * math.pi)
    found = averages.value(u, r)[0]
    norm = math.sqrt(target.second_moment() * expand(problem.student, np.array([0.6525])).square[0])
    size = math.sqrt(target.second_moment())
    stated = relative_error(averages, problem.student, size, u, r, None)
    assert 1e-6 < abs(found - exact) / norm < 1.5 * stated < 0.1


def test_coefficients_that_are_wrong_are_said():
    """A kink too weak to leave the series: what quadrature makes of it is its error."""
    target = mf.MultiIndexTarget(lambda z: z[:, 0] * z[:, 1] + 0.01 * np.abs(z[:, 0] - 0.3), 2)
    averages = potential_of(target, mf.Problem(target, "gelu").student, expanded=True)
    assert isinstance(averages, HermiteSums) and 1e-6 < averages.errors.max() < 1e-2
    assert target.series.tail >= averages.errors.max()
    problem = mf.Problem(target, "gelu")
    start = mf.gaussian_overlaps(mf.Problem(target, "gelu", 100), 3, seed=1)
    assert mf.solve_overlaps(problem, start, 0.1, save_at=2).stats["average_error"] > 1e-6


def test_second_moments_that_are_not_known_reach_the_solution(monkeypatch):
    """Of six rectified coordinates to 1e-3, with few points."""
    monkeypatch.setattr("meanfield.gaussian.cubature.POWERS", (6,))
    target = mf.MultiIndexTarget(lambda z: np.maximum(z, 0.0).mean(axis=1), 6)
    error = target.second_moment_error() / target.second_moment()
    assert error > 1e-3
    problem = mf.Problem(target, "erf", 20)
    start = mf.gaussian_overlaps(problem, 2, seed=1)
    overlaps = mf.solve_overlaps(problem, start, 0.1, save_at=2)
    assert overlaps.stats["average_error"] >= error
    measure = mf.gaussian_measure(problem, 4, seed=1)
    run = mf.solve_mean_field(problem, measure, 0.1, save_at=2, field_tolerance=0.5)
    assert run.success and "averages over inputs good to" in run.message  # as asked for
    assert run.stats["average_error"] == error
    plain = mf.solve_mean_field(mf.Problem(mf.CommitteeTarget(k=1), dim=20), mf.gaussian_measure(
        mf.Problem(mf.CommitteeTarget(k=1), dim=20), 4), 0.1, save_at=2)  # fmt: skip
    assert plain.success and plain.stats["average_error"] == 0.0


def test_label_noise_that_plays_no_part_is_said():
    noisy, silent = (mf.CommitteeTarget(k=1, noise=noise) for noise in (0.1, 0.0))
    start = mf.gaussian_overlaps(mf.Problem(noisy, dim=50), 2)

    def said(target, rate, kept):
        problem = mf.Problem(target, dim=50, learning_rate=rate)
        run = mf.solve_overlaps(problem, start, 0.1, save_at=2, sgd_noise=kept)
        return "label noise" in run.message

    assert said(noisy, 0.0, True) and said(noisy, 0.5, False)
    assert not said(noisy, 0.5, True) and not said(silent, 0.0, True)


def test_neurons_within_the_subspace_move_as_those_close_to_it():
    """At r = 0 a rule that is not symmetric leaves rounding over nothing where E f* σ'' stands."""
    own = mf.activations.custom(
        lambda x: np.abs(np.tanh(x)), lambda x: np.sign(x) / np.cosh(x) ** 2, kinks=(0.0,)
    )
    target = mf.MultiIndexTarget(lambda z: np.abs(np.tanh(z[:, 0])), 1, smooth=False)
    problem = mf.Problem(target, own)
    velocity = mf.overlap_velocity(problem, mf.Overlaps([[1e-4]], [[1e-2]], [[1.0]], [1.0]))
    assert velocity.M[0, 0] == pytest.approx(0.59566, rel=1e-3)
