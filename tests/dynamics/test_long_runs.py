"""Runs to t = 10⁴ and 10⁶: few evaluations, the final risk still right."""

import math

import numpy as np
import pytest

import meanfield as mf


def long_run(t_end, n=60, **options):
    target = mf.CommitteeTarget(k=1)
    drawn = mf.gaussian_measure(mf.Problem(target, dim=1000), n, seed=1)
    start = mf.ParticleMeasure(drawn.a, drawn.u, drawn.r)  # as at d = 1000, run at d = ∞
    return mf.solve_mean_field(mf.Problem(target), start, t_end, **options)


def test_to_ten_thousand():
    run = long_run(1e4)
    tight = long_run(1e4, rtol=1e-9, atol=1e-13)
    assert run.success and run.stats["rhs_evaluations"] < 1000  # explicit: 2,200
    assert run.risk[-1] == pytest.approx(tight.risk[-1], rel=1e-5)
    assert run.risk == pytest.approx(tight.risk, rel=2e-3, abs=1e-16)


def test_to_a_million():
    run = long_run(1e6, save_at=mf.logarithmic_times(1e6))
    tight = long_run(1e6, rtol=1e-9, atol=1e-13, save_at=2)
    assert run.success and run.stats["rhs_evaluations"] < 3000
    # closed forms of pairs round the risk, 2e-12, to 3e-17
    assert run.risk[-1] == pytest.approx(tight.risk[-1], rel=1e-5, abs=1e-16)
    assert run.final.points() == pytest.approx(tight.final.points(), abs=1e-6)


def test_finite_width_too():
    problem = mf.Problem(mf.CommitteeTarget(k=2), dim=math.inf)
    start = mf.gaussian_overlaps(mf.Problem(problem.target, dim=1000), 6, seed=1)
    run = mf.solve_overlaps(problem, start, 1e4, sgd_noise=False, save_at=[0.0, 1e4])
    assert run.success and run.stats["rhs_evaluations"] < 3500  # explicit: 6,800
    tight = mf.solve_overlaps(
        problem, start, 1e4, sgd_noise=False, save_at=[0.0, 1e4], rtol=1e-9, atol=1e-12
    )
    assert run.risk[-1] == pytest.approx(tight.risk[-1], rel=1e-5)
    assert np.allclose(run.final.Q, tight.final.Q, atol=1e-5)


@pytest.mark.parametrize("scale", [1e4, 1e50])
def test_from_any_scale(scale):
    """A square student of absurd scale falls in an absurdly short time, and goes on from there."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "square", dim=10)
    run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, 6, scale=scale), 1.0, save_at=2)
    assert run.success and run.t[-1] == 1.0
    assert 0.1 < run.risk[-1] < 0.3
