"""The whole steps of SGD: from one recorded time to the next, for all runs at once."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.run import Advance, Description, Request, Result
from meanfield.dynamics.series import StateSeries
from meanfield.dynamics.sgd.runs import Runs
from meanfield.integrate import Status, Trajectory
from meanfield.integrate.records import Checkpoint, Snapshot, pack_records, unpack_records

# a compiled call lasts about this long (s), between which Ctrl-C and the progress bar are served
CALL_DURATION = 0.1


@dataclass(frozen=True)
class Schedule:
    """Which steps to record: `steps` (T,) increasing, their `times`, and how many there are."""

    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    total: int
    step_time: float


def whole_steps(times: NDArray[np.float64], t_end: float, step_time: float) -> Schedule:
    """Move each time to the nearest whole step within t_end, and stamp it with that step's time."""
    last = t_end / step_time
    if last > 2.0**53:
        raise ValueError(
            f"t_end = {t_end:g} is {last:.3g} steps of t = {step_time:.3g} away, more than can be "
            "counted; the time of a step is learning_rate/(p dim)"
        )
    slack = 1e-9 + 1e-12 * last  # t_end is often a whole number of steps, up to rounding
    total = math.floor(last + slack)
    if total < 1:
        raise ValueError(
            f"t_end must hold at least one step, t = learning_rate/(p dim) = {step_time:g}, "
            f"got {t_end:g}"
        )
    steps, first = np.unique(
        np.minimum(np.rint(times / step_time), total).astype(np.int64), return_index=True
    )
    stamps, asked = steps * step_time, times[first]
    same = np.abs(stamps - asked) <= 1e-12 * asked
    return Schedule(steps, np.where(same, asked, stamps), total, step_time)


class SgdRun(Description):
    """Many runs, moved by a simulator and recorded together; `records` hold them side by side."""

    title = "SGD"

    def __init__(
        self, simulator: Runs, schedule: Schedule, request: Request, origin: Mapping[str, Any],
        batch_size: int,
    ):  # fmt: skip
        self.simulator, self.schedule, self.request = simulator, schedule, request
        self.origin, self.batch_size = origin, batch_size
        self.name, self.duration = simulator.description, schedule.total
        self.runs = self.count = len(simulator.done)
        self.records: list[dict[str, Any]] = []
        self.steps_made = 0

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`; all runs end where the first of them does."""
        snapshot = None if checkpoint is None else checkpoint.load()
        if snapshot is not None:
            self._restore(snapshot)
        try:
            status, message = self._steps(advance, checkpoint)
        except KeyboardInterrupt:
            # a compiled call ends before Ctrl-C is heard: its steps count if every run made them
            under_way = int(self.simulator.done.min())
            if under_way == self.simulator.done.max():
                self.steps_made += under_way
                if checkpoint is not None:
                    checkpoint.save(self._snapshot())
            status, message = Status.INTERRUPTED, f"interrupted at {self._place()}"
        times, step_time = self.schedule.times[: len(self.records)], self.schedule.step_time
        stats = {
            "steps": self.steps_made,
            "samples": self.steps_made * self.batch_size,
            "step_time": step_time,
        }
        reached = self.steps_made * step_time
        # where the runs stand is the simulator's, and of no use to anyone after them
        return Trajectory(times, self.records, np.empty(0), reached, status, message, stats)

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
        return Result(risk, states, {**trajectory.stats, "average_error": simulator.judge.error})

    def _steps(self, advance: Advance, checkpoint: Checkpoint | None) -> tuple[Status, str]:
        """Step to each recorded time in turn, in calls short enough to be interrupted."""
        schedule, simulator = self.schedule, self.simulator
        chunk = max(1, int(1e9 * CALL_DURATION / simulator.work))
        first = len(self.records)
        for wanted, t in zip(schedule.steps[first:], schedule.times[first:], strict=True):
            while self.steps_made < wanted:
                count = min(chunk, int(wanted) - self.steps_made)
                started = time.perf_counter()
                made = simulator.advance(count)
                if made.min() < count:
                    self.steps_made += int(made.min())
                    return self._diverged(f"the error of run {int(made.argmin())}")
                # one statement without a call in it: Ctrl-C comes before or after, not between
                self.steps_made, made[:] = self.steps_made + count, 0
                advance(self.steps_made)
                if count == chunk:  # the numbers do not depend on how steps are grouped
                    ratio = CALL_DURATION / max(time.perf_counter() - started, 1e-9)
                    chunk = max(1, int(chunk * min(2.0, max(0.5, ratio))))
                if checkpoint is not None and checkpoint.due():
                    checkpoint.save(self._snapshot())
            if not self._record(float(t)):
                return self._diverged("a state")
        return Status.SUCCESS, f"reached t = {schedule.times[-1]:g}"

    def _record(self, t: float) -> bool:
        """Record the present states; False, and nothing recorded, if they are not finite."""
        simulator, measurements = self.simulator, self.request.measurements
        fields, risk = simulator.record()
        if not all(np.isfinite(array).all() for array in (risk, *fields.values())):
            return False
        record = {"risk": risk, **fields}
        if measurements:
            now = StateSeries(simulator.kind, fields, simulator.fixed, (self.count,), self.origin)
            record |= measurements.of_runs(t, now)
        before = self.records[-1:]
        if self.request.keep == "ends" and len(self.records) > 1:
            # runs may end anywhere, so that the last state so far is the one to keep
            before = [{name: each for name, each in before[0].items() if name not in fields}]
        self.records[-1:] = [*before, record]  # at once: Ctrl-C comes before or after
        return True

    def _place(self) -> str:
        return f"t = {self.steps_made * self.schedule.step_time:g}, step {self.steps_made}"

    def _diverged(self, which: str) -> tuple[Status, str]:
        return Status.DIVERGED, (
            f"{which} stopped being finite at {self._place()}; a smaller learning_rate may help"
        )

    def _snapshot(self) -> Snapshot:
        """The runs as they stand and all that was recorded of them."""
        arrays = pack_records(self.records)
        arrays |= {f"run.{name}": getattr(self.simulator, name) for name in self.simulator.moving}
        return Snapshot({"count": len(self.records), "steps_made": self.steps_made}, arrays)

    def _restore(self, snapshot: Snapshot) -> None:
        """Put everything back to where a snapshot was taken."""
        self.steps_made = snapshot.header["steps_made"]
        self.records = unpack_records(snapshot.arrays, snapshot.header["count"])
        for name in self.simulator.moving:
            getattr(self.simulator, name)[...] = snapshot.arrays[f"run.{name}"]
