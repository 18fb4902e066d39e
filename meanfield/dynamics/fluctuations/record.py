"""A run of the fluctuations: what is recorded of it, gathered into a solution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.accuracy import Estimate
from meanfield.dynamics.fluctuations.moments import MomentFlow, Moments, spectrum
from meanfield.dynamics.overlaps.flow import without_negative_part
from meanfield.dynamics.run import Advance, Description, Request, Result, Tolerances
from meanfield.dynamics.state_series import StateSeries
from meanfield.dynamics.stops import Undivided
from meanfield.integrate import Trajectory, integrate
from meanfield.integrate.records import Checkpoint
from meanfield.states import Overlaps

Array = NDArray[np.float64]

COVARIANCE_ERROR, DERIVATIVE_ERROR = 0.05, 1e-2  # allowed under success
MOST_KEPT = 2**22  # numbers of the covariances of all saved times


class FluctuationRun(Description, Undivided):
    """(y, m, Σ) from a start on."""

    name, title = "fluctuations", "fluctuations of SGD"

    def __init__(
        self, flow: MomentFlow, start: Moments, overlaps: Overlaps, request: Request,
        tolerances: Tolerances,
    ):  # fmt: skip
        self.flow, self.start, self.overlaps = flow, start, overlaps
        self.request, self.tolerances = request, tolerances
        self.rtol, self.duration = tolerances.rtol, request.t_end
        whole = flow.field.coordinates.first + flow.field.coordinates.p
        self.keeps_covariance = len(request.times) * whole**2 <= MOST_KEPT

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`."""
        flow, stops = self.flow, self.request.stops
        with np.errstate(all="ignore"):
            return integrate(
                flow.velocity, flow.pack(self.start), self.request.t_end, self.request.times,
                self.observe, **self.tolerances._asdict(), advance=advance, checkpoint=checkpoint,
                weight=flow.weight(), stops=flow.rates.breaks, event=stops and stops.attach(self),
            )  # fmt: skip

    def risk_at(self, t: float, vector: Array) -> float:
        """See `Motion`."""
        return max(self.flow.field.risk(self.flow.read(vector).y), 0.0)

    def state_at(self, t: float, vector: Array) -> Overlaps:
        """See `Motion`."""
        y = self.flow.read(vector).y
        _, M, a = self.flow.field.coordinates.split(y)
        network = self.flow.field.network(y)
        assert network.N is not None
        Q = network.u @ network.u.T + without_negative_part(network.N)
        return Overlaps(Q, M.copy(), self.overlaps.P, a.copy(), self.overlaps.origin)

    def speed_at(self, t: float, vector: Array, out: Array) -> None:
        """See `Motion`."""
        self.flow.velocity(t, vector, out)

    def observe(self, t: float, vector: Array) -> dict[str, Any]:
        """The band, and the errors of what it is made of, at a saved time."""
        flow, field = self.flow, self.flow.field
        flow.set_time(t)
        c, now = field.coordinates, flow.read(vector)
        y, axes = now.y, spectrum(now.sigma)
        band = flow.band(y, now.mean, *axes)
        network = field.network(y)
        spread = np.sqrt(np.maximum(np.diag(now.sigma), 0.0))
        record: dict[str, Any] = {
            "risk": band.risk, "risk_std": band.spread, "risk_bias": band.shift,
            "covariance_error": flow.sample.covariance_error(y),
            "derivative_error": flow.derivative_error(y, *axes),
            "average_error": field.averages.energy(network).error,
        }  # fmt: skip
        for suffix, values in (("std", spread), ("bias", now.mean)):
            parts = c.split(values)
            record |= {f"Q_{suffix}": parts.Q, f"M_{suffix}": parts.M.copy()}
            if c.moving:
                record[f"a_{suffix}"] = parts.a.copy()
        if self.keeps_covariance:
            record["covariance"] = c.with_second_layer(now.sigma)
        state = self.state_at(t, vector)
        if self.request.measurements:
            record |= self.request.measurements(t, state)
        if self.request.keeps(t):
            record |= {"Q": state.Q, "M": state.M} | ({"a": state.a} if c.moving else {})
        return record

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        start, records, c = self.overlaps, trajectory.records, self.flow.field.coordinates
        problem, sample = self.flow.field.problem, self.flow.sample
        eta = self.flow.gamma / (c.p * problem.dim)
        names = ("risk", "Q", "M", *(("a",) if c.moving else ()))
        bands = {
            f"{name}_{kind}": size * np.array([record[f"{name}_{kind}"] for record in records])
            for name in names for kind, size in (("std", math.sqrt(eta)), ("bias", eta))
        }  # fmt: skip
        if self.keeps_covariance:
            bands["covariance"] = eta * np.array([record["covariance"] for record in records])
        errors = ("covariance_error", "derivative_error", "average_error")
        stats = {**trajectory.stats, "points": sample.points}
        stats["noise"] = "sampled" if self.flow.scored else "closed"
        stats |= {name: max((r[name] for r in records), default=0.0) for name in errors}
        estimates = (
            Estimate("covariances of a step", stats["covariance_error"], COVARIANCE_ERROR, 0.01),
            Estimate("derivatives", stats["derivative_error"], DERIVATIVE_ERROR, 1e-3),
        )
        risk = np.array([record["risk"] for record in records])
        states = StateSeries.of_overlaps(records, start, start.P, moving=c.moving)
        return Result(risk, states, stats, estimates, observables=bands)
