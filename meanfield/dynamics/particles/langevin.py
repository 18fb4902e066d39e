"""Mean-field Langevin dynamics: neurons that drift by the field and diffuse at a temperature.

dX = v dt − λ X dt + √(2τ) dB for X = w/√d in R^d, whose law stays invariant under rotations of the
D perpendicular directions: u takes the first k coordinates of the noise, r is the length of the
rest. Steps are split after Strang: half a step of the Ornstein–Uhlenbeck part, exactly in law, a
step of the drift by Heun's method, and the other half; weak order two.

A companion takes steps twice as long under the same noise. Averages of the run err by a third of
what they differ from the companion's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.accuracy import Estimate
from meanfield.dynamics.particles.flow import ParticleFlow
from meanfield.dynamics.run import Advance, Description, Result
from meanfield.dynamics.stops import first_sign_change
from meanfield.integrate import BadRate, Status, Trajectory
from meanfield.integrate.records import Checkpoint, Snapshot, pack_records, unpack_records

Array = NDArray[np.float64]

SAFETY = 0.1  # of the time in which the drift changes by its own size: the default step
TOO_LARGE = 1e-2  # a relative error of averages that a success must not have
PROBES = 4  # iterations that find that time


def diffuse(
    u: Array, r: Array, h: float, decay: float, temperature: float, D: float,
    rng: np.random.Generator,
) -> tuple[Array, Array]:  # fmt: skip
    """A time h of dX = −decay X dt + √(2τ) dB, exactly in law.

    Of the perpendicular part one coordinate lies along it and D − 1 across, so that
    r² → (e^{−λh} r + s ξ)² + s² χ²_{D−1}: r = 0 needs no care.
    """
    shrink = math.exp(-decay * h)
    variance = 2.0 * temperature * h
    if decay > 0.0:
        variance = -math.expm1(-2.0 * decay * h) * temperature / decay
    s = math.sqrt(variance)
    u = shrink * u + s * rng.standard_normal(u.shape)
    along = shrink * r + s * rng.standard_normal(r.shape)
    across = variance * rng.chisquare(D - 1.0, r.shape) if D > 1 else np.zeros_like(r)
    return u, np.sqrt(along * along + across)


class LangevinRun(Description):
    """One run: the state, the noise, and what was recorded.

    Parameters
    ----------
    flow : ParticleFlow
        Field, coordinates and records.
    step : float, optional
        Largest time step; None: a tenth of the time in which the drift changes by its own size.
    seed : int
    """

    def __init__(self, flow: ParticleFlow, step: float | None, seed: int):
        self.flow, self.problem = flow, flow.problem
        self.name, self.title = flow.name, flow.title
        self.duration, self.rtol = flow.duration, flow.rtol
        self.rng, self.other_rng = np.random.default_rng(seed), np.random.default_rng(seed)
        self.y = flow.start()
        self.other = self.y.copy()
        self.step_error, self.drawn = 0.0, self.rng.bit_generator.state
        self.t, self.evaluations, self.steps = 0.0, 0, 0
        self.latest = math.inf
        self.records: list[dict[str, Any]] = []
        self.first, self.second = np.zeros_like(self.y), np.zeros_like(self.y)
        self.step = self._default_step() if step is None else step
        self.stops = flow.request.stops and flow.request.stops.attach(flow)
        self.signs = [0.0 if signed else 1.0 for signed in self.stops.signed] if self.stops else []

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """Go from one saved time to the next in equal steps."""
        times, t_end = self.flow.request.times, self.flow.request.t_end
        status, message = Status.SUCCESS, f"reached t = {t_end:g}"
        if checkpoint is not None and (snapshot := checkpoint.load()) is not None:
            self._restore(snapshot, checkpoint)
        try:
            self._look()
            for stop in times[len(self.records) :]:
                if self.stopped:
                    break
                failure = self._through(float(stop), advance, checkpoint)
                if failure is not None:
                    status, message = Status.DIVERGED, failure
                    break
                if not self.stopped:
                    self._record(float(stop))
            else:
                if (failure := self._through(t_end, advance, checkpoint)) is not None:
                    status, message = Status.DIVERGED, failure
            if self.stopped and self.stops is not None:
                times = np.append(times[: len(self.records)], self.t)
                self._record(self.t)
                message = f"stopped at t = {self.t:g} by {self.stops.by}"
        except BadRate as error:
            status, message = Status.INVALID, f"stopped at t = {self.t:g}: {error}"
        except KeyboardInterrupt:
            status, message = Status.INTERRUPTED, f"interrupted at t = {self.t:g} of {t_end:g}"
            if checkpoint is not None:
                checkpoint.save(self._snapshot(checkpoint))
        stats = {
            "method": "Strang splitting, Heun's drift", "rhs_evaluations": self.evaluations,
            "steps": self.steps, "step": self.step, "step_error": self.step_error,
        }  # fmt: skip
        saved = np.array(times[: len(self.records)])
        return Trajectory(saved, self.records, self.y, self.t, status, message, stats)

    def outside(self) -> dict[str, Any]:
        """See `Description`."""
        return self.flow.outside()

    def restore(self, outside: dict[str, Any]) -> None:
        """See `Description`."""
        self.flow.restore(outside)

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        found = self.flow.result(trajectory)
        estimate = Estimate(
            f"steps of {self.step:.2g}", self.step_error, TOO_LARGE, TOO_LARGE,
            where=" in the averages",
        )  # fmt: skip
        return found._replace(estimates=[*found.estimates, estimate])

    @property
    def stopped(self) -> bool:
        """Whether a condition has ended the run, after the last two steps."""
        return self.stops is not None and self.stops.at is not None

    def _look(self) -> None:
        """See whether a condition holds now."""
        if self.stops is not None:
            values = self.stops.values(self.t, self.y)
            self.signs, which = first_sign_change(self.signs, values, self.stops.signed)
            if which is not None:
                self.stops.ends_run(which, self.t)

    def _record(self, t: float) -> None:
        self.records.append(self.flow.observe(t, self.y))
        self._compare(self.records[-1]["risk"])

    def _through(self, stop: float, advance: Advance, checkpoint: Checkpoint | None) -> str | None:
        """Up to a time, with a step that ends wherever a rate jumps."""
        for way in (*(t for t in self.flow.rates.breaks if self.t < t < stop), stop):
            failure = self._go_to(way, advance, checkpoint)
            if failure is not None or self.stopped:
                return failure
        return None

    def _go_to(self, stop: float, advance: Advance, checkpoint: Checkpoint | None) -> str | None:
        """Equal steps up to a time, by twos; says what went wrong, if something did."""
        pairs = math.ceil(0.5 * (stop - self.t) / self.step * (1.0 - 1e-12))
        for done in range(pairs):
            h = 0.5 * (stop - self.t) / (pairs - done)
            self.latest = math.nextafter(stop, 0.0)  # a rate that jumps there is seen from the left
            y = self._take(self.t, self.y, h, h, self.rng)
            y = self._take(self.t + h, y, h, h, self.rng)
            if not np.isfinite(y).all():
                return f"the state stops being finite just after t = {self.t:g}"
            other = self._take(self.t, self.other, h, 2.0 * h, self.other_rng)
            self.y, self.other, self.t = y, other, stop if done == pairs - 1 else self.t + 2.0 * h
            self.drawn = self.rng.bit_generator.state
            self.steps += 2
            advance(self.t)
            self._look()
            if self.stopped:
                break
            if checkpoint is not None and checkpoint.due():
                checkpoint.save(self._snapshot(checkpoint))
        return None

    def _take(self, t: float, y: Array, h: float, drift: float, rng: np.random.Generator) -> Array:
        """Half of the noise, a drift for a time `drift`, the other half: in pieces of h/2."""
        pieces = round(drift / h)
        with np.errstate(over="ignore", invalid="ignore"):
            for i in range(pieces):
                y = self._diffuse(t + 0.5 * i * h, y, 0.5 * h, rng)
            y = self._drift(t, y, drift)
            for i in range(pieces, 2 * pieces):
                y = self._diffuse(t + 0.5 * i * h, y, 0.5 * h, rng)
            self.flow.grow_field(y)
            return y

    def _compare(self, risk: float) -> None:
        """Keep the largest relative error of the risk and of mean squared lengths."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            risks = risk, self.flow.field.risk(*self.flow.neurons(self.other))
            mass = self.flow.measure.mass
            squares = [
                np.average((u**2).sum(axis=1) + r**2, weights=mass)
                for _, u, r in (self.flow.neurons(y) for y in (self.y, self.other))
            ]
            for mine, theirs in (risks, squares):
                gap = abs(mine - theirs) / 3.0
                error = float(np.divide(gap, abs(mine))) if gap != 0.0 else 0.0
                self.step_error = max(self.step_error, math.inf if math.isnan(error) else error)

    def _diffuse(self, t: float, y: Array, h: float, rng: np.random.Generator) -> Array:
        a, u, r = self.flow.split(y, self.flow.a)
        now, D = self.flow.rates(t + 0.5 * h), self.problem.perpendicular_dim
        u, r = diffuse(u, r, h, now.weight_decay, now.temperature, D, rng)
        return self.flow.packed(a, u, r)

    def _drift(self, t: float, y: Array, h: float) -> Array:
        self._slope(t, y, self.first)
        self._slope(min(t + h, self.latest), y + h * self.first, self.second)
        return y + 0.5 * h * (self.first + self.second)

    def _slope(self, t: float, y: Array, out: Array) -> None:
        """All but the decay of the first layer, which the Ornstein–Uhlenbeck part holds.

        Steps are of a given length: there is no shorter one for neurons that leave a mesh.
        """
        self.flow.grow_field(y)
        self.flow.slope(t, y, out, first_layer_decay=False)
        self.evaluations += 1

    def _default_step(self) -> float:
        """SAFETY over the steepest change of the drift, found by a few power iterations."""
        self._slope(0.0, self.y, self.first)
        size = float(np.linalg.norm(self.y)) or 1.0
        # the noise adds to the state: the scale that it reaches in a unit of time counts too
        reach = math.sqrt(self.flow.rates(0.0).temperature * len(self.y))
        probe = 1e-3 * (size + reach)
        direction = np.random.default_rng(0).standard_normal(len(self.y))
        steepest = 0.0
        for _ in range(PROBES):
            norm = float(np.linalg.norm(direction))
            if not (norm > 0.0 and math.isfinite(norm)):
                break
            self._slope(0.0, self.y + probe / norm * direction, self.second)
            direction = self.second - self.first
            steepest = max(steepest, float(np.linalg.norm(direction)) / probe)
        return SAFETY / max(steepest, self.flow.rates(0.0).weight_decay, 0.1)

    def _snapshot(self, checkpoint: Checkpoint) -> Snapshot:
        header = {
            "t": self.t, "steps": self.steps, "evaluations": self.evaluations, "step": self.step,
            "records": len(self.records), "noise": self.drawn, "step_error": self.step_error,
            "outside": checkpoint.outside(), "signs": self.signs,
        }  # fmt: skip
        return Snapshot(header, {"y": self.y, "other": self.other, **pack_records(self.records)})

    def _restore(self, snapshot: Snapshot, checkpoint: Checkpoint) -> None:
        header, arrays = snapshot
        checkpoint.restore(header["outside"])
        self.t, self.step, self.signs = header["t"], header["step"], header["signs"]
        self.steps, self.evaluations = header["steps"], header["evaluations"]
        self.rng.bit_generator.state = self.other_rng.bit_generator.state = header["noise"]
        self.drawn, self.step_error = header["noise"], header["step_error"]
        self.y, self.other = np.array(arrays["y"]), np.array(arrays["other"])
        self.records = unpack_records(arrays, header["records"])
