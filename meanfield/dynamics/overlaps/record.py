"""A run of the overlap equations: what is recorded of it, gathered into a solution."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.growth import REMARK, UNSURE, error_in_growth
from meanfield.dynamics.overlaps.flow import OverlapFlow, without_negative_part
from meanfield.dynamics.run import Advance, Description, Request, Result, Tolerances
from meanfield.dynamics.series import StateSeries
from meanfield.integrate import Status, Trajectory, integrate
from meanfield.integrate.records import Checkpoint
from meanfield.schedules.base import largest
from meanfield.states import Overlaps

Array = NDArray[np.float64]

ERRORS = ("noise_error", "average_error", "risk_floor", "clipped")  # of each saved time


class OverlapRun(Description):
    """A flow that starts from `start`."""

    name, title = "overlap ODEs", "overlap ODEs"

    def __init__(
        self, flow: OverlapFlow, start: Overlaps, request: Request, tolerances: Tolerances
    ):
        self.flow, self.start, self.request = flow, start, request
        self.tolerances, self.rtol, self.duration = tolerances, tolerances.rtol, request.t_end

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`."""
        return integrate(
            self.flow.velocity, self.flow.y0, self.request.t_end, self.request.times, self.observe,
            **self.tolerances._asdict(), advance=advance, checkpoint=checkpoint, watch=self.watch,
            stops=self.flow.rates.breaks,
        )  # fmt: skip

    def watch(self, y: Array, slope: Array) -> float:
        """See `error_in_growth`; a direction is a coordinate, or a, of all neurons."""
        flow = self.flow
        return error_in_growth(flow.present_velocity, y, slope, flow.parts, self.averages_error)

    @cached_property
    def averages_error(self) -> float:
        """Of the averages at the start."""
        flow = self.flow
        with np.errstate(all="ignore"):
            return flow.averages.energy(flow.network(flow.read(flow.y0))).error

    def observe(self, t: float, y: Array) -> dict[str, Any]:
        """Risk, errors and observables at a saved time, and the overlaps where they are kept."""
        flow, request = self.flow, self.request
        if flow.rates:
            flow.set_rates(flow.rates(t))
        with np.errstate(all="ignore"):
            now = flow.read(y)
            Q, noise_error, clipped = now.Q, 0.0, 0.0
            if now.N is not None:
                if flow.noise is not None:
                    noise_error = flow.noise.error(flow.network(now))
                N = without_negative_part(now.N)
                clipped = float(np.abs(N - now.N).max())
                if clipped > 0.0:
                    u = now.block[:, : flow.rank]
                    Q = u @ u.T + N
                    now = now._replace(Q=Q, N=N)
            energy = flow.averages.energy(flow.network(now))
        record: dict[str, Any] = {
            "risk": energy.risk, "noise_error": noise_error, "average_error": energy.error,
            "risk_floor": 0.5 * energy.rounding, "clipped": clipped,
        }  # fmt: skip
        if request.measurements:
            state = Overlaps(Q, now.M, flow.P, now.a.copy(), self.start.origin)
            record |= request.measurements(t, state)
        if request.keeps(t):
            record |= {"Q": Q, "M": now.M} | ({"a": now.a.copy()} if flow.moves_a else {})
        return record

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        flow, start, records = self.flow, self.start, trajectory.records
        shapes: dict[str, tuple[int, ...]] = {"Q": (start.p, start.p), "M": (start.p, start.k)}
        fixed = {"P": np.asarray(flow.P)}
        if flow.moves_a:
            shapes["a"] = (start.p,)
        else:
            fixed["a"] = np.asarray(start.a)
        stats = {**trajectory.stats, "noise_method": "none"}
        stats |= {name: max((r[name] for r in records), default=0.0) for name in ERRORS}
        remarks = ""
        if flow.noise is not None:
            stats |= {"noise_method": flow.noise.name} | flow.noise.stats
        elif largest(flow.problem.target.noise) > 0.0:
            remarks = "; label noise enters with the γ/p term alone, which this run leaves out"
        if stats.pop("watched", 0.0) > UNSURE and trajectory.status is Status.SUCCESS:
            remarks += REMARK
        risk = np.array([record["risk"] for record in records])
        states = StateSeries.of_records("Overlaps", records, shapes, fixed, start.origin)
        return Result(risk, states, stats, remarks=remarks)
