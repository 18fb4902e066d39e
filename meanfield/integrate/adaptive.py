"""Adaptive integration: steps, records, and how a run ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.integrate.equation import Attempt, Equation, RightHandSide, Total, Vector
from meanfield.integrate.explicit import Plan
from meanfield.integrate.interrupts import interrupts_held
from meanfield.integrate.outcome import BadRate, Status, Trajectory
from meanfield.integrate.records import Checkpoint, Snapshot, pack_records, unpack_records
from meanfield.integrate.stepping import Now, Stepper
from meanfield.integrate.tableau import METHODS

Observer = Callable[[float, Vector], Mapping[str, Any]]
Progress = Callable[[float], None]
Watch = Callable[[Vector, Vector], float]

MAX_STEPS = 1_000_000
ABSOLUTE = 1e-3  # of the relative tolerance: the absolute one, if it is left open
# growth over the start at which a step that shrinks to nothing is read as a blow-up
BLOW_UP = 1e6
NOISE_ORDER = 2.0  # a method's error falls faster than this with the step, that of rounding not
LIFT = 100.0  # of the level of noise, where it is met


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
) -> Trajectory:
    """Integrate y' = f(t, y) from 0 to `t_end`.

    Parameters
    ----------
    rhs : callable
        ``rhs(t, y, out)`` writes f(t, y) into `out`.
    y0 : ndarray, shape (N,)
        State at time 0.
    t_end : float
        Final time, > 0.
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
        A name in `meanfield.integrate.tableau.METHODS`.
    stops : sequence of float
        Increasing times at which f may jump: a step ends at each, and all steps before see f from
        the left.

    Returns
    -------
    Trajectory
        Whatever happens: a failure or Ctrl-C is a status, with all that was recorded before it.
    """
    atol = ABSOLUTE * rtol if atol is None else atol
    work = Plan(METHODS[method]).work
    equation = Equation(rhs, y0, rtol, atol, total, in_place=in_place, weight=weight, work=work)
    del y0  # at large widths, memory that matters
    run = _Run(equation, save_at, observe, checkpoint, watch, method, (*stops, t_end))
    status, message = Status.SUCCESS, f"reached t = {t_end:g}"
    try:
        if not run.resume():
            run.start(run.stop(0.0))
        while run.now.t < t_end:
            if run.now.steps + run.now.rejected >= max_steps:
                status = Status.MAX_STEPS
                message = f"stopped at t = {run.now.t:g} after {max_steps} steps"
                break
            failure = run.step(run.stop(run.now.t))
            if failure is not None:
                status, message = failure
                break
            if advance is not None:
                advance(run.now.t)
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
        stops: Sequence[float],
    ):  # fmt: skip
        self.equation, self.observe, self.checkpoint = equation, observe, checkpoint
        self.watch, self.stops = watch, stops
        self.save_at = save_at
        self.stepper = Stepper(equation, method)
        self.records: list[Mapping[str, Any]] = []
        self.now = Now(first_size=equation.length(0), rows=equation.work)
        self.begun = False

    def stop(self, t: float) -> float:
        """The next time after t at which a step must end; until then f is seen from the left."""
        found = next(stop for stop in self.stops if stop > t)
        last = found == self.stops[-1]
        self.equation.latest = math.inf if last else math.nextafter(found, 0.0)
        return found

    # -- starting, and starting again -------------------------------------------------------------

    def start(self, t_end: float) -> None:
        """First slope, and a first step whose Euler error is about a hundredth (Hairer II.4)."""
        f = self.equation
        y, first, second, work = self.now.rows[:4]
        f.slope(0.0, y, first)
        f.stand(y, self.now.noise)
        size, speed = f.error([1.0], [y], y, y), f.error([1.0], [first], y, y)
        h = 0.01 * size / speed if size > 1e-5 and speed > 1e-5 else 1e-6
        h = min(h, t_end)
        if math.isfinite(speed):
            f.mix(work, [1.0, h], [y, first])
            f.slope(h, work, second)
            bend = f.error([-1.0 / h, 1.0 / h], [first, second], y, y)
            steepest = max(speed, bend)
            order = self.stepper.explicit.tableau.order
            longer = (0.01 / steepest) ** (1.0 / order) if steepest > 1e-15 else 1e3 * h
            h = min(100 * h, longer, t_end) if 0.0 < longer < math.inf else h
        while self._pending(0.0):
            self.records.append(self.observe(0.0, f.rows[y]))
        self._stand(self.now._replace(h=h if math.isfinite(h) else 1e-6))
        self.begun = True

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one."""
        snapshot = self.checkpoint.load() if self.checkpoint is not None else None
        if self.checkpoint is None or snapshot is None:
            return False
        now = Now.read(snapshot.header["now"])
        for name, row in now.vectors(self.equation.basis).items():
            self.equation.rows[row] = snapshot.arrays.pop(name)
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
        self.checkpoint.save(Snapshot({"now": dict(now._asdict())}, arrays))

    def _stand(self, now: Now) -> None:
        """Make this the state to go on from."""
        if self.watch is not None:
            seen = self.watch(*(self.equation.rows[row] for row in now.rows[:2]))
            now = now._replace(watched=max(now.watched, seen))
        outside = self.checkpoint.outside() if self.checkpoint is not None else now.outside
        self.now = now._replace(
            outside=outside,
            records=len(self.records),
            evaluations=self.equation.evaluations,
        )

    # -- stepping ---------------------------------------------------------------------------------

    def step(self, t_end: float) -> tuple[Status, str] | None:
        """Take an acceptable step and record what lies in it. Returns a failure or None."""
        before: Attempt | None = None
        while True:
            self.equation.stand(self.now.rows[0], self.now.noise)
            if self.stepper.wants_subspace(self.now):
                self._find_subspace()
            now = self.now
            last = now.t + 1.01 * now.h >= t_end
            h = t_end - now.t if last else now.h
            if h < 16 * np.spacing(now.t):
                return self._collapse()
            step = self.stepper.attempt(now, h)
            if self._is_noise(step, before):
                step = step._replace(error=1.0)
            if step.error <= 1.0:
                self._accept(step, t_end if last else now.t + h)
                return None
            if not self.equation.finite(now.rows[1]):
                return Status.DIVERGED, f"the velocity is not finite at t = {now.t:g}"
            self.now, before = self.stepper.reject(now, step), step

    def _is_noise(self, step: Attempt, before: Attempt | None) -> bool:
        """Whether what grows from almost nothing errs by rounding, which shorter steps leave as is.

        Then that is the level from which growth can be controlled, and the step will do.
        """
        f, now = self.equation, self.now
        if before is None or not 1.0 < step.error < math.inf or not f.loose <= 1.0:
            return False
        if step.error < before.error * (step.h / before.h) ** NOISE_ORDER:
            return False
        self.now = now._replace(noise=min(f.atol, LIFT * f.noise))
        return True

    def _find_subspace(self) -> None:
        """New stiff directions in place of the old: meanwhile there is nothing to go on from."""
        self.begun = False
        with interrupts_held():
            self.now = self.stepper.find_subspace(self.now)
            self.begun = True

    def _accept(self, step: Attempt, t_new: float) -> None:
        """Record the times inside a step, then move to its end."""
        rows = self.equation.rows
        while self._pending(t_new):
            t = float(self.save_at[len(self.records)])
            row = step.rows[0] if t >= t_new else self.stepper.interpolate(self.now, step, t)
            self.records.append(self.observe(t, rows[row]))
        after = self.stepper.accept(self.now, step, t_new)
        if t_new in self.stops[:-1]:  # the slope on the other side of the jump
            self.stop(t_new)
            self.equation.slope(t_new, after.rows[0], after.rows[1])
        self._stand(after)
        if self.checkpoint is not None and self.checkpoint.due():
            self.keep()

    def _pending(self, t: float) -> bool:
        """Whether the next time to record has come by t."""
        count = len(self.records)
        return count < len(self.save_at) and float(self.save_at[count]) <= t

    def _collapse(self) -> tuple[Status, str]:
        f, now = self.equation, self.now
        if not all(f.finite(row) for row in now.rows[1:]):
            return Status.DIVERGED, f"the state stops being finite just after t = {now.t:g}"
        size = f.length(now.rows[0])
        if size > BLOW_UP * max(1.0, now.first_size):
            return Status.DIVERGED, f"the state grows without bound: {size:.1g} at t = {now.t:g}"
        return (
            Status.STEP_COLLAPSED,
            f"the step size fell below rounding at t = {now.t:g}; the tolerances rtol = "
            f"{f.rtol:g}, atol = {f.atol:g} cannot be met there",
        )

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
        times: NDArray[np.float64] = np.array(self.save_at[: len(self.records)])
        y = self.equation.release(self.now.rows[0])
        return Trajectory(times, self.records, y, self.now.t, status, message, stats)
