"""The mean-field flow of one run: neurons as one vector, and what is recorded of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.growth import REMARK, UNSURE, error_in_growth
from meanfield.dynamics.particles.field_checks import (
    Check,
    estimate_of_velocities,
    root_mean,
    saved_speeds,
    slowest,
)
from meanfield.dynamics.particles.training import Spheres, add_decay
from meanfield.dynamics.rates import RateSeries
from meanfield.dynamics.run import Advance, Description, Request, Result, Tolerances
from meanfield.dynamics.state_series import StateSeries
from meanfield.dynamics.stops import Undivided
from meanfield.fields import Field, choose_field
from meanfield.fields.base import unlocked
from meanfield.integrate import Status, Trajectory, integrate
from meanfield.integrate.records import Checkpoint
from meanfield.problem import Problem
from meanfield.schedules.base import largest
from meanfield.states import ParticleMeasure

Array = NDArray[np.float64]


class ParticleFlow(Description, Undivided):
    """One run: the vector of all coordinates, its slope, and what is recorded of it."""

    name, title = "mean-field particles", "mean field"

    def __init__(
        self,
        problem: Problem,
        measure: ParticleMeasure,
        request: Request,
        tolerances: Tolerances,
        *,
        spherical: bool = False,
        evaluator: str = "auto",
        field_tolerance: float | None = None,
        field: Field | None = None,
    ):
        self.problem, self.measure, self.request = problem, measure, request
        self.tolerances, self.rtol, self.duration = tolerances, tolerances.rtol, request.t_end
        self.n, self.k = measure.u.shape
        self.a = unlocked(measure.a)
        self.rates = RateSeries(problem, None, request.t_end)
        self.t = 0.0  # of the last slope
        self.trains_a = largest(problem.second_layer_rate) > 0.0
        self.fixed_slope = np.zeros(self.n)
        self.spheres = Spheres(measure.u, measure.r) if spherical else None
        with np.errstate(over="ignore", invalid="ignore"):
            if field is None:
                field = choose_field(problem, measure, evaluator, tolerance=field_tolerance)
            self.field: Field = field
            self.allowed = (
                max(self.rtol, self.field.tolerance) if field_tolerance is None else field_tolerance
            )
            self.field_error = self.field.error_estimate(measure)

    @property
    def in_place(self) -> bool:
        """Whether `slope` may write over the neurons that it reads."""
        problem = self.problem
        decays = largest(problem.weight_decay) > 0.0 or largest(problem.second_layer_decay) > 0.0
        return (
            getattr(self.field, "in_place", False)
            and self.spheres is None
            and not (decays or self.second_rate_changes)
        )

    @property
    def second_rate_changes(self) -> bool:
        """Whether κ changes: the field then says what the second layer does at κ = 1."""
        return "second_layer_rate" in self.rates.schedules

    def start(self) -> Array:
        """The vector of all coordinates at time 0."""
        return self.packed(self.measure.a, self.measure.u, self.measure.r)

    def packed(self, a: Array, u: Array, r: Array) -> Array:
        """One vector of what moves."""
        return np.concatenate([a, u.ravel(), r] if self.trains_a else [u.ravel(), r])

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`."""
        rtol, _, method = self.tolerances
        stops = self.request.stops
        return integrate(
            self.slope, self.start(), self.request.t_end, self.request.times, self.observe,
            rtol=rtol, atol=self.atol, method=method, advance=advance, checkpoint=checkpoint,
            total=self.total, in_place=self.in_place, weight=self.weight(), watch=self.watch,
            stops=self.rates.breaks, event=stops and stops.attach(self),
        )  # fmt: skip

    def outside(self) -> dict[str, Any]:
        """See `Description`."""
        return self.field.layout_state()

    def restore(self, outside: dict[str, Any]) -> None:
        """See `Description`."""
        self.field.restore(outside)

    @property
    def atol(self) -> float | None:
        """The absolute tolerance: for a kinked student no finer than the relative one."""
        rtol, atol, _ = self.tolerances
        if self.problem.student.smooth:
            return atol
        return rtol if atol is None else max(atol, rtol)

    def weight(self) -> Array | None:
        """How much the coordinates of each neuron count, if not all the same."""
        mass = self.measure.mass
        if mass is None:
            return None
        m = np.asarray(mass) / np.max(mass)
        return self.packed(m, np.repeat(m, self.k).reshape(self.n, self.k), m)

    def watch(self, y: Array, slope: Array) -> float:
        """See `error_in_growth`; the field is laid out anew where neurons have outgrown it.

        A direction is a coordinate of all neurons: a, each of u, and r.
        """
        self.grow_field(y)
        velocity = partial(self.slope, self.t)  # at the rates of this step's end
        return error_in_growth(velocity, y, slope, self.parts, self.field_error, self.total)

    def risk_at(self, t: float, y: Array) -> float:
        """See `Motion`."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.field.risk(*self.neurons(y))

    def state_at(self, t: float, y: Array) -> ParticleMeasure:
        """See `Motion`."""
        return self.state(y)

    def speed_at(self, t: float, y: Array, out: Array) -> None:
        """See `Motion`; the last slope stays that of the run."""
        last = self.t
        self.slope(t, y, out)
        self.t = last

    def grow_field(self, y: Array) -> None:
        """Lay the field out anew while neurons have outgrown it."""
        with np.errstate(over="ignore", invalid="ignore"):
            neurons = self.neurons(y)
            while self.field.outgrown(*neurons) and self.field.grow(*neurons):
                pass

    def parts(self, y: Array) -> tuple[Array, Array, Array]:
        """Views of a vector, a column for each direction; none of a fixed second layer."""
        a, u, r = self.split(y, self.fixed_slope)
        return a[:, None][:, : int(self.trains_a)], u, r[:, None]

    def split(self, y: Array, a: Array) -> tuple[Array, Array, Array]:
        """Views of a, u, r in a vector; `a` serves where the second layer is fixed."""
        first = self.n if self.trains_a else 0
        u = y[first : first + self.n * self.k].reshape(self.n, self.k)
        return (y[:first] if self.trains_a else a), u, y[first + self.n * self.k :]

    def neurons(self, y: Array) -> tuple[Array, Array, Array]:
        """a, u, r of the neurons that a vector stands for: on their spheres if they are held."""
        a, u, r = self.split(y, self.a)
        return (a, *self.spheres.project(u, r)) if self.spheres is not None else (a, u, r)

    def slope(self, t: float, y: Array, out: Array, *, first_layer_decay: bool = True) -> None:
        """The right-hand side; t enters by the rates alone."""
        self.t, now = t, self.rates(t)
        with np.errstate(over="ignore", invalid="ignore"):
            a, u, r = self.neurons(y)
            velocity = self.split(out, self.fixed_slope)
            self.field.velocity(a, u, r, *velocity)
            if self.second_rate_changes:
                velocity[0][:] *= now.second_layer_rate
            add_decay(now, (a, u, r), velocity, first_layer=first_layer_decay)
            if self.spheres is not None:
                _, out_u, out_r = velocity
                self.spheres.tangent(u, r, out_u, out_r)
                stretch = self.spheres.stretch(*self.split(y, self.a)[1:])
                out_u *= stretch[:, None]
                out_r *= stretch

    def observe(self, t: float, y: Array) -> dict[str, Any]:
        """Risk and observables at a saved time, and the state where it is kept."""
        with np.errstate(over="ignore", invalid="ignore"):
            record: dict[str, Any] = {"risk": self.field.risk(*self.neurons(y))}
        request = self.request
        if request.measurements:
            record |= request.measurements(t, self.state(y))
        if request.keep == "ends" and (t == 0.0 or request.ends(t)):
            # known at the end of the run: no copy is carried through it
            record["start" if t == 0.0 else "end"] = True
        elif request.keeps(t):
            record["state"] = self.packed(*self.neurons(y))
        return record

    def state(self, y: Array) -> ParticleMeasure:
        """The measure in a vector; (u, r) and (u, −r) are the same neuron."""
        a, u, r = self.neurons(y)
        return ParticleMeasure(a, u, np.abs(r), self.measure.mass, self.measure.origin)

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        checks, rtol, stats = self._checks(trajectory), self.tolerances.rtol, trajectory.stats
        error = max(check.error for check in checks)
        unsure = trajectory.status is Status.SUCCESS and stats.get("watched", 0.0) > UNSURE
        target = self.problem.target
        average = target.second_moment_error() / max(target.second_moment(), 1e-300)
        stats = {name: value for name, value in stats.items() if name != "watched"}
        return Result(
            np.array([record["risk"] for record in trajectory.records]),
            self._series(trajectory),
            stats | self.field.description() | {"field_error": error, "average_error": average},
            [estimate_of_velocities(checks, self.allowed, rtol)],
            REMARK if unsure else "",
            {"n": self.n, "seed": self.measure.origin.get("seed")},
        )

    def _checks(self, trajectory: Trajectory) -> list[Check]:
        """The field's error at the start, at the end, and where neurons nearly stood between."""
        if not np.isfinite(trajectory.y).all() or trajectory.status is Status.INTERRUPTED:
            return [Check(0.0, self.field_error)]
        with np.errstate(over="ignore", invalid="ignore"):
            last = self.field.error_estimate(self.state(trajectory.y))
            first_speed = self._speed(0.0, self.start())
            last_speed = self._speed(trajectory.t_reached, trajectory.y)
            kept = [
                (t, r["state"])
                for t, r in zip(trajectory.t, trajectory.records, strict=True)
                if "state" in r
            ]
            times, states = [t for t, _ in kept], [y for _, y in kept]
            speeds = saved_speeds(times, states)
            largest = max(first_speed, last_speed, float(speeds.max(initial=0.0))) or 1.0
            checks = [
                Check(0.0, self.field_error),
                Check(trajectory.t_reached, last, last_speed / largest),
            ]
            between = slowest(speeds, (first_speed, last_speed))
            if between is not None:
                error = self.field.error_estimate(self.state(states[between]))
                faster = max(last_speed, float(speeds[between:].max()))
                checks.append(Check(times[between], error, faster / largest))
        return checks

    def _speed(self, t: float, y: Array) -> float:
        """Root mean square velocity of all coordinates."""
        out = np.empty_like(y)
        self.slope(t, y, out)
        return root_mean(out)

    def _series(self, trajectory: Trajectory) -> StateSeries:
        """The states that were kept; start and end, of which there is no copy, are laid in here."""
        kept = [r for r in trajectory.records if r.keys() & {"state", "start", "end"}]
        first = self.n if self.trains_a else 0
        middle, T = first + self.n * self.k, len(kept)
        stacked = np.empty((T, middle + self.n))
        for row, record in zip(stacked, kept, strict=True):
            if "state" in record:
                row[:] = record["state"]
            else:
                y = self.start() if "start" in record else trajectory.y
                row[:] = self.packed(*self.neurons(y))
        r = stacked[:, middle:]
        np.abs(r, out=r)  # (u, r) and (u, −r) are the same neuron
        varying = {"u": stacked[:, first:middle].reshape(T, self.n, self.k), "r": r}
        fixed = {}
        if self.trains_a:
            varying["a"] = stacked[:, :first]
        else:
            fixed["a"] = np.asarray(self.measure.a)
        if self.measure.mass is not None:
            fixed["mass"] = np.asarray(self.measure.mass)
        return StateSeries("ParticleMeasure", varying, fixed, (T,), self.measure.origin)
