"""The twin for any activation and target agrees with closed forms, brute force and itself."""

import math

import numpy as np
import pytest

from tests.fields.cases import make_measure, make_problem
from tests.reference import mean_field as pairs
from tests.reference import measures as twin
from tests.reference.problems import draw
from tests.reference.units import JUMPS, KINKED, NAMED, SMOOTH

UNITS = NAMED | SMOOTH | KINKED | JUMPS


@pytest.mark.parametrize(
    ("sigma", "tau", "k", "D"),
    [("erf", "relu", 2, 99), ("relu", "erf", 2, math.inf), ("relu", "relu", 1, 1)],
)
def test_pairs_in_closed_form(sigma, tau, k, D):
    problem, measure = make_problem(sigma, tau, k=k, D=D), make_measure(k, n=3, scale=0.7)
    expected = pairs.flow(problem, measure.a, measure.u, measure.r)
    target = twin.committee(problem.target, NAMED[tau])
    a, u, r = measure.arrays()
    found = twin.truth(NAMED[sigma], target, D, a, u, r, measure.masses)
    for mine, theirs in ((found.potential, expected.da), (found.du, expected.du)):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.dr, expected.dr, rtol=0, atol=1e-11)
    assert math.isclose(found.risk, expected.risk, rel_tol=1e-11)


def by_brute_force(target, sigma, u, r):
    """E f* σ(λ), its slopes and E f*² on a grid that ends at every kink along the axes."""
    places = (-1.0, -0.7, 0.0, 0.3, 1.0, 1.3)
    x, w = twin.gaussian_line(places, (0.4,) * len(places), 1.6, 10)
    z = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    weight = np.outer(w, w).ravel()
    value, slope, tilted = twin.smoothed(sigma, z @ u, r, 10)
    seen = weight * target(z)
    return np.array([seen @ value, *((seen * slope) @ z), seen @ tilted, seen @ target(z)])


@pytest.mark.parametrize("sigma", ["relu", "clip", "erf"])
@pytest.mark.parametrize(
    "terms",
    [
        (twin.Product(UNITS["sign"], UNITS["hat"], 2.0),),
        (twin.Radial(UNITS["tanh"], 2),),
        (twin.Monomials((((1, 2), 0.7), ((0, 0), 1.0), ((3, 0), 0.3))),),
        (twin.Ridge(UNITS["clip"], (1.0, 0.0)), twin.Ridge(UNITS["tanh"], (0.4, -0.8), 2.0)),
    ],
    ids=lambda terms: type(terms[0]).__name__,
)
def test_terms_of_a_target(terms, sigma):
    target = twin.Sum(np.eye(2), (((0, 1), terms),))
    u, r = np.array([0.8, -0.5]), 0.6
    value, by_u, by_r = target.against(UNITS[sigma], u, r, 10)
    found = np.array([value, *by_u, by_r, target.square(10)])
    # a length has its kink at the origin, where the grid has a node's width
    expected, rough = by_brute_force(target, UNITS[sigma], u, r), "Radial" in str(terms)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 if rough else 1e-10)


def test_smoothed_by_panels_as_in_closed_form():
    """Every unit with a closed form, by quadrature under another name."""
    mean = np.linspace(-3.0, 3.0, 7)
    for name in ("erf", "relu", "sine", "hat", "hermite3"):
        f = UNITS[name]
        plain = twin.Unit("plain", f.value, f.slope, f.centres, f.width, f.wave, f.smooth)
        for s in (0.01, 0.4, 3.0):
            both = twin.smoothed(f, mean, s, 12), twin.smoothed(plain, mean, s, 12)
            np.testing.assert_allclose(*both, rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", [2, 5, 21, 25])
def test_more_nodes_change_nothing(seed):
    case = draw(seed)
    one, other = (
        twin.truth(
            case.sigma, case.target, case.problem.perpendicular_dim,
            case.a, case.u, case.r, case.mass, nodes,
        )
        for nodes in (9, 11)
    )  # fmt: skip
    size = np.abs(one.du).max()
    np.testing.assert_allclose(one.du, other.du, rtol=0, atol=1e-8 * size)
    assert math.isclose(one.risk, other.risk, rel_tol=1e-9)
