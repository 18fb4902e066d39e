"""Targets of one's own: nodes that turn with the neuron, and how far they can be trusted."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.activations import custom, get_activation
from meanfield.fields.choose import choose_field
from meanfield.targets import LinkUnits
from meanfield.targets.potentials.nodes import Across, across
from meanfield.targets.potentials.units import LinkRules

BELL = custom(lambda x: np.exp(-x * x), name="bell")


def along_units(student, units):
    """E f* σ(λ) and its slopes of a sum of links, each over its own unit: one-dimensional rules."""
    parts = [
        LinkRules(student, LinkUnits(get_activation(f), np.array([b]), np.array([w])))
        for b, w, f in units
    ]
    return lambda u, r: [sum(pieces) for pieces in zip(*(one(u, r) for one in parts), strict=True)]


def smooth_target(k):
    return mf.MultiIndexTarget(
        lambda z: np.tanh(2 * z[:, 0] + z[:, 1]) + 0.7 * np.exp(-(z[:, -1] ** 2)), k
    )


@pytest.mark.parametrize("sigma", ["erf", "relu", "tanh"])
@pytest.mark.parametrize("k", [2, 3])
def test_long_neurons_under_a_smooth_target(k, sigma):
    """Slopes to |u| = 53 and r = 0, where a rule on directions of degree 131 is off by 12 %."""
    target = smooth_target(k)
    student = get_activation(sigma)
    rng = np.random.default_rng(0)
    lengths = [53.0, 21.0, 3.0, 0.5] if sigma != "tanh" else [2.0, 3.0, 0.5, 1.0]
    u = rng.standard_normal((4, k))
    u *= (lengths / np.sqrt((u**2).sum(axis=1)))[:, None]
    u[3], r = 0.0, np.array([0.0, 0.2, 1.0, 0.7])
    e = np.eye(k)
    expected = along_units(student, [(2 * e[0] + e[1], 1.0, "tanh"), (e[-1], 0.7, BELL)])(u, r)
    potential = across(student, target)
    found = potential(u, r)
    for one, other, scale in zip(found, expected, (53.0, 1.0, 1.0), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8 * scale)
    off = potential.miss(u, r, found=found)
    assert 0.0 < max(float(np.abs(part).max()) for part in off) < 1e-7


def test_kinks_and_steep_places_find_no_nodes():
    student = get_activation("relu")
    for function in (lambda z: np.abs(z[:, 0]), lambda z: np.tanh(60 * z[:, 0] - z[:, 1])):
        assert across(student, mf.MultiIndexTarget(function, 2)) is None
    assert across(student, mf.MultiIndexTarget(lambda z: z[:, 0], 2, smooth=False)) is None
    assert across(student, mf.MultiIndexTarget(lambda z: z[:, 0], 4)) is None


def test_the_other_nodes_show_what_is_missed():
    """With nodes too wide for the target, the error stated is the true one within a factor."""
    target, student = smooth_target(2), get_activation("relu")
    u, r = np.array([[1.8, 0.9], [-0.4, 1.0]]), np.array([0.0, 0.3])
    coarse = Across(student, target, 0.7)
    e = np.eye(2)
    exact = along_units(student, [(2 * e[0] + e[1], 1.0, "tanh"), (e[1], 0.7, BELL)])(u, r)
    true = [np.abs(x - y).max() for x, y in zip(coarse(u, r), exact, strict=True)]
    stated = [np.abs(x).max() for x in coarse.miss(u, r)]
    assert true[1] > 1e-5
    np.testing.assert_allclose(stated, true, rtol=0.01)


def test_relu_under_a_smooth_target_is_good_to_1e_7():
    problem = mf.Problem(smooth_target(2), "relu", math.inf)
    rng = np.random.default_rng(1)
    for n, name in ((6, "pairs"), (800, "half-sphere")):
        measure = mf.ParticleMeasure(np.ones(n), rng.standard_normal((n, 2)), np.full(n, 0.3))
        field = choose_field(problem, measure)
        assert field.name == name
        assert field.error_estimate(measure) < 2e-7
