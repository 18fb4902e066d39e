"""Which method takes the next step, and how long it is.

Explicit steps until they are seen to be held back by stability; implicit ones then, for as long as
they take fewer evaluations per unit of time than explicit ones would. A method that is asked for by
its name takes all steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from meanfield.integrate.equation import LEAST_WORK, ROUNDING, Attempt, Equation
from meanfield.integrate.events import EventValues
from meanfield.integrate.explicit import METHODS, Explicit
from meanfield.integrate.implicit import Implicit, Subspace, find_subspace
from meanfield.integrate.records import Status

# Proportional-integral step control (Hairer, Nørsett & Wanner, "dopri5")
SAFETY, SHRINK, GROW, INTEGRAL_GAIN = 0.9, 0.2, 10.0, 0.04
IMPLICIT_GROW = 5.0
STABLE = 3.0  # h |λ| that explicit steps bear
STIFF = 2.0  # h |λ| beyond which a step counts as held back, and
PATIENCE = 5  # how many such in a row it takes to change method
TRIAL = 6  # implicit steps between two looks at what they cost, unless
GROWING = 2.0  # they have become longer by this factor since the last look
DIRECTIONS = 6  # that are found anew at every step; so many more, every other; and so on
RESOLVED = 0.7  # h times the rate at which something grows that implicit steps get right to 1e-5
NOISE_ORDER = 2.0  # a method's error falls faster than this with the step, that of rounding not
LIFT = 100.0  # of the level of noise, where it is met
# growth over the start at which a step that shrinks to nothing is read as a blow-up
BLOW_UP = 1e6
LOST = 0.5  # h times a leak out of them that makes it earlier


class Mode(NamedTuple):
    """Which method is at work, and what it goes by."""

    implicit: bool = False
    stiff_steps: int = 0
    patience: int = PATIENCE
    subspace: Subspace | None = None
    current: bool = False
    age: int = 0
    trial: tuple[float, float, int, int] = (0.0, 0.0, 0, 0)  # t, h, evaluations, steps so far
    implicit_steps: int = 0


class RunState(NamedTuple):
    """Where a run stands after a step, but for its vectors: replaced whole, so never torn."""

    t: float = 0.0
    h: float = 0.0
    last_error: float = 1e-4
    rows: tuple[int, ...] = tuple(range(LEAST_WORK))
    mode: Mode = Mode()
    records: int = 0
    evaluations: int = 0
    steps: int = 0
    rejected: int = 0
    first_size: float = 0.0
    watched: float = 0.0
    noise: float = ROUNDING  # of the state's size: growth from below it is not controlled
    seen: EventValues | None = None  # by the events that may end the run
    outside: Mapping[str, Any] | None = None  # what the right-hand side keeps to itself

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> RunState:
        """From the lists that a file makes of tuples."""
        mode = Mode(*plain["mode"])
        subspace = None if mode.subspace is None else Subspace(*mode.subspace)
        t, h, evaluations, steps = mode.trial
        mode = mode._replace(subspace=subspace, trial=(t, h, evaluations, steps))
        seen = None if plain["seen"] is None else EventValues.read(plain["seen"])
        return cls(**{**plain, "rows": tuple(plain["rows"]), "mode": mode, "seen": seen})

    def vectors(self, basis: tuple[int, ...]) -> dict[str, int]:
        """The rows that hold more than work in progress."""
        kept = {"y": self.rows[0], "slope": self.rows[1]}
        if self.mode.implicit:
            kept["seed"] = self.rows[-1]
            known = 0 if self.mode.subspace is None else len(self.mode.subspace.B)
            kept |= {f"basis{i}": row for i, row in enumerate(basis[:known])}
        return kept


class Stepper:
    """An explicit method on one equation, and the implicit one where it may take over."""

    def __init__(self, equation: Equation, method: str):
        self.equation, self.switches = equation, method == "auto"
        self.explicit = Explicit(equation, METHODS[method])
        self.implicit = Implicit(equation)

    def name(self, mode: Mode) -> str:
        """What took the steps."""
        if mode.implicit_steps == 0:
            return self.explicit.name
        return f"{self.explicit.name} and {self.implicit.name}"

    def first_length(self, now: RunState, t_end: float) -> float:
        """Of a first step, whose Euler error is about a hundredth (Hairer II.4)."""
        f, (y, first, second, work) = self.equation, now.rows[:4]
        size, speed = f.error([1.0], [y], y, y), f.error([1.0], [first], y, y)
        h = 0.01 * size / speed if size > 1e-5 and speed > 1e-5 else 1e-6
        h = min(h, t_end)
        if math.isfinite(speed):
            f.mix(work, [1.0, h], [y, first])
            f.slope(h, work, second)
            bend = f.error([-1.0 / h, 1.0 / h], [first, second], y, y)
            steepest = max(speed, bend)
            order = self.explicit.tableau.order
            longer = (0.01 / steepest) ** (1.0 / order) if steepest > 1e-15 else 1e3 * h
            h = min(100 * h, longer, t_end) if 0.0 < longer < math.inf else h
        return h if math.isfinite(h) else 1e-6

    def wants_subspace(self, now: RunState) -> bool:
        """Whether the stiff directions must be found before the next step."""
        mode = now.mode
        if not mode.implicit:
            return False
        if mode.subspace is None or not mode.current:
            return True
        if mode.age >= 1 + mode.subspace.stiff // DIRECTIONS:
            return True
        return now.h * mode.subspace.leak > LOST

    def find_subspace(self, now: RunState) -> RunState:
        """The stiff directions where the run stands; overwrites those of before."""
        y, slope, z, g, *_, seed = now.rows
        found = find_subspace(
            self.equation, now.t, now.h, (y, slope), (z, g), seed, now.mode.subspace
        )  # fmt: skip
        mode = now.mode._replace(subspace=found, current=True, age=0)
        h = now.h if found.growth == 0.0 else min(now.h, RESOLVED / found.growth)
        return now._replace(h=h, mode=mode, evaluations=self.equation.evaluations)

    def attempt(self, now: RunState, h: float) -> Attempt:
        """A step from where the run stands."""
        if now.mode.subspace is None:
            return self.explicit.attempt(now.t, h, now.rows)
        return self.implicit.attempt(now.t, h, now.rows, now.mode.subspace)

    def interpolate(self, now: RunState, step: Attempt, t: float) -> int:
        """The row of the state inside a step."""
        if now.mode.subspace is None:
            _, _, error, *_, spare = step.rows
            return self.explicit.interpolate(step, t, spare if self._turns(now, step) else error)
        return self.implicit.interpolate(step, t, now.mode.subspace)

    def reject(self, now: RunState, step: Attempt) -> RunState:
        """Where the run stands after a step that failed: where it stood, with a shorter one."""
        exponent = self.implicit.exponent if now.mode.implicit else self.explicit.exponent
        finite = math.isfinite(step.error)
        h = step.h * max(SHRINK, SAFETY * step.error**-exponent if finite else SHRINK)
        now = now._replace(h=h, evaluations=self.equation.evaluations, rejected=now.rejected + 1)
        if now.mode.implicit:  # what blew up says where else it is stiff
            y, slope, z, g, y_new, error, scratch = now.rows
            rows = (y, slope, z, g, y_new, scratch, error)
            now = now._replace(mode=now.mode._replace(current=False), rows=rows)
        return now

    def noise_met(self, now: RunState, step: Attempt, before: Attempt | None) -> float | None:
        """The new level of noise, if what grows from almost nothing errs by rounding.

        Shorter steps leave that as it is: it is the level from which growth can be controlled, and
        the step will do.
        """
        f = self.equation
        if before is None or not 1.0 < step.error < math.inf or not f.loose <= 1.0:
            return None
        if step.error < before.error * (step.h / before.h) ** NOISE_ORDER:
            return None
        return min(f.atol, LIFT * f.noise)

    def why_no_step(self, now: RunState) -> tuple[Status, str]:
        """The status of a run whose step has shrunk below rounding, and why in words."""
        f = self.equation
        if not all(f.finite(row) for row in now.rows[1:]):
            return Status.DIVERGED, f"the state stops being finite just after t = {now.t:g}"
        size = f.length(now.rows[0])
        if size > BLOW_UP * max(1.0, now.first_size):
            return Status.DIVERGED, f"the state grows without bound: {size:.1g} at t = {now.t:g}"
        return (
            Status.STEP_COLLAPSED,
            f"the step size fell below rounding at t = {now.t:g}; the tolerances rtol = "
            f"{f.rtol:g}, atol = {f.atol:g} cannot be met there",
        )

    def accept(self, now: RunState, step: Attempt, t_new: float) -> RunState:
        """Where the run stands at the end of a step."""
        after = now._replace(t=t_new, rows=step.rows, steps=now.steps + 1)
        if now.mode.implicit:
            self.implicit.finish(step)
            return self._after_implicit(after, step)
        return self._after_explicit(after, step)

    def _turns(self, now: RunState, step: Attempt) -> bool:
        """Whether an explicit step was one too many of those that are held back by stability."""
        stiff = self.switches and step.stiffness > STIFF
        return stiff and now.mode.stiff_steps + 1 >= now.mode.patience

    def _after_explicit(self, now: RunState, step: Attempt) -> RunState:
        exponent = self.explicit.exponent - 0.75 * INTEGRAL_GAIN
        factor = SAFETY * step.error**-exponent if step.error > 0.0 else GROW
        factor *= now.last_error**INTEGRAL_GAIN
        h = step.h * min(GROW, max(SHRINK, factor))
        stiff = now.mode.stiff_steps + 1 if step.stiffness > STIFF else 0
        mode, rows = now.mode._replace(stiff_steps=stiff), now.rows
        if self._turns(now, step):
            trial = (now.t, h, self.equation.evaluations, now.steps)
            mode = mode._replace(implicit=True, subspace=None, trial=trial)
            self.explicit.stiff_direction(step)
            rows = (*rows[:2], *rows[3:], rows[2])
        return now._replace(h=h, last_error=max(step.error, 1e-4), mode=mode, rows=rows)

    def _after_implicit(self, now: RunState, step: Attempt) -> RunState:
        mode = now.mode._replace(
            age=now.mode.age + 1, implicit_steps=now.mode.implicit_steps + 1
        )  # fmt: skip
        factor = SAFETY * step.error**-self.implicit.exponent if step.error > 0.0 else GROW
        h = step.h * min(IMPLICIT_GROW, max(SHRINK, factor))
        if mode.subspace is not None and mode.subspace.growth > 0.0:
            h = min(h, RESOLVED / mode.subspace.growth)
        t, first_h, evaluations, steps = mode.trial
        if now.steps - steps >= TRIAL and mode.subspace is not None:
            taken, radius = self.equation.evaluations - evaluations, mode.subspace.radius
            longest = STABLE / radius if radius > 0.0 else math.inf
            dearer = taken * longest > self.explicit.cost * (now.t - t)
            mode = mode._replace(trial=(now.t, h, self.equation.evaluations, now.steps))
            if dearer and h < GROWING * first_h:
                h = min(h, longest)
                mode = mode._replace(
                    implicit=False, subspace=None, stiff_steps=0, patience=2 * mode.patience
                )
        return now._replace(h=h, last_error=1e-4, mode=mode)
