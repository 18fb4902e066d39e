"""Targets of any function, the ready-made ones, and how hard they are to find."""

import json
import math
import pickle

import numpy as np
import pytest
from numpy.polynomial.hermite_e import herme2poly
from scipy.special import eval_hermitenorm

import meanfield as mf
from meanfield.gaussian.cubature import gaussian_mean
from meanfield.targets import (
    Polynomial,
    hermite_coefficients,
    hermite_link,
    information_exponent,
    leap_index,
    parity,
    staircase,
    target_from_parameters,
)


def product_of_signs(z):
    return np.sign(z[:, 0] * z[:, 1])


def test_a_target_is_its_function():
    target = mf.MultiIndexTarget(lambda z: z[:, 0] - z[:, 1] ** 2, k=2, noise=0.1)
    z = np.random.default_rng(0).standard_normal((3, 4, 2))
    assert np.array_equal(target(z), z[..., 0] - z[..., 1] ** 2)
    assert (target.k, target.rank, target.noise, target.smooth) == (2, 2, 0.1, True)
    assert np.array_equal(target.basis, np.eye(2)) and np.array_equal(target.gram, np.eye(2))
    assert mf.gaussian_weights(mf.Problem(target, dim=10), 3).overlaps().P.tolist() == [
        [pytest.approx(1.0), 0.0], [0.0, pytest.approx(1.0)],
    ]  # fmt: skip


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_second_moments(k):
    assert parity(k).second_moment() == pytest.approx(1.0, abs=1e-12)
    assert staircase(k).second_moment() == pytest.approx(k, abs=1e-11)
    assert hermite_link(k + 1).second_moment() == pytest.approx(1.0, abs=1e-12)
    assert mf.MultiIndexTarget(
        lambda z: np.sign(z).prod(axis=1), k, smooth=False
    ).second_moment() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("degree", [24, 30, 60, 200])
def test_hermite_links_of_any_degree(degree):
    link, z = hermite_link(degree), np.array([-6.0, -1.3, 0.0, 0.7, 5.0])
    exact = eval_hermitenorm(degree, z) / math.exp(0.5 * math.lgamma(degree + 1))
    np.testing.assert_allclose(link(z[:, None]), exact, rtol=1e-9, atol=1e-12)
    assert link.second_moment() == 1.0 and link.second_moment_error() == 0.0
    assert information_exponent(link) == leap_index(link) == degree
    both = hermite_link([0.0] * 3 + [0.6] + [0.0] * (degree - 4) + [0.8])
    assert both.second_moment() == pytest.approx(1.0) and information_exponent(both) == 3


def test_powers_that_cancel_keep_their_coefficients():
    """He_20 as powers of z: its coefficients are whole numbers, and all others vanish."""
    powers = herme2poly([0.0] * 20 + [1.0])
    polynomial = Polynomial(tuple((n,) for n in range(21)), tuple(powers))
    found = mf.MultiIndexTarget(polynomial, 1).coefficients
    assert found == {(20,): pytest.approx(math.sqrt(math.factorial(20)), rel=1e-14)}


def test_no_degree_beyond_what_students_resolve():
    with pytest.raises(ValueError, match="degree must be at most 200, got 1000"):
        hermite_link(1000)
    with pytest.raises(ValueError, match="degree must be at most 200, got coefficients up to 300"):
        hermite_link([0.0] * 300 + [1.0])


@pytest.mark.parametrize(
    ("target", "exact"),
    [
        (mf.MultiIndexTarget(lambda z: np.abs(z @ [1.0, -0.5]) + 1.0, 2),
         2.25 + 2.0 * math.sqrt(2.5 / math.pi)),
        (mf.MultiIndexTarget(lambda z: z.prod(axis=1), 6), 1.0),
        (mf.CommitteeTarget(k=1, activation="tanh", gram=[[400.0]]), 0.9601466983),
    ],
)  # fmt: skip
def test_second_moments_say_their_error(target, exact):
    off = abs(target.second_moment() - exact)
    assert off < 1e-8 * exact and target.second_moment_error() < 1e-8
    assert off <= 1.5 * target.second_moment_error() + 1e-9


