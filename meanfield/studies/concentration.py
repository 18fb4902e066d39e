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
from meanfield.states import ParticleMeasure
from meanfield.studies.result import ConcentrationStudy
from meanfield.studies.runs import CURVES, KINDS, SAVES, Task, run_all
from meanfield.targets import Target


def concentration_study(
    target: Target,
    dims: Sequence[float] = (10, 30, 100, 300, 1000, math.inf),
    n: int = 10_000,
    t_end: float = 30.0,
    activation: str = "erf",
    seed: int = 0,
    executor: Executor | None = None,
    *,
    kind: str = "mean_field",
    widths: int | Sequence[int] | None = None,
    start: ParticleMeasure | None = None,
    scale: float = 1.0,
    learning_rate: float = 0.0,
    second_layer_rate: float = 0.0,
    replicas: int = 4,
    sampling: str = "antithetic-sobol",
    rtol: float | None = None,
    saves: int = SAVES,
    threads: int | None = None,
    progress: bool = False,
) -> ConcentrationStudy:
    """Follow one description from w ~ N(0, scale² I_d) in several dimensions.

    In each dimension the mass concentrates on the principal subspace, and as d grows the flow
    approaches that at d = ∞, where f depends on the principal coordinates alone (Arnaboldi et al.
    2023). The same underlying draws serve every dimension, evenly spread and paired (u, r) with
    (−u, r), so that sampling error does not mask the rates; replicas with other scramblings
    measure what is left of it.

    Parameters
    ----------
    target : CommitteeTarget or MultiIndexTarget
    dims : sequence of int or math.inf
        Input dimensions, each above k; include math.inf for distances to the limit.
    n : int
        Neurons of each mean-field run.
    t_end : float
        Final time, in units where one SGD step takes γ/(p d).
    activation : str
        The student's.
    seed : int
        From which the replicas' seeds are spawned.
    executor : concurrent.futures.Executor, optional
        Where to run (process pool, Dask's, mpi4py's); None: here, one run after another.
    kind : str
        ``"mean_field"``; at finite width ``"overlaps"``, the overlap ODE (gradient flow at
        learning rate 0), or ``"sgd"``, exact in law, whose limit d = ∞ is the overlap ODE.
    widths : int or sequence of int, optional
        p, wanted for the kinds of finite width; a case is run for each width and dimension.
    start : ParticleMeasure, optional
        Of the mean field: the same law in every dimension, instead of the Gaussian one.
    scale, learning_rate, second_layer_rate : float
        Standard deviation of the starting weights; γ; κ.
    replicas : int
        Independent draws in each finite dimension, averaged.
    sampling : str
        See `gaussian_measure`.
    rtol : float, optional
        Tolerance of each run; by default 1e-7, for ReLU students 1e-5.
    saves : int
        Saved times, 2 or more, equally spaced: the cost of a record grows like p² d for SGD.
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

    Examples
    --------
    >>> import math, meanfield as mf
    >>> study = mf.concentration_study(
    ...     mf.CommitteeTarget(k=1), [20, 40, 80, 160, math.inf], n=20, t_end=1.0, replicas=2
    ... )
    >>> study.rate("leak").slope < -0.5
    True
    """
    problem = Problem(target, activation, math.inf, learning_rate, second_layer_rate)
    dims = _check_dims(dims, problem.target.k)
    checks.option(kind, "kind", KINDS)
    checks.option(sampling, "sampling", SAMPLINGS)
    sizes = _check_widths(kind, widths, n)
    start = _check_start(kind, start, problem)
    replicas = checks.integer(replicas, "replicas")
    seed = checks.integer(seed, "seed", minimum=0)
    if kind == "sgd" and problem.learning_rate == 0.0:
        raise ValueError("learning_rate must be greater than 0 for SGD, got 0")
    threads = checks.thread_count(threads)
    if threads is None and executor is not None:
        threads = 1
    t_end = checks.real(t_end, "t_end", above=0.0)
    scale = checks.real(scale, "scale", above=0.0)
    if rtol is None:
        rtol = 1e-7 if problem.student.smooth else 1e-5
    rtol = checks.real(rtol, "rtol", above=0.0)
    saves = checks.integer(saves, "saves", minimum=2)
    seeds = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(seed).spawn(replicas)]
    tasks = [
        Task(
            problem.at_dim(dim), kind, size, t_end, scale, s, sampling, start, rtol, saves, threads
        )
        for size in sizes
        for dim in dims
        for s in (seeds if start is None and (kind != "mean_field" or dim < np.inf) else seeds[:1])
    ]
    results = run_all(tasks, executor, progress)
    settings = {
        "kind": kind, "n": sizes[0], "widths": sizes if kind != "mean_field" else None,
        "t_end": t_end, "scale": scale, "seed": seed, "replicas": replicas,
        "sampling": sampling, "rtol": rtol, "same_start": start is not None,
    }  # fmt: skip
    return _assemble(problem, tasks, results, settings)


