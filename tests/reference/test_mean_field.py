"""The twins agree among themselves, so that they can be trusted against the package."""

import math

import numpy as np
import pytest

from tests.fields.cases import ACTIVATIONS, make_measure, make_problem
from tests.reference import mean_field as twin


@pytest.mark.parametrize(
    ("k", "D", "tau"),
    [
        (1, 1, "erf"),
        (1, 2, "square"),
        (1, 9, "erf"),
        (1, 99, "erf"),
        (1, math.inf, "erf"),
        (2, 5, "erf"),
        (2, math.inf, "square"),
    ],
)
@pytest.mark.parametrize("sigma", ["erf", "square"])
def test_pairs_agree_with_the_definition(sigma, tau, k, D):
    problem = make_problem(sigma, tau, k=k, D=D)
    measure = make_measure(k, n=4, scale=0.7)
    pairs = twin.flow(problem, measure.a, measure.u, measure.r)
    brute = twin.definition(problem, measure.a, measure.u, measure.r, nodes=64 if k == 1 else 40)
    size = np.abs(pairs.stacked()).max()
    np.testing.assert_allclose(pairs.stacked(), brute.stacked(), rtol=0, atol=1e-9 * size)
    assert math.isclose(pairs.risk, brute.risk, rel_tol=1e-9)
    assert math.isclose(pairs.variance_parts[1], brute.variance_parts[1], rel_tol=1e-9)


@pytest.mark.parametrize("tau", ACTIVATIONS)
@pytest.mark.parametrize("sigma", ACTIVATIONS)
def test_pairs_agree_with_real_inputs(sigma, tau):
    problem = make_problem(sigma, tau, k=2, D=3, kappa=0.8)
    measure = make_measure(2, n=3, scale=0.7, seed=1)
    expected = twin.flow(problem, measure.a, measure.u, measure.r).stacked()
    mean, error = twin.sampled(problem, measure.a, measure.u, measure.r, 400_000, seed=2)
    assert (np.abs(mean - expected) < 4.0 * error).all()
