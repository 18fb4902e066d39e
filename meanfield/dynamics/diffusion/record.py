"""Runs of the diffusion from one saved time to the next, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.accuracy import Estimate
from meanfield.dynamics.diffusion.averages import Runs, StepAverages
from meanfield.dynamics.diffusion.steps import Stepper
from meanfield.dynamics.diffusion.stopping import StoppingPaths
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.overlaps.noise import choose_noise
from meanfield.dynamics.random_run import RandomRuns
from meanfield.dynamics.rates import RateSeries
from meanfield.dynamics.run import Advance, Request, Result
from meanfield.integrate import Status, Trajectory
from meanfield.integrate.records import Snapshot
from meanfield.problem import Problem
from meanfield.states import Overlaps

Array = NDArray[np.float64]

CLIPPED = 1e-2  # a change of Q, of its size, that a success must not have


class DiffusionRun(RandomRuns):
    """Runs from their starts on: one for all, or one for each."""

    name, title = "diffusion", "diffusion"
    stopping: StoppingPaths | None = None

    def __init__(
        self, problem: Problem, starts: Sequence[Overlaps], rates: RateSeries, request: Request,
        runs: int, seed: int, rtol: float, step: float | None, spherical: bool, batch_size: int,
    ):  # fmt: skip
        start = starts[0]
        super().__init__(request, runs, "Overlaps", {"P": np.asarray(start.P)}, start.origin)
        self.duration, self.allowed = request.t_end, rtol
        self.shapes = {name: (runs, *np.shape(getattr(start, name))) for name in ("Q", "M", "a")}
        self.size = float(np.abs(start.Q).max()) or 1.0
        averages, p = OverlapAverages(problem), start.p
        noise = choose_noise(averages, problem, p, True, "auto", None, 0)
        assert noise is not None
        each = [_coordinates(problem, one, averages, spherical, rates) for one in starts]
        begun = Runs(*(np.concatenate(parts) for parts in zip(*each, strict=True)))
        if len(starts) < runs:
            begun = begun.some(np.zeros(runs, dtype=np.int64))
        self.field = StepAverages(problem, averages, noise, p, batch_size, spherical)
        self.stepper = Stepper(
            self.field, begun, rates, 1.0 / (p * problem.dim), rtol,
            request.t_end if step is None else step, step is not None, seed,
        )  # fmt: skip
        if request.stops is not None:
            self.stopping = StoppingPaths(request.stops, self.field, begun, self._state)
        self.average_error = 0.0
        self._mark()

    @property
    def t(self) -> float:
        """See `RandomRun`."""
        return self.stepper.t

    @np.errstate(all="ignore")
    def steps(self, advance: Advance) -> tuple[Status, str]:
        """See `RandomRun`."""
        stepper, stopping, times = self.stepper, self.stopping, self.request.times
        if stopping is not None and stepper.t == 0.0 and not self.records:
            self._look()
        for t in (*times[len(self.records) :].tolist(), self.request.t_end):
            for finite in stepper.go_to(t, stopping is not None):
                if not finite:
                    return (
                        Status.DIVERGED,
                        f"a state stopped being finite just after {self.place()}",
                    )
                if stopping is not None and self._look():
                    break
                self._mark()
                advance(stepper.t)
                self.save_if_due()
            if stopping is not None and stopping.over:
                last = max(at for at, _ in stopping.stopped)
                self._record(last)
                return Status.SUCCESS, f"stopped at t = {last:g} by {stopping.reasons()}"
            if len(self.records) < len(times):
                self._record(t)
                self._mark()
        return Status.SUCCESS, f"reached t = {self.request.t_end:g}"

    def _look(self) -> bool:
        """See which runs stop here; whether none is left."""
        stepper, stopping = self.stepper, self.stopping
        assert stopping is not None
        moves = stopping.look(stepper.t, stepper.runs)
        if not moves.all():
            stepper.keep(moves)
        return not moves.any()

    def _state(self, runs: Runs) -> Overlaps:
        """The overlaps of the first of several runs."""
        Q, M = self.field.overlaps(runs)
        return Overlaps(Q[0], M[0], self.fixed["P"], runs.a[0].copy(), self.origin)

    def _record(self, t: float) -> None:
        """Overlaps and risks of all runs, those that have stopped as they were then."""
        runs = self.stepper.runs
        if self.stopping is not None:
            runs = self.stopping.all_runs(runs)
        Q, M = self.field.overlaps(runs)
        risk, error = self.field.risks(runs)
        self.average_error = max(self.average_error, error)
        self.records[-1:] = self.with_record(t, {"Q": Q, "M": M, "a": runs.a.copy()}, risk)

    def stats(self) -> dict[str, Any]:
        """See `RandomRun`."""
        stepper = self.stepper
        return {
            "rhs_evaluations": stepper.evaluations, "steps": stepper.steps,
            "step": stepper.shortest, "sgd_steps": int(stepper.sgd_steps),
            "clipped": stepper.clipped, "flow_error": stepper.flow_error,
            "average_error": self.average_error, "noise_method": self.field.noise.name,
        } | super().stats()  # fmt: skip

    def position(self) -> Snapshot:
        """See `RandomRun`."""
        return self.mark

    def _mark(self) -> None:
        """Take note of where the runs are: what a snapshot will say, wherever Ctrl-C comes."""
        header: dict[str, Any] = {"stepper": self.stepper.header(), "count": len(self.records)}
        arrays = self.stepper.arrays()
        if self.stopping is not None:
            header["looks"] = self.stopping.header()
            arrays |= self.stopping.arrays()
        self.mark = Snapshot(header, arrays)

    def set_position(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """See `RandomRun`."""
        self.stepper.restore(header["stepper"], arrays)
        if self.stopping is not None:
            self.stopping.restore(header["looks"], arrays)
        self._mark()

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        stats = trajectory.stats
        risk, states = self.risks_and_states(trajectory.records, self.shapes)
        what, clipped = "overlaps kept positive semi-definite", stats["clipped"] / self.size
        return Result(risk, states, stats, [Estimate(what, clipped, CLIPPED, CLIPPED)])


def _coordinates(
    problem: Problem, start: Overlaps, averages: OverlapAverages, spherical: bool,
    rates: RateSeries,
) -> Runs:  # fmt: skip
    """A start as one run, on spheres if the problem has them."""
    flow = OverlapFlow(problem, start, averages, None, spherical, 1, rates)
    now = flow.read(flow.y0)
    u = np.ascontiguousarray(now.block[:, : flow.rank])
    return Runs(u[None], (now.Q - u @ u.T)[None], now.a[None])
