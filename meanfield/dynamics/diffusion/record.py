"""Runs of the diffusion from one saved time to the next, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Sequence
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
from meanfield.dynamics.rates import RateSeries
from meanfield.dynamics.run import Advance, Description, Request, Result
from meanfield.dynamics.state_series import StateSeries
from meanfield.dynamics.stops import reasons, stats_of_runs
from meanfield.integrate import BadRate, Status, Trajectory
from meanfield.integrate.records import Checkpoint, Snapshot, pack_records, unpack_records
from meanfield.problem import Problem
from meanfield.states import Overlaps

Array = NDArray[np.float64]

CLIPPED = 1e-2  # a change of Q, of its size, that a success must not have
FIELDS = ("Q", "M", "a")


class DiffusionRun(Description):
    """Runs from their starts on: one for all, or one for each."""

    name, title = "diffusion", "diffusion"

    def __init__(
        self, problem: Problem, starts: Sequence[Overlaps], rates: RateSeries, request: Request,
        runs: int, seed: int, rtol: float, step: float | None, spherical: bool, batch_size: int,
    ):  # fmt: skip
        self.start, self.request = starts[0], request
        self.runs = self.count = runs
        self.duration, self.allowed = request.t_end, rtol
        averages, p = OverlapAverages(problem), starts[0].p
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
        self.stopping = None
        if request.stops is not None:
            self.stopping = StoppingPaths(request.stops, self.field, begun, self._state)
        self.records: list[dict[str, Any]] = []
        self.average_error = 0.0
        self._mark()

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`; all runs end where the first of them does."""
        snapshot = None if checkpoint is None else checkpoint.load()
        if snapshot is not None:
            self._restore(snapshot)
        stepper = self.stepper
        try:
            with np.errstate(all="ignore"):
                status, message = self._steps(advance, checkpoint)
        except BadRate as error:
            status, message = Status.INVALID, f"stopped at t = {stepper.t:g}: {error}"
        except KeyboardInterrupt:
            if checkpoint is not None:
                checkpoint.save(self._snapshot())
            status, message = Status.INTERRUPTED, f"interrupted at t = {stepper.t:g}"
        saved = np.array([record["t"] for record in self.records])
        reached = float(saved[-1]) if status is Status.SUCCESS else stepper.t
        return Trajectory(saved, self.records, np.empty(0), reached, status, message, self._stats())

    def _steps(self, advance: Advance, checkpoint: Checkpoint | None) -> tuple[Status, str]:
        """To each time to record in turn."""
        stepper, stopping, times = self.stepper, self.stopping, self.request.times
        if stopping is not None and stepper.t == 0.0 and not self.records:
            self._look()
        for t in (*times[len(self.records) :].tolist(), self.request.t_end):
            for finite in stepper.go_to(t, stopping is not None):
                if not finite:
                    place = f"just after t = {stepper.t:g}"
                    return Status.DIVERGED, f"a state stopped being finite {place}"
                if stopping is not None and self._look():
                    break
                self._mark()
                advance(stepper.t)
                if checkpoint is not None and checkpoint.due():
                    checkpoint.save(self._snapshot())
            if stopping is not None and not stopping.active.size:
                last = max(at for at, _ in stopping.stopped)
                self._record(last)
                return Status.SUCCESS, f"stopped at t = {last:g} by {reasons(stopping.stopped)}"
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
        return Overlaps(Q[0], M[0], self.start.P, runs.a[0].copy(), self.start.origin)

    def _record(self, t: float) -> None:
        """Overlaps and risks of all runs, those that have stopped as they were then."""
        runs, request = self.stepper.runs, self.request
        if self.stopping is not None:
            runs = self.stopping.with_active(runs)
        Q, M = self.field.overlaps(runs)
        risk, error = self.field.risks(runs)
        fields = {"Q": Q, "M": M, "a": runs.a.copy()}
        record: dict[str, Any] = {"t": t, "risk": risk, **fields}
        if request.measurements:
            fixed = {"P": np.asarray(self.start.P)}
            record |= request.measurements.of_runs(
                t, StateSeries("Overlaps", fields, fixed, (self.count,), self.start.origin)
            )
        self.average_error = max(self.average_error, error)
        before = self.records[-1:]
        if request.keep == "ends" and len(self.records) > 1:
            # runs may end anywhere, so that the last state so far is the one to keep
            before = [{name: each for name, each in before[0].items() if name not in FIELDS}]
        self.records[-1:] = [*before, record]  # at once: Ctrl-C comes before or after

    def _stats(self) -> dict[str, Any]:
        stepper = self.stepper
        stats = {
            "rhs_evaluations": stepper.evaluations, "steps": stepper.steps,
            "step": stepper.shortest, "sgd_steps": int(stepper.sgd_steps),
            "clipped": stepper.clipped, "flow_error": stepper.flow_error,
            "average_error": self.average_error, "noise_method": self.field.noise.name,
        }  # fmt: skip
        return stats if self.stopping is None else stats | stats_of_runs(self.stopping.stopped)

    def _mark(self) -> None:
        """Take note of where the runs are: what a snapshot will say, wherever Ctrl-C comes."""
        header: dict[str, Any] = {"stepper": self.stepper.header(), "count": len(self.records)}
        arrays = self.stepper.arrays()
        if self.stopping is not None:
            header["looks"] = self.stopping.header()
            arrays |= self.stopping.arrays()
        self.mark = Snapshot(header, arrays)

    def _snapshot(self) -> Snapshot:
        """The runs as they were marked, and all that was recorded of them."""
        header, arrays = self.mark
        return Snapshot(header, arrays | pack_records(self.records[: header["count"]]))

    def _restore(self, snapshot: Snapshot) -> None:
        """Put everything back to where a snapshot was taken."""
        header, arrays = snapshot
        self.records = unpack_records(arrays, header["count"])
        self.stepper.restore(header["stepper"], arrays)
        if self.stopping is not None:
            self.stopping.restore(header["looks"], arrays)
        self._mark()

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        records, start, stats = trajectory.records, self.start, trajectory.stats
        risk = np.array([record["risk"] for record in records]).reshape(-1, self.count).T
        shapes: dict[str, tuple[int, ...]] = {
            "Q": (self.count, start.p, start.p), "M": (self.count, start.p, start.k),
            "a": (self.count, start.p),
        }  # fmt: skip
        states = StateSeries.of_records(
            "Overlaps", records, shapes, {"P": np.asarray(start.P)}, start.origin, self.runs
        )
        size = float(np.abs(start.Q).max()) or 1.0
        estimates = [
            Estimate(
                "overlaps kept positive semi-definite", stats["clipped"] / size, CLIPPED, CLIPPED
            )
        ]
        return Result(risk, states, stats, estimates)


def _coordinates(
    problem: Problem, start: Overlaps, averages: OverlapAverages, spherical: bool,
    rates: RateSeries,
) -> Runs:  # fmt: skip
    """A start as one run, on spheres if the problem has them."""
    flow = OverlapFlow(problem, start, averages, None, spherical, 1, rates)
    now = flow.read(flow.y0)
    u = np.ascontiguousarray(now.block[:, : flow.rank])
    return Runs(u[None], (now.Q - u @ u.T)[None], now.a[None])
