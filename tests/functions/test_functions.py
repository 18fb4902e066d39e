"""Users' functions: known by code, captures and values; compiled code follows what they capture."""

import ctypes
import json
import math
import sys

import numpy as np
import pytest

import meanfield as mf
from meanfield.activations import custom, get_activation
from meanfield.activations.own import compiled_unit, grid
from meanfield.functions.captures import fingerprint
from meanfield.functions.users import source_of
from meanfield.kernels.activations.own import (
    point_address,
    point_values,
    scalar_address,
    scalar_values,
)
from meanfield.problem import problem_from_parameters
from meanfield.targets.base import sample_points

steepness = 1.0


class Settings:
    factor = 1.0


def by_array():
    c = np.array([1.0])
    return lambda x: np.tanh(c[0] * x), lambda: c.fill(-1.0)


def by_cell():
    c = 1.0

    def change():
        nonlocal c
        c = -1.0

    return lambda x: np.tanh(c * x), change


def by_global():
    return lambda x: np.tanh(steepness * x), lambda: globals().update(steepness=-1.0)


def by_called_function():
    c = np.array([1.0])

    def inner(x):
        return c[0] * x

    return lambda x: np.tanh(inner(x)), lambda: c.fill(-1.0)


def by_class():
    return lambda x: np.tanh(Settings.factor * x), lambda: setattr(Settings, "factor", -1.0)


def by_default():
    def function(x, c=1.0):
        return np.tanh(c * x)

    return function, lambda: setattr(function, "__defaults__", (-1.0,))


CAPTURES = (by_array, by_cell, by_global, by_called_function, by_class, by_default)


@pytest.fixture(autouse=True)
def as_at_first(monkeypatch):
    monkeypatch.setitem(globals(), "steepness", 1.0)
    monkeypatch.setattr(Settings, "factor", 1.0)


@pytest.mark.parametrize("make", CAPTURES)
def test_a_function_is_another_when_what_it_captures_changes(make):
    function, change = make()
    before, activation = fingerprint(function), custom(function, name="own")
    assert fingerprint(function) == before and get_activation(activation) is activation
    change()
    after = fingerprint(function)
    assert after.code == before.code and after.captured != before.captured
    now = get_activation(activation)
    assert now != activation and now(np.ones(1))[0] == pytest.approx(-math.tanh(1.0))


def test_code_is_known_whatever_its_layout():
    def plain(x):
        return 2.0 * x

    def renamed(y):
        """With a word on it."""
        return 2.0 * y  # and a remark

    assert fingerprint(plain).code == fingerprint(renamed).code
    assert fingerprint(plain).code != fingerprint(lambda x: 3.0 * x).code


def called(address, x=1.0):
    """A compiled function of one number at its address."""
    return ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(address)(x)


SLOPE = 1.0 - math.tanh(1.0) ** 2


@pytest.mark.parametrize("make", [by_array, by_cell, by_global])
def test_compiled_code_follows_what_is_captured(make):
    function, change = make()
    activation = custom(function, name="own")
    first = compiled_unit(activation)
    assert compiled_unit(get_activation(activation)) == first  # compiled once
    assert called(first.value) == pytest.approx(math.tanh(1.0), rel=1e-14)
    assert called(first.slope) == pytest.approx(SLOPE, rel=1e-10)
    change()
    second = compiled_unit(get_activation(activation))
    assert called(second.value) == pytest.approx(-math.tanh(1.0), rel=1e-14)
    assert called(second.slope) == pytest.approx(-SLOPE, rel=1e-10)


def test_a_given_derivative_and_a_function_of_one_number_follow_as_well():
    c = np.array([1.0])
    # not the derivative: a difference in its place would be seen
    given = custom(lambda x: c[0] * x**3, lambda x: 5.0 * c[0] * x**2, name="cube")
    single = custom(lambda x: c[0] * x if x > 0.0 else 0.5 * x, name="bent")
    x = np.array([2.0, -1.0])
    assert single(x).tolist() == [2.0, -0.5] and called(compiled_unit(given).slope, 2.0) == 20.0
    c[0] = -1.0
    given, single = get_activation(given), get_activation(single)
    assert called(compiled_unit(given).slope, 2.0) == -20.0 == given.derivative(x)[0]
    assert called(compiled_unit(single).value, 2.0) == -2.0 and single(x).tolist() == [-2.0, -0.5]


