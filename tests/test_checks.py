"""Every check returns what is allowed and refuses the rest by the argument's name."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanfield import checks


@given(st.integers(-3, 10**12))
def test_integer_keeps_its_value_above_the_minimum(value):
    for given_as in (value, np.int64(value)):
        if value >= 2:
            result = checks.integer(given_as, "n", minimum=2)
            assert type(result) is int and result == value
        else:
            with pytest.raises(
                ValueError, match=f"n must be an integer of at least 2, got {value}"
            ):
                checks.integer(given_as, "n", minimum=2)


@pytest.mark.parametrize("value", [1.0, "1", None, True, np.bool_(True), [1], 1j])
def test_integer_refuses_other_types(value):
    with pytest.raises(TypeError, match="n must be an integer"):
        checks.integer(value, "n")


@pytest.mark.parametrize("value", [0, 1.5, np.float32(0.5), np.int8(3)])
def test_real_returns_a_float(value):
    result = checks.real(value, "rtol")
    assert type(result) is float and result == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_real_refuses_what_is_not_finite(value):
    with pytest.raises(ValueError, match="rtol must be finite"):
        checks.real(value, "rtol")


@pytest.mark.parametrize("value", ["1", None, True, np.True_, 1j, [1.0], np.ones(1)])
def test_real_refuses_other_types(value):
    with pytest.raises(TypeError, match="rtol must be a real number"):
        checks.real(value, "rtol")


def test_real_bounds_are_closed_below_and_open_above():
    assert checks.real(0.0, "x", minimum=0.0) == 0.0
    with pytest.raises(ValueError, match="x must be at least 0, got -1e-09"):
        checks.real(-1e-9, "x", minimum=0.0)
    with pytest.raises(ValueError, match="x must be greater than 0, got 0"):
        checks.real(0.0, "x", above=0.0)


def test_array_is_a_read_only_copy():
    mine = np.arange(6).reshape(2, 3)
    result = checks.array(mine, "u", (2, None))
    assert result.dtype == np.float64 and result.flags.c_contiguous
    mine[0, 0] = 99
    assert result[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        result[0, 0] = 1.0


@pytest.mark.parametrize("shape", [(3, 2), (2,), (), (2, 3, 1)])
def test_array_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"u must have shape \(2, any\), got"):
        checks.array(np.zeros(shape), "u", (2, None))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_array_counts_what_is_not_finite(bad):
    with pytest.raises(ValueError, match="u must be finite, got 2 NaN or infinite entries"):
        checks.array([0.0, bad, bad], "u", (None,))


@pytest.mark.parametrize(
    "value", ["words", ["1", "2"], [1, None], [[1], [1, 2]], np.array([1j]), {"a": 1}, object()]
)
def test_array_refuses_what_is_not_real_numbers(value):
    with pytest.raises(TypeError, match="u must be an array of real numbers"):
        checks.array(value, "u", (None,))


def test_option_lists_the_words():
    assert checks.option("b", "method", ["a", "b"]) == "b"
    with pytest.raises(ValueError, match="method must be one of 'a', 'b', got 'c'"):
        checks.option("c", "method", ["a", "b"])
    with pytest.raises(TypeError, match="method must be one of 'a', 'b', got 3"):
        checks.option(3, "method", ["a", "b"])


def test_instance_names_both_types():
    assert checks.instance(3, "x", int) == 3
    with pytest.raises(TypeError, match="x must be a dict, got int"):
        checks.instance(3, "x", dict)


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@given(values)
def test_same_values_is_reflexive_even_with_nan(value):
    def rebuilt(x):
        if isinstance(x, list):
            return [rebuilt(item) for item in x]
        if isinstance(x, dict):
            return {key: rebuilt(item) for key, item in x.items()}
        return float(str(x)) if isinstance(x, float) else x

    assert checks.same_values(value, rebuilt(value))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 3.0])),
        (np.array([1.0]), np.array([1.0, 1.0])),
        ({"a": 1}, {"b": 1}),
        ({"a": np.ones(2)}, {"a": np.zeros(2)}),
        ([1, [2, math.nan]], [1, [2, 0.0]]),
        ([1, 2], [1]),
        (math.nan, 1.0),
        (1.0, math.nan),
        (1, None),
    ],
)
def test_same_values_sees_a_difference(first, second):
    assert not checks.same_values(first, second)


def test_same_values_takes_a_tuple_for_its_list():
    assert checks.same_values({"x": (1, 2), "y": np.ones(2)}, {"x": [1, 2], "y": [1.0, 1.0]})
