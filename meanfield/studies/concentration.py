"""The concentration study: one problem in growing dimension, against its limit d = ∞.

A specification whose runs are made and stored like those of any study, and read by an analysis.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from meanfield import checks
from meanfield.integrate.interrupts import raising_on_sigterm
from meanfield.problem import Problem, check_dim, refuse_schedules
from meanfield.starts import SAMPLINGS
from meanfield.states import ParticleMeasure
from meanfield.studies.concentration_analysis import OBSERVABLES, analyse, where
from meanfield.studies.concentration_result import LAW_ARRAYS, ConcentrationStudy
from meanfield.studies.results import StudyResults
from meanfield.studies.study import Study
from meanfield.targets import Target

KINDS = ("mean_field", "overlaps", "sgd")
SAVES = 41
NAME = "concentration"


@raising_on_sigterm()
def concentration_study(
    target: Target,
    dims: Sequence[float] = (10, 30, 100, 300, 1000, math.inf),
    n: int = 10_000,
    t_end: float = 30.0,
    activation: str = "erf",
    seed: int = 0,
    executor: Executor | None = None,
    store: str | os.PathLike[str] | None = None,
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
    retry: bool = False,
    extend: bool = False,
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
    executor, store, threads, progress, retry, extend
        Where the runs are made and kept, see `Study.run`. With a store, the same call after an
        interruption goes on from there, and `load_study` reads what there is.
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

    Returns
    -------
    ConcentrationStudy
        Cut short under `return_on_interrupt`, it holds the runs finished by then.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the store holds another study; the message says which.
    RuntimeError
        If a run fails, after all others are made, or no run reaches its end; the message says
        which and why.
    KeyboardInterrupt
        After Ctrl-C; its ``result`` is the study of the runs finished by then, or None where no run
        was. See `meanfield.return_on_interrupt`.

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
    refuse_schedules(problem, "a concentration study")
    dims = _check_dims(dims, problem.target.k)
    checks.option(kind, "kind", KINDS)
    checks.option(sampling, "sampling", SAMPLINGS)
    sizes = _check_widths(kind, widths, n)
    start = _check_start(kind, start, problem)
    if kind == "sgd" and problem.learning_rate == 0.0:
        raise ValueError("learning_rate must be greater than 0 for SGD, got 0")
    t_end = checks.real(t_end, "t_end", above=0.0)
    scale = checks.real(scale, "scale", above=0.0)
    if rtol is None:
        rtol = 1e-7 if problem.student.smooth else 1e-5
    rtol = checks.real(rtol, "rtol", above=0.0)
    saves = checks.integer(saves, "saves", minimum=2)
    replicas = checks.integer(replicas, "replicas")
    times = {"t_end": t_end, "save_at": saves}
    law, solver, limit = _runs(kind, problem, sizes[0], scale, sampling, times, rtol)
    if start is not None:
        given = {name: getattr(start, name) for name in LAW_ARRAYS}
        law, replicas = {"law": "given_measure", **given}, 1
    grid: dict[str, list[Any]] = {} if kind == "mean_field" else {"start.p": sizes}
    grid["dim"] = [{"problem.dim": d} | (limit if math.isinf(d) else {}) for d in dims]
    study = Study(problem, law, solver, OBSERVABLES, grid, replicas, seed, NAME)
    try:
        results = study.run(
            executor, store, threads=threads, progress=progress, retry=retry, extend=extend
        )
    except KeyboardInterrupt as error:
        vars(error)["result"] = _of_those_made(vars(error).get("result"))
        raise
    for record in results.failures:
        raise RuntimeError(f"the run with {where(record)} failed: {record.message}")
    return analyse(results)


def _runs(
    kind: str, problem: Problem, size: int, scale: float, sampling: str,
    times: dict[str, Any], rtol: float,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:  # fmt: skip
    """How runs start and are solved, and what of that is another at d = ∞."""
    tolerances = {"rtol": rtol, "atol": rtol * 1e-3}
    if kind == "mean_field":
        law = {"law": "gaussian_measure", "n": size, "scale": scale, "sampling": sampling}
        # at d = ∞ every neuron starts at one point
        return law, {"description": kind, **times, **tolerances}, {"replicas": 1}
    noise = problem.learning_rate > 0.0
    equation = {"description": "overlaps", "sgd_noise": noise, **times, **tolerances}
    name = "gaussian_network" if kind == "sgd" else "gaussian_overlaps"
    solver = {"description": kind, **times} if kind == "sgd" else equation
    # the limit of SGD at fixed γ/p is the overlap ODE
    return {"law": name, "p": size, "scale": scale}, solver, {"solver": equation}


def _of_those_made(results: StudyResults | None) -> ConcentrationStudy | None:
    """The study of what was made when it was cut short, if that is anything."""
    try:
        return None if results is None else analyse(results)
    except RuntimeError:  # no run has reached its end
        return None


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
