"""Averages over pairs of any two activations, against quadrature over the first unit."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import multivariate_normal

from meanfield.activations import custom, get_activation
from meanfield.functions.users import source_of
from meanfield.gaussian.hermite_expansions import expand
from meanfield.gaussian.pair_averages import expanded_averages, has_closed_form, pair_averages
from meanfield.gaussian.rules import panel_rule
from meanfield.gaussian.unit_function import _upper_orthant, ramps_of
from meanfield.kernels.activations.own import CompilationError, point_address, scalar_function

CLIPPED = custom(lambda x: np.clip(x, -1.0, 1.0), kinks=(-1.0, 1.0), name="clipped")
NAMES = (
    "erf", "relu", "square", "leaky_relu(0.2)", "hermite3", "tanh", "sigmoid", "softplus", "gelu",
    "sine",
)  # fmt: skip
COVARIANCES = (
    (1.0, 1.0, 0.0), (1.0, 1.0, 0.6), (0.3, 2.0, -0.5), (2.5, 0.4, 0.9), (9.0, 4.0, 5.9),
    (0.01, 0.02, -0.014),
)  # fmt: skip


def by_quadrature(sigma, tau, q1, q2, c):
    """I, A, B: over x on panels that end at the kinks, and over y given x as averages of τ."""
    root = math.sqrt(q1)
    edges = {*np.linspace(-9.0, 9.0, 37), *[kink / root for kink in sigma.kinks]}
    g, w = panel_rule(np.array(sorted(edges)), 10)
    w, x = w * np.exp(-0.5 * g * g) / math.sqrt(2.0 * math.pi), root * g
    mean, spread = c / root * g, math.sqrt(q2 - c * c / q1)
    T, T1 = tau.average(mean, spread, math.inf), tau.average_slopes(mean, spread, math.inf)[0]
    value, A = (w * sigma(x) * T).sum(), (w * sigma.derivative(x) * T1).sum()
    B = ((w * x * sigma.derivative(x) * T).sum() - c * A) / q1
    return np.array([value, A, B])


def found(sigma, tau, q1, q2, c):
    result = pair_averages(sigma, tau, np.array([q1]), np.array([q2]), np.array([[c]]))
    return np.array(result[:3])[:, 0, 0], result.error


@pytest.mark.parametrize("tau", NAMES)
@pytest.mark.parametrize("sigma", NAMES)
def test_against_quadrature(sigma, tau):
    sigma, tau = get_activation(sigma), get_activation(tau)
    for q1, q2, c in COVARIANCES:
        got, error = found(sigma, tau, q1, q2, c)
        wanted = by_quadrature(sigma, tau, q1, q2, c)
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=2e-10 * math.sqrt(q1 * q2))
        assert error < (1e-8 if sigma.smooth and tau.smooth else 1e-5)  # a bound, and a loose one
        if has_closed_form(sigma, tau):
            assert error == 0.0


@pytest.mark.parametrize("tau", [*NAMES, CLIPPED], ids=str)
def test_kinks_of_ones_own_are_held_within_the_stated_error(tau):
    tau = get_activation(tau)
    for covariance in COVARIANCES[:5]:
        got, error = found(CLIPPED, tau, *covariance)
        wanted = by_quadrature(CLIPPED, tau, *covariance)
        np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-9)
        assert error < 1e-5


@pytest.mark.parametrize("cosine", [0.5, 0.999, 1.0 - 1e-9, 1.0, -1.0])
@pytest.mark.parametrize("name", ["relu", "leaky_relu(0.2)"])
def test_kinks_of_ones_own_stay_exact_on_parallel_units(name, cosine):
    """A ReLU given as a user's own function, against its closed form."""
    closed = get_activation(name)
    own = custom(lambda x: closed(x), lambda x: closed.derivative(x), kinks=(0.0,))
    for q1, q2 in ((1.0, 1.0), (0.3, 5.0)):
        c = cosine * math.sqrt(q1 * q2)
        got, error = found(own, own, q1, q2, c)
        wanted, _ = found(closed, closed, q1, q2, c)
        # the closed form itself has half the digits of c at the very ends
        tolerance = 1e-9 if abs(cosine) < 0.9999 else 1e-7
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=tolerance)
        assert error < 1e-9
        mirrored, _ = found(own, own, q2, q1, c)
        np.testing.assert_allclose(mirrored[:2], got[:2], rtol=1e-9, atol=tolerance)


