"""Polynomial students: exact moments against every neuron at every node, squares, and slopes."""

import math

import numba
import numpy as np
import pytest

import meanfield as mf
from meanfield.fields.choose import choose_field
from meanfield.fields.polynomial import PolynomialField
from meanfield.kernels.fields import polynomial
from meanfield.kernels.threads import thread_limit
from tests.fields.cases import ACTIVATIONS, make_measure, make_problem, relative_errors, velocity
from tests.reference import mean_field as twin
from tests.reference import nodes, quadratic


def prepared(kind, problem, measure):
    field = kind(problem)
    field.prepare(measure)
    return field


@pytest.mark.parametrize(("k", "D"), [(1, 1), (2, 2), (2, 9), (2, math.inf), (1, 10**6), (3, 5)])
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_velocities_by_quadrature(degree, k, D):
    target = mf.CommitteeTarget(k=k, activation="gelu", gram=1.1 * np.eye(k))
    problem = mf.Problem(target, f"hermite{degree}", k + D)
    measure = make_measure(k, n=8, scale=0.7)
    _, du, dr = velocity(prepared(PolynomialField, problem, measure), measure)
    expected = nodes.velocities(
        problem, measure.a, measure.u, measure.r, nodes=30 if k == 3 else 60, lengths=24
    )
    np.testing.assert_allclose(du, expected[0], atol=1e-9 * np.abs(expected[0]).max())
    np.testing.assert_allclose(dr, expected[1], atol=1e-9 * np.abs(expected[1]).max() + 1e-12)


@pytest.mark.parametrize("tau", ACTIVATIONS)
@pytest.mark.parametrize("D", [1, 4, 10**6, math.inf])
def test_squares_against_the_twin(tau, D):
    problem, measure = make_problem("square", tau, k=3, D=D), make_measure(3, n=50, scale=2.0)
    field = prepared(PolynomialField, problem, measure)
    assert max(relative_errors(field, problem, measure)) < 1e-12
    expected = twin.flow(problem, measure.a, measure.u, measure.r).variance_parts
    found = field.variance_parts(*measure.arrays())
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * expected[1])


@pytest.mark.parametrize("D", [2, math.inf])
def test_squares_against_the_definition(D):
    problem, measure = make_problem("square", "square", k=2, D=D), make_measure(2, n=4)
    expected = twin.definition(problem, measure.a, measure.u, measure.r, nodes=20)
    found = velocity(prepared(PolynomialField, problem, measure), measure)
    for mine, theirs in zip(found, (expected.da, expected.du, expected.dr), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11 * np.abs(theirs).max())


