"""One description against another where both hold."""

import numpy as np
import pytest

import meanfield as mf


def test_overlap_flow_approaches_the_mean_field_like_one_over_width():
    """At d = 10⁶ and with orthogonal perpendicular parts only self pairs differ: an O(1/p) term."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=10**6)
    times = [1.0, 3.0, 10.0]
    widths, gaps = np.array([50, 100, 200]), []
    for p in widths:
        measure = mf.gaussian_measure(problem, int(p), sampling="antithetic-sobol")
        Q = measure.u @ measure.u.T + np.diag(measure.r**2)
        overlaps = mf.Overlaps(Q, measure.u, np.eye(1), measure.a)
        finite = mf.solve_overlaps(problem, overlaps, 10.0, save_at=times, sgd_noise=False)
        limit = mf.solve_mean_field(problem, measure, 10.0, save_at=times)
        gaps.append(finite.risk - limit.risk)
    slopes = np.polyfit(np.log(widths), np.log(np.array(gaps)), 1)[0]
    np.testing.assert_allclose(slopes, -1.0, atol=0.04)  # the next order shows at t = 10


@pytest.mark.parametrize("length", [1e8, 1e10])
def test_a_risk_without_a_digit_is_refused(length):
    """GELU far out is a ramp with a step of width 1, which no rule of these lengths sees."""
    problem = mf.Problem(mf.CommitteeTarget(k=1), "gelu", dim=10)
    long = mf.Overlaps([[length**2]], [[0.5 * length]], [[1.0]], [1.0])
    for state in (long, long.measure()):
        with pytest.raises(ValueError, match=r"state must .* lengths .* up to 1e\+"):
            mf.population_risk(problem, state)
