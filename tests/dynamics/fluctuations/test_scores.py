"""Derivatives of the sampled γ/p term against differences of the sample's own density."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.dynamics.fluctuations.coordinates import Coordinates
from meanfield.dynamics.fluctuations.drift import OverlapField
from meanfield.dynamics.fluctuations.sample import StepSample
from meanfield.dynamics.fluctuations.scores import NoiseScores
from meanfield.dynamics.overlaps.averages import OverlapAverages

P = 3


def weighed_again(field, draw, y, moved):
    """The γ/p term at `moved` over the points drawn at y, each weighed by its density there."""

    def law(at):
        network = field.network(at)
        rank = network.u.shape[1]
        omega = np.block([[np.eye(rank), network.u.T], [network.u, network.Q]])
        quadratic = np.einsum("si,ij,sj->s", x, np.linalg.inv(omega), x)
        return np.exp(-0.5 * quadratic) / np.sqrt(np.linalg.det(omega))

    x = draw.points @ draw.factor.T
    a = field.coordinates.split(moved).a
    b = a * draw.slope * (draw.error + draw.value @ (draw_a(field, y) - a) / P)[:, None]
    weight = draw.weight * law(moved) / law(y)
    term = field.rate * (b * weight[:, None]).T @ b
    return term[field.coordinates.rows, field.coordinates.columns]


def draw_a(field, y):
    return field.coordinates.split(y).a


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_scores_are_derivatives_of_the_law_of_the_sample(kappa):
    """More points than one block has, and along several directions at once."""
    target = mf.CommitteeTarget(k=2, gram=[[1.0, 0.3], [0.3, 0.8]])
    problem = mf.Problem(target, "tanh", 50, 0.7, second_layer_rate=kappa)
    overlaps = mf.gaussian_overlaps(problem, P, seed=4)
    c = Coordinates(P, 2, overlaps.a, kappa > 0.0)
    field = OverlapField(problem, c, OverlapAverages(problem), None)
    y = c.join(overlaps.Q, overlaps.M, overlaps.a)
    draw = StepSample(field, 1, 2**11, 2**11, seed=1).at(y)
    rng, weights = np.random.default_rng(2), np.array([0.7, -0.2, 0.4])
    directions = rng.standard_normal((3, c.size))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    scores = NoiseScores(field, draw, overlaps.a)
    found = scores.along(directions, weights)
    middle, h, second = weighed_again(field, draw, y, y), 1e-4, 0.0
    assert scores.term()[: c.pairs] == pytest.approx(middle, rel=1e-12)
    for v, weight, first in zip(directions, weights, found.first, strict=True):
        ahead, behind = (weighed_again(field, draw, y, y + s * h * v) for s in (1.0, -1.0))
        size = np.abs(first).max()
        assert first[: c.pairs] == pytest.approx((ahead - behind) / (2 * h), abs=1e-5 * size)
        second = second + weight * (ahead - 2 * middle + behind) / h**2
    size = np.abs(second).max()
    assert found.second[: c.pairs] == pytest.approx(second, abs=1e-4 * size)
    assert not found.first[:, c.pairs :].any() and not found.second[c.pairs :].any()
