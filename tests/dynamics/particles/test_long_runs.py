"""Runs to t = 10⁴ and 10⁶: few evaluations, the final risk still right."""

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
    assert run.risk == pytest.approx(tight.risk, rel=1e-5)


def test_to_a_million():
    run = long_run(1e6, save_at=mf.logarithmic_times(1e6))
    tight = long_run(1e6, rtol=1e-9, atol=1e-13, save_at=2)
    assert run.success and run.stats["rhs_evaluations"] < 3000
    # closed forms of pairs round the risk, 2e-12, to 3e-17
    assert run.risk[-1] == pytest.approx(tight.risk[-1], rel=1e-5, abs=1e-16)
    assert run.final.points() == pytest.approx(tight.final.points(), abs=1e-6)


@pytest.mark.parametrize(("sgd_noise", "most"), [(False, 3500), (True, 4500)])
def test_finite_width_too(sgd_noise, most):
    """Explicit: 6,800 and 12,500. The Jacobian with noise is far from symmetric."""
    problem = mf.Problem(mf.CommitteeTarget(k=2), dim=1000, learning_rate=0.3)
    start = mf.gaussian_overlaps(problem, 6, seed=1)

    def run(rtol):
        return mf.solve_overlaps(
            problem, start, 1e4, sgd_noise=sgd_noise, save_at=2, rtol=rtol, atol=1e-3 * rtol
        )

    found, tight = run(1e-6), run(1e-8)
    assert found.success and found.stats["rhs_evaluations"] < most
    assert found.risk[-1] == pytest.approx(tight.risk[-1], rel=1e-5)
    assert np.allclose(found.final.Q, tight.final.Q, atol=1e-5)


@pytest.mark.parametrize("scale", [1e4, 1e50])
def test_from_any_scale(scale):
    """A square student of absurd scale falls in an absurdly short time, and goes on from there."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "square", dim=10)
    run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, 6, scale=scale), 1.0, save_at=2)
    assert run.success and run.t[-1] == 1.0
    assert 0.1 < run.risk[-1] < 0.3