@pytest.mark.parametrize("rho", [-0.999, -0.5, 0.0, 0.3, 0.99])
def test_orthants_against_scipy(rho):
    a = np.array([[0.0, 0.7, -1.2, 0.0, 2.0]])
    b = np.array([[0.0, -0.4, 0.3, 1.0, 2.0]])
    found_ = _upper_orthant(a, b, np.full_like(a, rho), np.full_like(a, math.sqrt(1 - rho**2)))
    law = multivariate_normal(cov=[[1.0, rho], [rho, 1.0]])
    wanted = [law.cdf([-x, -y]) for x, y in zip(a[0], b[0], strict=True)]
    np.testing.assert_allclose(found_[0], wanted, rtol=0, atol=1e-8)


def test_a_bend_is_held_within_the_stated_error():
    """Slope and curvature jump: the ramp is exact, what is left falls faster."""
    bent = custom(
        lambda x: np.where(
            x > 0.5, x + np.tanh(x), np.tanh(0.5) + 0.35 + 0.3 * x + np.sin(x - 0.5)
        ),
        kinks=(0.5,),
    )
    assert ramps_of(bent).jumps[0] == pytest.approx(0.7 + 1 / math.cosh(0.5) ** 2 - 1.0, abs=1e-5)
    for covariance in COVARIANCES[:5]:
        got, error = found(bent, bent, *covariance)
        wanted = by_quadrature(bent, bent, *covariance)
        assert np.abs(got - wanted)[:2].max() <= 3.0 * error + 1e-9
        assert error < 1e-4


@pytest.mark.parametrize("name", ["erf", "gelu", "sine", "leaky_relu(0.2)", "square"])
def test_closed_forms_are_sums_of_their_expansions(name):
    sigma, rng = get_activation(name), np.random.default_rng(0)
    F = rng.standard_normal((4, 6)) * 0.5
    c, q = F @ F.T, (F * F).sum(axis=1)
    closed = pair_averages(sigma, sigma, q, q, c)
    units = expand(sigma, q)
    sums = expanded_averages(units, units, q, q, c, same=True)
    tolerance = 1e-11 if sigma.smooth else 1e-9
    for one, other in zip(closed[:3], sums[:3], strict=True):
        off = ~np.eye(4, dtype=bool)
        np.testing.assert_allclose(one[off], other[off], rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.diag(closed.value), np.diag(sums.value), rtol=1e-11)
    np.testing.assert_allclose(np.diag(closed.A), np.diag(sums.A), rtol=1e-11)


@pytest.mark.parametrize("name", [*NAMES])
def test_a_unit_with_itself_and_a_vanishing_one(name):
    sigma = get_activation(name)
    q = np.array([1.3, 0.0])
    pairs = pair_averages(sigma, sigma, q, q, np.diag(q), same=True)
    g, w = panel_rule(np.linspace(-9.0, 9.0, 61), 10)
    w = w * np.exp(-0.5 * g * g) / math.sqrt(2.0 * math.pi)
    x = math.sqrt(1.3) * g
    assert pairs.value[0, 0] == pytest.approx((w * sigma(x) ** 2).sum(), rel=1e-10)
    assert pairs.A[0, 0] == pytest.approx((w * sigma.derivative(x) ** 2).sum(), rel=1e-10)
    assert np.isfinite(pairs.value).all() and np.isfinite(pairs.B).all()
    assert pairs.value[1, 1] == pytest.approx(float(sigma(np.zeros(1))[0]) ** 2, abs=1e-12)


def test_polynomials_have_exactly_their_degree():
    units = expand(get_activation("hermite3"), np.array([1.0, 0.5, 4.0]))
    assert np.array_equal(units.C[0], np.eye(1, 4, 3)[0]) and units.natural == 4
    assert np.array_equal(units.square[:1], [1.0]) and not units.tail.any()