def test_a_target_follows_in_every_description():
    c = np.array([1.0])
    target = mf.MultiIndexTarget(lambda z: c[0] * z[:, 0] + (c[0] - 1.0) * z[:, 0] ** 3, k=1)
    points, before = sample_points(1), target.parameters()

    def labels():
        target.labels()  # agrees with Python, or raises
        return point_values(point_address(source_of(target.function), 1), points)

    assert target.second_moment() == pytest.approx(1.0) and np.allclose(labels(), points[:, 0])
    c[0] = 0.0
    np.testing.assert_allclose(labels(), target(points))
    assert target.second_moment() == pytest.approx(15.0)
    assert target.series.coefficients[(3,)] == pytest.approx(-math.sqrt(6.0))
    assert target.parameters() != before
    assert target == mf.MultiIndexTarget(target.function, k=1)


@pytest.mark.parametrize("wrong", [0, 1])
def test_compiled_code_that_python_disagrees_with_is_refused(monkeypatch, wrong):
    """That of the function, and that of its derivative."""
    activation = custom(lambda x: np.tanh(x), lambda x: 1.0 - np.tanh(x) ** 2, name="own")
    compiled_unit(activation)
    code = scalar_address(source_of((activation.function, activation.derivative)[wrong]))

    def disagree(address, x):
        return scalar_values(address, x) + 0.1 * (address == code)

    monkeypatch.setattr("meanfield.activations.own.scalar_values", disagree)
    with pytest.raises(ValueError, match=r"differ by .* from those that Python gives now"):
        compiled_unit(activation)


def test_kinks_follow_what_is_captured():
    c = np.array([1.0])
    bent = custom(lambda x: np.maximum(x - c[0], 0.0), name="bent")
    assert bent.kinks == pytest.approx((1.0,))
    c[0] = -2.0
    assert get_activation(bent).kinks == pytest.approx((-2.0,))


def test_functions_that_agree_at_a_few_points_are_told_apart():
    clips = [lambda x: np.clip(x, -1.0, 1.0), lambda x: np.clip(3.0 * x, -1.0, 1.0)]
    first, second = (mf.Problem(mf.CommitteeTarget(k=1), f) for f in clips)
    assert first != second and first == mf.Problem(mf.CommitteeTarget(k=1), clips[0])
    values = [p.parameters()["activation"]["function"]["values"] for p in (first, second)]
    assert np.abs(np.subtract(*values)).max() > 0.6


def clipped(x):
    return np.clip(x, -1.0, 1.0)


def steeper(x):
    return np.clip(3.0 * x, -1.0, 1.0)


def same_values(x):
    return np.minimum(np.maximum(x, -1.0), 1.0)


@pytest.mark.parametrize(
    ("now", "differs"),
    [(steeper, "its code and its values"), (same_values, "its code")],
)  # fmt: skip
def test_a_file_does_not_bind_another_function(now, differs, monkeypatch):
    stored = json.loads(json.dumps(mf.Problem(mf.CommitteeTarget(k=1), clipped).parameters()))
    assert problem_from_parameters(stored).student(np.full(1, 3.0))[0] == 1.0
    monkeypatch.setattr(sys.modules[__name__], "clipped", now)
    with pytest.raises(ValueError, match=f"clipped' has changed since stored: {differs} differ"):
        problem_from_parameters(stored).student(np.ones(1))


def test_older_files_hold_nine_values_and_still_load():
    stored = mf.Problem(mf.CommitteeTarget(k=1), custom(clipped, kinks=(-1, 1))).parameters()
    function = {"reference": f"{__name__}:clipped", "scalar": False,
                "values": clipped(grid(9)).tolist()}  # fmt: skip
    stored["activation"] = {**stored["activation"], "function": function}
    student = problem_from_parameters(json.loads(json.dumps(stored))).student
    assert student.kinks == (-1.0, 1.0) and student(np.full(1, 3.0))[0] == 1.0
    function["values"][4] = 0.5
    with pytest.raises(ValueError, match="has changed since stored: its values differ"):
        problem_from_parameters(stored).student(np.ones(1))
