"""Activations: slopes, averages against adaptive quadrature, users' own functions, storage."""

import itertools
import json
import math
import pickle

import numpy as np
import pytest
from scipy.integrate import quad

import meanfield as mf
from meanfield.activations import custom, get_activation, hermite, leaky_relu
from meanfield.activations.library import ACTIVATIONS

NAMES = (*ACTIVATIONS, "leaky_relu", "leaky_relu(0.3)", "hermite1", "hermite2", "hermite5")


def swish(x):
    return x / (1.0 + np.exp(-x))


def clipped(x):
    return np.clip(x, -1.0, 1.0)


def crooked(x):
    return x if x > 0.5 else 0.5 * x + 0.25


OWN = (custom(swish, strip=3.0), custom(crooked, kinks=(0.5,)), custom(clipped, kinks=(1.0, -1.0)))


def adaptive(f, v, s, D, moment, kinks):
    """E U^moment f(v + sU) by adaptive quadrature in U (D = ∞) or its angle."""
    if D == 1:
        return 0.5 * (f(np.array(v + s)) + (-1) ** moment * f(np.array(v - s)))
    at = [(kink - v) / s for kink in kinks] if s > 0 else []
    if math.isinf(D):
        low, high, coordinate = -9.0, 9.0, float

        def density(x):
            return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    else:
        low, high, coordinate = -math.pi / 2, math.pi / 2, math.sin
        at = [math.asin(max(-1.0, min(1.0, u))) for u in at]
        size = math.sqrt(math.pi) * math.gamma((D - 1) / 2) / math.gamma(D / 2)

        def density(x):
            return math.cos(x) ** (D - 2) / size

    def integrand(x):
        u = coordinate(x)
        return float(f(np.array(v + s * u))) * density(x) * u**moment

    edges = sorted({low, 0.0, high, *[x for x in at if low < x < high]})
    options = {"epsabs": 1e-12, "epsrel": 1e-12, "limit": 200}
    return sum(quad(integrand, *ends, **options)[0] for ends in itertools.pairwise(edges))


@pytest.mark.parametrize("D", [1, 2, 9, 30, math.inf])
@pytest.mark.parametrize("given", [*NAMES, *OWN], ids=str)
def test_averages_against_adaptive_quadrature(given, D):
    sigma = get_activation(given)
    root = 1.0 if math.isinf(D) else math.sqrt(D)
    for v, s in ((0.3, 0.0), (0.5, 0.4 * root), (-1.2, 1.5 * root), (0.0, 3.0 * root)):
        if D == 1 and s == 3.0 and sigma.kinks:
            continue  # the jump of the slope lies on a node
        found = (sigma.average(v, s, D), *sigma.average_slopes(v, s, D))
        expected = (
            adaptive(sigma, v, s, D, 0, sigma.kinks),
            adaptive(sigma.derivative, v, s, D, 0, sigma.kinks),
            adaptive(sigma.derivative, v, s, D, 1, sigma.kinks),
        )
        np.testing.assert_allclose(found, expected, rtol=2e-9, atol=2e-9)


