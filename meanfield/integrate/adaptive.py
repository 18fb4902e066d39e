"""Adaptive integration: steps, records, and how a run ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from meanfield.integrate.equation import Attempt, Equation, RightHandSide, Total, Vector
from meanfield.integrate.events import Event, EventValues, Found, find_event, first_values
from meanfield.integrate.explicit import METHODS, Plan
from meanfield.integrate.interrupts import deferring_interrupts
from meanfield.integrate.records import (
    BadRate,
    Checkpoint,
    Snapshot,
    Status,
    Trajectory,
    pack_records,
    unpack_records,
)
from meanfield.integrate.stepping import RunState, Stepper

Observer = Callable[[float, Vector], Mapping[str, Any]]
Progress = Callable[[float], None]
Watch = Callable[[Vector, Vector], float]

MAX_STEPS = 1_000_000
ABSOLUTE = 1e-3  # of the relative tolerance: the absolute one, if it is left open


def integrate(
    rhs: RightHandSide,
    y0: Vector,
    t_end: float,
    save_at: Vector,
    observe: Observer,
    *,
    rtol: float = 1e-6,
    atol: float | None = None,
    max_steps: int = MAX_STEPS,
    advance: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    total: Total | None = None,
    in_place: bool = False,
    weight: Vector | None = None,
    watch: Watch | None = None,
    method: str = "auto",
    stops: Sequence[float] = (),
    event: Event | None = None,
) -> Trajectory:
    """Integrate y' = f(t, y) from 0 to `t_end`.

    Parameters
    ----------
    rhs : callable
        ``rhs(t, y, out)`` writes f(t, y) into `out`.
    y0 : ndarray, shape (N,)
    t_end : float
        > 0.
    save_at : ndarray, shape (T,)
        Increasing times in [0, t_end] at which to record. They do not move the steps.
    observe : callable
        ``observe(t, y)`` returns what to record, numbers and arrays by name; it must copy what it
        keeps of y.
    rtol, atol : float
        Tolerances on the local error, as a root mean square over the components that move: rtol of
        a component's size, plus atol (None: rtol/1000) of the state's root mean square for those
        that do not grow. What grows away from zero is held relative to itself, so that a saddle is
        left in time from any distance.
    max_steps : int
        Bound on the accepted and rejected steps together.
    advance : callable, optional
        Called with the time reached after each accepted step.
    checkpoint : Checkpoint, optional
        Where to keep snapshots of the run, and to go on from the one it holds.
    total : callable, optional
        Sums an array over all holders of a part of y, if it is split.
    in_place : bool
        Whether the `out` of `rhs` may be y itself, which saves a vector of memory.
    weight : ndarray, shape (N,), optional
        How much each component counts: the error must meet the tolerance both so and unweighted.
    watch : callable, optional
        ``watch(y, slope)`` after each step is a number; the largest is ``stats["watched"]``.
        It may change what `rhs` works with, which the checkpoint then holds.
    method : str
        A name in `meanfield.integrate.explicit.METHODS`.
    stops : sequence of float
        Increasing times at which f may jump: a step ends at each, and all steps before see f from
        the left.
    event : Event, optional
        Functions of (t, y) of which the first to fall to 0, or change sign, ends the run there;
        the state is recorded then, too.

    Returns
    -------
    Trajectory
        Whatever happens: a failure or Ctrl-C is a status, with all that was recorded before it.
    """
    atol = ABSOLUTE * rtol if atol is None else atol
    work = Plan(METHODS[method]).work
    equation = Equation(rhs, y0, rtol, atol, total, in_place=in_place, weight=weight, work=work)
    del y0  # at large widths, memory that matters
    run = _Run(equation, save_at, observe, checkpoint, watch, method, (*stops, t_end), event)
    status, message = Status.SUCCESS, f"reached t = {t_end:g}"
    try:
        if not run.resume():
            run.start(run.stop(0.0))
        while run.now.t < t_end and run.met is None:
            if run.now.steps + run.now.rejected >= max_steps:
                status = Status.MAX_STEPS
                message = f"stopped at t = {run.now.t:g} after {max_steps} steps"
                break
            if (failure := run.step(run.stop(run.now.t))) is not None:
                status, message = failure
                break
            if advance is not None:
                advance(run.now.t)
        if event is not None and run.met is not None:
            message = f"stopped at t = {run.now.t:g} by {event.names[run.met.which]}"
    except BadRate as error:
        status, message = Status.INVALID, f"stopped at t = {run.now.t:g}: {error}"
    except KeyboardInterrupt:
        status, message = Status.INTERRUPTED, f"interrupted at t = {run.now.t:g} of {t_end:g}"
        run.keep()
    return run.trajectory(status, message)


class _Run:
    """The moving parts of one integration."""

    def __init__(
        self, equation: Equation, save_at: Vector, observe: Observer,
        checkpoint: Checkpoint | None, watch: Watch | None, method: str,
        stops: Sequence[float], event: Event | None,
    ):  # fmt: skip
        self.equation, self.observe, self.checkpoint = equation, observe, checkpoint
        self.watch, self.stops = watch, stops
        self.event, self.save_at = event, save_at
        self.met: Found | None = None
        self.seen: EventValues | None = None
        self.stepper = Stepper(equation, method)
        self.records: list[Mapping[str, Any]] = []
        self.now = RunState(first_size=equation.length(0), rows=equation.work)
        self.begun = False

    def stop(self, t: float) -> float:
        """The next time after t at which a step must end; until then f is seen from the left."""
        found = next(stop for stop in self.stops if stop > t)
        last = found == self.stops[-1]
        self.equation.latest = math.inf if last else math.nextafter(found, 0.0)
        return found

    def start(self, t_end: float) -> None:
        """First slope, first step, first look at events and first records."""
        f = self.equation
        y, first = self.now.rows[:2]
        f.slope(0.0, y, first)
        f.set_floors(y, self.now.noise)
        h = self.stepper.first_length(self.now, t_end)
        seen = None
        if self.event is not None:
            seen, self.met = first_values(self.event, f.rows[y], f.rows[first])
            self._note_event()
        self._record_to(0.0, lambda t: y)
        self._set_state(self.now._replace(h=h, seen=seen))
        self.begun = True

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one."""
        if self.checkpoint is None or (snapshot := self.checkpoint.load()) is None:
            return False
        now = RunState.read(snapshot.header["now"])
        for name, row in now.vectors(self.equation.basis).items():
            self.equation.rows[row] = snapshot.arrays.pop(name)
        if self.event is not None:
            self.event.restore(snapshot.arrays)
        self.records = list(unpack_records(snapshot.arrays, now.records))
        self.equation.evaluations = now.evaluations
        self.checkpoint.restore(dict(now.outside or {}))
        self.now, self.begun = now, True
        return True

    def keep(self) -> None:
        """Write a snapshot of the state after the last whole step."""
        if self.checkpoint is None or not self.begun:
            return
        now, rows = self.now, self.equation.rows
        arrays = pack_records(self.records[: now.records])
        arrays |= {name: rows[row] for name, row in now.vectors(self.equation.basis).items()}
        arrays |= {} if self.event is None else self.event.arrays()
        self.checkpoint.save(Snapshot({"now": dict(now._asdict())}, arrays))

    def _set_state(self, now: RunState) -> None:
        """Make this the state to go on from."""
        if self.watch is not None:
            seen = self.watch(*(self.equation.rows[row] for row in now.rows[:2]))
            now = now._replace(watched=max(now.watched, seen))
        outside = self.checkpoint.outside() if self.checkpoint is not None else now.outside
        self.now = now._replace(
            outside=outside, records=len(self.records), evaluations=self.equation.evaluations
        )

    def step(self, t_end: float) -> tuple[Status, str] | None:
        """Take an acceptable step and record what lies in it. Returns a failure or None."""
        before: Attempt | None = None
        while True:
            self.equation.set_floors(self.now.rows[0], self.now.noise)
            if self.stepper.wants_subspace(self.now):
                self._find_subspace()
            now = self.now
            last = now.t + 1.01 * now.h >= t_end
            h = t_end - now.t if last else now.h
            if h < 16 * np.spacing(now.t):
                return self.stepper.why_no_step(now)
            step = self.stepper.attempt(now, h)
            if (noise := self.stepper.noise_met(now, step, before)) is not None:
                self.now, step = now._replace(noise=noise), step._replace(error=1.0)
            if step.error <= 1.0:
                self._accept(*self._until_event(step, t_end if last else now.t + h))
                return None
            if not self.equation.finite(now.rows[1]):
                return Status.DIVERGED, f"the velocity is not finite at t = {now.t:g}"
            self.now, before = self.stepper.reject(now, step), step

    def _find_subspace(self) -> None:
        """New stiff directions in place of the old: meanwhile there is nothing to go on from."""
        self.begun = False
        with deferring_interrupts():
            self.now = self.stepper.find_subspace(self.now)
            self.begun = True

    def _accept(self, step: Attempt, t_new: float) -> None:
        """Record the times inside a step, then move to its end."""
        rows = self.equation.rows
        self._record_to(
            t_new,
            lambda t: self.stepper.interpolate(self.now, step, t) if t < t_new else step.rows[0],
        )
        after = self.stepper.accept(self.now, step, t_new)
        if t_new in self.stops[:-1]:  # the slope on the other side of the jump
            self.stop(t_new)
            self.equation.slope(t_new, after.rows[0], after.rows[1])
        if self.event is not None:
            self.event.step_taken(rows[after.rows[0]])
        self._set_state(after._replace(seen=self.seen))
        if self.checkpoint is not None and self.checkpoint.due():
            self.keep()

    def _until_event(self, step: Attempt, t_new: float) -> tuple[Attempt, float]:
        """The step, or a shorter one that ends where an event ends the run."""
        if self.event is None:
            return step, t_new
        event, now, rows = self.event, self.now, self.equation.rows
        assert now.seen is not None
        slope = rows[step.rows[1]] if now.mode.subspace is None else None

        def at(t: float) -> Vector:
            return rows[self.stepper.interpolate(now, step, t) if t < t_new else step.rows[0]]

        def shorter(t: float) -> Vector:
            nonlocal step
            step = self.stepper.attempt(now, t - now.t)
            return rows[step.rows[0]]

        ends = now.t, t_new
        self.seen, self.met = find_event(event, now.seen, ends, at, slope, shorter)
        self._note_event()
        return step, t_new if self.met is None else self.met.t

    def _note_event(self) -> None:
        """An event that ends the run is one more time to record, and the last."""
        if self.event is not None and self.met is not None:
            count = int(np.searchsorted(self.save_at, self.met.t))
            self.save_at = np.append(self.save_at[:count], self.met.t)
            self.event.ends_run(*self.met)

    def _record_to(self, t_new: float, row: Callable[[float], int]) -> None:
        """Record at all times that have come by t_new, with the rows of the state there."""
        while (count := len(self.records)) < len(self.save_at) and self.save_at[count] <= t_new:
            t = float(self.save_at[count])
            self.records.append(self.observe(t, self.equation.rows[row(t)]))

    def trajectory(self, status: Status, message: str) -> Trajectory:
        """What the run leaves behind."""
        stats: dict[str, Any] = {
            "method": self.stepper.name(self.now.mode),
            "rhs_evaluations": self.equation.evaluations,
            "steps": self.now.steps,
            "rejected_steps": self.now.rejected,
            "implicit_steps": self.now.mode.implicit_steps,
        }
        if self.watch is not None:
            stats["watched"] = self.now.watched
        times: Vector = np.array(self.save_at[: len(self.records)])
        y = self.equation.release(self.now.rows[0])
        return Trajectory(times, self.records, y, self.now.t, status, message, stats)