def test_coefficients_of_kinks_say_their_error():
    """E |z1 − ½ z2| he_α: |b| times E |g| h_2(g) (b/|b|)^α √(2/α!) at degree 2."""
    found = hermite_coefficients(mf.MultiIndexTarget(lambda z: np.abs(z @ [1.0, -0.5]), 2), 2)
    size = math.sqrt(1.25) / math.sqrt(math.pi)
    for index, exact in (((2, 0), 0.8 * size), ((1, 1), -0.4 * math.sqrt(2.0) * size)):
        value, error = found[index]
        assert 1e-6 < abs(value - exact) < 1.5 * error < 1e-2


def test_many_coordinates_are_averaged_over_sobol_points():
    mean = gaussian_mean(lambda z: np.abs(z).sum(axis=1), 6)
    assert abs(mean.value - 6.0 * math.sqrt(2.0 / math.pi)) < mean.error < 5e-4


@pytest.mark.parametrize(
    "target",
    [
        mf.MultiIndexTarget(product_of_signs, k=2, noise=0.5, smooth=False),
        staircase(3, noise=0.1),
        parity(2),
        hermite_link([0.5, 0.0, 1.0]),
    ],
    ids=lambda target: target.name,
)
def test_targets_survive_storage_and_pickling(target):
    stored = json.loads(json.dumps(target.parameters()))
    twin = target_from_parameters(stored)
    assert twin == target and hash(twin) == hash(target)
    again = pickle.loads(pickle.dumps(target))
    assert again == target and not again.basis.flags.writeable
    z = np.random.default_rng(0).standard_normal((5, target.k))
    assert np.array_equal(twin(z), target(z))
    assert mf.Problem(twin, dim=20) == mf.Problem(target, dim=20)


def test_a_lambda_is_known_again_but_not_there():
    target = mf.MultiIndexTarget(lambda z: z[:, 0], k=1)
    twin = target_from_parameters(json.loads(json.dumps(target.parameters())))
    assert twin == target and twin != mf.MultiIndexTarget(lambda z: 2 * z[:, 0], k=1)
    with pytest.raises(ValueError, match="was not stored"):
        twin(np.ones((2, 1)))


def test_coefficients_rebuild_the_function():
    rng = np.random.default_rng(1)
    target = mf.MultiIndexTarget(lambda z: z[:, 0] ** 3 * z[:, 1] - 2 * z[:, 1] ** 2 + 1, k=2)
    found = hermite_coefficients(target, 4)
    z = rng.standard_normal((6, 2))
    total = np.zeros(6)
    for (m, n), (c, error) in found.items():
        assert error < 1e-11
        for j, degree in enumerate((m, n)):
            c = c * (mf.activations.hermite(degree)(z[:, j]) if degree else 1.0)
        total += c
    np.testing.assert_allclose(total, target(z), rtol=1e-11)


@pytest.mark.parametrize("k", [1, 3, 4])
def test_exact_coefficients_of_polynomials_are_those_of_quadrature(k):
    target = staircase(k)
    exact = hermite_coefficients(target, 5)
    nodes = hermite_coefficients(mf.MultiIndexTarget(lambda z: target(z), k), 5)
    for index, (c, _) in exact.items():
        assert abs(c - nodes[index][0]) < 1e-12