def _check_widths(kind: str, widths: int | Sequence[int] | None, n: int) -> list[int]:
    """The numbers of neurons to run with: n particles, or the widths of networks."""
    if kind == "mean_field":
        if widths is not None:
            raise ValueError("widths must be left out for the mean field, whose width is infinite")
        return [checks.integer(n, "n")]
    if widths is None:
        raise ValueError(f"widths must hold at least one width for kind {kind!r}, got none")
    several = [widths] if isinstance(widths, int | np.integer) else list(widths)
    found = sorted({checks.integer(p, "widths") for p in several})
    if not found:
        raise ValueError("widths must hold at least one width, got none")
    return found


def _check_start(
    kind: str, start: ParticleMeasure | None, problem: Problem
) -> ParticleMeasure | None:
    if start is None:
        return None
    checks.instance(start, "start", ParticleMeasure)
    if kind != "mean_field" or start.k != problem.subspace_dim:
        raise ValueError(
            f"start must be a measure with k = {problem.subspace_dim}, for the mean field"
        )
    return start


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
    runs: dict[tuple[float, float], list[dict[str, Any]]] = {}
    messages = []
    for task, result in zip(tasks, results, strict=True):
        if result is None:
            continue
        width = math.inf if task.kind == "mean_field" else float(task.n)
        if result["status"] != Status.SUCCESS:
            where = f"d = {task.problem.dim:g}" + ("" if width == math.inf else f", p = {width:g}")
            messages.append(f"{where}: {result['status']}, {result['message']}")
        if "t" in result:
            runs.setdefault((width, task.problem.dim), []).append(result)
    if not runs:
        raise RuntimeError(
            "no run of the study reached its end: " + "; ".join(messages or ["interrupted"])
        )
    cases = sorted(runs)
    return ConcentrationStudy(
        problem=problem,
        dims=np.array([dim for _, dim in cases]),
        widths=np.array([width for width, _ in cases]),
        t=runs[cases[0]][0]["t"],
        replicas={name: _stack([[r[name] for r in runs[c]] for c in cases]) for name in CURVES},
        distances=_distances(cases, runs),
        laws=[[run["final"] for run in runs[case]] for case in cases],
        parameters={"version": __version__, **settings},
        messages=messages,
    )


def _stack(rows: list[list[Any]]) -> Any:
    """Cases × replicas (× times), NaN where a case has fewer replicas."""
    most = max(map(len, rows))
    empty = np.full(np.shape(rows[0][0]), math.nan)
    return np.array([[*row, *[empty] * (most - len(row))] for row in rows])


def _distances(cases: list[Any], runs: dict[Any, list[dict[str, Any]]]) -> Any:
    """W2 of every replica to its own at d = ∞ (the only one there, in the mean field)."""
    rows = []
    for width, dim in cases:
        limits = [run["final"] for run in runs.get((width, math.inf), [])]
        row = []
        for i, run in enumerate(runs[width, dim]):
            limit = limits[min(i, len(limits) - 1)] if limits else None
            value = math.nan if limit is None else transport.wasserstein(run["final"], limit)
            row.append(float(value))
        rows.append(row)
    return _stack(rows)
