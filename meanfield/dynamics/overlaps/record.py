"""What a run of the overlap equations records, gathered into a solution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.accuracy import judged
from meanfield.dynamics.observables import Measurements
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.series import StateSeries
from meanfield.dynamics.solution import Solution
from meanfield.integrate import Trajectory
from meanfield.states import Overlaps

Array = NDArray[np.float64]


class OverlapRecord:
    """Records of a run that started from `start`."""

    def __init__(self, flow: OverlapFlow, start: Overlaps, measurements: Measurements):
        self.flow, self.start, self.measurements = flow, start, measurements

    def observe(self, t: float, y: Array) -> dict[str, Any]:
        """Overlaps, risk, errors and observables at a saved time."""
        kept = self.flow.record(t, y)
        if self.measurements:
            state = Overlaps(kept["Q"], kept["M"], self.flow.P, kept["a"], self.start.origin)
            kept |= self.measurements(t, state)
        return kept

    def solution(self, run: Trajectory, parameters: dict[str, Any]) -> Solution:
        """Everything recorded."""
        flow, start, records = self.flow, self.start, run.records
        p, k, count = start.p, start.k, len(records)

        def stacked(name: str, shape: tuple[int, ...]) -> Array:
            return np.array([record[name] for record in records]).reshape((count, *shape))

        varying = {"Q": stacked("Q", (p, p)), "M": stacked("M", (p, k))}
        fixed = {"P": np.asarray(flow.P)}
        if flow.kappa > 0:
            varying["a"] = stacked("a", (p,))
        else:
            fixed["a"] = np.asarray(start.a)
        stats = {**run.stats, "noise_method": "none" if flow.noise is None else flow.noise.name}
        for name in ("noise_error", "average_error", "risk_floor", "clipped"):
            stats[name] = max((record[name] for record in records), default=0.0)
        if flow.noise is not None:
            stats |= flow.noise.stats
        status, message = judged(run.status, run.message, stats, parameters["rtol"])
        return Solution(
            t=run.t,
            risk=stacked("risk", ()),
            states=StateSeries("Overlaps", varying, fixed, (count,), dict(start.origin)),
            status=status,
            message=message + self._remarks(records),
            stats=stats,
            problem=flow.problem,
            parameters=parameters,
            observables=self.measurements.stacked(records),
        )

    def _remarks(self, records: list[Any]) -> str:
        """What the message adds: observables that failed, and label noise that plays no part."""
        said = self.measurements.said(records)
        if self.flow.noise is None and self.flow.problem.target.noise > 0.0:
            said += "; label noise enters with the γ/p term alone, which this run leaves out"
        return said
