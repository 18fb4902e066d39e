"""The γ/p term of wide networks by cumulants: against closed forms, with its stated error."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

import meanfield as mf
from meanfield.activations import get_activation
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.expanded_noise import ExpandedNoise
from meanfield.dynamics.overlaps.noise import SampledNoise, choose_noise, network_of
from meanfield.dynamics.overlaps.unit_moments import step_for, unit_moments

LEAKY = mf.activations.leaky_relu(0.2)


def partly_trained(problem, p, along=0.4):
    """Random weights in 300 dimensions, turned towards the target's directions."""
    start = mf.gaussian_overlaps(problem, p=p, seed=1)
    k = problem.subspace_dim
    near = along * np.sign(start.M) / math.sqrt(k)
    cross = start.M @ near.T
    return mf.Overlaps(start.Q + near @ near.T + cross + cross.T, start.M + near, start.P, start.a)


@pytest.mark.parametrize(
    ("activation", "link", "k", "noise"),
    [
        ("erf", "erf", 2, 0.1),
        ("erf", "square", 1, 0.0),
        ("relu", "relu", 1, 0.1),
        (LEAKY, "erf", 2, 0.0),
    ],
)
def test_agrees_with_the_closed_form(activation, link, k, noise):
    """Within what it says of its error, which is small, at random weights and later."""
    target = mf.CommitteeTarget(k=k, activation=link, noise=noise)
    problem = mf.Problem(target, activation, dim=300, learning_rate=1.0)
    averages, p = OverlapAverages(problem), 32
    expanded, closed = (
        choose_noise(averages, problem, p, True, method, None, 0)
        for method in ("expanded", "closed")
    )
    expanded.label_noise = closed.label_noise = noise
    for start in (mf.gaussian_overlaps(problem, p=p), partly_trained(problem, p)):
        network = network_of(start, target)
        found, expected = expanded.term(network), closed.term(network)
        error, size = expanded.error(network), np.linalg.norm(expected)
        assert np.linalg.norm(found - expected) < 2.0 * error * size
        assert error < 3e-4
        own = np.diag(found - expected)
        assert np.linalg.norm(own) < 1e-4 * np.linalg.norm(np.diag(expected))


@pytest.mark.parametrize("sigma", [LEAKY, "tanh"])
def test_moments_of_one_unit(sigma):
    """Hermite coefficients against quadrature, its range broken at the kink."""
    sigma = get_activation(sigma)
    c, r = np.array([[0.3, -0.4]]), np.array([0.5, 0.9])
    found = unit_moments(sigma, c, r, 4, 0.5 * step_for(sigma, r))

    def mean(f, unit, order=0):
        def weighed(g):
            x = np.array(c[0, unit] + r[unit] * g)
            he = np.polynomial.hermite_e.HermiteE.basis(order)(g)
            return float(f(x)) * he * math.exp(-0.5 * g * g) / math.sqrt(2.0 * math.pi)

        kink = -c[0, unit] / r[unit]
        return quad(weighed, -9, kink)[0] + quad(weighed, kink, 9)[0]

    for unit in range(2):
        middle = mean(sigma.function, unit)
        assert found.mean[0, unit] == pytest.approx(middle, abs=1e-8)
        for power, response in ((1, found.slope), (2, found.slope_square)):
            average = mean(lambda x, power=power: sigma.derivative(x) ** power, unit)
            for of, (a, b) in (
                (found.value, (0, 1)), (found.square, (0, 2)), (response.own, (1, 0)),
                (response.once, (1, 1)), (response.twice, (1, 2)),
            ):  # fmt: skip
                for order in range(4):

                    def product(x, a=a, b=b, power=power, average=average, middle=middle):
                        left = sigma.derivative(x) ** power - (average if b else 0.0)
                        return left**a * (sigma.function(x) - middle) ** b

                    expected = mean(product, unit, order)
                    if (a, b, order) == (0, 1, 0):
                        expected = 0.0
                    assert of[order, 0, unit] == pytest.approx(expected, abs=1e-6)


def test_wide_networks_take_it_where_it_is_accurate():
    """By themselves, but not where units are all but equal, nor where a sample is asked for."""
    target = mf.CommitteeTarget(k=1, activation="tanh")
    problem = mf.Problem(target, "tanh", dim=300, learning_rate=1.0)
    averages, p = OverlapAverages(problem), 64
    start = mf.gaussian_overlaps(problem, p=p)
    equal = mf.Overlaps(np.ones((p, p)) + 1e-3 * np.eye(p), np.zeros((p, 1)), start.P, start.a)

    def chosen(start, method="auto", samples=None):
        return choose_noise(averages, problem, p, True, method, samples, 0, start)

    assert isinstance(chosen(start), ExpandedNoise)
    assert isinstance(chosen(equal), SampledNoise)
    assert isinstance(chosen(start, samples=64), SampledNoise)
    assert isinstance(chosen(None, "expanded"), ExpandedNoise)
    network, sampled = network_of(start, target), chosen(start, samples=4096)
    found, expected = chosen(start).term(network), sampled.term(network)
    assert np.linalg.norm(found - expected) < 2.0 * sampled.error(network) * np.linalg.norm(found)


def test_kinked_students_of_ones_own_are_refused():
    target = mf.CommitteeTarget(k=1)
    problem = mf.Problem(target, lambda x: np.clip(x, -1.0, 1.0), dim=100, learning_rate=1.0)
    start = mf.gaussian_overlaps(problem, p=4)
    with pytest.raises(ValueError, match="noise_method 'expanded' needs smooth, relu"):
        mf.overlap_velocity(problem, start, noise_method="expanded")


@pytest.mark.parametrize("correlation", [0.05, 0.4, 0.7])
def test_the_error_is_stated_for_strongly_correlated_units(correlation):
    """Beyond what the expansion is for: its error is large there, and must say so."""
    p = 32
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=1000, learning_rate=1.0)
    averages, M = OverlapAverages(problem), np.full((p, 1), 0.3)
    N = np.full((p, p), correlation) + (1.0 - correlation) * np.eye(p)
    start = mf.Overlaps(N + M @ M.T, M, np.eye(1), np.ones(p))
    network, expanded = network_of(start, averages.target), ExpandedNoise(averages, 0)
    exact = choose_noise(averages, problem, p, True, "closed", None, 0).term(network)
    off = np.linalg.norm(expanded.term(network) - exact) / np.linalg.norm(exact)
    assert off < expanded.error(network)
