"""The concentration study: one problem in growing dimension, against its limit d = ∞."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks, projection, transport
from meanfield._version import __version__
from meanfield.dynamics.mean_field import solve_mean_field
from meanfield.integrate import Status, linear_times
from meanfield.problem import Problem, check_dim, problem_from_parameters
from meanfield.progress import progress_bar
from meanfield.starts import SAMPLINGS, gaussian_measure
from meanfield.states import ParticleMeasure
from meanfield.storage import read_archive, write_archive
from meanfield.studies.executors import SerialExecutor
from meanfield.studies.rates import Rate, fit_rate
from meanfield.targets import CommitteeTarget

STUDY_FORMAT = "meanfield-concentration-study"
CURVES = ("risk", "energy", "leak", "leak_variance", "function_energy")
SAVES = 61
Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Task:
    """One run of the study; small, so that it travels well."""

    problem: Problem
    n: int
    t_end: float
    scale: float
    seed: int
    sampling: str
    rtol: float
    threads: int | None


def _run(task: _Task) -> dict[str, Any]:
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


def concentration_study(
    target: CommitteeTarget,
    dims: Sequence[float] = (10, 30, 100, 300, 1000, math.inf),
    n: int = 10_000,
    t_end: float = 30.0,
    activation: str = "erf",
    seed: int = 0,
    executor: Executor | None = None,
    *,
    scale: float = 1.0,
    second_layer_rate: float = 0.0,
    replicas: int = 4,
    sampling: str = "antithetic-sobol",
    rtol: float = 1e-8,
    threads: int | None = None,
    progress: bool = False,
) -> ConcentrationStudy:
    """Follow the mean-field flow from w ~ N(0, scale² I_d) in several dimensions.

    In each dimension the mass concentrates on the principal subspace, and as d grows the flow
    approaches that at d = ∞, where f depends on the principal coordinates alone (Arnaboldi et al.
    2023). The same underlying draws serve every dimension, evenly spread and paired (u, r) with
    (−u, r), so that sampling error does not mask the rates; replicas with other scramblings
    measure what is left of it.

    Parameters
    ----------
    target : CommitteeTarget
    dims : sequence of int or math.inf
        Input dimensions, each above k; include math.inf for distances to the limit.
    n : int
        Neurons in each run.
    t_end : float
        Final time, in units where one SGD step takes γ/(p d).
    activation : str
        The student's.
    seed : int
        From which the replicas' seeds are spawned.
    executor : concurrent.futures.Executor, optional
        Where to run (process pool, Dask's, mpi4py's); None: here, one run after another.
    scale, second_layer_rate : float
        Standard deviation of the starting weights; κ.
    replicas : int
        Independent draws in each finite dimension, averaged.
    sampling : str
        See `gaussian_measure`.
    rtol : float
        Tolerance of each run.
    threads : int, optional
        Threads of each run; by default all here, one under an executor.
    progress : bool
        Show a bar.

    Returns
    -------
    ConcentrationStudy
        Interrupted by Ctrl-C, it holds the dimensions finished by then.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.
    RuntimeError
        If a run fails; the message says which and why.
    """
    checks.instance(target, "target", CommitteeTarget)
    dims = _check_dims(dims, target.k)
    checks.option(sampling, "sampling", SAMPLINGS)
    replicas = checks.integer(replicas, "replicas")
    seed = checks.integer(seed, "seed", minimum=0)
    if threads is None and executor is not None:
        threads = 1
    n, t_end = checks.integer(n, "n"), checks.real(t_end, "t_end", above=0.0)
    scale = checks.real(scale, "scale", above=0.0)
    rtol = checks.real(rtol, "rtol", above=0.0)
    problem = Problem(target, activation, math.inf, second_layer_rate=second_layer_rate)
    seeds = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(seed).spawn(replicas)]
    tasks = [
        _Task(problem.at_dim(dim), n, t_end, scale, s, sampling, rtol, threads)
        for dim in dims
        for s in (seeds if math.isfinite(dim) else seeds[:1])
    ]
    results = _run_all(tasks, executor, progress)
    settings = {
        "n": n, "t_end": t_end, "scale": scale, "seed": seed, "replicas": replicas,
        "sampling": sampling, "rtol": rtol,
    }  # fmt: skip
    return _assemble(problem, tasks, results, settings)


@dataclass(frozen=True, eq=False)
class ConcentrationStudy:
    """What `concentration_study` found.

    Attributes
    ----------
    problem : Problem
        At d = ∞.
    dims : ndarray, shape (m,)
        Input dimensions, increasing.
    t : ndarray, shape (T,)
        Saved times.
    curves : dict of str to ndarray, shape (m, T)
        ``"risk"``, ``"energy"``, ``"leak"``, and the leak's two parts ``"leak_variance"`` and
        ``"function_energy"``: means over replicas. See `projection.Concentration`.
    wasserstein : ndarray, shape (m,)
        W2 between the final law of neurons (a, u, r) and the one at d = ∞; NaN without d = ∞.
    sampling_error : dict of str to ndarray, shape (m,)
        Standard error over replicas of the final ``"risk"``, ``"energy"``, ``"leak"`` and
        ``"wasserstein"``.
    finals : list of ParticleMeasure
        Final measure of the first replica in each dimension.
    parameters : dict
        How the study was made.
    messages : list of str
        What runs had to say beyond success.
    """

    problem: Problem
    dims: Array
    t: Array
    curves: dict[str, Array]
    wasserstein: Array
    sampling_error: dict[str, Array]
    finals: list[ParticleMeasure]
    parameters: dict[str, Any]
    messages: list[str] = field(default_factory=list)

    def final(self, quantity: str) -> Array:
        """Values at the final time, shape (m,).

        Of ``"risk"``, ``"energy"``, ``"leak"``, ``"wasserstein"``, or ``"risk_difference"``, which
        is |R − R at d = ∞|.
        """
        checks.option(quantity, "quantity", (*CURVES, "wasserstein", "risk_difference"))
        if quantity == "wasserstein":
            return self.wasserstein
        if quantity == "risk_difference":
            if not math.isinf(self.dims[-1]):
                raise ValueError("quantity 'risk_difference' needs math.inf among the dims")
            return np.abs(self.curves["risk"][:, -1] - self.curves["risk"][-1, -1])
        return self.curves[quantity][:, -1]

    def rate(self, quantity: str) -> Rate:
        """Fitted exponent in d of a final quantity, with a 95 % interval.

        ``"risk"`` means the difference to d = ∞, which is what vanishes.

        Raises
        ------
        ValueError
            If fewer than four finite dimensions have a positive value.
        """
        name = "risk_difference" if quantity == "risk" else quantity
        return fit_rate(self.dims, self.final(name))

    def table(self) -> str:
        """One line a dimension, then the fitted slopes."""
        from meanfield.studies.report import study_table

        return study_table(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the study to one file; `load_study` reads it."""
        header = {
            "problem": self.problem.parameters(),
            "parameters": self.parameters,
            "messages": self.messages,
            "origins": [dict(measure.origin) for measure in self.finals],
        }
        arrays = {"dims": self.dims, "t": self.t, "wasserstein": self.wasserstein}
        arrays |= {f"curves.{name}": value for name, value in self.curves.items()}
        arrays |= {f"error.{name}": value for name, value in self.sampling_error.items()}
        for i, measure in enumerate(self.finals):
            arrays |= {f"final{i}.{name}": getattr(measure, name) for name in ("a", "u", "r")}
        return write_archive(path, STUDY_FORMAT, header, arrays)


