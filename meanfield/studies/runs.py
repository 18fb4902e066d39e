"""The runs of a study: small tasks, their results, and the executor between them."""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from meanfield import projection
from meanfield.dynamics.mean_field import solve_mean_field
from meanfield.integrate import Status, linear_times
from meanfield.problem import Problem
from meanfield.progress import progress_bar
from meanfield.starts import gaussian_measure
from meanfield.studies.executors import SerialExecutor, as_they_finish

CURVES = ("risk", "energy", "leak", "leak_variance", "function_energy")
SAVES = 41


@dataclass(frozen=True)
class Task:
    """One run of the study; small, so that it travels well to other processes."""

    problem: Problem
    n: int
    t_end: float
    scale: float
    seed: int
    sampling: str
    rtol: float
    threads: int | None


def run_task(task: Task) -> dict[str, Any]:
    """Solve one task and reduce it to curves and its final measure."""
    start = gaussian_measure(task.problem, task.n, task.scale, task.seed, task.sampling)
    solution = solve_mean_field(
        task.problem, start, task.t_end, linear_times(task.t_end, SAVES), task.rtol,
        task.rtol * 1e-3, threads=task.threads,
    )  # fmt: skip
    result: dict[str, Any] = {
        "status": str(solution.status),
        "message": solution.message,
        "stats": solution.stats,
    }
    if len(solution.t) == SAVES:
        curves = projection.along(solution, threads=task.threads)
        result |= {"t": solution.t, "risk": solution.risk, "final": solution.final}
        result |= {name: getattr(curves, name) for name in CURVES[1:]}
    return result


def run_all(
    tasks: list[Task], executor: Executor | None, progress: bool
) -> list[dict[str, Any] | None]:
    """Results in the order of the tasks; None for those that Ctrl-C left out."""
    engine = SerialExecutor() if executor is None else executor
    results: list[dict[str, Any] | None] = [None] * len(tasks)
    places = {id(task): i for i, task in enumerate(tasks)}
    with (
        progress_bar(len(tasks), f"{len(tasks)} mean-field runs", progress) as move,
        suppress(KeyboardInterrupt),
    ):
        finished = as_they_finish(run_task, tasks, engine)
        for done, (task, future) in enumerate(finished, start=1):
            result = results[places[id(task)]] = future.result()
            move(done)
            if result["status"] == Status.INTERRUPTED:  # inside a run, Ctrl-C is no exception
                break
    return results