@pytest.mark.parametrize("D", [1, 7, 10**6, math.inf])
@pytest.mark.parametrize("target", ["committee", "parity"])
def test_squares_are_quadratic_forms(target, D):
    if target == "committee":  # E ReLU and ½ E ReLU(z) (z² − 1) are 1/√(2π) and a half of it
        made, mean = mf.CommitteeTarget(k=2, activation="relu"), 1.0 / math.sqrt(2.0 * math.pi)
        H = 0.25 * mean * np.eye(2)
    else:
        made, mean, H = mf.targets.parity(2), 0.0, np.array([[0.0, 0.5], [0.5, 0.0]])
    problem = mf.Problem(made, "square", 2 + D, second_layer_rate=0.5)
    measure = make_measure(2, n=50)
    mine, arrays = prepared(PolynomialField, problem, measure), measure.arrays()
    *flow, risk, parts = quadratic.flow(problem, mean, H, *arrays)
    for found, expected in zip(velocity(mine, measure), flow, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert mine.risk(*arrays) == pytest.approx(risk, rel=1e-13)
    np.testing.assert_allclose(mine.variance_parts(*arrays), parts, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("D", [1, 3, math.inf])
@pytest.mark.parametrize("degree", [3, 6])
def test_velocities_are_slopes_of_the_risk(degree, D):
    target = mf.CommitteeTarget(k=2, activation="erf")
    problem = mf.Problem(target, f"hermite{degree}", 2 + D, second_layer_rate=1.0)
    measure = make_measure(2, n=5, scale=0.5)
    field = prepared(PolynomialField, problem, measure)
    a, u, r = (x.copy() for x in (measure.a, measure.u, measure.r))
    da, du, dr = velocity(field, measure)
    h = 1e-5
    for part, slopes in ((a, da), (u, du), (r, dr)):
        flat = part.reshape(-1)
        for i in range(len(flat)):
            here, risks = flat[i], []
            for side in (h, -h):
                flat[i] = here + side
                risks.append(field.risk(a, u, r))
            flat[i] = here
            slope = -len(a) * (risks[0] - risks[1]) / (2 * h)
            assert slopes.reshape(-1)[i] == pytest.approx(slope, abs=1e-7 * np.abs(slopes).max())


@pytest.mark.parametrize("name", ["hermite3", "square"])
def test_the_risk_of_the_target_itself_is_zero(name):
    target = mf.CommitteeTarget(k=2, activation=name)
    field = PolynomialField(mf.Problem(target, name, 7))
    same = mf.ParticleMeasure(np.ones(2), np.eye(2), np.zeros(2))
    assert field.risk(*same.arrays()) < 1e-27
    assert all(np.abs(part).max() < 1e-13 for part in velocity(field, same)[1:])


def test_what_no_quadratic_sees_is_a_floor():
    """An odd target: the best square student is f = 0."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "square", 7)
    zero = np.zeros(3)
    risk = PolynomialField(problem).risk(zero, np.ones((3, 1)), np.ones(3))
    assert math.isclose(risk, 0.5 * problem.target.second_moment(), rel_tol=1e-14)


@pytest.mark.parametrize(
    ("student", "k", "name"),
    [("hermite4", 2, "polynomial"), ("hermite3", 12, "polynomial"), ("square", 2, "polynomial")],
)
def test_it_is_chosen(student, k, name):
    problem = mf.Problem(mf.CommitteeTarget(k=k), student, 40)
    assert choose_field(problem, make_measure(k, n=20)).name == name


def test_high_degrees_are_left_to_others():
    assert not PolynomialField.serves(mf.Problem(mf.CommitteeTarget(k=1), "hermite9", 4))
    assert not PolynomialField.serves(mf.Problem(mf.CommitteeTarget(k=12), "hermite4", 40))
    assert not PolynomialField.serves(mf.Problem(mf.CommitteeTarget(k=1), "erf", 4))


def test_masses_and_threads():
    """Unequal masses are neurons that count more often; bits do not depend on threads."""
    problem = mf.Problem(mf.CommitteeTarget(k=2), "hermite3", 9)
    m = make_measure(2, n=40)
    twice = mf.ParticleMeasure(*(np.concatenate((x, x[:10])) for x in (m.a, m.u, m.r)))
    mass = np.where(np.arange(40) < 10, 2.0, 1.0) / 50
    heavy = mf.ParticleMeasure(m.a, m.u, m.r, mass)
    one, two = (velocity(prepared(PolynomialField, problem, x), x) for x in (twice, heavy))
    for mine, theirs in zip(one[1:], two[1:], strict=True):
        np.testing.assert_allclose(mine[:40], theirs, atol=1e-14)
    many, results = make_measure(2, n=10_000), []
    field = prepared(PolynomialField, problem, many)
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        with thread_limit(threads):
            results.append(velocity(field, many)[1:])
    assert all(np.array_equal(x, y) for x, y in zip(*results, strict=True))


def test_moments_are_sums():
    problem = mf.Problem(mf.CommitteeTarget(k=2), "hermite4", math.inf)
    field, m = PolynomialField(problem), make_measure(2, n=polynomial.BLOCK + 5)
    found = kernel_moments(field, m)
    for index, value in zip(field.index, found, strict=True):
        terms = m.a * np.prod(m.u ** np.array(index[:2]), axis=1) * m.r ** (2 * index[2])
        assert value == pytest.approx(terms.mean(), rel=1e-11, abs=1e-13)


def kernel_moments(field, m):
    every = np.ones(len(field.index), bool)
    return polynomial.moments(*m.arrays(), field.parent, field.factor, every)
