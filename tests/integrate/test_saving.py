"""The times of a run."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import meanfield as mf
from meanfield.integrate.records import DEFAULT_SAVES, check_times

positive = st.floats(1e-6, 1e9)


@given(t_end=positive, count=st.integers(2, 50))
def test_linear_times(t_end, count):
    times = mf.linear_times(t_end, count)
    assert len(times) == count
    assert (times[0], times[-1]) == (0.0, t_end)
    assert np.diff(times) == pytest.approx(t_end / (count - 1), rel=1e-9)
    assert (check_times(times, t_end) == times).all()


@given(t_end=positive, count=st.integers(3, 50), ratio=st.floats(1e-8, 0.9))
def test_logarithmic_times(t_end, count, ratio):
    first = ratio * t_end
    times = mf.logarithmic_times(t_end, count, first)
    assert len(times) == count
    assert (times[0], times[-1]) == (0.0, t_end)
    assert times[1] == pytest.approx(first)
    assert np.diff(np.log(times[1:])) == pytest.approx(math.log(1 / ratio) / (count - 2), rel=1e-6)
    assert (check_times(times, t_end) == times).all()


def test_defaults():
    assert len(mf.linear_times(2.0)) == len(mf.logarithmic_times(2.0)) == DEFAULT_SAVES
    assert mf.logarithmic_times(2.0)[1] == pytest.approx(0.002)
    assert check_times(None, 2.0).tolist() == mf.linear_times(2.0).tolist()
    assert check_times(5, 2.0).tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert check_times(np.int64(3), 2.0).tolist() == [0.0, 1.0, 2.0]


def test_any_increasing_times_will_do():
    assert check_times([0.5], 2.0).tolist() == [0.5]
    assert check_times((0, 1, 2), 2.0).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("save_at", "error", "match"),
    [
        ([], ValueError, "save_at must hold at least one time"),
        ([0.0, 1.0, 1.0], ValueError, "save_at must increase strictly"),
        ([1.0, 0.5], ValueError, "save_at must increase strictly"),
        ([-0.1, 1.0], ValueError, r"save_at must lie in \[0, t_end\] = \[0, 2\], got \[-0.1, 1\]"),
        ([0.0, 2.5], ValueError, "save_at must lie in"),
        ([0.0, math.nan], ValueError, "save_at must be finite"),
        ([[0.0, 1.0]], ValueError, r"save_at must have shape \(T,\), got \(1, 2\)"),
        (1, ValueError, "save_at must be an integer of at least 2, got 1"),
        (1.5, TypeError, r"save_at must be times or how many .* got 1.5; for one in every 1.5"),
        (True, ValueError, r"save_at must have shape \(T,\)"),
        ("all", TypeError, "save_at must be an array"),
    ],
)
def test_bad_times_name_the_argument(save_at, error, match):
    with pytest.raises(error, match=match):
        check_times(save_at, 2.0)


@pytest.mark.parametrize("times", [mf.linear_times, mf.logarithmic_times])
@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"t_end": 0.0}, ValueError, "t_end must be greater than 0"),
        ({"t_end": -1.0}, ValueError, "t_end must be greater than 0"),
        ({"t_end": math.inf}, ValueError, "t_end must be finite"),
        ({"t_end": "ten"}, TypeError, "t_end must be a real number"),
        ({"count": 1}, ValueError, "count must be an integer of at least"),
        ({"count": 5.0}, TypeError, "count must be an integer"),
    ],
)
def test_bad_arguments_are_named(times, arguments, error, match):
    with pytest.raises(error, match=match):
        times(**({"t_end": 1.0} | arguments))


def test_the_first_logarithmic_time_comes_before_the_last():
    with pytest.raises(ValueError, match="first must be below t_end = 1, got 1"):
        mf.logarithmic_times(1.0, first=1.0)
    with pytest.raises(ValueError, match="first must be greater than 0"):
        mf.logarithmic_times(1.0, first=0.0)
