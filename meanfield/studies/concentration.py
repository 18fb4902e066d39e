"""The concentration study: one problem in growing dimension, against its limit d = ∞."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from meanfield import checks, transport
from meanfield._version import __version__
from meanfield.integrate import Status
from meanfield.problem import Problem, check_dim
from meanfield.starts import SAMPLINGS
from meanfield.studies.result import ConcentrationStudy
from meanfield.studies.runs import CURVES, Task, run_all
from meanfield.targets import CommitteeTarget


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
    rtol: float | None = None,
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
    rtol : float, optional
        Tolerance of each run; by default 1e-7, for ReLU students 1e-5.
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
    problem = Problem(target, activation, math.inf, second_layer_rate=second_layer_rate)
    if rtol is None:
        rtol = 1e-7 if problem.student.smooth else 1e-5
    rtol = checks.real(rtol, "rtol", above=0.0)
    seeds = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(seed).spawn(replicas)]
    tasks = [
        Task(problem.at_dim(dim), n, t_end, scale, s, sampling, rtol, threads)
        for dim in dims
        for s in (seeds if math.isfinite(dim) else seeds[:1])
    ]
    results = run_all(tasks, executor, progress)
    settings = {
        "n": n, "t_end": t_end, "scale": scale, "seed": seed, "replicas": replicas,
        "sampling": sampling, "rtol": rtol,
    }  # fmt: skip
    return _assemble(problem, tasks, results, settings)


def _check_dims(dims: Sequence[float], k: int) -> list[float]:
    checked = sorted({check_dim(dim, k, "dims") for dim in dims})
    if not checked:
        raise ValueError("dims must hold at least one dimension, got none")
    return checked


def _assemble(
    problem: Problem,
    tasks: list[Task],
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
        raise RuntimeError(
            "no run of the study reached its end: " + "; ".join(messages or ["interrupted"])
        )
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
        name: np.array(
            [_standard_error([np.ravel(run[name])[-1] for run in runs[d]]) for d in dims]
        )
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
