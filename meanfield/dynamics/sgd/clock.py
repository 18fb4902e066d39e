"""The clock of SGD: how long each step takes, and at which step a time to record has come."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.rates import Rates, RateSeries
from meanfield.integrate import BadRate
from meanfield.kernels.dynamics.sgd.clock import accumulate, step_times
from meanfield.problem import Problem
from meanfield.schedules.base import BadValue, Schedule, allowed

Array = NDArray[np.float64]

BLOCK = 2**15  # steps whose rates are laid out at a time
SHORT = 256  # steps at a time for a schedule that only Python knows, whose rates are iterated
ROUNDS = 40  # of that iteration, after which a change in the last digit ends it


class Position(NamedTuple):
    """How many steps have been made, and the time they have led to.

    `block` is the time of the last whole number of blocks of steps, and what rounding left out of
    it: rates are laid out from there, so that they do not depend on where one begins.
    """

    steps: int = 0
    t: float = 0.0
    block: tuple[float, float] = (0.0, 0.0)


class StepClock(Protocol):
    """What the loop over steps asks."""

    targets: int  # how many times there are to record
    duration: float

    def ahead(self, at: Position, target: int, most: int) -> tuple[Position, Array | None]:
        """The position after the next steps towards a target, at most `most`, and their rates.

        The rates are None where all steps have the same. At the target it is `at` itself.
        """


class EvenSteps:
    """Steps that all take the same time: each target is a whole step known beforehand."""

    def __init__(self, times: Array, t_end: float, step_time: float):
        last = t_end / step_time
        if last > 2.0**53:
            raise ValueError(
                f"t_end = {t_end:g} is {last:.3g} steps of t = {step_time:.3g} away, more than can "
                "be counted; the time of a step is learning_rate/(p dim)"
            )
        slack = 1e-9 + 1e-12 * last  # t_end is often a whole number of steps, up to rounding
        total = math.floor(last + slack)
        if total < 1:
            raise ValueError(too_short(step_time, t_end))
        self.steps, first = np.unique(
            np.minimum(np.rint(times / step_time), total).astype(np.int64), return_index=True
        )
        stamps, asked = self.steps * step_time, times[first]
        same = np.abs(stamps - asked) <= 1e-12 * asked
        self.times = np.where(same, asked, stamps)
        self.targets, self.step_time = len(self.steps), step_time
        self.duration = total * step_time

    def ahead(self, at: Position, target: int, most: int) -> tuple[Position, Array | None]:
        """See `StepClock`."""
        wanted = int(self.steps[target])
        steps = min(at.steps + most, wanted)
        t = float(self.times[target]) if steps == wanted else steps * self.step_time
        return Position(steps, t), None


class ScheduledSteps:
    """γ_ν is the schedule's value where the steps before have led: t_ν, or α = ν/d."""

    def __init__(self, problem: Problem, p: int, series: RateSeries, times: Array, t_end: float):
        self.series, self.times, self.t_end, self.p = series, times, t_end, p
        self.targets, self.duration, self.d = len(times), t_end, float(problem.dim)
        self.gamma = problem.learning_rate
        self.first = -1
        self.stamps, self.low, self.rows = np.zeros(1), 0.0, np.zeros((0, 6))
        # where γ alone changes and is read alone, a table holds γ/p and nothing else
        fixed = series.constant
        others = fixed.second_layer_rate, fixed.weight_decay, fixed.temperature
        self.only_gain = not any(others) and set(series.schedules) == {"learning_rate"}
        self.table = np.empty((BLOCK, 1))
        self.memory = np.empty(BLOCK), np.empty(BLOCK + 1)
        first = float(self._gammas(Position(), 1)[0][0])
        if not first > 0.0:
            raise ValueError(f"problem must have a learning_rate above 0 for SGD, got {first:g}")
        if first / (p * self.d) > t_end * (1.0 + 1e-12):
            raise ValueError(too_short(first / (p * self.d), t_end))

    def ahead(self, at: Position, target: int, most: int) -> tuple[Position, Array | None]:
        """See `StepClock`."""
        wanted = float(self.times[target])
        if not self.first <= at.steps < self.first + len(self.rows):
            self._lay_out(at)
        here = at.steps - self.first
        count = min(most, len(self.rows) - here)
        stamps = self.stamps[here : here + count + 1]
        place = int(np.searchsorted(stamps, wanted))
        if place <= count:
            nearer = place > 0 and wanted - stamps[place - 1] <= stamps[place] - wanted
            beyond = stamps[place] > self.t_end * (1.0 + 1e-12)
            count = place - 1 if nearer or beyond else place
        if count <= 0:
            return at, self.rows[:0]
        end = here + count
        steps, t = at.steps + count, float(self.stamps[end])
        block = (t, self.low) if steps % BLOCK == 0 else self.block
        return Position(steps, t, block), self.rows[here:end]

    def _lay_out(self, at: Position) -> None:
        """Compute rates and times of the next steps, up to the first that has no rate above 0."""
        made = at.steps % BLOCK
        t, low = at.block  # of a file it is a list
        at = Position(at.steps - made, t, (t, low))
        gamma, stamps, self.low = self._gammas(at, BLOCK)
        count = len(gamma)
        # a clock that moves by more than the spacing of its times at each step needs no closer look
        moves = gamma.min() / (self.p * self.d) > 2.0 * np.spacing(stamps[-1])
        if not (moves and gamma.max() < math.inf):
            bad = ~((gamma > 0.0) & np.isfinite(gamma) & (stamps[1:] > stamps[:-1]))
            count = int(np.argmax(bad)) if bad.any() else count
            if count <= made:
                raise BadRate(
                    f"problem's learning_rate must stay above 0 for SGD, got {gamma[count]:g}: its "
                    "clock stands still"
                )
        self.first, self.stamps, self.block = at.steps, stamps[: count + 1], at.block
        self.rows = self._rows(at, gamma[:count], stamps[:count])

    def _rows(self, at: Position, gamma: Array, stamps: Array) -> Array:
        """The rates (n, 6) of steps that begin at the stamps (n,), or (n, 1): see `at_step`."""
        if self.only_gain:
            return np.divide(gamma[:, None], self.p, out=self.table[: len(gamma)])
        values = {name: np.asarray(value) for name, value in self.series.constant._asdict().items()}
        values["learning_rate"] = gamma
        for name, schedule in self.series.schedules.items():
            if name == "learning_rate":
                continue
            x = self._reading(schedule, at, stamps)
            try:
                values[name] = allowed(schedule(x), f"problem's {name}", x)
            except BadValue as error:
                raise BadRate(str(error)) from error
        return rate_rows(values, self.p, self.d)

    def _reading(self, schedule: Schedule, at: Position, stamps: Array) -> Array:
        if schedule.clock == "t":
            return stamps
        return (at.steps + np.arange(len(stamps))) / self.d

    def _gammas(self, at: Position, count: int) -> tuple[Array, Array, float]:
        """γ of the next steps, the times before and after (count + 1,), and the last one's rest."""
        per = 1.0 / (self.p * self.d)
        t, low = at.block
        gamma, stamps = self.memory[0][:count], self.memory[1][: count + 1]
        schedule = self.gamma
        if isinstance(schedule, Schedule) and schedule.clock == "t":
            if schedule.code >= 0:
                law = schedule.code, schedule.constants, schedule.offset
                return gamma, stamps, step_times(*law, t, low, per, gamma, stamps)[1]
            for first in range(0, count, SHORT):
                part = slice(first, min(first + SHORT, count))
                ends = stamps[part.start : part.stop + 1]
                t, low = _iterate(schedule, t, low, per, gamma[part], ends)
            return gamma, stamps, low
        if isinstance(schedule, Schedule):
            gamma[:] = schedule(self._reading(schedule, at, stamps[:-1]))
        else:
            gamma[:] = schedule
        return gamma, stamps, accumulate(t, low, per, gamma, stamps)[1]


