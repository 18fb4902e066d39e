"""One-pass SGD: the process itself, in R^d or exactly in law through its overlaps."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.dynamics.observables import Measurements, Observables
from meanfield.dynamics.random_run import starts_of_runs
from meanfield.dynamics.rates import RateSeries
from meanfield.dynamics.registry import goes_on
from meanfield.dynamics.run import Request, carry_out, check_gram
from meanfield.dynamics.sgd.adagrad import AdaptiveRun, OwnClocks
from meanfield.dynamics.sgd.clock import EvenSteps, ScheduledSteps, StepClock
from meanfield.dynamics.sgd.record import SgdRun
from meanfield.dynamics.sgd.runs import (
    LawRuns,
    Runs,
    WeightsRuns,
    WideRuns,
    make_step,
    make_streams,
    side_by_side,
)
from meanfield.dynamics.solution import Solution
from meanfield.dynamics.state_series import StateSeries
from meanfield.integrate.interrupts import raising_on_sigterm
from meanfield.kernels.dynamics.sgd.step import Step
from meanfield.problem import Problem
from meanfield.schedules.base import largest
from meanfield.schedules.laws import AdagradNorm
from meanfield.states import Overlaps, Weights, check_state

KEEPS = ("all", "overlaps", "ends")


@goes_on("SGD in R^d", "SGD exact in law", settings=("batch_size", "spherical"))
@raising_on_sigterm()
def simulate_sgd(
    problem: Problem,
    start: Weights | Overlaps | StateSeries[Any],
    t_end: float,
    *,
    seed: int = 0,
    runs: int = 1,
    save_at: ArrayLike | int | None = None,
    batch_size: int = 1,
    spherical: bool = False,
    keep: str = "all",
    observables: Observables | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: bool = False,
    until: Any = None,
) -> Solution[StateSeries[Any], list[Any]]:
    """Run one-pass SGD: fresh samples x ~ N(0, I_d) at every step.

    From `Weights`, SGD in R^d. From `Overlaps`, a chain of the overlaps alone that has exactly
    the same law, at a cost per step that does not depend on d.

    Parameters
    ----------
    problem : Problem
        With finite `dim` d and `learning_rate` γ > 0. κ = `second_layer_rate` trains the second
        layer, at γ_a = κ γ/d; the target's `noise` Δ is added to the labels.
    start : Weights or Overlaps
        The start of every run, or a `StateSeries` with one for each. Its target must have the
        problem's Gram matrix.
    t_end : float
        Final time; t = Σ_ν γ_ν/(p d), whatever the batch size: ν γ/(p d) after ν steps at constant
        γ. A schedule is read before each step, where the steps before it have led. The run makes
        the whole steps that fit in it. Under `schedules.adagrad_norm` each run has a clock of its
        own.
    seed : int
        Seed of all runs, ≥ 0. Run i draws from the i-th stream spawned from it, so the numbers
        depend neither on `threads` nor on how many runs there are.
    runs : int
        Number of independent runs.
    save_at : array_like (T,), int or None
        Times to record, each moved to the nearest whole step; times that fall on one step are
        recorded once. An integer asks for that many linearly spaced ones, None for 51.
    batch_size : int
        b: a step follows the mean gradient of b fresh samples.
    spherical : bool
        Keep |w_i|² = d: each step is followed by a rescaling of every w_i. The start is rescaled
        too.
    keep : str
        ``"all"``: record states of the kind that went in; weights take 8 runs T p d bytes.
        ``"overlaps"``: record `Overlaps` even when running in R^d. ``"ends"``: keep the first and
        last recorded states only; t and risk stay whole.
    observables : mapping of str to callable, optional
        Functions of (t, state), called for each run with a state of the recorded kind, that return
        a number or an array of a fixed shape; their values at the saved times are
        ``solution.observables[name]``, (runs, T, ...); see `solve_mean_field`.
    checkpoint : path, optional
        A file to go on from after an interruption, random streams included; see
        `solve_mean_field`.
    threads : int, optional
        At most this many threads, over the runs.
    progress : bool
        Show a progress bar.
    until : Condition or callable, optional
        What ends a run before `t_end`: a risk, or a function of (t, state) where its sign changes;
        see `meanfield.until`. Each run stops by itself, after the first step at which the condition
        holds, and keeps the state it has there at all later saved times;
        ``solution.stopped_at`` (runs,) and ``stopped_by`` say when and by what. When all have
        stopped, that is the last saved time.

    Returns
    -------
    Solution
        With `t` (T,), the exact times of the recorded steps (by clocks of their own, runs are
        recorded at their steps nearest to `t`, and `steps` and `observables["learning_rate"]` are
        (runs, T)); `risk` (runs, T), the population
        risk in closed form or by quadrature, not sampled (its relative error at the last record is
        in ``stats["average_error"]``); `states` of shape (runs, T). Status ``"diverged"`` if an
        error overflows in any run and ``"interrupted"`` after Ctrl-C (see
        `return_on_interrupt`): all runs then end at the last time recorded before that.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, numba cannot compile a user's own function, or the
        checkpoint is damaged or another call's; the message names it.
    OSError
        If the checkpoint's folder does not exist or cannot be written in.

    Notes
    -----
    A step is w_i += (γ/p) a_i σ'(λ_i) ε x/√d and a_i += (γ_a/p) σ(λ_i) ε with ε = y − f(x), both at
    the old parameters, averaged over the batch and, under a `clip_norm`, both times min(1, c/|g|)
    of the batch's gradient g. The exact chain: a Gaussian sample enters the
    overlaps only through its coordinates along the neurons, which are Gaussian, and its length
    outside, whose square is χ² with d − k − p degrees of freedom (Arnaboldi et al. 2023 for the
    overlaps as sufficient statistics). Weight decay takes weight_decay γ/(p d) of the old weights
    in the same step, and Langevin noise of variance 2τγ/(p d) falls on every coordinate of w/√d
    after it; the sphere comes last. Users' own functions are compiled, and called by address. Where
    d < k + p, R^d is the smaller description: a start from `Overlaps` then runs there, and still
    records overlaps.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.dynamics.sgd.simulate import simulate_sgd
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=50, learning_rate=0.5)
    >>> sol = simulate_sgd(problem, mf.gaussian_weights(problem, p=2), 1.0, runs=3, save_at=5)
    >>> sol.risk.shape
    (3, 5)
    """
    starts, runs = starts_of_runs(start, runs, "start")
    for each in starts:
        _check_problem(problem, each)
    request = Request.checked(
        t_end, save_at, keep, Measurements(observables), checkpoint, threads, progress,
        keeps=KEEPS, until=until,
    )  # fmt: skip
    if request.stops is not None:
        request.stops.refuse_noise("SGD")
    settings: dict[str, Any] = {
        "seed": checks.integer(seed, "seed", minimum=0),
        "runs": checks.integer(runs, "runs"),
        "batch_size": checks.integer(batch_size, "batch_size"),
        "spherical": checks.switch(spherical, "spherical"),
    }
    p = len(starts[0].a)
    rates = RateSeries(problem, p, request.t_end, adaptive=True)
    adaptive = isinstance(problem.learning_rate, AdagradNorm)
    if adaptive:
        _refuse_common_clock(rates, request)

    def prepare() -> SgdRun:
        simulator = _simulator(problem, starts, keep=request.keep, **settings)
        if adaptive:
            own = OwnClocks(problem, p, request.times, request.t_end)
            origin, batch = dict(start.origin), settings["batch_size"]
            return AdaptiveRun(simulator, own, request, origin, batch)
        clock = _clock(problem, p, request, rates)
        return SgdRun(simulator, clock, request, dict(start.origin), settings["batch_size"])

    return carry_out("simulate_sgd", problem, start, request, settings, prepare)


def _refuse_common_clock(rates: RateSeries, request: Request) -> None:
    """Refuse what reads one clock of all runs, where each has its own."""
    own = "under adagrad_norm, by which each run of SGD has a clock of its own"
    if rates:
        raise ValueError(f"problem must have constant {', '.join(rates.schedules)} {own}")
    if request.stops is not None:
        raise ValueError(f"until must be None {own}; solve_overlaps takes both")


def _clock(problem: Problem, p: int, request: Request, rates: RateSeries) -> StepClock:
    """Even steps where γ is a number and nothing else changes."""
    if rates:
        return ScheduledSteps(problem, p, rates, request.times, request.t_end)
    return EvenSteps(request.times, request.t_end, problem.learning_rate / (p * problem.dim))


def _simulator(
    problem: Problem,
    starts: Sequence[Weights | Overlaps],
    seed: int,
    runs: int,
    batch_size: int,
    spherical: bool,
    keep: str,
) -> Runs:
    """The simulator that suits the start; of several, runs side by side of one each."""
    step = make_step(problem, len(starts[0].a), batch_size, spherical)
    words = make_streams(seed, runs)
    if len(starts) == 1:
        return _of_start(problem, starts[0], step, words, keep)
    return side_by_side(
        [_of_start(problem, start, step, words[i : i + 1], keep) for i, start in enumerate(starts)]
    )


def _of_start(
    problem: Problem, start: Weights | Overlaps, step: Step, words: NDArray[np.uint64], keep: str
) -> Runs:
    in_weights = WideRuns if WideRuns.suits(problem, step, len(start.a)) else WeightsRuns
    if isinstance(start, Weights):
        kind = "Overlaps" if keep == "overlaps" else "Weights"
        return in_weights(problem, start, step, words, kind)
    if problem.dim < problem.subspace_dim + start.p:
        return in_weights(problem, start.weights(problem), step, words, "Overlaps")
    return LawRuns(problem, start, step, words)


def _check_problem(problem: Problem, start: Weights | Overlaps) -> None:
    """Refuse a problem that SGD does not have, or a start of another problem."""
    checks.instance(problem, "problem", Problem)
    check_state(start, "start", Weights, Overlaps)
    if math.isinf(problem.dim):
        raise ValueError(
            "problem must have a finite dim for SGD, got inf; any finite dim costs the same from "
            "Overlaps, and the overlap equations hold at infinity"
        )
    if largest(problem.learning_rate) <= 0.0:
        raise ValueError(
            "problem must have a learning_rate greater than 0 for SGD, got "
            f"{problem.learning_rate:g}"
        )
    if isinstance(start, Weights):
        if start.dim != problem.dim:
            raise ValueError(f"start must have dim = {problem.dim} columns, got {start.dim}")
        P = np.asarray(start.W_star @ start.W_star.T / start.dim)
    else:
        P = start.P
    check_gram(problem, P, "start")
