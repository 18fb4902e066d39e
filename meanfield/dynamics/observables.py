"""What a user wants measured along a run: named functions of (t, state), kept as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Observables = Mapping[str, Callable[[float, Any], ArrayLike]]
Values = dict[str, NDArray[Any]]

PREFIX = "observable."  # of their names among what a run records


class Measurements:
    """The observables of a run; each keeps its shape from one time to the next."""

    def __init__(self, observables: Observables | None):
        if observables is None:
            observables = {}
        if not isinstance(observables, Mapping):
            raise TypeError(
                "observables must be a mapping from names to functions of (t, state), got "
                f"{type(observables).__name__}"
            )
        for name, function in observables.items():
            if not isinstance(name, str):
                raise TypeError(f"observables must be named by strings, got {name!r}")
            if not callable(function):
                raise TypeError(
                    f"observables must be functions of (t, state), got {function!r} for {name!r}"
                )
        self.functions = dict(observables)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self.functions)

    def __call__(self, t: float, state: Any) -> Values:
        """Every observable at one moment, under its prefixed name."""
        return {PREFIX + name: self._value(name, t, state) for name in self.functions}

    def _value(self, name: str, t: float, state: Any) -> NDArray[Any]:
        try:
            value = np.array(self.functions[name](t, state))
        except Exception as error:
            error.add_note(f"raised by the observable {name!r} at t = {t:g}")
            raise
        if value.dtype.kind not in "biufc":
            raise TypeError(
                f"observables must return numbers or arrays of numbers; {name!r} returned "
                f"{value.dtype} at t = {t:g}"
            )
        shape = self.shapes.setdefault(name, value.shape)
        if value.shape != shape:
            raise ValueError(
                f"observables must keep their shape; {name!r} returned {value.shape} at t = {t:g} "
                f"and {shape} before"
            )
        return value

    def stacked(self, records: Sequence[Mapping[str, Any]]) -> Values:
        """Arrays (T, ...) of what was recorded."""
        return {
            name: np.array([record[PREFIX + name] for record in records]) for name in self.functions
        }
