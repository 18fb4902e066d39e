"""A run of the overlap equations forwards, whose accepted steps are kept, and then of its adjoints.

`band` takes the adjoints of the risk back along these steps.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.accuracy import Estimate
from meanfield.dynamics.fluctuations.adjoint import Covector
from meanfield.dynamics.fluctuations.band import Backward, Change, Node, Spread
from meanfield.dynamics.fluctuations.drift import around, going
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.overlaps.record import OverlapRun
from meanfield.dynamics.run import Advance, Request, Result, Tolerances
from meanfield.integrate import Status, Trajectory, integrate
from meanfield.integrate.records import Checkpoint
from meanfield.states import Overlaps

Array = NDArray[np.float64]

NO_SCORES = "; no band: the overlaps met the edge of their cone, where there are no scores"
STD_ERROR, ADJOINT_ERROR = 0.05, 1e-2  # allowed under success


class BandRun(OverlapRun):
    """The overlap equations forwards, then the adjoints backwards."""

    name, title = "risk band", "overlap ODEs, for a band"

    def __init__(
        self, flow: OverlapFlow, backward: Backward, start: Overlaps, request: Request,
        tolerances: Tolerances,
    ):  # fmt: skip
        super().__init__(flow, start, request, tolerances)
        self.backward, self.times, self.steps = backward, [0.0], list[Array]()
        self.spread: Spread | None = None

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`; an interrupted way back goes on, the way there is gone again."""
        request, flow = self.request, self.flow

        def reach(t: float) -> None:
            self.times.append(t)
            advance(t)

        saved = request.times
        inside = saved[(saved > 0.0) & (saved < self.duration)].tolist()
        trajectory = integrate(
            self.velocity, flow.y0, request.t_end, saved, self.observe,
            **self.tolerances._asdict(), advance=reach, watch=self.watch,
            stops=tuple(sorted({*inside, *flow.rates.breaks})),
            event=request.stops and request.stops.attach(self),
        )  # fmt: skip
        if trajectory.status is Status.INTERRUPTED:
            return trajectory
        try:
            with np.errstate(all="ignore"):
                self.spread = self.backward.spread(self.nodes(), trajectory.t, checkpoint)
        except np.linalg.LinAlgError:
            pass  # `result` says that there is no band
        except KeyboardInterrupt:
            message = f"interrupted on the way back from t = {trajectory.t[-1]:g}"
            return replace(trajectory, status=Status.INTERRUPTED, message=message)
        return trajectory

    def velocity(self, t: float, y: Array, out: Array) -> None:
        """That of the flow, as long as SGD goes on."""
        if self.flow.rates:
            going(self.flow.rates(t), t)
        self.flow.velocity(t, y, out)

    def watch(self, y: Array, slope: Array) -> float:
        """Keep every accepted step; times come with `advance`, one after the other."""
        self.steps.append(y.copy())
        return super().watch(y, slope)

    def nodes(self) -> list[Node]:
        """The accepted steps, with their velocities on both sides of a jump of the rates."""
        breaks = self.flow.rates.breaks
        found: list[Node] = []
        for n, (t, y) in enumerate(zip(self.times, self.steps, strict=False)):
            speed, arrival = self._speed(t, y), math.nextafter(t, 0.0) if t in breaks else t
            now, change = self.flow.read(y), None
            if self.flow.rates:
                middle = 0.5 * (t + self.times[n - 1]) if n > 0 else t
                between = 0.5 * (y + self.steps[n - 1]) if n > 0 else y
                change = Change(
                    self._change(middle, between), self._change(arrival, y), self._change(t, y)
                )
            state = Covector(now.Q, now.block[:, : self.flow.rank].copy(), now.a.copy())
            jumped = self._speed(arrival, y) if arrival < t else speed
            found.append(Node(t, state, speed, jumped, change))
        return found

    def _change(self, t: float, y: Array) -> Covector:
        """∂F/∂t, differenced between two jumps of the rates."""
        earlier, later = around(self.flow.rates, t)
        change = self._speed(later, y).plus(-1.0, self._speed(earlier, y))
        return Covector(*(part / (later - earlier) for part in change))

    def _speed(self, t: float, y: Array) -> Covector:
        """dy/dt of (Q, u, a)."""
        flow, slope = self.flow, np.empty_like(y)
        flow.velocity(t, y, slope)
        moving, speed = flow.parts(slope)
        u, du = flow.read(y).block[:, : flow.rank], speed[:, : flow.rank].copy()
        half, dN = du @ u.T, speed[:, flow.rank :]
        da = moving[:, 0].copy() if flow.moves_a else np.zeros(flow.p)
        return Covector(half + half.T + 0.5 * (dN + dN.T), du, da)

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        found = super().result(trajectory)
        spread, remark = self.spread, ""
        if spread is None:
            nothing, remark = np.full(len(trajectory.t), np.nan), NO_SCORES
            if trajectory.status is Status.INTERRUPTED:
                remark = "; no band, for its adjoints start at the end"
            spread = Spread(nothing, nothing, math.nan)
        eta = self.backward.first / (self.flow.p * self.flow.problem.dim)
        std = np.sqrt(np.maximum(spread.variance, 0.0))
        off = float((0.5 * spread.error / np.where(std > 0.0, std, 1.0)).max(initial=0.0))
        largest = float(std.max(initial=0.0))
        errors = {
            "risk_std_error": off / largest if largest != 0.0 else 0.0,
            "adjoint_error": spread.adjoint_error,
        }  # fmt: skip
        estimates = (
            Estimate("the risk's scatter", errors["risk_std_error"], STD_ERROR, 0.01),
            Estimate("adjoints", spread.adjoint_error, ADJOINT_ERROR, 1e-3),
        )
        return found._replace(
            stats=found.stats | errors | {"nodes": len(self.steps)}, estimates=estimates,
            remarks=found.remarks + remark, observables={"risk_std": math.sqrt(eta) * std},
        )  # fmt: skip
