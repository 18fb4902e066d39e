"""The runs of a study: small tasks, their results, and the executor between them."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from meanfield import projection
from meanfield.dynamics.mean_field import solve_mean_field
from meanfield.integrate import Status, linear_times
from meanfield.problem import Problem
from meanfield.progress import progress_bar
from meanfield.starts import gaussian_measure
from meanfield.studies.executors import SerialExecutor

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
    done = 0
    futures: list[Future[dict[str, Any]]] = []
    with progress_bar(len(tasks), f"{len(tasks)} mean-field runs", progress) as move:

        def count(_: Any) -> None:
            nonlocal done
            done += 1
            move(done)

        try:
            for task in tasks:
                future = engine.submit(run_task, task)
                future.add_done_callback(count)
                futures.append(future)
                if _interrupted(future):
                    break
            results: list[dict[str, Any] | None] = [future.result() for future in futures]
        except KeyboardInterrupt:
            for future in futures:
                future.cancel()
            results = [f.result() if f.done() and not f.cancelled() else None for f in futures]
    return results + [None] * (len(tasks) - len(results))


def _interrupted(future: Future[dict[str, Any]]) -> bool:
    """Whether Ctrl-C ended a run that is over: inside a run it is a status, not an exception."""
    if not future.done() or future.exception() is not None:
        return False
    return bool(future.result()["status"] == Status.INTERRUPTED)
