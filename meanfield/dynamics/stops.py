"""What a run's condition to stop sees of it, and what it says of the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.growth import growth_rates
from meanfield.integrate import BadRate
from meanfield.integrate.equation import Total
from meanfield.until import Condition

Array = NDArray[np.float64]

FLOOR = 1e-6  # of the distance that coordinates have gone (root mean square), and
ROUNDING = 2.0**-50  # of the largest of them: what is smaller counts as that large


class Motion(Protocol):
    """What a run of an equation tells of the vector that it moves."""

    total: Total | None

    def risk_at(self, t: float, y: Array) -> float:
        """The population risk."""

    def state_at(self, t: float, y: Array) -> Any:
        """The state that the vector stands for."""

    def speed_at(self, t: float, y: Array, out: Array) -> None:
        """The right-hand side, written to `out`."""

    def largest(self, value: float) -> float:
        """The largest of the values of all who hold a part of the vector."""


class Undivided:
    """A motion of which nobody else holds a part."""

    total: Total | None = None

    def largest(self, value: float) -> float:
        """See `Motion`."""
        return value


class Stops:
    """The conditions of one run, as `meanfield.integrate.events.Event` asks for them.

    Attributes
    ----------
    at : float or None
        The time at which the run was stopped.
    by : str
        The name of the condition that did.
    """

    def __init__(self, condition: Condition):
        self.condition, self.parts = condition, condition.parts
        self.names = [part.name for part in self.parts]
        self.signed = [part.signed for part in self.parts]
        self.rests = any(part.of_equations for part in self.parts)
        self.past = Past(np.empty(0), np.empty(0), np.empty(0))
        self.at: float | None = None
        self.by = ""
        self.motion: Motion

    def attach(self, motion: Motion) -> Stops:
        """Look at this run."""
        self.motion = motion
        return self

    def values(self, t: float, y: Array, slope: Array | None = None) -> list[float]:
        """See `Event`."""
        look = VectorLook(self.motion, t, y, slope, self.past)
        return [value_of(part, look) for part in self.parts]

    def confirmed(self, index: int, t: float, y: Array) -> bool:
        """See `Event`."""
        return self.parts[index].confirmed(VectorLook(self.motion, t, y, None, self.past))

    def step_taken(self, y: Array) -> None:
        """See `Event`."""
        if self.rests:
            self.past = self.past.with_state(y)

    def ends_run(self, index: int, t: float) -> None:
        """See `Event`."""
        self.at, self.by = t, self.names[index]

    def arrays(self) -> dict[str, Array]:
        """See `Event`."""
        return {f"past_{n}": each for n, each in self.past._asdict().items()} if self.rests else {}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """See `Event`."""
        if self.rests:
            self.past = Past(*(arrays[f"past_{name}"] for name in Past._fields))

    def refuse_noise(self, what: str) -> None:
        """Refuse conditions that nothing meets where noise never rests."""
        for part in self.parts:
            if part.of_equations:
                raise ValueError(
                    f"until must not hold {part.name} for {what}, whose noise never rests: stop it "
                    "by its risk or a function, or ask the overlap equations when they are steady"
                )

    def stats(self) -> dict[str, Any]:
        """For the run's ``stats``."""
        return {"stopped_at": math.nan if self.at is None else self.at, "stopped_by": self.by}


class Past(NamedTuple):
    """The first state of a run, and how large and how far from it each coordinate has been."""

    first: Array
    size: Array
    distance: Array

    def with_state(self, y: Array) -> Past:
        """The same after a state."""
        if self.first.size == 0:
            return Past(y.copy(), np.abs(y), np.zeros_like(y))
        distance = np.maximum(self.distance, np.abs(y - self.first))
        return Past(self.first, np.maximum(self.size, np.abs(y)), distance)


class VectorLook:
    """See `meanfield.until.Look`: a moment in the run of an equation."""

    def __init__(self, motion: Motion, t: float, y: Array, slope: Array | None, past: Past):
        self.motion, self.t, self.y, self.slope, self.past = motion, t, y, slope, past

    def risk(self) -> float:
        """See `Look`."""
        return self.motion.risk_at(self.t, self.y)

    def state(self) -> Any:
        """See `Look`."""
        return self.motion.state_at(self.t, self.y)

    def unrest(self) -> float:
        """See `Look`."""
        motion, slope = self.motion, self.slope
        if slope is None:
            slope = np.empty_like(self.y)
            motion.speed_at(self.t, self.y, slope)
        past = self.past.with_state(self.y)
        summed = motion.total or (lambda sums: sums)
        d = past.distance
        squares, count = summed(np.array([float(d @ d), float(d.size)]))
        floor = max(
            FLOOR * math.sqrt(squares / count),
            ROUNDING * motion.largest(float(past.size.max(initial=0.0))), 1e-300,
        )  # fmt: skip
        part = float((np.abs(slope) / np.maximum(past.size, floor)).max(initial=0.0))
        return motion.largest(part) * max(self.t, 1.0)

    def growth(self) -> tuple[float, float]:
        """See `Look`."""
        velocity, size = partial(self.motion.speed_at, self.t), self.past.with_state(self.y).size
        return growth_rates(velocity, self.y, size, self.motion.total)


def first_sign_change(
    signs: Sequence[float], values: Sequence[float], signed: Sequence[bool]
) -> tuple[list[float], int | None]:
    """The signs of functions after another step, and which of them is the first to be met.

    A sign is 0 until a function of changing sign has had one; of the others it is 1.
    """
    after = [s if s != 0.0 else float(np.sign(v)) for s, v in zip(signs, values, strict=True)]
    for i, (sign, value) in enumerate(zip(signs, values, strict=True)):
        if sign * value <= 0.0 and not (signed[i] and sign == 0.0):
            return after, i
    return after, None


def value_of(part: Condition, look: Any) -> float:
    """What a condition says; what it raises ends the call at t = 0 and the run later."""
    try:
        return part.value(look)
    except Exception as error:
        if look.t == 0.0:
            error.add_note(f"raised by until's {part.name} at t = 0")
            raise
        raise BadRate(f"until's {part.name}: {type(error).__name__}: {error}") from error
