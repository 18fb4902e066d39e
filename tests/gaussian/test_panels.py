"""Kinks and steep places are found, and what is averaged across them is right or says so."""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf

import meanfield as mf
from meanfield.activations import custom
from meanfield.dynamics.accuracy import final_status
from meanfield.dynamics.overlaps.averages import Network, OverlapAverages
from meanfield.gaussian.hermite_expansions import expand
from meanfield.gaussian.panels import find_panels
from meanfield.integrate import Status


def relu(x):
    return np.maximum(x, 0.0)


def clipped(x):
    return np.clip(x, -1.0, 1.0)


def thirds(x):
    return np.clip(3.0 * x, -1.0, 1.0)


def elu(x):
    return np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))


def hard_swish(x):
    return x * np.clip(x + 3.0, 0.0, 6.0) / 6.0


def hidden(x):
    return np.abs(x - 1e-3)


def bump(x):
    return x + 0.1 * np.exp(-(((x - 0.51) / 0.02) ** 2))


def steep(x):
    return np.tanh(300.0 * x)


def power(x):
    return np.sign(x) * np.sqrt(np.abs(x))


def noisy(x):
    return np.arcsin(np.sin(3.0 * x))


@pytest.mark.parametrize(
    ("function", "points", "kinks"),
    [
        (relu, [0.0], [0.0]), (clipped, [-1, 1], [-1, 1]),
        (thirds, [-1 / 3, 1 / 3], [-1 / 3, 1 / 3]),
        (elu, [0.0], []), (hard_swish, [-3, 3], [-3, 3]), (hidden, [1e-3], [1e-3]), (bump, [], []),
        (np.tanh, [], []), (steep, [], []), (np.sin, [], []), (lambda x: x**3, [], []),
        (lambda x: relu(x) ** 3, [0.0], []), (lambda x: np.maximum(x - 40.3, 0), [40.3], [40.3]),
    ],
)  # fmt: skip
def test_kinks_are_found(function, points, kinks):
    found = find_panels(function)
    assert found.jump is None
    np.testing.assert_allclose(found.points, points, rtol=0, atol=3e-15)
    np.testing.assert_allclose(found.kinks, kinks, rtol=0, atol=3e-15)


@pytest.mark.parametrize(
    ("function", "strip"),
    [(np.tanh, math.pi / 2), (steep, math.pi / 600), (lambda x: np.log1p(np.exp(5 * x)) / 5,
     math.pi / 5), (lambda x: 1 / (1 + (x - 0.3) ** 2), 1.0)],
)  # fmt: skip
def test_the_finest_feature_is_found(function, strip):
    assert 0.35 * strip < find_panels(function).strip <= 1.1 * strip


def test_a_jump_is_refused_and_a_declared_kink_changes_nothing():
    for jumps in (np.sign, lambda x: np.where(x > 0.3, 1.0 + x, x)):
        with pytest.raises(ValueError, match="function must be continuous, got a jump"):
            custom(jumps)
    for function, kinks in ((relu, (0.0,)), (thirds, (-1 / 3, 1 / 3)), (relu, (0.5,))):
        declared, found = custom(function, kinks=kinks), custom(function)
        assert declared.smooth == found.smooth and declared.homogeneous == found.homogeneous
        np.testing.assert_allclose(declared.kinks, found.kinks, rtol=0, atol=1e-15)


@pytest.mark.parametrize("function", [relu, thirds, elu, bump, steep, power])
def test_averages_over_one_input(function):
    sigma = custom(function)
    at = [x for x in (*find_panels(function).points, 0.51) if x]
    for v, s in ((0.3, 0.5), (-0.2, 2.0), (0.01, 30.0)):
        ends = sorted({-9.0, 9.0, *((x - v + sign * h) / s for x in (0.0, *at) for sign in (-1, 1)
                                    for h in (0.0, 0.003, 0.03, 0.1))})  # fmt: skip
        expected = sum(
            quad(lambda y, v=v, s=s: float(function(np.array(v + s * y))) * math.exp(-y * y / 2),
                 low, high, epsabs=1e-12, epsrel=1e-12, limit=200)[0]
            for low, high in itertools.pairwise(ends) if -9 <= low < high <= 9
        ) / math.sqrt(2 * math.pi)  # fmt: skip
        assert float(sigma.average(v, s, math.inf)) == pytest.approx(expected, abs=1e-10)


