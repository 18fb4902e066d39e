"""The sample of a step: its covariance, made a block of points at a time, against all at once."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics.fluctuations.coordinates import Coordinates
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.fluctuations.sample import StepSample
from meanfield.dynamics.overlaps.averages import OverlapAverages

P = 3


def make(spherical, **how):
    """A sample, a place, what it draws there, and g (S, m) as the formulas say it."""
    target = mf.CommitteeTarget(k=2, noise=0.1)
    problem = mf.Problem(target, "relu", dim=50, learning_rate=2.0, second_layer_rate=0.7)
    start = mf.gaussian_overlaps(problem, p=P, seed=3)
    c = Coordinates(P, 2, start.a, moving=True)
    Q = start.Q / np.sqrt(np.outer(np.diag(start.Q), np.diag(start.Q))) if spherical else start.Q
    y = c.join(Q, start.M, start.a + 1.0)
    field = OverlapField(problem, c, OverlapAverages(problem), None, 4, spherical)
    sample = StepSample(field, 4, most=2**12, seed=1, **how)
    draw = sample.at(y)
    b, lam, z = draw.b, draw.lam, draw.lam_star
    g = [
        b[:, i] * lam[:, j] + b[:, j] * lam[:, i] + 2.0 / (P * 4) * b[:, i] * b[:, j]
        for i in range(P) for j in range(i, P)
    ]  # fmt: skip
    g += [b[:, i] * z[:, r] for i in range(P) for r in range(2)]
    g += [0.7 * draw.value[:, i] * draw.error for i in range(P)]
    return sample, y, draw, np.array(g).T


@pytest.mark.parametrize("spherical", [False, True])
def test_covariance_in_blocks_is_that_of_all_points(spherical):
    # a Gauss rule has unequal weights, and no whole number of blocks
    sample, y, draw, g = make(spherical, samples=None, nodes=6)
    np.testing.assert_allclose(sample.steps(draw), g, rtol=1e-12, atol=1e-14)
    free = sample.field.project(y, g)
    expected = np.cov(free.T, aweights=draw.weight, ddof=0) / 4
    found = sample.covariance(y, draw)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13 * np.abs(expected).max())


def test_the_error_of_the_covariance_is_that_of_independent_scramblings():
    sample, y, _, g = make(False, samples=2**12)
    each = np.array([np.cov(g[sample.replicate == n].T, ddof=0) for n in range(8)])
    standard_error = np.linalg.norm(each.std(axis=0, ddof=1)) / np.sqrt(8)
    expected = 2.0 * standard_error / np.linalg.norm(each.mean(axis=0))
    assert sample.covariance_error(y) == pytest.approx(expected, rel=1e-11)
