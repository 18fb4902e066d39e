"""One-pass SGD: the process itself, in R^d or exactly in law through its overlaps."""

from __future__ import annotations

import math
import os
import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from meanfield import checks
from meanfield.dynamics.accuracy import judged
from meanfield.dynamics.checkpoint import CheckpointFile, describe_call
from meanfield.dynamics.observables import Measurements, Observables
from meanfield.dynamics.sgd.record import Recorder, Schedule, whole_steps
from meanfield.dynamics.sgd.runs import (
    LawRuns,
    Runs,
    WeightsRuns,
    WideRuns,
    make_step,
    make_streams,
)
from meanfield.dynamics.solution import Solution
from meanfield.integrate.outcome import Status
from meanfield.integrate.saving import check_times
from meanfield.kernels.options import thread_limit
from meanfield.problem import Problem
from meanfield.progress import progress_bar
from meanfield.states import Overlaps, Weights

KEEPS = ("all", "overlaps", "ends")

# a compiled call lasts about this long (s), between which Ctrl-C and the progress bar are served
CALL_DURATION = 0.1


def simulate_sgd(
    problem: Problem,
    start: Weights | Overlaps,
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
) -> Solution:
    """Run one-pass SGD: fresh samples x ~ N(0, I_d) at every step.

    From `Weights`, SGD in R^d. From `Overlaps`, a chain of the overlaps alone that has exactly
    the same law, at a cost per step that does not depend on d.

    Parameters
    ----------
    problem : Problem
        With finite `dim` d and `learning_rate` γ > 0. κ = `second_layer_rate` trains the second
        layer, at γ_a = κ γ/d; the target's `noise` Δ is added to the labels.
    start : Weights or Overlaps
        The start of every run. Its target must have the problem's Gram matrix.
    t_end : float
        Final time; t = ν γ/(p d) after ν steps, whatever the batch size. The run makes the whole
        steps that fit in it.
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

    Returns
    -------
    Solution
        With `t` (T,), the exact times of the recorded steps; `risk` (runs, T), the population
        risk in closed form or by quadrature, not sampled (its relative error at the last record is
        in ``stats["average_error"]``); `states` of shape (runs, T). Status ``"diverged"`` if an
        error overflows in any run and ``"interrupted"`` after Ctrl-C: all runs then end at the
        last time recorded before that.

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
    the old parameters, averaged over the batch. The exact chain: a Gaussian sample enters the
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
    _check_problem(problem, start)
    t_end = checks.real(t_end, "t_end", above=0.0)
    times = check_times(save_at, t_end)
    seed = checks.integer(seed, "seed", minimum=0)
    runs = checks.integer(runs, "runs")
    batch_size = checks.integer(batch_size, "batch_size")
    spherical = _flag(spherical, "spherical")
    checks.option(keep, "keep", KEEPS)
    threads = checks.thread_count(threads)
    settings: dict[str, Any] = {
        "t_end": t_end,
        "seed": seed,
        "runs": runs,
        "batch_size": batch_size,
        "spherical": spherical,
        "keep": keep,
        "start": dict(start.origin),
    }
    simulator = _simulator(problem, start, seed, runs, batch_size, spherical, keep)
    schedule = whole_steps(times, t_end, problem.learning_rate / (len(start.a) * problem.dim))
    measurements = Measurements(observables)
    recorder = Recorder(
        simulator, runs, len(schedule.steps), keep, measurements, settings["start"]
    )  # fmt: skip
    file = None
    if checkpoint is not None:
        call = settings | {"save_at": times, "observables": list(measurements.functions)}
        file = CheckpointFile(checkpoint, describe_call("simulate_sgd", problem, start, call))
    show = _flag(progress, "progress")
    with thread_limit(threads), progress_bar(schedule.total, "SGD", show) as move:
        status, message = _run(simulator, schedule, recorder, move, file)
    taken = recorder.steps_made
    stats = {
        "steps": taken,
        "samples": taken * batch_size,
        "step_time": schedule.step_time,
        "average_error": simulator.judge.error,
    }
    status, message = judged(status, message, stats)
    return Solution(
        t=schedule.times[: recorder.count],
        risk=recorder.risk[:, : recorder.count],
        states=recorder.series(),
        status=status,
        message=message + recorder.missing(),
        stats=stats,
        problem=problem,
        parameters={"description": simulator.description, **settings},
        observables=recorder.observables(),
    )


def _run(
    simulator: Runs, schedule: Schedule, recorder: Recorder, move: Any, file: CheckpointFile | None
) -> tuple[Status, str]:
    """All the steps; Ctrl-C leaves a checkpoint, any other end removes it."""
    snapshot = None if file is None else file.load()
    if snapshot is not None:
        recorder.resume(snapshot)
    try:
        ending = _steps(simulator, schedule, recorder, move, file)
    except KeyboardInterrupt:
        # a compiled call ends before Ctrl-C is heard: its steps count if every run made them
        under_way = int(simulator.done.min())
        if under_way == simulator.done.max():
            recorder.steps_made += under_way
            if file is not None:
                file.save(recorder.snapshot())
        reached = recorder.steps_made * schedule.step_time
        return Status.INTERRUPTED, f"interrupted at t = {reached:g}, step {recorder.steps_made}"
    if file is not None:
        file.remove()
    return ending


def _steps(
    simulator: Runs, schedule: Schedule, recorder: Recorder, move: Any, file: CheckpointFile | None
) -> tuple[Status, str]:
    """Step to each recorded time in turn, in calls short enough to be interrupted."""
    chunk = max(1, int(1e9 * CALL_DURATION / simulator.work))
    first = recorder.count
    for wanted, t in zip(schedule.steps[first:], schedule.times[first:], strict=True):
        while recorder.steps_made < wanted:
            count = min(chunk, int(wanted) - recorder.steps_made)
            started = time.perf_counter()
            made = simulator.advance(count)
            if made.min() < count:
                recorder.steps_made += int(made.min())
                return _diverged(int(made.argmin()), recorder.steps_made, schedule)
            # one statement without a call in it: Ctrl-C comes before or after, not between
            recorder.steps_made, made[:] = recorder.steps_made + count, 0
            move(recorder.steps_made)
            if count == chunk:  # the numbers do not depend on how steps are grouped
                ratio = CALL_DURATION / max(time.perf_counter() - started, 1e-9)
                chunk = max(1, int(chunk * min(2.0, max(0.5, ratio))))
            if file is not None and file.due():
                file.save(recorder.snapshot())
        if not recorder.record(float(t)):
            return _diverged(None, recorder.steps_made, schedule)
    return Status.SUCCESS, f"reached t = {schedule.times[-1]:g}"


def _diverged(run: int | None, step: int, schedule: Schedule) -> tuple[Status, str]:
    which = "a state" if run is None else f"the error of run {run}"
    return Status.DIVERGED, (
        f"{which} stopped being finite at t = {step * schedule.step_time:g}, step {step}; "
        "a smaller learning_rate may help"
    )


def _simulator(
    problem: Problem,
    start: Weights | Overlaps,
    seed: int,
    runs: int,
    batch_size: int,
    spherical: bool,
    keep: str,
) -> Runs:
    """The simulator that suits the start."""
    step = make_step(problem, len(start.a), batch_size, spherical)
    words = make_streams(seed, runs)
    in_weights = WideRuns if WideRuns.suits(step, len(start.a)) else WeightsRuns
    if isinstance(start, Weights):
        kind = "Overlaps" if keep == "overlaps" else "Weights"
        return in_weights(problem, start, step, words, kind)
    if problem.dim < problem.subspace_dim + start.p:
        return in_weights(problem, start.weights(problem), step, words, "Overlaps")
    return LawRuns(problem, start, step, words)


def _check_problem(problem: Problem, start: Weights | Overlaps) -> None:
    """Refuse a problem that SGD does not have, or a start of another problem."""
    checks.instance(problem, "problem", Problem)
    if not isinstance(start, Weights | Overlaps):
        raise TypeError(f"start must be Weights or Overlaps, got {type(start).__name__}")
    if math.isinf(problem.dim):
        raise ValueError(
            "problem must have a finite dim for SGD, got inf; any finite dim costs the same from "
            "Overlaps, and the overlap equations hold at infinity"
        )
    if problem.learning_rate <= 0.0:
        raise ValueError(
            "problem must have a learning_rate greater than 0 for SGD, got "
            f"{problem.learning_rate:g}"
        )
    if isinstance(start, Weights):
        if start.dim != problem.dim:
            raise ValueError(f"start must have dim = {problem.dim} columns, got {start.dim}")
        P = start.W_star @ start.W_star.T / start.dim
    else:
        P = start.P
    gram = np.asarray(problem.target.gram)
    if P.shape != gram.shape or not np.allclose(P, gram, rtol=0.0, atol=1e-8 * np.abs(gram).max()):
        raise ValueError("start must have the gram matrix of the problem's target")


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)
