"""Fluctuation and bias of finite networks, on laws where both are known."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.transport import finite_width

LAW = 4000


def law(shift=0.0, scale=1.0, n=LAW, seed=0):
    points = np.random.default_rng(seed).standard_normal((n, 2))
    return mf.ParticleMeasure(np.ones(n), scale * points[:, 0] + shift, scale * points[:, 1] + 20)


def networks(p, runs, **options):
    return [law(n=p, seed=100 + run, **options) for run in range(runs)]


def test_draws_of_the_law_have_no_bias():
    found = [finite_width(networks(60, 6), law(), seed=seed) for seed in range(4)]
    for one in found:
        assert abs(one.bias_squared) < 3 * one.bias_squared_error
        assert one.bias_interval[0] == 0.0
        parts = one.fluctuation**2 + one.bias_squared - one.correction
        assert one.total**2 == pytest.approx(parts, rel=1e-9)
        assert (one.width, one.runs, one.draws, one.order) == (60, 6, 6, 2)


@pytest.mark.parametrize(("shift", "scale"), [(0.4, 1.0), (0.0, 1.3)])
def test_a_known_bias_is_found(shift, scale):
    bias = math.hypot(shift, (scale - 1) * math.sqrt(2))
    found = finite_width(networks(100, 8, shift=shift, scale=scale), law())
    low, high = found.bias_interval
    assert low < bias < high
    assert high - low < 0.8 * bias
    assert found.fluctuation > 0.3 * bias  # the bias does not show in the total alone


@pytest.mark.slow
def test_the_error_of_the_bias_is_its_scatter():
    """Between independent sets of networks and draws; two of it make the interval."""
    found = [
        finite_width(
            [law(n=12, seed=1000 + 8 * i + run, shift=0.5) for run in range(8)], law(), seed=i
        )
        for i in range(16)
    ]
    scatter = np.std([one.bias_squared for one in found], ddof=1)
    assert 0.6 < np.mean([one.bias_squared_error for one in found]) / scatter < 1.6
    for one in found[:3]:
        ends = [one.bias_squared + sign * 2 * one.bias_squared_error for sign in (-1, 1)]
        assert one.bias_interval == pytest.approx([math.sqrt(max(end, 0.0)) for end in ends])


@pytest.mark.parametrize("p", [20])
def test_the_bias_of_a_scaling_is_not_hidden_by_the_spacing(p):
    """Uncorrected the mean over repetitions is 15 to 35 % low, and the intervals with it."""
    truth = 2 * 0.5**2
    found = [
        finite_width(
            [law(n=p, seed=5000 + 4 * i + run, scale=1.5) for run in range(4)], law(), seed=i
        )
        for i in range(30)
    ]
    mean = np.mean([one.bias_squared for one in found])
    error = np.std([one.bias_squared for one in found]) / math.sqrt(30)
    assert abs(mean - truth) < 2.5 * error
    assert np.mean([one.correction for one in found]) > 0.0
    held = [one.bias_interval[0] <= math.sqrt(truth) <= one.bias_interval[1] for one in found]
    assert sum(held) >= 27


def test_the_fluctuation_falls_with_the_width():
    found = [finite_width(networks(p, 4), law()).fluctuation for p in (25, 100, 400)]
    slopes = np.diff(np.log(found)) / np.log(4)
    assert (slopes < -0.3).all() and (slopes > -0.6).all()  # √(log p/p) in the plane


def test_networks_of_any_kind_and_laws_with_masses():
    problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50)
    starts = [mf.gaussian_weights(problem, 20, seed=s) for s in range(3)]
    target = mf.gaussian_measure(problem, 500)
    one = finite_width(starts, target)
    two = finite_width([w.overlaps() for w in starts], target)
    assert one.total == pytest.approx(two.total, rel=1e-9)
    heavy = mf.ParticleMeasure([1.0, 1.0], [0.0, 9.0], [1.0, 1.0], mass=[1.0 - 1e-12, 1e-12])
    with_masses = finite_width([heavy_copy(20), heavy_copy(20)], heavy)
    assert with_masses.total == 0.0


def heavy_copy(n):
    return mf.ParticleMeasure(np.ones(n), np.zeros(n), np.ones(n))


def test_bad_arguments_are_named():
    for networks_, error, match in (
        (networks(5, 1), ValueError, "two runs"),
        ([law(n=5), law(n=6)], ValueError, "same width"),
        ([3, 4], TypeError, "networks"),
        ([mf.ParticleMeasure([1.0] * 2, np.ones((2, 2)), [1.0] * 2)] * 2, ValueError, "the k of"),
    ):
        with pytest.raises(error, match=match):
            finite_width(networks_, law())
    for options, match in (({"draws": 1}, "draws"), ({"seed": -1}, "seed")):
        with pytest.raises(ValueError, match=match):
            finite_width(networks(5, 2), law(), **options)
    with pytest.raises(TypeError, match="law"):
        finite_width(networks(5, 2), 3)
