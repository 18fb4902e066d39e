"""Checks at the boundary: each names the argument, says what came and what is allowed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")


def integer(value: Any, name: str, *, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value}")
    return int(value)


def real(value: Any, name: str, *, minimum: float = -math.inf, above: float = -math.inf) -> float:
    """Return `value` as a finite float with value >= `minimum` and value > `above`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum:g}, got {number:g}")
    if number <= above:
        raise ValueError(f"{name} must be greater than {above:g}, got {number:g}")
    return number


def thread_count(value: Any) -> int | None:
    """Return the argument `threads`: None, or a positive int."""
    return None if value is None else integer(value, "threads")


def switch(value: Any, name: str) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def array(
    value: ArrayLike, name: str, shape: tuple[int | None, ...], *, described: str = ""
) -> NDArray[np.float64]:
    """Return a read-only float64 copy of `value`, finite, of the given shape (None: any length)."""
    try:
        if np.asarray(value).dtype.kind not in "biuf":
            raise TypeError("neither integers nor floats")  # complex would be cut, text parsed
        result = np.array(value, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of real numbers, got {value!r}") from error
    wanted = described or str(tuple("any" if m is None else m for m in shape)).replace("'", "")
    fits = result.ndim == len(shape) and all(
        m is None or m == have for m, have in zip(shape, result.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape {wanted}, got {result.shape}")
    if not np.isfinite(result).all():
        count = int(result.size - np.isfinite(result).sum())
        raise ValueError(f"{name} must be finite, got {count} NaN or infinite entries")
    result.setflags(write=False)
    return result


def option(value: Any, name: str, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of the `allowed` words."""
    words = tuple(allowed)
    if isinstance(value, str) and value in words:
        return value
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"{name} must be one of {', '.join(map(repr, words))}, got {value!r}")


def instance(value: Any, name: str, kind: type[T]) -> T:
    """Return `value` if it is an instance of `kind`."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
    return value


def function(value: Any, name: str, of: str) -> Callable[..., Any]:
    """Return `value` if it can be called with as many arguments as `of` names, as in "(t, state)".

    Where that can be told: some functions written in C do not say what they take.
    """
    if not callable(value):
        raise TypeError(f"{name} must be a function of {of}, got {value!r}")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return value
    try:
        signature.bind(*of.split(","))
    except TypeError as error:
        raise TypeError(
            f"{name} must be a function of {of}, got one of {signature}: {error}"
        ) from error
    return value


def same_values(first: Any, second: Any) -> bool:
    """Equality that looks inside arrays, mappings and sequences; NaN equals NaN."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return np.array_equal(np.asarray(first), np.asarray(second), equal_nan=True)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(
            same_values(first[key], second[key]) for key in first
        )
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        # a tuple that went through a file comes back as a list
        return len(first) == len(second) and all(map(same_values, first, second))
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return bool(first == second)
