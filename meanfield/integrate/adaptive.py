"""Adaptive integration with an embedded Runge-Kutta pair and dense output."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.integrate.outcome import Status, Trajectory
from meanfield.integrate.tableau import DORMAND_PRINCE, Tableau
from meanfield.kernels.linear import combine, scaled_norm

Vector = NDArray[np.float64]
RightHandSide = Callable[[float, Vector, Vector], None]
Observer = Callable[[float, Vector], Any]
Progress = Callable[[float], None]

# Proportional-integral step control (Hairer, Nørsett & Wanner, "dopri5")
SAFETY, SHRINK, GROW, INTEGRAL_GAIN = 0.9, 0.2, 10.0, 0.04
MAX_STEPS = 1_000_000
# growth over the start at which a step that shrinks to nothing is read as a blow-up
BLOW_UP = 1e6


def integrate(
    rhs: RightHandSide,
    y0: Vector,
    t_end: float,
    save_at: Vector,
    observe: Observer,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    method: Tableau = DORMAND_PRINCE,
    max_steps: int = MAX_STEPS,
    advance: Progress | None = None,
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
        Increasing times in [0, t_end] at which to record, by the interpolant between steps.
    observe : callable
        ``observe(t, y)`` returns what to record; it must copy what it keeps.
    rtol, atol : float
        Tolerances on the local error, as a root mean square over the components.
    method : Tableau
        The embedded pair.
    max_steps : int
        Bound on the accepted and rejected steps together.
    advance : callable, optional
        Called with the time reached after each accepted step.

    Returns
    -------
    Trajectory
        Whatever happens: a failure or Ctrl-C is a status, with all that was recorded before it.
    """
    run = _Run(rhs, np.array(y0, dtype=np.float64), method, rtol, atol)
    times: list[float] = []
    records: list[Any] = []
    status, message = Status.SUCCESS, f"reached t = {t_end:g}"
    try:
        run.start(t_end)
        pending = list(save_at)
        while pending and pending[0] <= run.t:
            records.append(observe(run.t, run.y))
            times.append(pending.pop(0))
        while run.t < t_end:
            if run.steps + run.rejected >= max_steps:
                status = Status.MAX_STEPS
                message = f"stopped at t = {run.t:g} after {max_steps} steps"
                break
            failure = run.step(t_end)
            if failure is not None:
                status, message = failure
                break
            while pending and pending[0] <= run.t_new:
                records.append(observe(pending[0], run.interpolate(pending[0])))
                times.append(pending.pop(0))
            run.accept()
            if advance is not None:
                advance(run.t)
    except KeyboardInterrupt:
        status, message = Status.INTERRUPTED, f"interrupted at t = {run.t:g} of {t_end:g}"
    stats = {
        "method": method.name,
        "rhs_evaluations": run.evaluations,
        "steps": run.steps,
        "rejected_steps": run.rejected,
    }
    return Trajectory(np.array(times), records[: len(times)], run.y, run.t, status, message, stats)


