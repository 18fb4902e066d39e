"""When a run of SGD is recorded, and the room for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.series import StateSeries
from meanfield.dynamics.sgd_runs import Runs


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

    def __init__(self, simulator: Runs, runs: int, T: int, keep: str):
        self.simulator, self.runs = simulator, runs
        self.risk = np.empty((runs, T))
        self.slots = min(T, 2) if keep == "ends" else T
        self.varying: dict[str, NDArray[np.float64]] = {}
        self.count = self.steps_made = 0

    def record(self) -> bool:
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
        self.count += 1
        return True

    def series(self, origin: dict[str, Any]) -> StateSeries:
        """What was recorded, as states."""
        filled = min(self.count, self.slots)
        varying = {name: array[:, :filled] for name, array in self.varying.items()}
        shape = (self.runs, filled)
        return StateSeries(self.simulator.kind, varying, self.simulator.fixed, shape, origin)
