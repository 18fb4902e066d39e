"""The laws by which a rate changes, each a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.functions.users import describe_function, restored_function, values_at
from meanfield.schedules.base import Schedule, allowed

Array = NDArray[np.float64]

# where a user's function is looked at when it is made, and told from another one
GRID = np.concatenate(([0.0], np.geomspace(1e-3, 1e3, 25)))


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


@dataclass(frozen=True, kw_only=True)
class AdagradNorm(Schedule):
    """rate/√(b² + Σ|g|²/d) over the gradients so far: a run sets its own, and no clock is read."""

    rate: float
    b: float
    kind = "adagrad_norm"

    def _check(self) -> None:
        self._set("rate", above=0.0)
        self._set("b", above=0.0)
        if self.clock != "t" or self.offset != 0.0:
            raise ValueError("adagrad_norm reads no clock: it takes rate and b alone")
        if not 0.0 < self.first < math.inf:
            raise ValueError(f"rate/b must be a number above 0, got {self.rate:g}/{self.b:g}")

    @property
    def first(self) -> float:
        """γ before the first step, its largest value."""
        return self.rate / self.b

    def __call__(self, x: ArrayLike) -> Array:
        """There are no values without a run: a TypeError says so."""
        raise TypeError("adagrad_norm depends on the gradients of a run, not on a clock")

    def later(self, by: float) -> Schedule:
        """See `Schedule`; what a run has summed is the run's."""
        return self

    def parameters(self) -> dict[str, Any]:
        """See `Schedule`."""
        return {"kind": self.kind, "rate": self.rate, "b": self.b}


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
    each.kind: each for each in (Power, Exponential, Cosine, Piecewise, AdagradNorm, Custom)
}
