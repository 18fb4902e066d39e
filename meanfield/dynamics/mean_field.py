"""The mean-field limit p → ∞: neurons as particles of a transport equation, at any d."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.dynamics.series import StateSeries
from meanfield.dynamics.solution import Solution
from meanfield.fields import Field, choose_field
from meanfield.integrate import Status, Trajectory, integrate
from meanfield.integrate.saving import check_times
from meanfield.kernels.options import thread_limit
from meanfield.problem import Problem
from meanfield.progress import progress_bar
from meanfield.states import ParticleMeasure

Array = NDArray[np.float64]


def solve_mean_field(
    problem: Problem,
    measure: ParticleMeasure,
    t_end: float,
    save_at: ArrayLike | int | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    *,
    save_states: bool = True,
    threads: int | None = None,
    progress: bool = False,
) -> Solution:
    """Evolve a measure of neurons by the mean-field equation.

    da/dt = κ E[ε g0], du/dt = a E[ε g1 z], dr/dt = a E[ε ρ g2], where ε = f* − f and g0, g1, g2
    average σ, σ', U σ' over the direction outside the principal subspace (Arnaboldi et al. 2023;
    Mei, Montanari & Nguyen 2018; the reduction by symmetry as in Hajjar & Chizat 2022). Exact for
    a start that is invariant under rotations of the other D directions. The field is evaluated in
    time linear in n, on meshes and nodes refined until velocities at sample neurons agree with
    exact sums over pairs to 1e-8 (1e-5 for ReLU), checked again at the end.

    Parameters
    ----------
    problem : Problem
        Finite or infinite ``dim``; the learning rate plays no part in this limit.
    measure : ParticleMeasure
        Start, n neurons.
    t_end : float
        Final time, > 0, in units where one SGD step takes γ/(p d).
    save_at : array_like of shape (T,), int, or None
        Increasing times in [0, t_end] to save at; an int: that many linear ones; None: 51.
        `linear_times` and `logarithmic_times` make arrays.
    rtol, atol : float
        Tolerances of the adaptive Dormand-Prince 5(4) method, as a root mean square over all
        coordinates of all neurons. For ReLU students atol is raised to rtol times the root mean
        square coordinate of the start: a ReLU neuron can shrink to nothing in finite time, where
        its velocity jumps, and steps that resolve it relative to itself would never end.
    save_states : bool
        False keeps only the first and last state (and the risk at all times).
    threads : int, optional
        Threads for the kernels. Results do not depend on it.
    progress : bool
        Show a progress bar, in terminals and notebooks.

    Returns
    -------
    Solution
        ``stats`` holds ``rhs_evaluations``, ``field`` (how it was evaluated) and ``field_error``
        (largest relative error of a velocity found at the start and end). A run that diverges, is
        interrupted or cannot be accurate says so in ``status`` and ``message``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> start = mf.gaussian_measure(problem, n=100, seed=1)
    >>> solution = mf.solve_mean_field(problem, start, t_end=1.0, save_at=[0.0, 1.0])
    >>> bool(solution.risk[1] < solution.risk[0])
    True
    """
    checks.instance(problem, "problem", Problem)
    checks.instance(measure, "measure", ParticleMeasure)
    t_end = checks.real(t_end, "t_end", above=0.0)
    times = check_times(save_at, t_end)
    rtol = checks.real(rtol, "rtol", above=0.0)
    atol = checks.real(atol, "atol", above=0.0)
    if threads is not None:
        threads = checks.integer(threads, "threads")
    with thread_limit(threads), progress_bar(t_end, "mean field", progress) as advance:
        flow = _Flow(problem, measure, save_states, last_time=float(times[-1]))
        if not problem.student.smooth:
            largest = float(np.abs(flow.y0).max()) or 1.0
            atol = max(atol, rtol * largest * float(np.sqrt(np.mean((flow.y0 / largest) ** 2))))
        trajectory = integrate(
            flow.slope, flow.y0, t_end, times, flow.observe,
            rtol=rtol, atol=atol, advance=advance,
        )  # fmt: skip
        return flow.solution(trajectory, {"t_end": t_end, "rtol": rtol, "atol": atol})


class MeanFieldVelocity(NamedTuple):
    """da/dt (n,), du/dt (n, k), dr/dt (n,)."""

    a: Array
    u: Array
    r: Array


def mean_field_velocity(
    problem: Problem, measure: ParticleMeasure, *, threads: int | None = None
) -> MeanFieldVelocity:
    """The right-hand side of the mean-field equation; see `solve_mean_field`.

    Parameters
    ----------
    problem : Problem
    measure : ParticleMeasure
        n neurons.
    threads : int, optional
        Threads for the kernels. The numbers do not depend on it.

    Returns
    -------
    MeanFieldVelocity
        Per unit of time; da/dt is zero where the second layer is fixed.

    Raises
    ------
    TypeError, ValueError
        If the measure does not belong to the problem.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> velocity = mf.mean_field_velocity(problem, mf.gaussian_measure(problem, n=100))
    >>> bool((velocity.u > 0).all())  # every neuron turns towards the target
    True
    """
    checks.instance(problem, "problem", Problem)
    checks.instance(measure, "measure", ParticleMeasure)
    a, u, r = measure.arrays()
    out = MeanFieldVelocity(np.zeros_like(a), np.empty_like(u), np.empty_like(r))
    with thread_limit(threads):
        choose_field(problem, measure).velocity(a, u, r, *out)
    return out


class _Flow:
    """One run: the vector of all coordinates, its slope, and what is recorded of it."""

    def __init__(
        self, problem: Problem, measure: ParticleMeasure, save_states: bool, last_time: float
    ):
        self.problem, self.measure, self.save_states = problem, measure, save_states
        self.last_time = last_time
        self.n, self.k = measure.u.shape
        self.a = np.array(measure.a)
        self.trains_a = problem.second_layer_rate > 0.0
        parts = [measure.u.ravel(), measure.r]
        self.y0 = np.concatenate(([measure.a, *parts]) if self.trains_a else parts)
        self.idle = np.zeros(self.n)
        with np.errstate(over="ignore", invalid="ignore"):
            self.field: Field = choose_field(problem, measure)
            self.field_error = self.field.error_estimate(measure)

    def split(self, y: Array, a: Array) -> tuple[Array, Array, Array]:
        """Views of a, u, r in a vector; `a` serves where the second layer is fixed."""
        first = self.n if self.trains_a else 0
        u = y[first : first + self.n * self.k].reshape(self.n, self.k)
        return (y[:first] if self.trains_a else a), u, y[first + self.n * self.k :]

    def slope(self, t: float, y: Array, out: Array) -> None:
        """The right-hand side, autonomous."""
        with np.errstate(over="ignore", invalid="ignore"):
            self.field.velocity(*self.split(y, self.a), *self.split(out, self.idle))

    def observe(self, t: float, y: Array) -> tuple[float, Array | None]:
        """Risk at a saved time, and the state where it is kept."""
        with np.errstate(over="ignore", invalid="ignore"):
            a, u, r = self.split(y, self.a)
            keep = self.save_states or t in (0.0, self.last_time)
            return self.field.risk(a, u, r), y.copy() if keep else None

    def solution(self, trajectory: Trajectory, settings: dict[str, Any]) -> Solution:
        """Everything recorded, with the verdict on its accuracy."""
        risk = np.array([record[0] for record in trajectory.records])
        kept = [record[1] for record in trajectory.records if record[1] is not None]
        status, message = trajectory.status, trajectory.message
        error = self._final_error(trajectory)
        if status is Status.SUCCESS:
            status, message = self._verdict(error, settings["rtol"], message)
        stats = {**trajectory.stats, **self.field.description(), "field_error": error}
        parameters = {
            "description": "mean-field particles",
            "n": self.n,
            **settings,
            "seed": self.measure.origin.get("seed"),
            "start": dict(self.measure.origin),
        }
        return Solution(
            trajectory.t, risk, self._series(kept), status, message, stats, self.problem, parameters
        )

    def _final_error(self, trajectory: Trajectory) -> float:
        a, u, r = self.split(trajectory.y, self.a)
        if not np.isfinite(trajectory.y).all() or trajectory.status is Status.INTERRUPTED:
            return self.field_error
        last = ParticleMeasure(a, u, np.abs(r), self.measure.mass)
        with np.errstate(over="ignore", invalid="ignore"):
            return max(self.field_error, self.field.error_estimate(last))

    def _verdict(self, error: float, rtol: float, message: str) -> tuple[Status, str]:
        allowed = max(rtol, getattr(self.field, "tolerance", 0.0))
        if error <= allowed:
            return Status.SUCCESS, message
        return Status.INACCURATE, (
            f"{message}, but the velocities carry an estimated relative error of {error:.1e}, "
            f"above {allowed:.0e}, on the finest layout allowed"
        )

    def _series(self, kept: list[Array]) -> StateSeries:
        stacked = np.stack(kept) if kept else np.empty((0, len(self.y0)))
        T, first = len(stacked), self.n if self.trains_a else 0
        middle = first + self.n * self.k
        varying = {
            "u": stacked[:, first:middle].reshape(T, self.n, self.k),
            "r": np.abs(stacked[:, middle:]),  # (u, r) and (u, −r) are the same neuron
        }
        fixed = {}
        if self.trains_a:
            varying["a"] = stacked[:, :first]
        else:
            fixed["a"] = np.asarray(self.measure.a)
        if self.measure.mass is not None:
            fixed["mass"] = np.asarray(self.measure.mass)
        return StateSeries("ParticleMeasure", varying, fixed, (T,), self.measure.origin)
