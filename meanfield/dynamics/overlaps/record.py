"""A run of the overlap equations: what is recorded of it, gathered into a solution."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.growth import REMARK, UNSURE, error_in_growth
from meanfield.dynamics.overlaps.flow import OverlapFlow, OverlapParts, without_negative_part
from meanfield.dynamics.run import Advance, Description, Request, Result, Tolerances
from meanfield.dynamics.state_series import StateSeries
from meanfield.dynamics.stops import Undivided
from meanfield.integrate import Status, Trajectory, integrate
from meanfield.integrate.records import Checkpoint
from meanfield.schedules.base import largest
from meanfield.states import Overlaps

Array = NDArray[np.float64]

# of each saved time, where there is one
ERRORS = ("noise_error", "clip_error", "average_error", "risk_floor", "clipped")


class OverlapRun(Description, Undivided):
    """A flow that starts from `start`."""

    name, title = "overlap ODEs", "overlap ODEs"

    def __init__(
        self, flow: OverlapFlow, start: Overlaps, request: Request, tolerances: Tolerances
    ):
        self.flow, self.start, self.request = flow, start, request
        self.tolerances, self.rtol, self.duration = tolerances, tolerances.rtol, request.t_end

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`."""
        stops = self.request.stops
        return integrate(
            self.flow.velocity, self.flow.y0, self.request.t_end, self.request.times, self.observe,
            **self.tolerances._asdict(), advance=advance, checkpoint=checkpoint, watch=self.watch,
            stops=self.flow.rates.breaks, event=stops and stops.attach(self),
        )  # fmt: skip

    def watch(self, y: Array, slope: Array) -> float:
        """See `error_in_growth`; a direction is a coordinate, or a, of all neurons."""
        flow = self.flow
        return error_in_growth(flow.autonomous_velocity, y, slope, flow.parts, self.averages_error)

    def risk_at(self, t: float, y: Array) -> float:
        """See `Motion`."""
        with np.errstate(all="ignore"):
            now, _ = self._clipped(self.flow.read(y))
            return self.flow.averages.energy(self.flow.network(now), with_error=False).risk

    def state_at(self, t: float, y: Array) -> Overlaps:
        """See `Motion`."""
        now, _ = self._clipped(self.flow.read(y))
        return Overlaps(now.Q, now.M, self.flow.P, now.a.copy(), self.start.origin)

    def speed_at(self, t: float, y: Array, out: Array) -> None:
        """See `Motion`; the rates stay those of the run."""
        present = self.flow.present
        self.flow.velocity(t, y, out)
        self.flow.set_rates(present)

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
            parts = flow.read(y)
            network = flow.network(parts)
            sampled = flow.errors(parts, network)
            now, clipped = self._clipped(parts)
            energy = flow.averages.energy(network if now is parts else flow.network(now))
        record: dict[str, Any] = {
            "risk": energy.risk, **sampled, "average_error": energy.error,
            "risk_floor": 0.5 * energy.rounding, "clipped": clipped, **flow.pace(y),
        }  # fmt: skip
        if request.measurements:
            record |= request.measurements(t, self.state_at(t, y))
        if request.keeps(t):
            record |= {"Q": now.Q, "M": now.M} | ({"a": now.a.copy()} if flow.moves_a else {})
        return record

    def _clipped(self, now: OverlapParts) -> tuple[OverlapParts, float]:
        """What a vector says, on the cone of overlaps, and how far it was off."""
        if now.N is None:
            return now, 0.0
        N = without_negative_part(now.N)
        clipped = float(np.abs(N - now.N).max())
        if clipped > 0.0:
            u = now.block[:, : self.flow.rank]
            now = now._replace(Q=u @ u.T + N, N=N)
        return now, clipped

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        flow, start, records = self.flow, self.start, trajectory.records
        stats = {**trajectory.stats, "noise_method": "none"}
        for name in ERRORS:
            if all(name in record for record in records):
                stats[name] = max((record[name] for record in records), default=0.0)
        remarks = ""
        if flow.noise is not None:
            stats |= {"noise_method": flow.noise.name} | flow.noise.stats
        elif largest(flow.problem.target.noise) > 0.0:
            remarks = "; label noise enters with the γ/p term alone, which this run leaves out"
        if stats.pop("watched", 0.0) > UNSURE and trajectory.status is Status.SUCCESS:
            remarks += REMARK
        risk = np.array([record["risk"] for record in records])
        states = StateSeries.of_overlaps(records, start, flow.P, moving=flow.moves_a)
        pace = {n: np.array([r[n] for r in records]) for n in flow.pace(flow.y0)}
        alpha = {n: pace.pop(n).tolist() for n in ("alpha",) if n in pace}
        return Result(risk, states, stats, remarks=remarks, parameters=alpha, observables=pace)
