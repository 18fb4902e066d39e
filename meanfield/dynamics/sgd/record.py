"""When a run of SGD is recorded, and the room for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.observables import Measurements
from meanfield.dynamics.series import StateSeries
from meanfield.dynamics.sgd.runs import Runs
from meanfield.integrate.records import Snapshot, pack_records, unpack_records


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


class Recorder:
    """Preallocated room for what is recorded; `count` times are whole."""

    def __init__(
        self, simulator: Runs, runs: int, T: int, keep: str, measurements: Measurements,
        origin: dict[str, Any],
    ):  # fmt: skip
        self.simulator, self.runs, self.measurements = simulator, runs, measurements
        self.origin = origin
        self.risk = np.empty((runs, T))
        self.slots = min(T, 2) if keep == "ends" else T
        self.varying: dict[str, NDArray[np.float64]] = {}
        self.observed: list[dict[str, Any]] = []  # at each time, over the runs
        self.count = self.steps_made = 0

    def record(self, t: float) -> bool:
        """Record the present states; False, and nothing recorded, if they are not finite."""
        fields, risk = self.simulator.record()
        if not all(np.isfinite(array).all() for array in (risk, *fields.values())):
            return False
        slot = min(self.count, self.slots - 1)
        for name, array in fields.items():
            if name not in self.varying:
                self.varying[name] = np.empty((self.runs, self.slots, *array.shape[1:]))
            self.varying[name][:, slot] = array
        self.risk[:, self.count] = risk
        if self.measurements:
            del self.observed[self.count :]
            self.observed.append(self._measure(t, fields))
        self.count += 1
        return True

    def _measure(self, t: float, fields: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
        """The observables of every run at one moment, stacked."""
        now = StateSeries(
            self.simulator.kind, fields, self.simulator.fixed, (self.runs,), self.origin
        )
        return self.measurements.over_runs([self.measurements(t, state) for state in now])

    def series(self) -> StateSeries:
        """What was recorded, as states."""
        filled = min(self.count, self.slots)
        varying = {name: array[:, :filled] for name, array in self.varying.items()}
        shape = (self.runs, filled)
        return StateSeries(self.simulator.kind, varying, self.simulator.fixed, shape, self.origin)

    def missing(self) -> str:
        """What to add to the message where an observable failed."""
        return self.measurements.said(self.observed[: self.count])

    def observables(self) -> dict[str, NDArray[Any]]:
        """What was measured, (runs, T, ...) for each name."""
        stacked = self.measurements.stacked(self.observed[: self.count])
        nothing = np.full((self.runs, self.count), np.nan)  # of one that failed at all times
        return {
            name: np.moveaxis(values, 0, 1) if values.ndim > 1 else nothing
            for name, values in stacked.items()
        }

    def snapshot(self) -> Snapshot:
        """The runs as they stand and all that was recorded of them."""
        filled = min(self.count, self.slots)
        arrays = pack_records(self.observed[: self.count])
        arrays |= {f"run.{name}": getattr(self.simulator, name) for name in self.simulator.moving}
        arrays |= {f"state.{name}": array[:, :filled] for name, array in self.varying.items()}
        arrays["risk"] = self.risk[:, : self.count]
        return Snapshot({"count": self.count, "steps_made": self.steps_made}, arrays)

    def resume(self, snapshot: Snapshot) -> None:
        """Put everything back to where a snapshot was taken."""
        self.count, self.steps_made = snapshot.header["count"], snapshot.header["steps_made"]
        self.risk[:, : self.count] = snapshot.arrays["risk"]
        self.observed = unpack_records(snapshot.arrays, self.count)
        for key, array in snapshot.arrays.items():
            kind, _, name = key.partition(".")
            if kind == "run":
                getattr(self.simulator, name)[...] = array
            elif kind == "state":
                room = np.empty((self.runs, self.slots, *array.shape[2:]))
                room[:, : array.shape[1]] = array
                self.varying[name] = room
