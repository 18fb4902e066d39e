"""A run of SGD: whole steps from one recorded time to the next, for all runs at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from meanfield.dynamics.random_run import RandomRuns
from meanfield.dynamics.run import Advance, Request, Result
from meanfield.dynamics.sgd.clock import Position, StepClock
from meanfield.dynamics.sgd.runs import Runs
from meanfield.dynamics.sgd.stopping import StoppingSteps
from meanfield.integrate import Status, Trajectory
from meanfield.integrate.records import Snapshot

# a compiled call lasts about this long (s), between which Ctrl-C and the progress bar are served
CALL_DURATION = 0.1


class CallLength:
    """How many steps a compiled call makes; the numbers do not depend on how they are grouped.

    Parameters
    ----------
    work : float
        Rough cost of a step, in nanoseconds.
    """

    def __init__(self, work: float):
        self.steps = max(1, int(1e9 * CALL_DURATION / work))

    def adapt(self, started: float) -> None:
        """From how long a call of so many steps took, since a time of `perf_counter`."""
        ratio = CALL_DURATION / max(time.perf_counter() - started, 1e-9)
        self.steps = max(1, int(self.steps * min(2.0, max(0.5, ratio))))


class SgdRun(RandomRuns):
    """Many runs, moved by a simulator; all end where the first of them diverges."""

    title = "SGD"
    stopping: StoppingSteps | None = None

    def __init__(
        self, simulator: Runs, clock: StepClock, request: Request, origin: Mapping[str, Any],
        batch_size: int,
    ):  # fmt: skip
        super().__init__(request, len(simulator.done), simulator.kind, simulator.fixed, origin)
        self.simulator, self.clock, self.batch_size = simulator, clock, batch_size
        self.name, self.duration = simulator.description, clock.duration
        self.at = self.under_way = Position()
        self.target = 0  # the next time to record
        stops = request.stops
        self.stopping = None if stops is None else StoppingSteps(stops, simulator, origin)

    @property
    def t(self) -> float:
        """See `RandomRun`."""
        return self.at.t

    def place(self) -> str:
        """See `RandomRun`."""
        return f"t = {self.at.t:g}, step {self.at.steps}"

    def stats(self) -> dict[str, Any]:
        """See `RandomRun`."""
        steps, t = self.at[:2]
        return {
            "steps": steps, "samples": steps * self.batch_size,
            "step_time": getattr(self.clock, "step_time", t / max(steps, 1)),
        } | super().stats()  # fmt: skip

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        records, simulator = trajectory.records, self.simulator
        names = ("Q", "M", "W", "a")
        shapes = {name: records[0][name].shape for name in names if records and name in records[0]}
        steps = [record["steps"] for record in records]
        risk, states = self.risks_and_states(records, shapes)
        stats = {**trajectory.stats, "average_error": simulator.risk_correction.error}
        return Result(risk, states, stats, parameters={"steps": steps})

    def _is_whole(self) -> bool:
        """Whether the runs are where one can go on from, after Ctrl-C.

        A compiled call ends before it is heard: its steps count if every run made them.
        """
        if self.stopping is not None:
            if self.stopping.before:
                self.at = self.stopping.rewind()
            return bool(self.stopping.before)
        done, whole = self.simulator.done, self.under_way.steps - self.at.steps
        if done.min() != done.max() or int(done.min()) not in (0, whole):
            return False
        self.at = self.under_way if done.min() else self.at
        return True

    def _reading(self) -> dict[str, Any]:
        """What a record says of the clock."""
        return {"steps": self.at.steps}

    def steps(self, advance: Advance) -> tuple[Status, str]:
        """See `RandomRun`."""
        stopping, call = self.stopping, CallLength(self.simulator.work)
        while self.target < self.clock.targets:
            if (failure := self._to_target(call, advance)) is not None:
                return self._diverged(failure)
            if self.records and self.records[-1]["steps"] == self.at.steps:
                self.target += 1  # two times to record fall on one step
            elif not self._record(self.at.t):
                return self._diverged("a state")
            if stopping is not None and stopping.over:
                return Status.SUCCESS, f"stopped at t = {self.at.t:g} by {stopping.reasons()}"
        return Status.SUCCESS, f"reached t = {self.at.t:g}"

    def _to_target(self, call: CallLength, advance: Advance) -> str | None:
        """Step to the next time to record, or until all runs have stopped; says what diverged."""
        simulator, stopping = self.simulator, self.stopping
        while True:
            most = call.steps
            if stopping is not None:
                if stopping.steps_to_next(self.at.steps) <= 0:
                    self.at = self.at if stopping.look(self.at) else stopping.at
                    if stopping.over:
                        return None
                most = min(most, stopping.steps_to_next(self.at.steps))
            after, rates = self.clock.ahead(self.at, self.target, most)
            count = after.steps - self.at.steps
            if count == 0:
                if stopping is None or stopping.at.steps == self.at.steps:
                    return None
                stopping.length = 0  # the step to record is looked at before
                continue
            started, self.under_way = time.perf_counter(), after
            made = simulator.advance(count, rates)
            if made.min() < count:
                self.at = self.at._replace(steps=self.at.steps + int(made.min()))
                run = int(made.argmin())
                return f"the error of run {run if stopping is None else int(stopping.active[run])}"
            # one statement without a call in it: Ctrl-C comes before or after, not between
            self.at, made[:] = after, 0
            advance(self.at.t)
            if count == call.steps:
                call.adapt(started)
            if stopping is None or stopping.at.steps == self.at.steps:
                self.save_if_due()

    def _record(self, t: float) -> bool:
        """Record the present states; False, and nothing recorded, if they are not finite."""
        fields, risk = (self.stopping or self.simulator).record()
        if not all(np.isfinite(array).all() for array in (risk, *fields.values())):
            return False
        after = self.with_record(t, fields, risk, **self._reading())
        # at once: Ctrl-C comes before or after
        self.records[-1:], self.target = after, self.target + 1
        return True

    def _diverged(self, which: str) -> tuple[Status, str]:
        return Status.DIVERGED, (
            f"{which} stopped being finite at {self.place()}; a smaller learning_rate may help"
        )

    def position(self) -> Snapshot | None:
        """See `RandomRun`: the runs as they are."""
        if not self._is_whole():
            return None
        arrays = {f"run.{name}": getattr(self.simulator, name) for name in self.simulator.moving}
        header = {"count": len(self.records), "at": list(self.at), "target": self.target}
        if self.stopping is not None:
            header["looks"] = self.stopping.header()
            arrays |= self.stopping.arrays()
        return Snapshot(header, arrays)

    def set_position(self, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """See `RandomRun`."""
        self.at, self.target = Position(*header["at"]), header["target"]
        if self.stopping is not None:
            self.stopping.restore(header["looks"], arrays)
        for name in self.simulator.moving:
            getattr(self.simulator, name)[...] = arrays[f"run.{name}"]
        if self.stopping is not None:
            self.stopping.save_position()
