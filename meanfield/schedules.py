"""Rates that change along a run: numbers as functions of the time t or of α, as values.

A schedule knows nothing of the run that reads it. Its clock says what its argument is: ``"t"``, the
time t = Σγ/(p d) of every description, or ``"alpha"``, α = ν/d, samples per dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.functions.users import describe_function, restored_function, values_at

Array = NDArray[np.float64]

CLOCKS = ("t", "alpha")
# where a user's function is looked at when it is made, and told from another one
GRID = np.concatenate(([0.0], np.geomspace(1e-3, 1e3, 25)))


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


@dataclass(frozen=True, kw_only=True)
class Power(Schedule):
    """initial (1 + x/onset)^−exponent."""

    initial: float
    exponent: float
    onset: float
    kind, code = "power", 0

    def _check(self) -> None:
        self._set("initial", minimum=0.0)
        self._set("exponent")
        self._set("onset", above=0.0)

    def _values(self, x: Array) -> Array:
        return self.initial * (1.0 + x / self.onset) ** -self.exponent

    @property
    def constants(self) -> Array:
        """See `Schedule`."""
        return np.array([self.initial, self.exponent, self.onset])


@dataclass(frozen=True, kw_only=True)
class Exponential(Schedule):
    """initial e^{−x/time}."""

    initial: float
    time: float
    kind, code = "exponential", 1

    def _check(self) -> None:
        self._set("initial", minimum=0.0)
        self._set("time", above=0.0)

    def _values(self, x: Array) -> Array:
        return self.initial * np.exp(-x / self.time)

    @property
    def constants(self) -> Array:
        """See `Schedule`."""
        return np.array([self.initial, self.time])


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Half a period of a cosine from initial to final, then final."""

    initial: float
    final: float
    duration: float
    kind, code = "cosine", 2

    def _check(self) -> None:
        self._set("initial", minimum=0.0)
        self._set("final", minimum=0.0)
        self._set("duration", above=0.0)

    def _values(self, x: Array) -> Array:
        turned = np.cos(np.pi * np.minimum(x / self.duration, 1.0))
        return self.final + 0.5 * (self.initial - self.final) * (1.0 + turned)

    def _breaks(self) -> tuple[float, ...]:
        return (self.duration,)

    @property
    def constants(self) -> Array:
        """See `Schedule`."""
        return np.array([self.initial, self.final, self.duration])


@dataclass(frozen=True, kw_only=True)
class Piecewise(Schedule):
    """values[i] from times[i] on."""

    times: tuple[float, ...]
    values: tuple[float, ...]
    kind, code = "piecewise", 3

    def _check(self) -> None:
        times = checks.array(self.times, "times", (None,))
        values = checks.array(self.values, "values", times.shape)
        if times.size == 0 or times[0] != 0.0:
            raise ValueError(f"times must start at 0, got {times.tolist()}")
        if (np.diff(times) <= 0.0).any():
            raise ValueError(f"times must increase strictly, got {times.tolist()}")
        if (values < 0.0).any():
            raise ValueError(f"values must be at least 0, got {values.min():g}")
        object.__setattr__(self, "times", tuple(times.tolist()))
        object.__setattr__(self, "values", tuple(values.tolist()))

    def _values(self, x: Array) -> Array:
        place = np.searchsorted(self.times, x, side="right") - 1
        return np.asarray(self.values)[np.maximum(place, 0)]

    def _breaks(self) -> tuple[float, ...]:
        return self.times[1:]

    @property
    def constants(self) -> Array:
        """See `Schedule`."""
        return np.array([*self.times, *self.values])


@dataclass(frozen=True, kw_only=True, eq=False)
class Custom(Schedule):
    """A user's own function of an array of readings."""

    law: Any
    kind = "function"

    def _check(self) -> None:
        if isinstance(self.law, Mapping):
            described = dict(self.law)
            object.__setattr__(self, "law", restored_function(described, lambda n: GRID[:n]))
        else:
            values = values_at(self.law, "function", GRID, GRID.shape)
            described = describe_function(self.law, allowed(values, "function", GRID))
        object.__setattr__(self, "_described", described)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Custom):
            return NotImplemented
        return checks.same_values(self.parameters(), other.parameters())

    def __hash__(self) -> int:
        return hash((self.kind, self.clock, self.offset))

    def later(self, by: float) -> Schedule:
        """See `Schedule`."""
        found = object.__new__(Custom)
        found.__dict__.update(self.__dict__, offset=self.offset + by)
        return found

    def _values(self, x: Array) -> Array:
        return np.asarray(self.law(x), dtype=np.float64)

    def parameters(self) -> dict[str, Any]:
        """See `Schedule`."""
        return super().parameters() | {"law": self.__dict__["_described"]}


