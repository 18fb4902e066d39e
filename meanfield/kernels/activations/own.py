"""Users' own functions, compiled and known by their addresses.

What is compiled keeps the globals and closure cells that it was compiled with, so it is kept by a
key of the code and of all that it captures, never by the function object.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba import types

from meanfield.kernels.options import own

SCALAR = types.float64(types.float64)
VECTOR = types.float64(types.CPointer(types.float64))

# weights of the sixth-order central difference over 60
FIRST, SECOND, THIRD = 45.0 / 60.0, -9.0 / 60.0, 1.0 / 60.0


class CompilationError(ValueError):
    """numba could not compile a user's function; the message says why."""


@dataclass(frozen=True)
class Source:
    """A function as it is now: two are the same if their keys are, whatever the objects."""

    key: str
    function: Callable[..., Any] = field(compare=False)


@lru_cache(maxsize=256)
def scalar_function(source: Source) -> Any:
    """A compiled float64(float64) that agrees with an elementwise function."""
    compiled = _jitted(source.function)

    def one(x):
        return np.float64(compiled(x))

    def first(x):
        return np.float64(compiled(np.full(1, x))[0])

    try:
        return _compiled(own(one), SCALAR)
    except CompilationError:  # written for arrays alone
        return _compiled(own(first), SCALAR)


@lru_cache(maxsize=256)
def vectorized(source: Source) -> Any:
    """A ufunc of a function of one number."""
    function = getattr(source.function, "py_func", source.function)
    try:
        return numba.vectorize([SCALAR])(function)
    except Exception as error:  # numba raises many kinds
        raise CompilationError(_reason(error)) from error


@lru_cache(maxsize=256)
def scalar_address(source: Source) -> tuple[int, Any]:
    """Address of a compiled float64(float64), and what must be kept for it to stay valid."""
    inner = scalar_function(source)

    def call(x):
        return inner(x)

    return _address(call, SCALAR)


@lru_cache(maxsize=256)
def difference_address(
    source: Source, kinks: tuple[float, ...], edges: tuple[float, ...], steps: tuple[float, ...]
) -> tuple[int, Any]:
    """The same for the derivative by central differences, on one side of every kink.

    ``steps[j]`` is the step between ``edges[j - 1]`` and ``edges[j]``.
    """
    inner = scalar_function(source)
    at, ends, widths = (np.array(each, dtype=np.float64) for each in (kinks, edges, steps))

    def slope(x):
        h = widths[np.searchsorted(ends, x)]
        for kink in at:
            h = min(h, max(abs(x - kink) / 4.0, 2.0**-30))
        near = FIRST * (inner(x + h) - inner(x - h))
        far = SECOND * (inner(x + 2.0 * h) - inner(x - 2.0 * h))
        return (near + far + THIRD * (inner(x + 3.0 * h) - inner(x - 3.0 * h))) / h

    return _address(slope, SCALAR)


@lru_cache(maxsize=256)
def point_address(source: Source, k: int) -> tuple[int, Any]:
    """Address of a compiled float64(float64*): a function of points (n, k), at one point."""
    inner = _jitted(source.function)

    def call(pointer):
        z = numba.carray(pointer, (1, k))
        return np.float64(inner(z)[0])

    return _address(call, VECTOR)


def scalar_values(address: tuple[int, Any], x: Any) -> Any:
    """What the compiled function at a `scalar_address` gives at points x (n,)."""
    return np.array([address[1].ctypes(value) for value in x])


def point_values(address: tuple[int, Any], z: Any) -> Any:
    """What the compiled function at a `point_address` gives at points z (n, k)."""
    pointer = ctypes.POINTER(ctypes.c_double)
    rows = np.ascontiguousarray(z, dtype=np.float64)
    return np.array([address[1].ctypes(row.ctypes.data_as(pointer)) for row in rows])


def _jitted(function: Callable[..., Any]) -> Any:
    """A Python function compiled anew, even one that its user compiled before; a ufunc as it is."""
    function = getattr(function, "py_func", function)
    return own(function) if isinstance(function, FunctionType) else function


def _compiled(function: Any, signature: Any) -> Any:
    try:
        function.compile(signature.args)
    except Exception as error:  # numba raises many kinds
        raise CompilationError(_reason(error)) from error
    return function


def _address(function: Callable[..., Any], signature: Any) -> tuple[int, Any]:
    try:
        compiled = numba.cfunc(signature, error_model="numpy")(function)
    except Exception as error:
        raise CompilationError(_reason(error)) from error
    return int(compiled.address), compiled


def _reason(error: Exception) -> str:
    """The line of numba's long message that says what it does not know."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Failed", "During", "-", "File"))]
    return (telling or lines or [type(error).__name__])[0]