def _iterate(
    schedule: Schedule, t: float, low: float, per: float, gamma: Array, stamps: Array
) -> tuple[float, float]:
    """γ_ν = γ(t_ν) for a function that takes arrays: guess the times, and look again.

    Each round makes one more step exact at the least, and far more where γ changes slowly.
    """
    gamma[:] = schedule(t)
    for round_ in range(len(gamma) + 1):
        end = accumulate(t, low, per, gamma, stamps)
        found = schedule(stamps[:-1])
        if np.array_equal(found, gamma, equal_nan=True):
            break
        change = np.abs(found - gamma)
        gamma[:] = found
        if round_ >= ROUNDS and (change <= 1e-15 * np.abs(found)).all():
            break
    return float(end[0]), float(end[1])


def rate_rows(values: dict[str, Any], p: int, d: float) -> Array:
    """The rates (n,) of steps as `kernels.dynamics.sgd.step.at_step` reads them, (n, 6)."""
    rates = Rates(**values)
    dt = rates.learning_rate / (p * d)
    second = rates.second_layer_rate * dt
    columns = np.broadcast_arrays(
        rates.learning_rate / p, second, np.sqrt(rates.noise),
        1.0 - rates.weight_decay * dt, 1.0 - rates.second_layer_decay * second,
        np.sqrt(2.0 * rates.temperature * dt),
    )  # fmt: skip
    rows = np.stack([np.atleast_1d(column) for column in columns], axis=1)
    for name, column, time in (("weight_decay", 3, dt), ("second_layer_decay", 4, second)):
        if (rows[:, column] <= 0.0).any():
            raise ValueError(
                f"problem must have {name} below {1.0 / float(np.max(time)):g}, one over the time "
                f"of a step, got {float(np.max(getattr(rates, name))):g}"
            )
    return rows


def too_short(step_time: float, t_end: float) -> str:
    """The message where t_end does not hold one step."""
    return (
        f"t_end must hold at least one step, t = learning_rate/(p dim) = {step_time:g}, "
        f"got {t_end:g}"
    )
