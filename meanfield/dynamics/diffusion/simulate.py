"""SGD as a diffusion of its overlaps: any dimension at the price of a small one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.dynamics.accuracy import Estimate
from meanfield.dynamics.diffusion.field import DiffusionField, Runs
from meanfield.dynamics.diffusion.steps import Stepper
from meanfield.dynamics.observables import Measurements, Observables
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.overlaps.noise import choose_noise
from meanfield.dynamics.run import Advance, Description, Request, Result, carry_out, check_gram
from meanfield.dynamics.series import StateSeries
from meanfield.dynamics.solution import Solution
from meanfield.integrate import Status, Trajectory
from meanfield.integrate.records import Checkpoint
from meanfield.problem import Problem, refuse_schedules
from meanfield.states import Overlaps

Array = NDArray[np.float64]

CLIPPED = 1e-2  # a change of Q, of its size, that a success must not have


def simulate_diffusion(
    problem: Problem,
    overlaps: Overlaps,
    t_end: float,
    *,
    runs: int = 1,
    seed: int = 0,
    save_at: ArrayLike | int | None = None,
    rtol: float = 1e-3,
    step: float | None = None,
    spherical: bool = False,
    batch_size: int = 1,
    keep: str = "all",
    observables: Observables | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> Solution[StateSeries[Any], list[Any]]:
    """Runs of SGD in the limit of small steps, as a stochastic differential equation.

    With η = γ/(p d), y = (Q, M, a), F the overlap ODE, C the covariance of one step of SGD and e
    its second order,

        dy = (F + η e) dt + √η C^{1/2} dB.

    SGD takes 1/η steps a unit of time, the diffusion as many as its error asks for, whatever d is.

    Parameters
    ----------
    problem : Problem
        With γ > 0, a finite ``dim`` d, constant rates and no temperature.
    overlaps : Overlaps
        The start of every run, with P equal to the target's Gram matrix.
    t_end : float
        Final time, > 0, in units where one step of SGD takes γ/(p d).
    runs : int
        Independent runs.
    seed : int
        Seed of them all, ≥ 0. Runs share their steps, so that a run's numbers depend on how many
        there are; they do not depend on `threads`.
    save_at : array_like (T,), int or None
        Times to record, or how many equally spaced ones; 51 by default.
    rtol : float
        Tolerance, > 0: of the variance that a step adds, relatively, and ten times that of the
        error of the mean motion in a step, relative to each coordinate or, where that is larger,
        to √η.
    step : float, optional
        Steps of this length, > 0, instead of chosen ones; shorter ones end at the saved times.
    spherical : bool
        Keep |w_i|² = d, as projected SGD does. The start is projected first.
    batch_size : int
        Samples that a step of SGD averages over.
    keep : str
        ``"all"``: overlaps of every run at each saved time. ``"ends"``: at the first and last only.
    observables : mapping of str to callable, optional
        Functions of (t, `Overlaps`), as for `simulate_sgd`; values (runs, T, ...).
    threads : int, optional
        At most this many threads.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Solution
        ``risk`` (runs, T), states of shape (runs, T). In ``stats``: ``steps``, ``step`` (the
        shortest), ``sgd_steps`` that SGD would take; ``clipped``, by how much Q was changed to
        stay positive semi-definite, summed along a run, in the mean over runs; ``flow_error``, the
        largest error of a step of the mean motion in units of what was allowed;
        ``average_error`` as for `solve_overlaps`.
        Status ``"diverged"`` if a state stops being finite.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the overlaps do not belong to the problem.

    Notes
    -----
    Overlaps are moved as those of weights, so that (Q, M) is positive semi-definite. An impulse
    stands for the noise of a step and has exactly its covariance: √(ηh) times centred steps of
    fresh samples, with random signs. Between impulses the ODE is solved by Bogacki & Shampine's
    method. Splitting after Strang: variances err by (2hJ)²/12, second order in the step h, where J
    is the rate at which deviations grow. What is left of SGD is of higher order in η, and the
    shape of its single steps: use `simulate_sgd` where it takes fewer steps. On spheres the
    square of the mean step, a bias of order η, is left out.

    Sources: Arnaboldi, Krzakala, Loureiro & Stephan 2024 for the equation; Milstein & Tretyakov
    1997 for methods for small noise; Li, Tai & E 2019 for −½ η JF, which is included.

    Examples
    --------
    >>> import meanfield as mf
    >>> square = mf.CommitteeTarget(k=1, activation="square")
    >>> problem = mf.Problem(square, "square", dim=10**9, learning_rate=0.1)
    >>> start = mf.Overlaps([[1.0]], [[1e-4]], [[1.0]], [1.0])
    >>> runs = mf.simulate_diffusion(problem, start, 4.0, runs=20, spherical=True, save_at=5)
    >>> runs.risk.shape, runs.stats["sgd_steps"] // runs.stats["steps"] > 10**6
    ((20, 5), True)
    """
    measurements = Measurements(observables)
    request = Request.checked(t_end, save_at, keep, measurements, None, threads, progress)
    settings: dict[str, Any] = {
        "runs": checks.integer(runs, "runs"),
        "seed": checks.integer(seed, "seed", minimum=0),
        "rtol": checks.real(rtol, "rtol", above=0.0),
        "step": None if step is None else checks.real(step, "step", above=0.0),
        "spherical": checks.switch(spherical, "spherical"),
        "batch_size": checks.integer(batch_size, "batch_size"),
    }
    _check(problem, overlaps)
    return carry_out(
        "simulate_diffusion", problem, overlaps, request, settings,
        lambda: DiffusionRun(problem, overlaps, request, **settings),
    )  # fmt: skip


def _check(problem: Problem, overlaps: Overlaps) -> None:
    """Refuse what has no diffusion."""
    checks.instance(problem, "problem", Problem)
    checks.instance(overlaps, "overlaps", Overlaps)
    check_gram(problem, overlaps.P, "overlaps")
    refuse_schedules(problem, "simulate_diffusion")
    if problem.learning_rate == 0.0 or math.isinf(problem.dim):
        raise ValueError(
            "problem must have a learning_rate above 0 and a finite dim for simulate_diffusion, "
            f"whose noise is √(γ/(p d)); got γ = {problem.learning_rate:g}, dim = {problem.dim:g} "
            "(solve_overlaps is the limit)"
        )
    if problem.temperature > 0.0:
        raise ValueError(
            "problem must have temperature 0 for simulate_diffusion, got "
            f"{problem.temperature:g}: simulate_sgd knows temperatures"
        )
    if problem.dim <= problem.subspace_dim + overlaps.p:
        raise ValueError(
            "problem must have dim > k + p for simulate_diffusion, got "
            f"{problem.dim:g} with k + p = {problem.subspace_dim + overlaps.p}: use simulate_sgd"
        )


class DiffusionRun(Description):
    """Runs from one saved time to the next."""

    name, title = "diffusion", "diffusion"

    def __init__(
        self, problem: Problem, overlaps: Overlaps, request: Request, runs: int, seed: int,
        rtol: float, step: float | None, spherical: bool, batch_size: int,
    ):  # fmt: skip
        self.problem, self.overlaps, self.request = problem, overlaps, request
        self.runs = self.count = runs
        self.duration, self.allowed = request.t_end, rtol
        averages, p = OverlapAverages(problem), overlaps.p
        noise = choose_noise(averages, problem, p, True, "auto", None, 0)
        assert noise is not None
        begun = OverlapFlow(problem, overlaps, averages, None, spherical)
        now = begun.read(begun.y0)
        u = np.ascontiguousarray(now.block[:, : begun.rank])
        start = Runs(*(
            np.tile(part, (runs, *(1,) * part.ndim)) for part in (u, now.Q - u @ u.T, now.a)
        ))  # fmt: skip
        self.field = DiffusionField(problem, averages, noise, p, batch_size, spherical)
        self.eta = problem.learning_rate / (p * problem.dim)
        self.stepper = Stepper(
            self.field, start, self.eta, batch_size, rtol,
            request.t_end if step is None else step, step is not None, seed,
        )  # fmt: skip
        self.records: list[dict[str, Any]] = []
        self.average_error = 0.0

    def run(self, advance: Advance, checkpoint: Checkpoint | None) -> Trajectory:
        """See `Description`; all runs end where the first of them does."""
        stepper, times = self.stepper, self.request.times
        status, message = Status.SUCCESS, f"reached t = {self.request.t_end:g}"
        try:
            with np.errstate(all="ignore"):
                for t in (*times, self.request.t_end):
                    if not stepper.go_to(float(t)):
                        status = Status.DIVERGED
                        message = f"a state stopped being finite just after t = {stepper.t:g}"
                        break
                    if len(self.records) < len(times):
                        self._record(float(t))
                    advance(stepper.t)
        except KeyboardInterrupt:
            status, message = Status.INTERRUPTED, f"interrupted at t = {stepper.t:g}"
        saved = np.array(times[: len(self.records)])
        return Trajectory(
            saved, self.records, np.empty(0), stepper.t, status, message, self._stats()
        )

    def _stats(self) -> dict[str, Any]:
        stepper = self.stepper
        return {
            "rhs_evaluations": stepper.evaluations, "steps": stepper.steps,
            "step": stepper.shortest, "sgd_steps": int(stepper.t / self.eta),
            "clipped": stepper.clipped, "flow_error": stepper.flow_error,
            "average_error": self.average_error, "noise_method": self.field.noise.name,
        }  # fmt: skip

    def _record(self, t: float) -> None:
        """Overlaps and risks of all runs."""
        runs, request = self.stepper.runs, self.request
        Q, M = runs.u @ runs.u.swapaxes(1, 2) + runs.N, runs.u @ self.field.basis.T
        risk, error = self.field.risks(runs, Q, M)
        self.average_error = max(self.average_error, error)
        fields = {"Q": Q, "M": M, "a": runs.a.copy()}
        record: dict[str, Any] = {"t": t, "risk": risk}
        if request.measurements:
            fixed = {"P": np.asarray(self.overlaps.P)}
            record |= request.measurements.of_runs(
                t, StateSeries("Overlaps", fields, fixed, (self.count,), self.overlaps.origin)
            )
        self.records.append(record | (fields if request.keeps(t) else {}))

    def result(self, trajectory: Trajectory) -> Result:
        """See `Description`."""
        records, start, stats = trajectory.records, self.overlaps, trajectory.stats
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