@pytest.mark.parametrize(
    ("target", "exponent", "leap"),
    [
        (hermite_link(1), 1, 1),
        (hermite_link(2), 2, 2),
        (hermite_link(5), 5, 5),
        (hermite_link([1.0, 0.0, 0.0, 1.0, 1.0]), 3, 3),
        (staircase(1), 1, 1),
        (staircase(5), 1, 1),
        (parity(2), 2, 2),
        (parity(3), 3, 3),
        (parity(8), 8, 8),
        (mf.MultiIndexTarget(product_of_signs, k=2, smooth=False), 2, 2),
        # z1 + z1 z2 z3: one coordinate, then two at once
        (mf.MultiIndexTarget(lambda z: z[:, 0] + z.prod(axis=1), k=3), 1, 2),
        (mf.MultiIndexTarget(lambda z: z[:, 0] + z[:, 1] ** 3 - 3 * z[:, 1], k=2), 1, 3),
        # He_2(z2) z1 adds two degrees in what is new
        (mf.MultiIndexTarget(lambda z: z[:, 0] + z[:, 0] * (z[:, 1] ** 2 - 1), k=2), 1, 2),
        # the first leap may be the largest: z1 z2, then z3 alone
        (mf.MultiIndexTarget(lambda z: z[:, 0] * z[:, 1] + z[:, 0] * z[:, 2], k=3), 2, 2),
        (mf.CommitteeTarget(k=2), 1, 1),
        (mf.CommitteeTarget(k=1, activation="relu"), 1, 1),
        (mf.CommitteeTarget(k=3, activation="square"), 2, 2),
        (mf.CommitteeTarget(k=1, activation="hermite4"), 4, 4),
        # the linear parts cancel, the cubic ones do not
        (
            mf.CommitteeTarget(k=2, gram=[[1.0, 0.0], [0.0, 1.0]], weights=[1.0, -1.0],
                               activation="hermite3"), 3, 3,
        ),
    ],
)  # fmt: skip
def test_known_exponents(target, exponent, leap):
    assert information_exponent(target) == exponent
    assert leap_index(target) == leap


def test_the_leap_depends_on_the_basis_and_the_exponent_does_not():
    target = parity(2)  # z1 z2 = (y1² − y2²)/2 in coordinates turned by 45 degrees
    turn = np.array([[1.0, 1.0], [1.0, -1.0]]) / math.sqrt(2)
    assert leap_index(target, rotation=turn) == 2
    sum_target = mf.MultiIndexTarget(
        lambda z: (z[:, 0] + z[:, 1]) + (z[:, 0] + z[:, 1]) * (z[:, 0] - z[:, 1]), k=2
    )
    # z1 + z2 + z1² − z2²: leap 1 in either basis; its square terms alone leap by 2
    assert leap_index(sum_target) == leap_index(sum_target, rotation=turn) == 1
    turned = mf.MultiIndexTarget(lambda z: (z @ turn)[:, 0] * (z @ turn)[:, 1], k=2)
    assert information_exponent(turned) == information_exponent(target) == 2


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: mf.MultiIndexTarget("z", 1), TypeError, "function must be a function"),
        (lambda: mf.MultiIndexTarget(np.sum, 2), ValueError, r"function must map .* \(256,\)"),
        (lambda: mf.MultiIndexTarget(lambda z: z[:, 2], 2), ValueError, "raised IndexError"),
        (lambda: mf.MultiIndexTarget(lambda z: z, 1), ValueError, "function must map"),
        (lambda: mf.MultiIndexTarget(product_of_signs, 0), ValueError, "k must be"),
        (lambda: mf.MultiIndexTarget(product_of_signs, 2, noise=-1), ValueError, "noise must be"),
        (lambda: mf.MultiIndexTarget(product_of_signs, 2, smooth=1), TypeError, "smooth must be"),
        (lambda: hermite_link(0), ValueError, "degree must be"),
        (lambda: hermite_link([0.0, 0.0]), ValueError, "not 0"),
        (lambda: staircase(0), ValueError, "k must be"),
        (lambda: parity(1.5), TypeError, "k must be"),
        (lambda: information_exponent("z1"), TypeError, "target must be"),
        (
            lambda: information_exponent(mf.MultiIndexTarget(lambda z: z.prod(axis=1), 3), 1e-3, 2),
            ValueError, "max_degree must be",
        ),
        (lambda: information_exponent(hermite_link([1.0])), ValueError, "constant"),
        (lambda: leap_index(parity(2), rotation=np.ones((2, 2))), ValueError, "orthogonal"),
        (
            lambda: leap_index(mf.MultiIndexTarget(lambda z: z[:, 0] * z[:, 4], 5), 1e-6, 3),
            ValueError, "tolerance must be at least",
        ),
        (lambda: target_from_parameters({"kind": "forest"}), ValueError, "'forest'"),
    ],
)  # fmt: skip
def test_bad_input_names_the_argument(make, error, match):
    with pytest.raises(error, match=match):
        make()