@pytest.mark.parametrize("name", ["square", "hermite1", "hermite4", "hermite20"])
def test_coefficients_of_polynomials_are_those_of_quadrature(name):
    sigma, q = get_activation(name), np.array([0.0, 0.3, 1.0, 1.7])
    exact, nodes = (expand(each, q, 24) for each in (sigma, replace(sigma, powers=())))
    for part in ("C", "S", "B", "square", "slope_square"):
        one, other = (np.atleast_2d(getattr(each, part))[:, :24] for each in (exact, nodes))
        rows = slice(1, None) if part == "B" else slice(None)  # nodes have none at q = 0
        np.testing.assert_allclose(
            one[rows], other[rows], rtol=0, atol=1e-14 + 1e-11 * np.abs(one).max()
        )


def test_polynomials_that_blow_up_take_no_memory():
    """A trial stage stands anywhere: nodes for a variance of 1e300 would be terabytes."""
    units = expand(get_activation("hermite8"), np.array([1e20, 1e300]), 256)
    assert units.C.shape == (2, 256) and not np.isfinite(units.square[1])
    assert units.square[0] == pytest.approx(1e160 * 2027025 / 40320, rel=1e-12)  # 15!!/8! q^8


def test_steep_units_take_more_coefficients_and_say_what_is_left_out():
    tanh = get_activation("tanh")
    assert expand(tanh, np.array([1.0])).natural < expand(tanh, np.array([9.0])).natural
    _, error = found(tanh, tanh, 900.0, 900.0, 899.0)
    assert 1e-6 < error < 0.5


def test_functions_numba_does_not_know_are_refused_by_name():
    with pytest.raises(CompilationError, match="prod"):
        point_address(source_of(lambda z: np.prod(z, axis=1)), 2)
    with pytest.raises(CompilationError):
        scalar_function(source_of(lambda x: x + object()))


def test_a_short_unit_in_a_flat_place_is_given_no_rounding():
    """σ = 0 on (−0.6, 0.6): a unit of length 0.03 has no norm, and so has every average of it."""
    shrink = custom(
        lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.6, 0.0),
        lambda x: (np.abs(x) > 0.6) * 1.0, kinks=(-0.6, 0.6),
    )  # fmt: skip
    q, c = np.array([1e-3, 1.0]), np.array([[1e-3, 0.02], [0.02, 1.0]])
    value, A, _, error = pair_averages(shrink, shrink, q, q, c, same=True)
    assert value[0, 1] == A[0, 1] == A[1, 0] == 0.0
    assert error < 1e-8
    # one of length 0.1 has a little, half of whose digits rounding takes: said
    q, c = np.array([0.01, 1.0]), np.array([[0.01, 0.05], [0.05, 1.0]])
    _, A, _, error = pair_averages(shrink, shrink, q, q, c, same=True)
    x, w = panel_rule(np.linspace(6.0, 9.0, 13), 12)
    seen = ndtr((0.5 * x - 0.6) / math.sqrt(0.75)) + ndtr((-0.5 * x - 0.6) / math.sqrt(0.75))
    wanted = 2.0 * (w * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)) @ seen
    norms = math.sqrt(2.0 * ndtr(-6.0) * 2.0 * ndtr(-0.6))
    assert abs(A[0, 1] - wanted) < error * norms < 1e-9


@pytest.mark.parametrize("root", [1e-6, 1e-3, 1.0, 30.0])
def test_a_square_of_any_length_keeps_its_digits(root):
    """(√q g)² = q h_0 + √2 q h_2: sums that cancel lost the first at q = 1e-12."""
    q = root**2
    found = expand(get_activation("square"), np.array([q]))
    np.testing.assert_allclose(found.C[0], [q, 0.0, math.sqrt(2.0) * q], rtol=1e-14)
    np.testing.assert_allclose(found.S[0], [0.0, 2.0 * root, 0.0], rtol=1e-14)
    np.testing.assert_allclose(found.B[0], [2.0, 0.0, 0.0], rtol=1e-14)


def test_units_in_a_flat_place_have_no_averages_at_all():
    shrink = custom(
        lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.6, 0.0),
        lambda x: (np.abs(x) > 0.6) * 1.0, kinks=(-0.6, 0.6),
    )  # fmt: skip
    q, c = np.array([2.5e-5, 4e-5]), np.array([[2.5e-5, 1e-5], [1e-5, 4e-5]])
    found = pair_averages(shrink, shrink, q, q, c, same=True)
    assert not any(part.any() for part in found[:3]) and found.error == 0.0
