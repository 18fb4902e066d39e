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
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.accuracy import Estimate
from meanfield.dynamics.particles.flow import ParticleFlow
from meanfield.dynamics.random_run import RandomRun
from meanfield.dynamics.run import Advance, Result
from meanfield.dynamics.stops import first_sign_change
from meanfield.integrate import Status, Trajectory
from meanfield.integrate.records import Snapshot

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


class LangevinRun(RandomRun):
    """One run: the state, and the noise.

    Parameters
    ----------
    flow : ParticleFlow
        Field, coordinates and records.
    step : float, optional
        Largest time step; None: a tenth of the time in which the drift changes by its own size.
    seed : int
    """

    t = 0.0

    def __init__(self, flow: ParticleFlow, step: float | None, seed: int):
        super().__init__(flow.request)
        self.flow, self.problem = flow, flow.problem
        self.name, self.title = flow.name, flow.title
        self.duration, self.rtol = flow.duration, flow.rtol
        self.rng, self.other_rng = np.random.default_rng(seed), np.random.default_rng(seed)
        self.y = flow.start()
        self.other = self.y.copy()
        self.evaluations, self.taken, self.step_error = 0, 0, 0.0
        self.latest = math.inf
        self.first, self.second = np.zeros_like(self.y), np.zeros_like(self.y)
        self.step = self._default_step() if step is None else step
        self.stops = flow.request.stops and flow.request.stops.attach(flow)
        self.signs = [0.0 if signed else 1.0 for signed in self.stops.signed] if self.stops else []
        self._mark()

    def steps(self, advance: Advance) -> tuple[Status, str]:
        """See `RandomRun`: equal steps from one time to record to the next."""
        times, t_end = self.request.times, self.request.t_end
        self._look()
        for stop in (*times[len(self.records) :].tolist(), t_end):
            if not self._through(stop, advance):
                place = f"just after {self.place()}"
                return Status.DIVERGED, f"the state stops being finite {place}"
            if self.stops is not None and self.stops.at is not None:
                self._record(self.t)
                return Status.SUCCESS, f"stopped at {self.place()} by {self.stops.by}"
            if len(self.records) < len(times):
                self._record(stop)
                self._mark()
        return Status.SUCCESS, f"reached t = {t_end:g}"

    def stats(self) -> dict[str, Any]:
        """See `RandomRun`."""
        return {
            "method": "Strang splitting, Heun's drift", "rhs_evaluations": self.evaluations,
            "steps": self.taken, "step": self.step, "step_error": self.step_error,
        }  # fmt: skip

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

    def _look(self) -> None:
        """See whether a condition holds now."""
        if self.stops is not None:
            values = self.stops.values(self.t, self.y)
            self.signs, which = first_sign_change(self.signs, values, self.stops.signed)
            if which is not None:
                self.stops.ends_run(which, self.t)

    def _record(self, t: float) -> None:
        self.records.append({"t": t, **self.flow.observe(t, self.y)})
        self._compare(self.records[-1]["risk"])

    def _through(self, stop: float, advance: Advance) -> bool:
        """Up to a time, with a step that ends wherever a rate jumps; whether all stays finite."""
        for way in (*(t for t in self.flow.rates.breaks if self.t < t < stop), stop):
            pairs = math.ceil(0.5 * (way - self.t) / self.step * (1.0 - 1e-12))
            for left in range(pairs, 0, -1):
                if self.stops is not None and self.stops.at is not None:
                    return True
                if not self._two_steps(way, left):
                    return False
                advance(self.t)
                self._look()
                self._mark()
                self.save_if_due()
        return True

    def _two_steps(self, stop: float, left: int) -> bool:
        """The next of `left` equal pairs of steps to a time; whether all stays finite."""
        h = 0.5 * (stop - self.t) / left
        self.latest = math.nextafter(stop, 0.0)  # a rate that jumps there is seen from the left
        y = self._take(self.t, self.y, h, h, self.rng)
        y = self._take(self.t + h, y, h, h, self.rng)
        if not np.isfinite(y).all():
            return False
        other = self._take(self.t, self.other, h, 2.0 * h, self.other_rng)
        self.y, self.other, self.t = y, other, stop if left == 1 else self.t + 2.0 * h
        self.taken += 2
        return True

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

    def position(self) -> Snapshot:
        """See `RandomRun`."""
        return self.mark

    def _mark(self) -> None:
        """Take note of where the run is: what a snapshot will say, wherever Ctrl-C comes."""
        header = {
            "t": self.t, "steps": self.taken, "evaluations": self.evaluations, "step": self.step,
            "count": len(self.records), "noise": self.rng.bit_generator.state,
            "step_error": self.step_error, "outside": self.outside(), "signs": self.signs,
        }  # fmt: skip
        self.mark = Snapshot(header, {"y": self.y, "other": self.other})

    def set_position(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """See `RandomRun`."""
        self.restore(header["outside"])
        self.t, self.step, self.signs = header["t"], header["step"], header["signs"]
        self.taken, self.evaluations = header["steps"], header["evaluations"]
        self.rng.bit_generator.state = self.other_rng.bit_generator.state = header["noise"]
        self.step_error = header["step_error"]
        self.y, self.other = np.array(arrays["y"]), np.array(arrays["other"])
        for t, record in zip(self.request.times.tolist(), self.records, strict=False):
            record.setdefault("t", t)  # which older files do not have
        self._mark()