class _Run:
    """The moving parts of one integration."""

    def __init__(self, rhs: RightHandSide, y: Vector, method: Tableau, rtol: float, atol: float):
        self.rhs, self.method, self.rtol, self.atol = rhs, method, rtol, atol
        self.y, self.t, self.t_new = y, 0.0, 0.0
        self.y_new, self.work = np.empty_like(y), np.empty_like(y)
        self.K = np.zeros((len(method.nodes), y.size))
        self.h = self.h_taken = 0.0
        self.last_error = 1e-4
        self.evaluations = self.steps = self.rejected = 0
        self.first_size = float(np.abs(y).max())

    def evaluate(self, t: float, y: Vector, out: Vector) -> None:
        self.rhs(t, y, out)
        self.evaluations += 1

    def norm(self, h: float, K: Vector, c: Vector, y_new: Vector) -> float:
        """Size of h Σ_s c_s K_s in units of the tolerance."""
        return float(scaled_norm(h, K, c, self.y, y_new, self.atol, self.rtol))

    def start(self, t_end: float) -> None:
        """First slope and a first step whose Euler error is about a hundredth (Hairer II.4)."""
        y, first, second = self.y, self.K[0], self.K[1]
        self.evaluate(0.0, y, first)
        one = np.ones(1)
        size = self.norm(1.0, y[None], one, y)
        speed = self.norm(1.0, first[None], one, y)
        h = 0.01 * size / speed if size > 1e-5 and speed > 1e-5 else 1e-6
        h = min(h, t_end)
        if not math.isfinite(speed):
            self.h = h if math.isfinite(h) else 1e-6
            return
        combine(self.work, y, h, self.K[:1], one)
        self.evaluate(h, self.work, second)
        bend = self.norm(1.0 / h, self.K[:2], np.array([-1.0, 1.0]), y)
        steepest = max(speed, bend)
        longer = (0.01 / steepest) ** (1 / self.method.order) if steepest > 1e-15 else 1e3 * h
        self.h = min(100 * h, longer, t_end) if math.isfinite(longer) else h

    def step(self, t_end: float) -> tuple[Status, str] | None:
        """Find an acceptable step; y_new and K then hold it. Returns a failure or None."""
        method, K = self.method, self.K
        exponent = 1 / (method.error_order + 1)
        while True:
            if not np.isfinite(K[0]).all():
                return Status.DIVERGED, f"the velocity is not finite at t = {self.t:g}"
            last = self.t + 1.01 * self.h >= t_end
            h = t_end - self.t if last else self.h
            if h < 16 * np.spacing(max(self.t, 1e-30)) or h < 1e-14 * t_end:
                return self._collapse()
            for s in range(1, len(method.nodes)):
                out = self.y_new if s == len(method.nodes) - 1 else self.work
                combine(out, self.y, h, K[:s], method.stages[s, :s])
                self.evaluate(self.t + method.nodes[s] * h, out, K[s])
            error = self.norm(h, K, method.error, self.y_new)
            if error <= 1.0:
                factor = SAFETY * error ** -(exponent - 0.75 * INTEGRAL_GAIN) if error > 0 else GROW
                factor *= self.last_error**INTEGRAL_GAIN
                self.t_new = t_end if last else self.t + h
                self.h_taken, self.h = h, h * min(GROW, max(SHRINK, factor))
                self.last_error = max(error, 1e-4)
                return None
            self.rejected += 1
            shrink = SAFETY * error**-exponent if math.isfinite(error) else SHRINK
            self.h = h * max(SHRINK, shrink)

    def _collapse(self) -> tuple[Status, str]:
        if not np.isfinite(self.y_new).all() or not np.isfinite(self.K).all():
            return Status.DIVERGED, f"the state stops being finite just after t = {self.t:g}"
        size = float(np.abs(self.y).max())
        if size > BLOW_UP * max(1.0, self.first_size):
            return Status.DIVERGED, f"the state grows without bound: {size:.1g} at t = {self.t:g}"
        return (
            Status.STEP_COLLAPSED,
            f"the step size fell below rounding at t = {self.t:g}; the tolerances rtol = "
            f"{self.rtol:g}, atol = {self.atol:g} cannot be met there",
        )

    def interpolate(self, t: float) -> Vector:
        """The state at a time inside the step just found, to fourth order."""
        h, K, dense = self.h_taken, self.K, self.method.dense
        x = (t - self.t) / h
        if t >= self.t_new:
            return self.y_new
        # Hermite cubic through both ends, plus x²(1-x)² times the method's own correction,
        # gathered into one weight per stage
        b = self.method.stages[-1]
        weights = (x * x * (3.0 - 2.0 * x)) * np.append(b, 0.0) + x * x * (1.0 - x) ** 2 * dense
        weights[0] += x * (1.0 - x) ** 2
        weights[-1] -= x * x * (1.0 - x)
        out = np.empty_like(self.y)
        combine(out, self.y, h, K, weights)
        return out

    def accept(self) -> None:
        """Move to the step's end; the last stage becomes the first."""
        self.steps += 1
        self.t = self.t_new
        self.y, self.y_new = self.y_new, self.y
        self.K[0] = self.K[-1]