def load_study(path: str | os.PathLike[str]) -> ConcentrationStudy:
    """Read a study that `ConcentrationStudy.save` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is damaged or not a study.
    """
    header, arrays = read_archive(path, STUDY_FORMAT)
    finals = [
        ParticleMeasure(*(arrays[f"final{i}.{name}"] for name in ("a", "u", "r")), origin=origin)
        for i, origin in enumerate(header["origins"])
    ]
    return ConcentrationStudy(
        problem=problem_from_parameters(header["problem"]),
        dims=arrays["dims"],
        t=arrays["t"],
        curves={name[7:]: arrays[name] for name in arrays if name.startswith("curves.")},
        wasserstein=arrays["wasserstein"],
        sampling_error={name[6:]: arrays[name] for name in arrays if name.startswith("error.")},
        finals=finals,
        parameters=header["parameters"],
        messages=header["messages"],
    )


def _check_dims(dims: Sequence[float], k: int) -> list[float]:
    checked = sorted({check_dim(dim, k, "dims") for dim in dims})
    if not checked:
        raise ValueError("dims must hold at least one dimension, got none")
    return checked


def _run_all(
    tasks: list[_Task], executor: Executor | None, progress: bool
) -> list[dict[str, Any] | None]:
    """Results in the order of the tasks; None for those that Ctrl-C left out."""
    engine = SerialExecutor() if executor is None else executor
    done = 0
    futures = []
    with progress_bar(len(tasks), f"{len(tasks)} mean-field runs", progress) as move:

        def count(_: Any) -> None:
            nonlocal done
            done += 1
            move(done)

        try:
            for task in tasks:
                future = engine.submit(_run, task)
                future.add_done_callback(count)
                futures.append(future)
                # only a serial run is over already; Ctrl-C inside it is a status, not an exception
                if future.done() and not future.exception():
                    if future.result()["status"] == Status.INTERRUPTED:
                        break
            results: list[dict[str, Any] | None] = [future.result() for future in futures]
        except KeyboardInterrupt:
            for future in futures:
                future.cancel()
            results = [f.result() if f.done() and not f.cancelled() else None for f in futures]
    return results + [None] * (len(tasks) - len(results))


def _assemble(
    problem: Problem,
    tasks: list[_Task],
    results: list[dict[str, Any] | None],
    settings: dict[str, Any],
) -> ConcentrationStudy:
    runs: dict[float, list[dict[str, Any]]] = {}
    messages = []
    for task, result in zip(tasks, results, strict=True):
        if result is None:
            continue
        if result["status"] != Status.SUCCESS:
            messages.append(f"d = {task.problem.dim:g}: {result['status']}, {result['message']}")
        if "t" in result:
            runs.setdefault(task.problem.dim, []).append(result)
    if not runs:
        raise RuntimeError("no run of the study reached its end: " + "; ".join(messages or ["interrupted"]))
    dims = sorted(runs)
    limit = runs[math.inf][0]["final"] if math.inf in runs else None
    for found in runs.values():
        for run in found:
            run["wasserstein"] = (
                math.nan if limit is None else float(transport.wasserstein(run["final"], limit))
            )
    curves = {
        name: np.stack([np.mean([run[name] for run in runs[d]], axis=0) for d in dims])
        for name in CURVES
    }
    errors = {
        name: np.array([_standard_error([np.ravel(run[name])[-1] for run in runs[d]]) for d in dims])
        for name in ("risk", "energy", "leak", "wasserstein")
    }
    return ConcentrationStudy(
        problem=problem,
        dims=np.array(dims),
        t=runs[dims[0]][0]["t"],
        curves=curves,
        wasserstein=np.array([np.mean([run["wasserstein"] for run in runs[d]]) for d in dims]),
        sampling_error=errors,
        finals=[runs[d][0]["final"] for d in dims],
        parameters={"version": __version__, **settings},
        messages=messages,
    )


def _standard_error(values: list[float]) -> float:
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))
