"""Runs of SGD that set their own pace: γ depends on the gradients that a run has met."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.run import Advance, Request, Result
from meanfield.dynamics.sgd.clock import Position, too_short
from meanfield.dynamics.sgd.record import CallLength, SgdRun
from meanfield.dynamics.sgd.runs import Runs
from meanfield.integrate import Status, Trajectory
from meanfield.kernels.dynamics.sgd.pace import Pace
from meanfield.problem import Problem

Array = NDArray[np.float64]


class OwnClocks:
    """What the clocks of runs with a pace of their own have in common."""

    def __init__(self, problem: Problem, p: int, times: Array, t_end: float):
        self.rate, self.times = problem.learning_rate, times
        self.targets, self.duration = len(times), t_end
        self.first_step = self.rate.first / (p * problem.dim)
        if self.first_step > self.duration * (1.0 + 1e-12):
            raise ValueError(too_short(self.first_step, self.duration))

    def pace(self, target: int) -> Pace:
        """Of the way to a time to record."""
        t_end = self.duration * (1.0 + 1e-12)
        return Pace(self.rate.b**2, self.first_step, float(self.times[target]), t_end)


class AdaptiveRun(SgdRun):
    """Many runs, each by a clock of its own, recorded where each is nearest to a common time."""

    clock: OwnClocks  # type: ignore[assignment]

    def __init__(
        self, simulator: Runs, clock: OwnClocks, request: Request, origin: Mapping[str, Any],
        batch_size: int,
    ):  # fmt: skip
        super().__init__(simulator, clock, request, origin, batch_size)  # type: ignore[arg-type]

    def _is_whole(self) -> bool:
        return True  # each run carries its own clock: it need not stand where the others do

    def _reading(self) -> dict[str, Any]:
        own, rate = self.simulator.own, self.clock.rate
        gamma = rate.rate / np.sqrt(rate.b**2 + own[:, 2])
        return {"steps": own[:, 3].astype(np.int64), "learning_rate": gamma}

    def steps(self, advance: Advance) -> tuple[Status, str]:
        """See `RandomRun`."""
        simulator, own = self.simulator, self.simulator.own
        call = CallLength(simulator.work)
        while self.target < self.clock.targets:
            pace = self.clock.pace(self.target)
            while True:
                started = time.perf_counter()
                made = int(simulator.advance(call.steps, pace=pace).max())
                self.at = Position(int(own[:, 3].min()), float(own[:, 0].min()))
                bad = ~np.isfinite(own).all(axis=1)
                if bad.any():
                    return self._diverged(f"the error of run {int(bad.argmax())}")
                if made < call.steps:
                    break
                advance(self.at.t)
                call.adapt(started)
                self.save_if_due()
            if not self._record(pace.wanted):
                return self._diverged("a state")
            advance(pace.wanted)
        return Status.SUCCESS, f"reached t = {self.clock.duration:g}"

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`; steps and γ are those of each run."""
        result, records = super().result(trajectory), trajectory.records
        empty = [np.empty((0, self.count))]
        steps, gamma = (
            np.vstack([each[name] for each in records] or empty).T
            for name in ("steps", "learning_rate")
        )
        return result._replace(
            parameters={"steps": steps.tolist()}, observables={"learning_rate": gamma}
        )