def errors_of(function, q):
    """Stated and true error of E σ(√q G)² and E σ' (by parts: E G σ/√q) of a unit."""
    found = expand(custom(function), np.array([q]))
    x = np.linspace(-9.0, 9.0, 2_000_001)
    w = np.exp(-x * x / 2)
    values = function(math.sqrt(q) * x)
    slope = (w * values * x).sum() / w.sum() / math.sqrt(q)
    size = math.sqrt(float(found.slope_square[0]))
    return found.error, abs(float(found.S[0, 0]) - slope) / size


@pytest.mark.parametrize(
    ("function", "least"),
    [(relu, 1e-9), (thirds, 1e-9), (steep, 1e-9), (bump, 1e-9), (np.tanh, 1e-12), (noisy, 1.0)],
)  # fmt: skip
def test_coefficients_are_good_or_say_so(function, least):
    stated, true = errors_of(function, 1.3)
    assert true <= 1.5 * stated + 1e-10 and stated < least


def test_a_difference_steps_by_the_width_of_the_function():
    sigma = custom(steep)
    x = np.linspace(-0.02, 0.02, 401)
    np.testing.assert_allclose(sigma.derivative(x), 300 / np.cosh(300 * x) ** 2, rtol=0, atol=1e-7)


@pytest.mark.parametrize("function", [relu, thirds])
def test_risk_with_kinks_that_nobody_declared(function):
    # of two coordinates along which λ and λ* are independent: λ = λ₁, λ* = c λ₁ + s ξ
    q, c, a = 1.3, 0.6, 0.8
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation="erf"), function)
    network = Network(np.array([a]), np.array([[c]]), np.array([[q]]), np.array([q - c * c]), None)
    energy = OverlapAverages(problem).energy(network)

    def mean(h):
        ends = sorted({-9.0, 9.0, 0.0, *(x / math.sqrt(q) for x in find_panels(function).points)})
        return sum(
            quad(lambda g: h(g) * math.exp(-g * g / 2), *pair, epsabs=1e-13, epsrel=1e-12)[0]
            for pair in itertools.pairwise(ends)
        ) / math.sqrt(2 * math.pi)  # fmt: skip

    def sigma(g):
        return float(function(np.array(math.sqrt(q) * g)))

    # E erf(λ*/√2) given λ: again an error function
    b = c / math.sqrt(q)
    link = erf
    cross = mean(lambda g: sigma(g) * float(link(b * g / math.sqrt(2.0 * (2.0 - b * b)))))
    expected = a * a * mean(lambda g: sigma(g) ** 2) - 2.0 * a * cross + 1.0 / 3.0
    assert energy.value == pytest.approx(expected, abs=1e-12) and energy.error < 1e-10


def test_the_status_is_that_of_the_largest_error():
    good = {"average_error": 1e-9, "noise_error": 0.0}
    assert final_status(Status.SUCCESS, "done", good, 1e-6) == (Status.SUCCESS, "done")
    status, message = final_status(Status.SUCCESS, "done", good | {"noise_error": 0.01}, 1e-6)
    assert status == "success" and message == "done, with the γ/p term good to 1e-02"
    assert (
        final_status(Status.SUCCESS, "done", good | {"noise_error": 0.06}, 1e-6)[0] == "inaccurate"
    )
    for name in good:
        status, message = final_status(Status.SUCCESS, "done", good | {name: 0.35}, 1e-6)
        assert status == "inaccurate" and "estimated relative error of 3.5e-01" in message
    assert final_status(Status.SUCCESS, "done", {"average_error": math.nan})[0] == "inaccurate"
    assert final_status(Status.DIVERGED, "gone", {"average_error": 1.0}) == (
        Status.DIVERGED,
        "gone",
    )


def test_the_status_of_runs():
    start = mf.gaussian_overlaps(mf.Problem(mf.CommitteeTarget(k=1)), p=2, seed=0)
    rough = mf.Problem(mf.CommitteeTarget(k=1), noisy)
    u, r_squared = np.array(start.M), np.diag(start.Q) - start.M[:, 0] ** 2
    network = Network(np.array(start.a), u, np.array(start.Q), r_squared, None)
    assert OverlapAverages(rough).energy(network).error > 1e-5
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50, learning_rate=0.5)
    run = mf.solve_overlaps(problem, start, 0.01, save_at=2, noise_method="sampled", samples=16)
    assert run.stats["noise_error"] > 0.2 and run.status == "inaccurate"
    assert "the γ/p term carries an estimated relative error" in run.message
