"""The runs of a study: small tasks, their results, and the executor between them."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import projection
from meanfield.dynamics.mean_field import solve_mean_field
from meanfield.dynamics.overlaps import solve_overlaps
from meanfield.dynamics.sgd import simulate_sgd
from meanfield.dynamics.solution import Solution
from meanfield.integrate import Status, linear_times
from meanfield.problem import Problem
from meanfield.progress import progress_bar
from meanfield.starts import gaussian_measure, gaussian_overlaps, gaussian_weights
from meanfield.states import Overlaps, ParticleMeasure
from meanfield.studies.executors import SerialExecutor, as_they_finish, limited_threads

CURVES = (
    "risk", "energy", "mean_alignment", "leak", "leak_variance", "function_energy",
    "perpendicular",
)  # fmt: skip
KINDS = ("mean_field", "overlaps", "sgd")
SAVES = 41
CHEAPER = 2.5  # a step in R^d costs p d/2.5 of one exact in law, p²
LARGEST = 2 * 10**7  # weights


@dataclass(frozen=True)
class Task:
    """One run of the study; small, so that it travels well to other processes.

    `n` neurons: particles of the mean field, or the width of a network.
    """

    problem: Problem
    kind: str
    n: int
    t_end: float
    scale: float
    seed: int
    sampling: str
    start: ParticleMeasure | None
    rtol: float
    saves: int
    threads: int | None


def run_task(task: Task) -> dict[str, Any]:
    """Solve one task and reduce it to curves and its final measure.

    With one thread in BLAS: products of 1000 × 1000 waited for each other's threads, on two busy
    cores, ten times as long as they took.
    """
    with limited_threads(task.threads):
        return _run_task(task)


def _run_task(task: Task) -> dict[str, Any]:
    times = linear_times(task.t_end, task.saves)
    solution = _solve(task, times)
    result: dict[str, Any] = {
        "status": str(solution.status),
        "message": solution.message,
        "stats": solution.stats,
    }
    reached = len(solution.t) > 1 and solution.t[-1] >= times[-1] - 0.5 * (times[1] - times[0])
    if len(solution.t) == task.saves or (task.kind == "sgd" and reached):
        curves = projection.along(solution, threads=task.threads)
        found = {name: getattr(curves, name) for name in CURVES[1:]} | {"risk": solution.risk}
        # SGD is recorded at whole steps, next to the times asked for
        found = {
            name: np.interp(times, solution.t, np.reshape(y, -1)) for name, y in found.items()
        } if task.kind == "sgd" else found  # fmt: skip
        final = solution.final[0] if isinstance(solution.final, list) else solution.final
        law = final if isinstance(final, ParticleMeasure) else final.measure()
        result |= {"t": times, "final": law, **found}
    return result


def _solve(task: Task, times: NDArray[np.float64]) -> Solution:
    problem = task.problem
    rtol, atol = task.rtol, task.rtol * 1e-3
    if task.kind == "mean_field":
        start = task.start
        if start is None:
            start = gaussian_measure(problem, task.n, task.scale, task.seed, task.sampling)
        return solve_mean_field(
            problem, start, task.t_end, times, rtol=rtol, atol=atol, threads=task.threads
        )
    p, d = task.n, problem.dim
    if task.kind == "sgd" and math.isfinite(d):
        in_weights = p > problem.perpendicular_dim or (d < CHEAPER * p and p * d < LARGEST)
        draw = gaussian_weights if in_weights else gaussian_overlaps
        return simulate_sgd(
            problem, draw(problem, p, task.scale, task.seed), task.t_end, seed=task.seed,
            save_at=times, keep="overlaps" if in_weights else "all", threads=task.threads,
        )  # fmt: skip
    # the limit of SGD at fixed γ/p, and gradient flow without it
    return solve_overlaps(
        problem, _gaussian_overlaps(problem, p, task.scale, task.seed), task.t_end,
        sgd_noise=problem.learning_rate > 0.0, save_at=times,
        rtol=rtol, atol=atol, threads=task.threads,
    )  # fmt: skip


def _gaussian_overlaps(problem: Problem, p: int, scale: float, seed: int) -> Overlaps:
    """Overlaps of w ~ N(0, scale² I_d): by their own law, or from weights where d is too small."""
    if p <= problem.perpendicular_dim:
        return gaussian_overlaps(problem, p, scale, seed)
    return gaussian_weights(problem, p, scale, seed).overlaps()


def run_all(
    tasks: list[Task], executor: Executor | None, progress: bool
) -> list[dict[str, Any] | None]:
    """Results in the order of the tasks; None for those that Ctrl-C left out."""
    engine = SerialExecutor() if executor is None else executor
    results: list[dict[str, Any] | None] = [None] * len(tasks)
    places = {id(task): i for i, task in enumerate(tasks)}
    with (
        progress_bar(len(tasks), f"{len(tasks)} runs", progress) as move,
        suppress(KeyboardInterrupt),
    ):
        finished = as_they_finish(run_task, tasks, engine)
        for done, (task, future) in enumerate(finished, start=1):
            result = results[places[id(task)]] = future.result()
            move(done)
            if result["status"] == Status.INTERRUPTED:  # inside a run, Ctrl-C is no exception
                break
    return results
