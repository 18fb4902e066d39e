"""Steps of the diffusion: impulses between flows, and how long a step may be.

Split after Strang: half an impulse, a flow, half an impulse. Noise enters with √η, so errors are
those of the flow (Bogacki & Shampine's method, by its own estimate) and η h² of the splitting
(Milstein & Tretyakov 1997), relative to the noise (2hJ)²/12, with J the rate at which impulses grow
or shrink, seen as the change of the velocity that an impulse makes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.diffusion.averages import Runs, StepAverages, give_impulse
from meanfield.dynamics.rates import RateSeries
from meanfield.integrate import BadRate

Array = NDArray[np.float64]

FLOW_SHARE = 0.1  # of the tolerance, for one step of the flow
GROWTH, LEAST = 2.0, 0.3  # of steps, from one to the next
MEMORY = 0.9  # of J, from one impulse to the next: with few runs a single one may be blind to it
DEPTH = 12  # halvings of a flow
# what a stepper is beside arrays
PLAIN = (
    "t", "owed", "growth", "clipped", "flow_error", "steps", "evaluations", "shortest",
    "sgd_steps", "h",
)  # fmt: skip


class Stepper:
    """Runs side by side, on one clock.

    Parameters
    ----------
    field : StepAverages
    runs : Runs
    rates : RateSeries
        Steps end where one of them jumps or bends.
    step_of : float
        η/γ = 1/(p d).
    rtol : float
    largest : float
        Longest step.
    fixed : bool
        Whether every step is that long.
    seed : int
    """

    def __init__(
        self, field: StepAverages, runs: Runs, rates: RateSeries, step_of: float, rtol: float,
        largest: float, fixed: bool, seed: int,
    ):  # fmt: skip
        self.field, self.runs, self.rates, self.step_of = field, runs, rates, step_of
        self.batch, self.rtol, self.largest, self.fixed = field.batch, rtol, largest, fixed
        self.rng = np.random.default_rng(seed)
        self.t, self.owed = 0.0, 0.0  # noise of this Σ η h has not been given yet
        self.latest = math.inf  # rates of a step are those before the jump it leads to
        self.growth, self.clipped, self.flow_error = 0.0, 0.0, 0.0
        self.steps, self.evaluations, self.shortest, self.sgd_steps = 0, 0, math.inf, 0.0
        self._set_time(0.0)
        self._look()
        self.h = largest if fixed else min(largest, self._first_step())

    def _set_time(self, t: float) -> None:
        """Use the rates of a time; a `BadRate` where there is no diffusion."""
        now = self.rates(min(t, self.latest))
        if not now.learning_rate > 0.0:
            raise BadRate(
                "problem's learning_rate must stay above 0 for the diffusion, got "
                f"{now.learning_rate:g} at t = {t:g}: the clock of SGD stands still"
            )
        self.field.set_rates(now)
        self.eta = now.learning_rate * self.step_of

    def _look(self) -> None:
        """Averages and velocity where the runs are."""
        self.now = self.field.average(self.runs)
        self.velocity = self.field.velocity(self.runs, self.now)
        self.evaluations += 1

    def _first_step(self) -> float:
        """A hundredth of the time in which the state changes by its own size."""
        sizes = [(float(np.abs(x).max()), float(np.abs(v).max()))
                 for x, v in zip(self.runs, self.velocity, strict=True)]  # fmt: skip
        return min((1e-2 * size / speed for size, speed in sizes if speed > 0.0), default=math.inf)

    def go_to(self, stop: float, whole: bool = False) -> Iterator[bool]:
        """The steps up to a time, at whose end all noise is given; after each, if all is finite.

        `whole`: give all noise after each step, so that the runs can be looked at.
        """
        for end in (*(t for t in self.rates.breaks if self.t < t < stop), stop):
            if self.t in self.rates.breaks:  # the rates after a jump
                self.latest = math.inf
                self._set_time(self.t)
                self._look()
            self.latest = math.nextafter(end, 0.0) if end in self.rates.breaks else math.inf
            while self.t < end:
                yield self._step(end, whole)

    def _step(self, end: float, whole: bool) -> bool:
        """A step towards a time."""
        left = end - self.t
        count = max(1, math.ceil(left / self.h * (1.0 - 1e-9)))
        t, h = self.t, left / count
        first, middle, last = (self._step_of_sgd(t + share * h) for share in (0.25, 0.5, 0.75))
        self._set_time(t)
        self._kick(self.owed + 0.5 * h * first)
        before = self.velocity
        error = self._flow(t, h, DEPTH)
        if not self.runs.finite():
            return False
        if not self.field.spherical:
            self._second_order(before, h, middle)
        self.t, self.owed = end if count == 1 else t + h, 0.5 * h * last
        self.steps, self.shortest = self.steps + 1, min(self.shortest, h)
        self.sgd_steps += h / middle
        self._choose(h, error)
        if whole or self.t == end:
            self._kick(self.owed)
            self.owed = 0.0
        return self.runs.finite()

    def _step_of_sgd(self, t: float) -> float:
        """η at a time."""
        self._set_time(t)
        return self.eta

    def _kick(self, variance: float) -> None:
        """An impulse with the noise of a time, ∫η dt, and what it says about J."""
        size = math.sqrt(variance / self.batch)
        before, velocity = self.runs, self.velocity
        self.runs, clipped = give_impulse(self.field, before, self.now, size, self.rng)
        self.clipped += clipped
        self._look()
        moved, turned = (
            math.sqrt(sum(float(((x - y) ** 2).sum()) for x, y in zip(one, two, strict=True)))
            for one, two in ((self.runs, before), (self.velocity, velocity))
        )
        if moved > 0.0:
            self.growth = max(MEMORY * self.growth, turned / moved)

    def _flow(self, t: float, h: float, depth: int) -> float:
        """The flow for a time h, in halves where its error is too large; the largest error."""
        first = self.velocity
        start = self.runs
        second = self._slope(t + 0.5 * h, start.plus(0.5 * h, first))
        third = self._slope(t + 0.75 * h, start.plus(0.75 * h, second))
        end = start
        for weight, slope in ((2.0 / 9.0, first), (1.0 / 3.0, second), (4.0 / 9.0, third)):
            end = end.plus(h * weight, slope)
        end, old = self.field.projected(end), (self.now, self.velocity)
        self.runs = end
        self._set_time(t + h)
        self._look()
        gap = Runs(*(np.zeros_like(x) for x in end))
        for weight, slope in ((5.0, first), (-6.0, second), (-8.0, third), (9.0, self.velocity)):
            gap = gap.plus(h * weight / 72.0, slope)
        error = self._relative(gap, end)
        if error <= 1.0 or depth == 0 or self.fixed or not math.isfinite(error):
            self.flow_error = max(self.flow_error, error)
            return error
        self.runs, (self.now, self.velocity) = start, old
        half = 0.5 * h
        return max(self._flow(t, half, depth - 1), self._flow(t + half, half, depth - 1)) * 8.0

    def _slope(self, t: float, runs: Runs) -> Runs:
        self.evaluations += 1
        self._set_time(t)
        return self.field.velocity(runs, self.field.average(runs))

    def _relative(self, gap: Runs, end: Runs) -> float:
        """The largest error over what it may be: relative to its coordinate, or to the noise."""
        worst, allowed = 0.0, FLOW_SHARE * self.rtol
        for error, value in zip(gap, end, strict=True):
            scale = np.abs(value) + math.sqrt(self.eta)
            worst = max(worst, float(np.max(np.abs(error) / scale, initial=0.0)))
        return worst / allowed

    def _second_order(self, before: Runs, h: float, eta: float) -> None:
        """−½ η (JF + ∂F/∂t), −½ η times the change of F, and the square of the mean step."""
        change = self.velocity.plus(-1.0, before)
        u, N, a = self.runs.plus(-0.5 * eta, change)
        N = N + eta * h * (self.now.D @ self.runs.N @ self.now.D.swapaxes(1, 2))
        self.runs = Runs(u, N, a)

    def _choose(self, h: float, error: float) -> None:
        """The next step."""
        if self.fixed:
            return
        ratio = 0.9 * error ** (-1.0 / 3.0) if error > 0.0 else GROWTH
        steps = [self.largest, max(self.h, h) * GROWTH, h * min(GROWTH, max(LEAST, ratio))]
        if self.growth > 0.0:
            steps.append(math.sqrt(3.0 * self.rtol) / self.growth)
        self.h = min(steps)

    def keep(self, moves: NDArray[np.bool_]) -> None:
        """Leave some of the runs out."""
        self.runs, self.now = self.runs.some(moves), self.now.some(moves)
        self.velocity = self.velocity.some(moves)

    # -- checkpoints ------------------------------------------------------------------------------

    def header(self) -> dict[str, Any]:
        """Where the runs are, beside arrays."""
        return {name: getattr(self, name) for name in PLAIN} | {
            "random": self.rng.bit_generator.state
        }

    def arrays(self) -> dict[str, Array]:
        """Where the runs are; what is found there is computed again."""
        return {f"run.{name}": part for name, part in self.runs._asdict().items()}

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Put everything back."""
        self.runs = Runs(*(arrays[f"run.{name}"] for name in Runs._fields))
        self.t = header["t"]
        # at a jump the rates after it are asked for when the run goes on
        self.latest = math.inf
        self._set_time(self.t)
        self._look()
        for name in PLAIN:
            setattr(self, name, header[name])
        self.rng.bit_generator.state = header["random"]
