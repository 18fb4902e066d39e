"""What a user wants measured along a run: named functions of (t, state), kept as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks

Observables = Mapping[str, Callable[[float, Any], ArrayLike]]
Values = dict[str, NDArray[Any]]

PREFIX = "observable."  # of their names among what a run records


class Measurements:
    """The observables of a run; each keeps its shape from one time to the next.

    What one raises at t = 0, where nothing is lost yet, ends the call. Later its value is left out
    of the record and stands as NaN in the result: a run of hours does not hang on it.

    Parameters
    ----------
    observables : mapping of str to callable, optional
    required : bool
        What an observable raises ends the run at any time.
    """

    def __init__(self, observables: Observables | None, *, required: bool = False):
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
            checks.function(function, f"observables[{name!r}]", "(t, state)")
        self.functions, self.required = dict(observables), required
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.reasons: dict[str, str] = {}  # why values are missing, the first one of each

    def __bool__(self) -> bool:
        return bool(self.functions)

    def __call__(self, t: float, state: Any) -> Values:
        """Every observable at one moment, under its prefixed name, but those that failed."""
        found: Values = {}
        for name in self.functions:
            try:
                found[PREFIX + name] = self._value(name, t, state)
            except Exception as error:
                if t == 0.0 or self.required:
                    error.add_note(f"raised by the observable {name!r} at t = {t:g}")
                    raise
                reason = f"{type(error).__name__} at t = {t:g}: {error}"
                self.reasons.setdefault(name, reason)
        return found

    def _value(self, name: str, t: float, state: Any) -> NDArray[Any]:
        value = np.array(self.functions[name](t, state))
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

    def stacked(self, records: Sequence[Mapping[str, Any]], runs: int | None = None) -> Values:
        """Arrays (T, ...), or (runs, T, ...), of what was recorded, NaN where it is missing."""
        found = {name: _filled([r.get(PREFIX + name) for r in records]) for name in self.functions}
        if runs is None:
            return found
        nothing = np.full((runs, len(records)), np.nan)  # of one that failed at all times
        return {n: np.moveaxis(v, 0, 1) if v.ndim > 1 else nothing for n, v in found.items()}

    def of_runs(self, t: float, states: Iterable[Any]) -> Values:
        """The same of several runs at one moment, stacked; NaN for the runs that lack one."""
        each = [self(t, state) for state in states]
        names = {name: None for values in each for name in values}
        return {name: _filled([values.get(name) for values in each]) for name in names}

    def missing_values(self, records: Sequence[Mapping[str, Any]]) -> str:
        """What to add to the message of a run, where values are missing."""
        parts = []
        for name in self.functions:
            values = [record.get(PREFIX + name) for record in records]
            reason = self.reasons.get(name)
            if reason is None and all(value is not None for value in values):
                continue
            missing = sum(value is None or bool(np.isnan(value).any()) for value in values)
            parts.append(
                f"; the observable {name!r} is missing at {missing} of {len(records)} times "
                f"({reason or 'in the part of the run before this call'})"
            )
        return "".join(parts)


def _filled(values: Sequence[Any]) -> NDArray[Any]:
    """Values of one shape, stacked, with NaN for None."""
    present = [np.asarray(value) for value in values if value is not None]
    if len(present) == len(values):
        return np.array(values)
    hole = np.full(present[0].shape if present else (), np.nan)
    return np.array([hole if value is None else value for value in values])


def joined_observables(
    before: Mapping[str, NDArray[Any]],
    after: Mapping[str, NDArray[Any]],
    counts: Sequence[int],
    axis: int,
) -> Values:
    """Values along both parts; NaN in a part that lacks an observable, or has it otherwise."""
    found = {}
    for name in {**before, **after}:
        parts = [part.get(name) for part in (before, after)]
        known = next(part for part in parts if part is not None)
        shape = known.shape[:axis], known.shape[axis + 1 :]
        blanks = [np.full((*shape[0], count, *shape[1]), np.nan) for count in counts]
        found[name] = np.concatenate(
            [
                blank if part is None or part.shape != blank.shape else part
                for part, blank in zip(parts, blanks, strict=True)
            ],
            axis,
        )
    return found
