"""Steps of the diffusion: impulses between flows, and how long a step may be.

Split after Strang: half an impulse, a flow, half an impulse. Noise enters with √η, so errors are
those of the flow (Bogacki & Shampine's method, by its own estimate) and η h² of the splitting
(Milstein & Tretyakov 1997), relative to the noise (2hJ)²/12, with J the rate at which impulses grow
or shrink, seen as the change of the velocity that an impulse makes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.diffusion.field import DiffusionField, Runs
from meanfield.dynamics.diffusion.impulse import give_impulse

Array = NDArray[np.float64]

FLOW_SHARE = 0.1  # of the tolerance, for one step of the flow
GROWTH, LEAST = 2.0, 0.3  # of steps, from one to the next
MEMORY = 0.9  # of J, from one impulse to the next: with few runs a single one may be blind to it
DEPTH = 12  # halvings of a flow


class Stepper:
    """Runs side by side, on one clock.

    Parameters
    ----------
    field : DiffusionField
    runs : Runs
    eta : float
        γ/(p d).
    batch_size : int
    rtol : float
    largest : float
        Longest step.
    fixed : bool
        Whether every step is that long.
    seed : int
    """

    def __init__(
        self, field: DiffusionField, runs: Runs, eta: float, batch_size: int, rtol: float,
        largest: float, fixed: bool, seed: int,
    ):  # fmt: skip
        self.field, self.runs, self.eta, self.batch = field, runs, eta, batch_size
        self.rtol, self.largest, self.fixed = rtol, largest, fixed
        self.rng = np.random.default_rng(seed)
        self.t, self.owed = 0.0, 0.0  # noise of this much time has not been given yet
        self.growth, self.clipped, self.flow_error = 0.0, 0.0, 0.0
        self.steps, self.evaluations, self.shortest = 0, 0, math.inf
        self._look()
        self.h = largest if fixed else min(largest, self._first_step())

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

    def go_to(self, stop: float) -> bool:
        """Up to a time, all of its noise given; False if a state stops being finite."""
        while self.t < stop:
            left = stop - self.t
            count = max(1, math.ceil(left / self.h * (1.0 - 1e-9)))
            h = left / count
            self._kick(self.owed + 0.5 * h)
            before = self.velocity
            error = self._flow(h, DEPTH)
            if not self.runs.finite():
                return False
            if not self.field.spherical:
                self._second_order(before, h)
            self.t, self.owed = stop if count == 1 else self.t + h, 0.5 * h
            self.steps, self.shortest = self.steps + 1, min(self.shortest, h)
            self._choose(h, error)
        self._kick(self.owed)
        self.owed = 0.0
        return self.runs.finite()

    def _kick(self, duration: float) -> None:
        """An impulse with the noise of a time, and what it says about J."""
        size = math.sqrt(self.eta * duration / self.batch)
        before, velocity = self.runs, self.velocity
        impulse = give_impulse(self.field, before, self.now, size, self.rng)
        self.runs, self.clipped = impulse.runs, self.clipped + impulse.clipped
        self._look()
        moved, turned = (
            math.sqrt(sum(float(((x - y) ** 2).sum()) for x, y in zip(one, two, strict=True)))
            for one, two in ((self.runs, before), (self.velocity, velocity))
        )
        if moved > 0.0:
            self.growth = max(MEMORY * self.growth, turned / moved)

    def _flow(self, h: float, depth: int) -> float:
        """The flow for a time h, in halves where its error is too large; the largest error."""
        first = self.velocity
        start = self.runs
        second = self._slope(start.plus(0.5 * h, first))
        third = self._slope(start.plus(0.75 * h, second))
        end = start
        for weight, slope in ((2.0 / 9.0, first), (1.0 / 3.0, second), (4.0 / 9.0, third)):
            end = end.plus(h * weight, slope)
        end, old = self.field.projected(end), (self.now, self.velocity)
        self.runs = end
        self._look()
        gap = Runs(*(np.zeros_like(x) for x in end))
        for weight, slope in ((5.0, first), (-6.0, second), (-8.0, third), (9.0, self.velocity)):
            gap = gap.plus(h * weight / 72.0, slope)
        error = self._relative(gap, end)
        if error <= 1.0 or depth == 0 or self.fixed or not math.isfinite(error):
            self.flow_error = max(self.flow_error, error)
            return error
        self.runs, (self.now, self.velocity) = start, old
        return max(self._flow(0.5 * h, depth - 1), self._flow(0.5 * h, depth - 1)) * 8.0

    def _slope(self, runs: Runs) -> Runs:
        self.evaluations += 1
        return self.field.velocity(runs, self.field.average(runs))

    def _relative(self, gap: Runs, end: Runs) -> float:
        """The largest error over what it may be: relative to its coordinate, or to the noise."""
        worst, allowed = 0.0, FLOW_SHARE * self.rtol
        for error, value in zip(gap, end, strict=True):
            scale = np.abs(value) + math.sqrt(self.eta)
            worst = max(worst, float(np.max(np.abs(error) / scale, initial=0.0)))
        return worst / allowed

    def _second_order(self, before: Runs, h: float) -> None:
        """−½ η JF, which is −½ η times the change of F, and the square of the mean step."""
        change = self.velocity.plus(-1.0, before)
        u, N, a = self.runs.plus(-0.5 * self.eta, change)
        N = N + self.eta * h * (self.now.D @ self.runs.N @ self.now.D.swapaxes(1, 2))
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
