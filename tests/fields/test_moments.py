"""Square students: exact moments against pair averages and against the definition."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.fields.moments import MomentField
from tests.fields.cases import ACTIVATIONS, make_measure, make_problem, relative_errors, velocity
from tests.reference import mean_field as twin


@pytest.mark.parametrize("tau", ACTIVATIONS)
@pytest.mark.parametrize("D", [1, 4, 10**6, math.inf])
def test_against_the_twin(tau, D):
    problem, measure = make_problem("square", tau, k=3, D=D), make_measure(3, n=50, scale=2.0)
    field = MomentField(problem)
    assert max(relative_errors(field, problem, measure)) < 1e-12
    expected = twin.flow(problem, measure.a, measure.u, measure.r).variance_parts
    found = field.variance_parts(measure.a, measure.u, measure.r)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * expected[1])


@pytest.mark.parametrize("D", [2, math.inf])
def test_against_the_definition(D):
    problem, measure = make_problem("square", "square", k=2, D=D), make_measure(2, n=4)
    expected = twin.definition(problem, measure.a, measure.u, measure.r, nodes=20)
    found = velocity(MomentField(problem), measure)
    for mine, theirs in zip(found, (expected.da, expected.du, expected.dr), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11 * np.abs(theirs).max())


def test_the_risk_of_the_target_itself_is_zero():
    problem = mf.Problem(mf.CommitteeTarget(k=2, activation="square"), "square", 7)
    a, u, r = np.ones(2), np.eye(2), np.zeros(2)
    field = MomentField(problem)
    assert field.risk(a, u, r) < 1e-27
    assert all(np.abs(part).max() < 1e-13 for part in velocity_of(field, a, u, r))


def velocity_of(field, a, u, r):
    return velocity(field, mf.ParticleMeasure(a, u, r))[1:]


def test_what_no_quadratic_sees_is_a_floor():
    """An odd target: the best square student is f = 0."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "square", 7)
    zero = np.zeros(3)
    risk = MomentField(problem).risk(zero, np.ones((3, 1)), np.ones(3))
    assert math.isclose(risk, 0.5 * problem.target.second_moment(), rel_tol=1e-14)
