"""What a schedule is, and which values a rate can have."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks

Array = NDArray[np.float64]

CLOCKS = ("t", "alpha")


class BadValue(ValueError):
    """A schedule gave a value that no rate can have."""


@dataclass(frozen=True)
class Schedule:
    """A rate as a function of its clock; made by the functions of `meanfield.schedules`.

    Attributes
    ----------
    clock : str
        ``"t"`` or ``"alpha"``.
    offset : float
        What is added to the clock's reading: where a later phase of a run begins.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.schedules.power(1.0, 1.0, onset=2.0)([0.0, 2.0])
    array([1. , 0.5])
    """

    clock: str = "t"
    offset: float = 0.0
    kind: ClassVar[str] = ""
    code: ClassVar[int] = -1  # for compiled loops; negative: only Python knows the function

    def __call__(self, x: ArrayLike) -> Array:
        """Values at readings x ≥ 0 of the clock, of any shape."""
        return self._values(np.asarray(x, dtype=np.float64) + self.offset)

    def _values(self, x: Array) -> Array:
        raise NotImplementedError

    def _check(self) -> None:
        """Bring the arguments into their form, or refuse them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock", checks.option(self.clock, "clock", CLOCKS))
        object.__setattr__(self, "offset", checks.real(self.offset, "offset", minimum=0.0))
        self._check()

    def _set(self, name: str, **bounds: float) -> None:
        object.__setattr__(self, name, checks.real(getattr(self, name), name, **bounds))

    @property
    def breaks(self) -> tuple[float, ...]:
        """Readings of the clock, above 0, at which the values jump or bend."""
        return tuple(x - self.offset for x in self._breaks() if x > self.offset)

    def _breaks(self) -> tuple[float, ...]:
        return ()

    @property
    def constants(self) -> Array:
        """The numbers that a compiled loop needs beside the code."""
        return np.empty(0)

    def later(self, by: float) -> Schedule:
        """The same schedule, read by a clock that starts `by` later."""
        return replace(self, offset=self.offset + by)

    def parameters(self) -> dict[str, Any]:
        """What is needed to build the schedule again, in plain values."""
        found: dict[str, Any] = {"kind": self.kind}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "offset" or value:
                found[each.name] = list(value) if isinstance(value, tuple) else value
        return found


def allowed(values: Array, name: str, x: Array) -> Array:
    """Return the values, or say which is none that a rate can have."""
    bad = ~(np.isfinite(values) & (values >= 0.0))
    if bad.any():
        place = np.unravel_index(int(np.argmax(bad)), bad.shape)
        found, at = float(np.asarray(values)[place]), float(np.broadcast_to(x, bad.shape)[place])
        raise BadValue(f"{name} must be finite and at least 0, got {found:g} at {at:g}")
    return values


def largest(value: Any) -> float:
    """Above 0 where a rate may ever be: a number itself, infinity for a schedule."""
    return math.inf if isinstance(value, Schedule) else float(value)
