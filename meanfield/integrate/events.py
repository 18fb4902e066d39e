"""Functions of (t, y) that end an integration where they fall to 0, or change sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

INSIDE = (0.25, 0.5, 0.75)  # parts of a step that are looked at where a function is near 0
NEAR = 4.0  # times what a function changes by in a step: so near it may dip to 0 within one
CLOSE = 1e-9  # of the time: how well a root is located, on steps of the method itself
LATER = 1.25  # times the time of a look that did not confirm: when the next is due
TRIES = 60


class Event(Protocol):
    """Functions of (t, y), and what is to be done where one of them ends the run."""

    @property
    def names(self) -> Sequence[str]:
        """What to call them in a message."""

    @property
    def signed(self) -> Sequence[bool]:
        """Which of them are met by any change of sign; the others by values of at most 0."""

    def values(self, t: float, y: Vector, slope: Vector | None) -> Sequence[float]:
        """Each function, continuous in t; the slope at y is given where it is known."""

    def confirmed(self, index: int, t: float, y: Vector) -> bool:
        """Whether that one of them ends the run here, on a dearer look."""

    def step_taken(self, y: Vector) -> None:
        """A step has led to y."""

    def ends_run(self, index: int, t: float) -> None:
        """That one of them ends the run here."""

    def arrays(self) -> dict[str, Vector]:
        """What it remembers of the run, for a checkpoint: vectors like y, by name."""

    def restore(self, arrays: Mapping[str, Vector]) -> None:
        """Remember this instead."""


class EventValues(NamedTuple):
    """Values of the functions at the ends of the last two steps, times their signs.

    `signs` make them positive at first, so that all are met by falling to 0; they are 0 while a
    function has been 0 since the start. `due` is when one that is met and was not confirmed is
    looked at again.
    """

    values: tuple[float, ...]
    before: tuple[float, ...]
    signs: tuple[float, ...]
    due: tuple[float, ...]

    @classmethod
    def read(cls, plain: Sequence[Any]) -> EventValues:
        """From the lists that a file makes of tuples."""
        return cls(*(tuple(part) for part in plain))


class Found(NamedTuple):
    """Which function ends the run, and when."""

    which: int
    t: float


def first_values(event: Event, y: Vector, slope: Vector) -> tuple[EventValues, Found | None]:
    """At t = 0: the signs that make functions positive, and whether one ends the run at once."""
    values = event.values(0.0, y, slope)
    signs = tuple(
        float(np.sign(value)) if signed else 1.0
        for value, signed in zip(values, event.signed, strict=True)
    )
    event.step_taken(y)
    found = None
    for i, value in enumerate(values):
        met = found is None and not event.signed[i] and value <= 0.0
        if met and event.confirmed(i, 0.0, y):
            found = Found(i, 0.0)
    falling = tuple(sign * value for sign, value in zip(signs, values, strict=True))
    return EventValues(falling, falling, signs, (0.0,) * len(values)), found


def find_event(
    event: Event, seen: EventValues, ends: tuple[float, float], at: Callable[[float], Vector],
    slope: Vector | None, shorter: Callable[[float], Vector],
) -> tuple[EventValues, Found | None]:  # fmt: skip
    """What a step from ends[0] to ends[1] brings, with ``at(t)`` the state inside and at its end.

    Where a function falls to 0 is located on the interpolant, and from there on ends of shorter
    steps, ``shorter(t)``, of which the last one made then leads to the time that is found.
    """
    t0, t1 = ends
    raw = event.values(t1, at(t1), slope)
    signs = tuple(
        old if old != 0.0 else float(np.sign(new)) for old, new in zip(seen.signs, raw, strict=True)
    )
    values = tuple(sign * value for sign, value in zip(signs, raw, strict=True))
    due, met = list(seen.due), []
    for i, (value, last) in enumerate(zip(values, seen.values, strict=True)):
        if seen.signs[i] == 0.0:
            continue
        if last > 0.0:
            t = _root(event, seen, i, (t0, last), (t1, value), at)
        else:  # met before, but not confirmed
            t = t1 if value <= 0.0 and t1 >= due[i] else None
            due[i] = due[i] if value <= 0.0 else 0.0
        if t is not None:
            met.append(Found(i, t))
    after = EventValues(values, seen.values, signs, tuple(due))
    for found in sorted(met, key=lambda each: each.t):
        if event.confirmed(found.which, found.t, at(found.t)):
            if found.t == t1:
                return after, found
            return after, _at_end_of_step(event, found, signs[found.which], ends, shorter)
        due[found.which] = LATER * found.t
    return after._replace(due=tuple(due)), None


def _root(
    event: Event, seen: EventValues, i: int, first: tuple[float, float], last: tuple[float, float],
    at: Callable[[float], Vector],
) -> float | None:  # fmt: skip
    """The first time in a step at which a function falls to 0, if there is one."""
    from scipy.optimize import brentq  # heavy, and needed once a run

    (t0, value0), (t1, value1) = first, last

    def value(t: float) -> float:
        return float(seen.signs[i] * event.values(t, at(t), None)[i])

    if value1 > 0.0:
        change = max(abs(value1 - value0), abs(value0 - seen.before[i]))
        if min(value0, value1) > NEAR * change:
            return None
    points = [(t0, value0), *((t, value(t)) for t in _inside(t0, t1)), (t1, value1)]
    place = next((n for n, (_, found) in enumerate(points) if found <= 0.0), None)
    if place is None:
        lowest = min(range(1, len(points) - 1), key=lambda n: points[n][1])
        dip = _dip(value, *(points[n][0] for n in (lowest - 1, lowest + 1)))
        if dip is None:
            return None
        points[lowest:], place = [dip], lowest
    (low, start), (t1, value1) = points[place - 1], points[place]
    if value1 == 0.0:
        return t1
    root, _ = brentq(
        lambda t: start if t == low else value1 if t == t1 else value(t),
        low, t1, xtol=max(1e-3 * CLOSE * t1, 1e-300), rtol=1e-14, full_output=True,
    )  # fmt: skip
    return float(root)


def _inside(t0: float, t1: float) -> list[float]:
    return [t0 + x * (t1 - t0) for x in INSIDE]


def _dip(value: Callable[[float], float], low: float, high: float) -> tuple[float, float] | None:
    """Where between two times a function falls to 0 or below, if its minimum there does."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(value, bounds=(low, high), method="bounded", options={"maxiter": 12})
    return (float(found.x), float(found.fun)) if found.fun <= 0.0 else None


def _at_end_of_step(
    event: Event, found: Found, sign: float, ends: tuple[float, float],
    shorter: Callable[[float], Vector],
) -> Found:  # fmt: skip
    """The same at the end of a step of the method."""

    def value(t: float) -> float:
        return float(sign * event.values(t, shorter(t), None)[found.which])

    return found._replace(t=locate(value, ends, found.t))


def locate(value: Callable[[float], float], ends: tuple[float, float], guess: float) -> float:
    """The time at which a function of steps of the method has fallen to 0, near a guess.

    `value` is above 0 at ends[0] and at most 0 at ends[1]. What is returned was the last argument
    of `value`, lies on the side where the function is at most 0, and is good to `CLOSE`.
    """
    low, high = ends
    tight = CLOSE * high
    reach, t, last = tight, guess, math.nan
    for _ in range(TRIES):
        last = min(max(t, low), high)
        if value(last) > 0.0:
            low = last
            t = last + reach
        else:
            high = last
            t = last - reach
        reach *= 4.0
        if high - low <= tight:
            break
        if not low < t < high:
            t = 0.5 * (low + high)
    if last != high:
        value(high)
    return high
