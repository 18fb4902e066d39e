"""Concentration of a measure on the principal subspace."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.projection import Concentration, along, concentration
from tests.fields.cases import make_measure, make_problem
from tests.reference import mean_field as twin


def test_alignment_and_energy():
    measure = mf.ParticleMeasure(
        a=np.ones(4), u=[[3.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]], r=[4.0, 2.0, 0.0, 0.0]
    )
    c = concentration(measure, make_problem(k=2))
    np.testing.assert_allclose(c.alignment, [9 / 25, 0.0, 1.0, 0.0], rtol=1e-15)
    assert math.isclose(c.energy, 10 / 30, rel_tol=1e-15)


def test_mass_within_an_angle():
    """Neurons at known angles from the subspace; the edge belongs to the share."""
    angles = np.array([0.0, 0.0, math.pi / 6, math.pi / 4, math.pi / 2])
    c = Concentration(np.cos(angles) ** 2, 0.5, 0.0, 0.0, 1.0)
    assert c.mass_within(0.0) == 0.4
    assert c.mass_within(math.pi / 2) == 1.0
    assert isinstance(c.mass_within(1.0), float)
    for angle, share in ((0.1, 0.4), (math.pi / 6, 0.6), (math.pi / 4, 0.8), (1.57, 0.8)):
        assert c.mass_within(angle) == share
    grid = np.array([[0.0, 0.6], [0.8, math.pi / 2]])
    np.testing.assert_array_equal(c.mass_within(grid), [[0.4, 0.6], [0.8, 1.0]])
    for bad in (-0.1, 1.6, math.nan, [0.1, 2.0]):
        with pytest.raises(ValueError, match="angle"):
            c.mass_within(bad)


@pytest.mark.parametrize("sigma", ["erf", "relu", "square"])
def test_leak_against_sampling(sigma):
    """Var(f | z) from two draws of the length ρ of the other coordinates at the same z."""
    D, n, samples = 3, 4, 100_000
    problem, m = make_problem(sigma, k=2, D=D), make_measure(2, n=n, seed=3)
    rng = np.random.default_rng(4)
    z = rng.standard_normal((samples, 2))
    U, w = twin.overlap_law(D)
    keep = w > 1e-5
    U, w = U[keep], w[keep] / w[keep].sum()

    def f():
        rho = np.linalg.norm(rng.standard_normal((samples, D)), axis=1)
        total = np.zeros(samples)
        for a, u, r in zip(m.a, m.u, m.r, strict=True):
            along_u = z @ u
            for point, weight in zip(U, w, strict=True):
                total += a / n * weight * twin.SIGMA[sigma](along_u + r * rho * point)
        return total

    first, second = f(), f()
    c = concentration(m, problem)
    for draws, exact in (
        (0.5 * (first - second) ** 2, c.leak_variance),
        (0.5 * (first**2 + second**2), c.function_energy),
    ):
        assert abs(draws.mean() - exact) < 4 * draws.std() / math.sqrt(samples) + 1e-4 * exact
    assert c.leak == c.leak_variance / c.function_energy


def test_leak_vanishes_with_the_dimension():
    measure = make_measure(1, n=50)
    leaks = [concentration(measure, make_problem(D=D)).leak for D in (10, 100, 1000, math.inf)]
    assert leaks[-1] == 0.0
    np.testing.assert_allclose(np.diff(np.log10(leaks[:-1])), -1.0, atol=0.1)


def test_a_function_of_zero_has_no_leak():
    measure = mf.ParticleMeasure(np.zeros(3), np.ones((3, 1)), np.ones(3))
    c = concentration(measure, make_problem())
    assert c.leak == c.function_energy == 0.0


def test_curves_along_a_run():
    problem = make_problem(D=20)
    run = mf.solve_mean_field(problem, make_measure(1, n=40), 1.0, save_at=4)
    curves = along(run)
    assert np.array_equal(curves.t, run.t)
    for i, state in enumerate(run.states):
        c = concentration(state, problem)
        assert curves.energy[i] == c.energy
        assert curves.mean_alignment[i] == c.alignment.mean()
        for name in ("leak", "leak_variance", "function_energy"):
            assert math.isclose(getattr(curves, name)[i], getattr(c, name), rel_tol=1e-6)


def test_curves_need_every_state():
    problem = make_problem(D=20)
    run = mf.solve_mean_field(problem, make_measure(1, n=5), 0.1, save_at=4, keep="ends")
    with pytest.raises(ValueError, match="solution"):
        along(run)
    with pytest.raises(TypeError, match="state"):
        concentration(run, problem)
    with pytest.raises(ValueError, match="measure"):
        concentration(make_measure(2, n=3), problem)


def test_numbers_do_not_depend_on_threads():
    problem, measure = make_problem(k=2), make_measure(2, n=100)
    one, two = (concentration(measure, problem, threads=t) for t in (1, 2))
    assert (one.leak, one.energy) == (two.leak, two.energy)


@pytest.mark.parametrize("k", [1, 2])
def test_leak_of_wide_laws_in_few_dimensions(k):
    """From a layout for this state alone, against pairs."""
    problem = mf.Problem(mf.CommitteeTarget(k), "erf", 10)
    law = mf.gaussian_measure(problem, n=300, scale=2.0, seed=3)
    found, expected = (
        mf.projection.concentration(law, problem, evaluator=name) for name in ("slices", "pairs")
    )
    assert found.leak_variance == pytest.approx(expected.leak_variance, rel=1e-6)
    assert found.function_energy == pytest.approx(expected.function_energy, rel=1e-7)
