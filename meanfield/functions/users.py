"""Users' own functions: checked, described so that they can be stored, and found again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.functions.captures import SCHEME, fingerprint
from meanfield.kernels.activations.own import CompilationError, Source, vectorized

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

# weights of the sixth-order central difference, and its step where no kink is near
DIFFERENCE = ((1, 45.0 / 60.0), (2, -9.0 / 60.0), (3, 1.0 / 60.0))
STEP = 2.0**-7
AGREEMENT = 1e-9  # of compiled and interpreted values, relative to the largest


@dataclass(frozen=True)
class StoredFunction:
    """Stands for a function that a file names: looked for when first called, and checked.

    Nothing is imported for it, so that reading a file executes nothing: the module that defines
    the function must have been imported by the user. Older files know no fingerprint, and fewer
    values.
    """

    reference: str | None
    scalar: bool
    values: tuple[float, ...]
    points: Array = field(compare=False, repr=False)
    marks: tuple[str, ...] = field(default=(), repr=False)  # scheme, code, captured
    known: list[str] = field(default_factory=list, compare=False, repr=False)

    def __call__(self, z: Array) -> Array:
        """The function's values, or a ValueError that says why it is not there."""
        return self.resolve()(z)

    def resolve(self) -> Function:
        """The function itself."""
        if self.reference is None:
            raise ValueError(
                "a user's function was not stored with the result, for it has no name to find it "
                "by (a lambda, or defined in another function): build the problem again"
            )
        function = imported(self.reference)
        if function is None:
            raise ValueError(
                f"the user's function {self.reference!r} is not there: import its module first"
            )
        key = key_of(function)
        found = Elementwise(function) if self.scalar else function
        if key not in self.known:  # compared once, while nothing changes
            self._compare(function, found)
            self.known[:] = [key]
        return found

    def _compare(self, function: Any, found: Function) -> None:
        now = fingerprint(function)
        differs = []
        if self.marks and self.marks[0] == SCHEME:  # byte code of one version of Python
            pairs = zip(("its code", "what it captures"), self.marks[1:], now, strict=True)
            differs = [what for what, stored, present in pairs if stored != present]
        values = np.asarray(found(np.array(self.points)))
        if not np.allclose(values, self.values, rtol=1e-10, atol=1e-12):
            differs.append("its values")
        if differs:
            raise ValueError(
                f"the user's function {self.reference!r} has changed since stored: "
                f"{' and '.join(differs)} differ"
            )


@dataclass(frozen=True)
class Elementwise:
    """A function of one number (with an ``if``, say), compiled to take arrays."""

    function: Callable[[float], float]

    def __call__(self, x: Array) -> Array:
        """Values at every entry of an array."""
        return np.asarray(vectorized(source_of(self))(x), dtype=np.float64)


def key_of(function: Any) -> str:
    """A key of a function's code and of what it captures now."""
    return "".join(fingerprint(function))


def source_of(function: Any) -> Source:
    """The function that the user wrote, with the key that its compiled forms are kept by."""
    if isinstance(function, StoredFunction):
        function = function.resolve()
    if isinstance(function, Elementwise):
        function = function.function
    return Source(key_of(function), function)


class KeptWhileSame:
    """A property kept for as long as ``self.function`` captures the same values."""

    def __init__(self, make: Callable[[Any], Any]):
        self.make, self.__doc__ = make, make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"kept {name}"

    def __get__(self, instance: Any, owner: type) -> Any:
        function = instance.function
        key = "" if isinstance(function, StoredFunction) else key_of(function)
        kept = instance.__dict__.get(self.name)
        if kept is None or kept[0] != key:
            kept = instance.__dict__[self.name] = key, self.make(instance)
        return kept[1]


def elementwise(function: Any, points: Array) -> Any:
    """The function itself if it takes arrays, else made to if numba can."""
    if callable(function):
        try:
            if np.shape(function(np.array(points))) == points.shape:
                return function
        except Exception:
            pass
        try:
            found = Elementwise(function)
            found(points)
            return found
        except CompilationError:
            pass
    return function


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
    """What tells a function: where to import it from, code and captures, values on a grid."""
    scalar = isinstance(function, Elementwise)
    own = function.function if scalar else function
    marks = fingerprint(own)
    return {
        "reference": _reference(own), "scalar": scalar, "values": values.tolist(),
        "scheme": SCHEME, "code": marks.code, "captured": marks.captured,
    }  # fmt: skip


def restored_function(described: dict[str, Any], grids: Callable[[int], Array]) -> StoredFunction:
    """The function that was described, found when it is first called.

    ``grids(n)`` is the grid of n points: earlier versions took other ones.
    """
    values = tuple(described["values"])
    marks = tuple(described[name] for name in ("scheme", "code", "captured") if name in described)
    points = grids(len(values))
    return StoredFunction(described["reference"], described["scalar"], values, points, marks)


@dataclass(frozen=True)
class NumericalDerivative:
    """σ' by central differences of sixth order, whose stencil stays on one side of every kink.

    ``steps[j]`` is the step between ``edges[j - 1]`` and ``edges[j]``: shorter where σ is steep.
    """

    function: Function
    kinks: tuple[float, ...]
    edges: tuple[float, ...] = ()
    steps: tuple[float, ...] = (STEP,)

    def __call__(self, x: Array) -> Array:
        """σ'(x), elementwise."""
        x = np.asarray(x, dtype=np.float64)
        h = np.asarray(self.steps)[np.searchsorted(self.edges, x)]
        for kink in self.kinks:
            h = np.minimum(h, np.maximum(np.abs(x - kink) / 4.0, 2.0**-30))
        total = np.zeros(x.shape)
        for i, weight in DIFFERENCE:
            total += weight * (self.function(x + i * h) - self.function(x - i * h))
        return total / h


def refuse_other(what: str, interpreted: Array, compiled: Array) -> None:
    """Refuse compiled code that is not what every other description calls."""
    size = float(np.abs(interpreted).max())
    if not np.allclose(interpreted, compiled, rtol=AGREEMENT, atol=AGREEMENT * size):
        worst = float(np.abs(interpreted - compiled).max())
        raise ValueError(
            f"SGD calls the {what} compiled, and what numba made of it gives values that differ by "
            f"{worst:.2g} from those that Python gives now: does it draw random numbers, or call "
            "compiled functions whose captured values changed (their `recompile()` helps)?"
        )


def refusal(what: str, error: Exception) -> str:
    """Why SGD cannot have a function."""
    return (
        f"SGD calls the {what} once a sample and needs it compiled, but numba refused: {error}; "
        "simple NumPy of columns z[:, 0] and loops compile"
    )


def function_name(function: Any) -> str:
    """The name a function goes by."""
    return str(getattr(function, "__name__", type(function).__name__))


def _reference(function: Any) -> str | None:
    """``"module:name"`` if importing that gives the very function."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or "<" in name:
        return None
    reference = f"{module}:{name}"
    return reference if imported(reference) is function else None


def imported(reference: str) -> Any:
    """What a reference names in the modules that are imported already."""
    module, _, name = reference.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
