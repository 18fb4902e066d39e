"""Rubbish is refused at the boundary: by a TypeError or a ValueError that names the argument."""

import math
from functools import cache

import pytest

import meanfield as mf

TARGET = mf.CommitteeTarget(k=1)
PROBLEM = mf.Problem(TARGET, dim=20, learning_rate=0.1)
MEASURE = mf.gaussian_measure(PROBLEM, n=4)
WEIGHTS = mf.gaussian_weights(PROBLEM, p=3)


@cache
def run():
    """Made by the tests that need it: every worker imports this module, to collect its tests."""
    return mf.solve_mean_field(mf.Problem(TARGET, dim=20), MEASURE, 0.1, save_at=2)


CALLS = {
    "velocity": (mf.mean_field_velocity, (PROBLEM, MEASURE)),
    "solve": (mf.solve_mean_field, (PROBLEM, MEASURE, 0.1)),
    "overlaps": (mf.solve_overlaps, (PROBLEM, WEIGHTS.overlaps(), 0.1)),
    "sgd": (mf.simulate_sgd, (PROBLEM, WEIGHTS, 0.1)),
    "concentration": (mf.projection.concentration, (MEASURE, PROBLEM)),
    "along": (lambda **given: mf.projection.along(run(), **given), ()),
    "study": (mf.concentration_study, (TARGET, [10, 20])),
}
RUBBISH = (math.nan, -1, 0, 2.5, "x", {}, NotImplemented, [1.0, 2.0], 1 + 2j)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("value", RUBBISH, ids=repr)
def test_threads(call, value):
    function, arguments = CALLS[call]
    with pytest.raises((TypeError, ValueError), match="threads"):
        function(*arguments, threads=value)


@pytest.mark.parametrize(
    "value", [0, 2.5, "tahn", {}, {"name": "erf"}, NotImplemented, ["erf"]], ids=repr
)
def test_activations(value):
    for make in (
        lambda: mf.CommitteeTarget(k=1, activation=value),
        lambda: mf.Problem(TARGET, activation=value),
        lambda: mf.concentration_study(TARGET, [10, 20], activation=value),
    ):
        with pytest.raises((TypeError, ValueError), match="activation"):
            make()


@pytest.mark.parametrize("value", [2.5, "pool", {}, NotImplemented], ids=repr)
def test_executors(value):
    with pytest.raises(TypeError, match="executor"):
        mf.concentration_study(TARGET, [10, 20], n=4, t_end=0.1, executor=value)


def test_containers():
    with pytest.raises(TypeError, match="settings"):
        mf.regimes.four_regimes(TARGET, t_end=0.1, settings=0.5)
    with pytest.raises(ValueError, match="fractions"):
        mf.projection.along(run(), fractions=[])