@pytest.mark.parametrize("given", [*NAMES, *OWN], ids=str)
def test_derivative_is_the_slope(given):
    sigma = get_activation(given)
    x, h = np.linspace(-4.03, 4.0, 80), 1e-6
    slope = (sigma(x + h) - sigma(x - h)) / (2 * h)
    np.testing.assert_allclose(sigma.derivative(x), slope, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("given", [*NAMES, *OWN], ids=str)
def test_declared_symmetries_hold(given):
    sigma = get_activation(given)
    x = np.linspace(0.1, 5.0, 50)
    assert np.allclose(sigma(-x), -sigma(x), rtol=0, atol=1e-14) == sigma.odd
    assert np.allclose(sigma(3.0 * x), 3.0 * sigma(x)) == sigma.homogeneous
    assert sigma.smooth == (sigma.kinks == ())


@pytest.mark.parametrize("given", ["tanh", "softplus", *OWN], ids=str)
@pytest.mark.parametrize("D", [3, 40, math.inf])
def test_more_nodes_tell_the_error_of_a_quadrature(given, D):
    sigma = get_activation(given)
    v, s = np.linspace(-3, 3, 13)[:, None], np.array([0.0, 0.01, 1.0, 4.0]) * min(D, 1e4) ** 0.5
    s = s / (100.0 if math.isinf(D) else 1.0)
    coarse, fine = (sigma.average(v, s, D, refine=refine) for refine in (1, 2))
    assert coarse.shape == (13, 4)
    assert np.abs(coarse - fine).max() < 1e-11


def test_averages_of_many_are_those_of_each():
    rng = np.random.default_rng(0)
    v, s = rng.standard_normal(300), np.abs(rng.standard_normal(300))
    for D in (5, math.inf):
        whole = get_activation("tanh").average(v, s, D)
        each = [float(get_activation("tanh").average(x, y, D)) for x, y in zip(v, s, strict=True)]
        assert whole.tolist() == each


@pytest.mark.parametrize("D", [2, 50, math.inf])
def test_a_relu_without_perpendicular_part_has_half_its_slope(D):
    relu = get_activation("relu")
    assert relu.average_slopes(0.0, 0.0, D)[0] == pytest.approx(0.5)
    for s in (1e-300, 1e-12):
        g1, g2 = relu.average_slopes(np.array([1.0, -1.0]), s, D)
        assert g1.tolist() == [1.0, 0.0] and g2.tolist() == [0.0, 0.0]


def test_hermite_polynomials_are_orthonormal():
    x, w = np.polynomial.hermite_e.hermegauss(40)
    table = np.array([hermite(n)(x) for n in range(1, 12)])
    gram = table * (w / w.sum()) @ table.T
    np.testing.assert_allclose(gram, np.eye(11), rtol=0, atol=1e-12)


@pytest.mark.parametrize("given", [*NAMES, *OWN, leaky_relu(0.125)], ids=str)
def test_activations_survive_storage_and_pickling(given):
    problem = mf.Problem(mf.CommitteeTarget(k=1, activation=given), given)
    stored = json.loads(json.dumps(problem.parameters()))
    assert mf.problem.problem_from_parameters(stored) == problem
    assert pickle.loads(pickle.dumps(problem)) == problem
    assert mf.problem.problem_from_parameters(stored).student(np.ones(2)).shape == (2,)


def test_a_function_without_a_name_is_known_again_but_not_there():
    problem = mf.Problem(mf.CommitteeTarget(k=1), lambda x: x**3)
    stored = mf.problem.problem_from_parameters(json.loads(json.dumps(problem.parameters())))
    assert stored == problem
    assert stored != mf.Problem(mf.CommitteeTarget(k=1), lambda x: x**3 + 1e-3)
    with pytest.raises(ValueError, match="was not stored"):
        stored.student(np.ones(3))


def test_a_function_that_changed_since_is_not_used():
    stored = mf.Problem(mf.CommitteeTarget(k=1), swish).parameters()
    stored["activation"]["function"]["values"][0] += 1.0
    with pytest.raises(ValueError, match="swish' has changed"):
        mf.problem.problem_from_parameters(stored).student(np.ones(3))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: get_activation("swish"), ValueError, "activation must be one of 'erf'"),
        (lambda: get_activation(3), TypeError, "activation must be one of 'erf'"),
        (lambda: get_activation("hermite21"), ValueError, "degree must be at most 20"),
        (lambda: get_activation("leaky_relu(1.5)"), ValueError, "slope must be below 1"),
        (lambda: get_activation("leaky_relu(x)"), ValueError, "activation must be one of"),
        (lambda: leaky_relu(-0.1), ValueError, "slope must be at least 0"),
        (lambda: hermite(0), ValueError, "degree must be"),
        (lambda: custom("relu"), TypeError, "function must be a function"),
        (lambda: custom(lambda x: x[0]), ValueError, r"function must map .* shape \(257,\)"),
        (lambda: custom(lambda x: x.missing), ValueError, "but raised"),
        (lambda: custom(lambda x: np.exp(1j * x)), ValueError, "real numbers"),
        (lambda: custom(lambda x: np.log(np.abs(x))), ValueError, "function must be finite"),
        (lambda: custom(np.sign, kinks=(0.0,)), ValueError, "function must be continuous"),
        (lambda: custom(swish, strip=0.0), ValueError, "strip must be greater than 0"),
        (lambda: custom(swish, kinks=("a",)), TypeError, "kinks must be"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_input_names_the_argument(make, error, match):
    with pytest.raises(error, match=match):
        make()
