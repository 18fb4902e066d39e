"""Users' own functions: checked, described so that they can be stored, and found again."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

# weights of the sixth-order central difference, and its step where no kink is near
DIFFERENCE = ((1, 45.0 / 60.0), (2, -9.0 / 60.0), (3, 1.0 / 60.0))
STEP = 2.0**-7


class MissingFunction:
    """Stands for a function that a file names and that is not there; calling it says so."""

    def __init__(self, why: str):
        self.why = why

    def __call__(self, *arguments: Any) -> Any:
        """Raise, and say why."""
        raise ValueError(self.why)


def values_at(function: Any, argument: str, points: Array, shape: tuple[int, ...]) -> Array:
    """The function's values at the points, checked to be real, finite and of the given shape."""
    if not callable(function):
        raise TypeError(f"{argument} must be a function, got {function!r}")
    try:
        values = np.asarray(function(np.array(points)))
    except Exception as error:
        raise ValueError(
            f"{argument} must map an array of shape {points.shape} to one of shape {shape}, "
            f"but raised {type(error).__name__}: {error}"
        ) from error
    if values.shape != shape or values.dtype.kind not in "biuf":
        raise ValueError(
            f"{argument} must map an array of shape {points.shape} to real numbers of shape "
            f"{shape}, got {values.dtype} of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{argument} must be finite, got {values[~np.isfinite(values)][0]}")
    return values.astype(np.float64)


def describe_function(function: Any, values: Array) -> dict[str, Any]:
    """What tells a function by: where to import it from, if anywhere, and some of its values."""
    return {"reference": _reference(function), "values": values.tolist()}


def restored_function(described: dict[str, Any], points: Array) -> Any:
    """The function that was described, or one that says why it is not there when called."""
    reference = described["reference"]
    if reference is None:
        return MissingFunction(
            "a user's function was not stored with the result, for it has no name to import it by "
            "(a lambda, or defined in another function): build the problem again to compute more"
        )
    function = _found(reference)
    if function is None:
        return MissingFunction(f"the user's function {reference!r} could not be imported here")
    try:
        same = np.allclose(function(np.array(points)), described["values"], rtol=1e-10, atol=1e-12)
    except Exception:
        same = False
    if not same:
        return MissingFunction(f"the user's function {reference!r} has changed since it was stored")
    return function


@dataclass(frozen=True)
class NumericalDerivative:
    """σ' by central differences of sixth order, whose stencil stays on one side of every kink."""

    function: Function
    kinks: tuple[float, ...]

    def __call__(self, x: Array) -> Array:
        """σ'(x), elementwise."""
        x = np.asarray(x, dtype=np.float64)
        h = np.full(x.shape, STEP)
        for kink in self.kinks:
            h = np.minimum(h, np.maximum(np.abs(x - kink) / 4.0, 2.0**-30))
        total = np.zeros(x.shape)
        for i, weight in DIFFERENCE:
            total += weight * (self.function(x + i * h) - self.function(x - i * h))
        return total / h


def function_name(function: Any) -> str:
    """The name a function goes by."""
    return str(getattr(function, "__name__", type(function).__name__))


def _reference(function: Any) -> str | None:
    """``"module:name"`` if importing that gives the very function."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or "<" in name:
        return None
    reference = f"{module}:{name}"
    return reference if _found(reference) is function else None


def _found(reference: str) -> Any:
    module, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found
