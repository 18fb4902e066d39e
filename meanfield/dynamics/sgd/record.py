"""A run of SGD: whole steps from one recorded time to the next, for all runs at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from meanfield.dynamics.run import Advance, Description, Request, Result
from meanfield.dynamics.sgd.clock import Position, StepClock
from meanfield.dynamics.sgd.runs import Runs
from meanfield.dynamics.sgd.stopping import StoppingRuns
from meanfield.dynamics.state_series import StateSeries
from meanfield.dynamics.stops import reasons, stats_of_runs
from meanfield.integrate import BadRate, Status, Trajectory
from meanfield.integrate.records import Checkpoint, Snapshot, pack_records, unpack_records

# a compiled call lasts about this long (s), between which Ctrl-C and the progress bar are served
CALL_DURATION = 0.1


class SgdRun(Description):
    """Many runs, moved by a simulator and recorded together; `records` hold them side by side."""

    title = "SGD"

    def __init__(
        self, simulator: Runs, clock: StepClock, request: Request, origin: Mapping[str, Any],
        batch_size: int,
    ):  # fmt: skip
        self.simulator, self.clock, self.request = simulator, clock, request
        self.origin, self.batch_size = origin, batch_size
        self.name, self.duration = simulator.description, clock.duration
        self.runs = self.count = len(simulator.done)
        self.records: list[dict[str, Any]] = []
        self.at = self.under_way = Position()
        self.target = 0  # the next time to record
        stops = request.stops
        self.stopping = None if stops is None else StoppingRuns(stops, simulator, origin)

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`; all runs end where the first of them does."""
        snapshot = None if checkpoint is None else checkpoint.load()
        if snapshot is not None:
            self._restore(snapshot)
        try:
            status, message = self._steps(advance, checkpoint)
        except BadRate as error:  # of a condition that failed
            status, message = Status.INVALID, f"stopped at {self._place()}: {error}"
        except KeyboardInterrupt:
            if self._is_whole() and checkpoint is not None:
                checkpoint.save(self._snapshot())
            status, message = Status.INTERRUPTED, f"interrupted at {self._place()}"
        steps, t = self.at[:2]
        times = np.array([record["t"] for record in self.records])
        stats = {
            "steps": steps, "samples": steps * self.batch_size,
            "step_time": getattr(self.clock, "step_time", t / max(steps, 1)),
        }  # fmt: skip
        if self.stopping is not None:
            stats |= stats_of_runs(self.stopping.stopped)
        # where the runs stand is the simulator's, and of no use to anyone after them
        return Trajectory(times, self.records, np.empty(0), t, status, message, stats)

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        records, simulator = trajectory.records, self.simulator
        risk = np.empty((self.count, len(records)))
        for i, record in enumerate(records):
            risk[:, i] = record["risk"]
        names = ("Q", "M", "W", "a")
        shapes = {name: records[0][name].shape for name in names if records and name in records[0]}
        states = StateSeries.of_records(
            simulator.kind, records, shapes, simulator.fixed, self.origin, self.runs
        )
        stats = {**trajectory.stats, "average_error": simulator.risk_correction.error}
        return Result(risk, states, stats, parameters={"steps": [r["steps"] for r in records]})

    def _is_whole(self) -> bool:
        """Whether the runs stand where one can go on from, after Ctrl-C.

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

    def _steps(self, advance: Advance, checkpoint: Checkpoint | None) -> tuple[Status, str]:
        """Step to each recorded time in turn, in calls short enough to be interrupted."""
        simulator, stopping = self.simulator, self.stopping
        chunk = max(1, int(1e9 * CALL_DURATION / simulator.work))
        while self.target < self.clock.targets:
            while True:
                if stopping is not None and stopping.steps_to_next(self.at.steps) <= 0:
                    self.at = self.at if stopping.look(self.at) else stopping.at
                    if stopping.active.size == 0:
                        break
                most = chunk
                if stopping is not None:
                    most = min(chunk, stopping.steps_to_next(self.at.steps))
                try:
                    after, rates = self.clock.ahead(self.at, self.target, most)
                except BadRate as error:
                    return Status.INVALID, f"stopped at {self._place()}: {error}"
                count = after.steps - self.at.steps
                if count == 0:
                    if stopping is None or stopping.at.steps == self.at.steps:
                        break
                    stopping.length = 0  # the step to record is looked at before
                    continue
                started, self.under_way = time.perf_counter(), after
                made = simulator.advance(count, rates)
                if made.min() < count:
                    self.at = self.at._replace(steps=self.at.steps + int(made.min()))
                    run = int(made.argmin())
                    run = run if stopping is None else int(stopping.active[run])
                    return self._diverged(f"the error of run {run}")
                # one statement without a call in it: Ctrl-C comes before or after, not between
                self.at, made[:] = after, 0
                advance(self.at.t)
                if count == chunk:  # the numbers do not depend on how steps are grouped
                    ratio = CALL_DURATION / max(time.perf_counter() - started, 1e-9)
                    chunk = max(1, int(chunk * min(2.0, max(0.5, ratio))))
                looked = stopping is None or stopping.at.steps == self.at.steps
                if checkpoint is not None and looked and checkpoint.due():
                    checkpoint.save(self._snapshot())
            if self.records and self.records[-1]["steps"] == self.at.steps:
                self.target += 1  # two times to record fall on one step
            elif not self._record(self.at.t):
                return self._diverged("a state")
            if stopping is not None and stopping.active.size == 0:
                by = reasons(stopping.stopped)
                return Status.SUCCESS, f"stopped at t = {self.at.t:g} by {by}"
        return Status.SUCCESS, f"reached t = {self.at.t:g}"

    def _record(self, t: float) -> bool:
        """Record the present states; False, and nothing recorded, if they are not finite."""
        simulator, measurements = self.simulator, self.request.measurements
        fields, risk = (self.stopping or simulator).record()
        if not all(np.isfinite(array).all() for array in (risk, *fields.values())):
            return False
        record = {"t": t, **self._reading(), "risk": risk, **fields}
        if measurements:
            states: StateSeries[Any] = StateSeries(
                simulator.kind, fields, simulator.fixed, (self.count,), self.origin
            )
            record |= measurements.of_runs(t, states)
        before = self.records[-1:]
        if self.request.keep == "ends" and len(self.records) > 1:
            # runs may end anywhere, so that the last state so far is the one to keep
            before = [{name: each for name, each in before[0].items() if name not in fields}]
        after = [*before, record]
        # at once: Ctrl-C comes before or after
        self.records[-1:], self.target = after, self.target + 1
        return True

    def _place(self) -> str:
        return f"t = {self.at.t:g}, step {self.at.steps}"

    def _diverged(self, which: str) -> tuple[Status, str]:
        return Status.DIVERGED, (
            f"{which} stopped being finite at {self._place()}; a smaller learning_rate may help"
        )

    def _snapshot(self) -> Snapshot:
        """The runs as they stand and all that was recorded of them."""
        arrays = pack_records(self.records)
        arrays |= {f"run.{name}": getattr(self.simulator, name) for name in self.simulator.moving}
        header = {"count": len(self.records), "at": list(self.at), "target": self.target}
        if self.stopping is not None:
            header["looks"] = self.stopping.header()
            arrays |= self.stopping.arrays()
        return Snapshot(header, arrays)

    def _restore(self, snapshot: Snapshot) -> None:
        """Put everything back to where a snapshot was taken."""
        self.at = Position(*snapshot.header["at"])
        self.target = snapshot.header["target"]
        self.records = unpack_records(snapshot.arrays, snapshot.header["count"])
        if self.stopping is not None:
            self.stopping.restore(snapshot.header["looks"], snapshot.arrays)
        for name in self.simulator.moving:
            getattr(self.simulator, name)[...] = snapshot.arrays[f"run.{name}"]
        if self.stopping is not None:
            self.stopping.save_position()
