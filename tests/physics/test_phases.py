"""SGD approaches the limit of its phase as d grows along a ray: a few points of the benchmark."""

import numpy as np
import pytest
from scipy.special import erf

from benchmarks.phases import RAYS, expected, measure, noise_limit, run, slopes, start

BY_TITLE = {ray.title: ray for ray in RAYS}


def points_of(title, dims, runs):
    ray = BY_TITLE[title]._replace(dims=dims, runs=runs)
    return ray, [measure(ray, d, run(ray, d)) for d in dims]


@pytest.mark.parametrize(
    ("title", "dims", "runs", "margin"),
    [
        ("perfect learning", (16, 64, 256), 400, 0.07),
        ("plateau", (16, 64, 256), 400, 0.07),
        ("bad learning", (10**6, 10**7, 10**8), 200, 0.06),
    ],
)
def test_the_limit_is_approached_with_the_expected_power(title, dims, runs, margin):
    ray, points = points_of(title, dims, runs)
    found, (mean, scatter) = slopes(points), expected(ray)
    assert found["scatter"][0] == pytest.approx(scatter, abs=margin)
    if title != "plateau":  # where the mean is off by less than its sampling error
        assert found["mean"][0] == pytest.approx(mean, abs=margin)


def test_a_wide_network_approaches_the_mean_field():
    ray, points = points_of("perfect learning, wide", (16, 64, 256), 30)
    assert slopes(points)["mean"][0] == pytest.approx(expected(ray)[0], abs=0.15)


def test_without_an_ode_runs_scatter_at_order_one_at_any_dimension():
    _, (near, far) = points_of("no ODE", (10**4, 10**6), 1000)
    assert near.scatter == pytest.approx(far.scatter, rel=0.15)
    assert far.scatter > 0.02


def test_the_limit_of_bad_learning_is_the_sgd_term_alone():
    """Euler steps of dQ/dτ = ⟨a_i a_j σ' σ' ε²⟩ by Gauss nodes; M stands still."""
    x, w = np.polynomial.hermite_e.hermegauss(24)
    grid = np.array(np.meshgrid(x, x, x, indexing="ij")).reshape(3, -1)
    weight = np.einsum("i,j,k->ijk", *(3 * [w / w.sum()])).ravel()
    begin = start(2)
    Q, M, steps = begin.Q.copy(), begin.M, 200
    risks = []
    for _ in range(steps + 1):
        root = np.linalg.cholesky(np.block([[np.eye(1), M.T], [M, Q]]))
        target, *fields = root @ grid
        fields = np.array(fields)
        error = erf(target / 2**0.5) - erf(fields / 2**0.5).mean(axis=0)
        risks.append(0.5 * weight @ error**2)
        slope = (2 / np.pi) ** 0.5 * np.exp(-0.5 * fields**2)
        Q = Q + (slope * weight * (error**2 + 0.05)) @ slope.T / steps
    limit = noise_limit(1.0)
    assert limit.risk[-1] == pytest.approx(risks[-1], rel=2e-4)
    assert limit.risk[5] == pytest.approx(risks[100], rel=2e-4)
    assert np.allclose(limit.final.M, M, atol=1e-6)