KINDS: dict[str, type[Schedule]] = {
    each.kind: each for each in (Power, Exponential, Cosine, Piecewise, Custom)
}


def constant(value: float) -> float:
    """A rate that does not change: the number itself, checked.

    Parameters
    ----------
    value : float
        ≥ 0.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If it is not a finite number of at least 0.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.schedules.constant(0.5)
    0.5
    """
    return checks.real(value, "value", minimum=0.0)


def power(initial: float, exponent: float, onset: float, *, clock: str = "t") -> Schedule:
    """initial (1 + x/onset)^−exponent, with x the reading of the clock.

    Parameters
    ----------
    initial : float
        Value at 0, ≥ 0.
    exponent : float
        1 is the decay of stochastic approximation (Robbins & Monro 1951).
    onset : float
        Where the decay sets in, > 0, in units of the clock.
    clock : str
        ``"t"``, the time of every description, or ``"alpha"``, samples per dimension.

    Returns
    -------
    Schedule

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import meanfield as mf
    >>> float(mf.schedules.power(1.0, 0.5, onset=1.0)(3.0))
    0.5
    """
    return Power(clock=clock, initial=initial, exponent=exponent, onset=onset)


def exponential(initial: float, time: float, *, clock: str = "t") -> Schedule:
    """initial e^{−x/time}, with x the reading of the clock; arguments as for `power`.

    Examples
    --------
    >>> import meanfield as mf
    >>> float(mf.schedules.exponential(2.0, time=1.0)(0.0))
    2.0
    """
    return Exponential(clock=clock, initial=initial, time=time)


def cosine(initial: float, duration: float, final: float = 0.0, *, clock: str = "t") -> Schedule:
    """Half a cosine from `initial` to `final` within `duration`, and `final` from there on.

    Examples
    --------
    >>> import meanfield as mf
    >>> float(mf.schedules.cosine(1.0, duration=2.0)(1.0))
    0.5
    """
    return Cosine(clock=clock, initial=initial, final=final, duration=duration)


def piecewise(times: ArrayLike, values: ArrayLike, *, clock: str = "t") -> Schedule:
    """values[i] from times[i] on; times start at 0 and increase, of the same number.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.schedules.piecewise([0.0, 5.0], [1.0, 0.1])([4.9, 5.0])
    array([1. , 0.1])
    """
    return Piecewise(clock=clock, times=times, values=values)  # type: ignore[arg-type]


def function(law: Callable[[Array], ArrayLike], *, clock: str = "t") -> Schedule:
    """A function of one's own: it takes an array of readings and returns their rates, ≥ 0.

    It must be smooth, for no step is made to end where it jumps; `piecewise` has jumps.

    Examples
    --------
    >>> import meanfield as mf
    >>> float(mf.schedules.function(lambda t: 1.0 / (1.0 + t) ** 2)(1.0))
    0.25
    """
    return Custom(clock=clock, law=law)


def check_rate(value: Any, name: str) -> Any:
    """A rate ≥ 0 as a float or a `Schedule`; a function is one of t, a mapping is described."""
    try:
        if isinstance(value, Schedule):
            return value
        if isinstance(value, Mapping):
            return _described(value)
        if callable(value):
            return function(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    return checks.real(value, name, minimum=0.0)


def _described(values: Mapping[str, Any]) -> Any:
    arguments = {name: value for name, value in values.items() if name != "kind"}
    if values.get("kind") == "constant":
        return constant(**arguments)
    kind = KINDS[checks.option(values.get("kind"), "kind", (*KINDS, "constant"))]
    known = {each.name for each in fields(kind)}
    if set(arguments) - known:
        raise ValueError(f"{sorted(set(arguments) - known)} are not among {sorted(known)}")
    return kind(**arguments)


def plain_rate(value: Any) -> Any:
    """A rate in plain values, for a file."""
    return value.parameters() if isinstance(value, Schedule) else value


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
