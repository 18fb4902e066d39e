"""The scatter of SGD's risk about its overlap ODE, for networks of any width."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.blas import one_blas_thread
from meanfield.dynamics.checkpoint import PathLike
from meanfield.dynamics.fluctuations.adjoint_run import BandRun
from meanfield.dynamics.fluctuations.band import Backward
from meanfield.dynamics.fluctuations.coordinates import Coordinates, Scatter
from meanfield.dynamics.fluctuations.drift import OverlapField, smooth_noise
from meanfield.dynamics.observables import Measurements, Observables
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.overlaps.noise import choose_noise
from meanfield.dynamics.rates import RateSeries
from meanfield.dynamics.run import Request, Tolerances, carry_out, check_gram
from meanfield.dynamics.solution import Solution
from meanfield.integrate.interrupts import raising_on_sigterm
from meanfield.problem import Problem
from meanfield.schedules.base import largest
from meanfield.states import Overlaps, check_state

Array = NDArray[np.float64]

DIFFERENCES_WIDTH = 10  # up to which differences of a closed γ/p term are cheaper than scores
POINTS = 2**12  # of a sample, at most, by default: each place has its own
ROOM = 1e-9  # the least eigenvalue of N, over its largest entry, at which Ω⁻¹ in scores is sound


@raising_on_sigterm()
@one_blas_thread()
def solve_risk_band(
    problem: Problem,
    overlaps: Overlaps,
    t_end: float,
    *,
    save_at: ArrayLike | int | None = None,
    covariance: ArrayLike | None = None,
    rtol: float = 1e-6,
    spherical: bool = False,
    batch_size: int = 1,
    samples: int | None = None,
    seed: int = 0,
    keep: str = "all",
    observables: Observables | None = None,
    checkpoint: PathLike | None = None,
    threads: int | None = None,
    progress: bool = False,
    until: Any = None,
) -> Solution[Overlaps, Overlaps]:
    """The overlap ODE and the standard deviation of SGD's risk about it, for wide networks too.

    What `solve_fluctuations` says of the risk's scatter, without the covariance Σ of all overlaps,
    which has some p⁴/4 entries. With η = γ/(p d), J = ∂F/∂y the ODE's Jacobian and g one step,

        Var R(T) = η ∫₀ᵀ Var(ψ·g) ds,    dψ/ds = −Jᵀψ,    ψ(T) = ∂R/∂y.

    Parameters
    ----------
    problem : Problem
        With γ > 0, a finite ``dim`` and no temperature. Schedules are followed.
    overlaps : Overlaps
        The start of all runs, with Q (p, p), M (p, k), P (k, k) equal to the target's Gram matrix,
        a (p,). It must lie inside the cone of overlaps where the γ/p term is sampled.
    t_end : float
        Final time, > 0, in units where one step of SGD takes γ/(p d).
    save_at : array_like, int or None
        Times to record, or how many equally spaced ones; 51 by default. Each costs an adjoint of
        its own, back to the start.
    covariance : array_like, shape (m, m), optional
        Covariance of the start itself over runs; see `solve_fluctuations`.
    rtol : float
        Tolerance on the ODE's local error, > 0; its steps are the adjoint's.
    spherical : bool
        Keep |w_i|² = d, as projected SGD w ← √d w/|w| does. The start is projected first.
    batch_size : int
        Samples that a step of SGD averages over.
    samples : int or None
        Points of each sample of one step, at least 16, rounded up to a power of two; by default
        2,048 or 4,096, a fresh sample at every place. Smooth functions of few pre-activations have
        a Gauss rule.
    seed : int
        Seed of the samples, ≥ 0.
    keep, observables
        As for `solve_overlaps`.
    checkpoint : path, optional
        A file to go on from after an interruption, for the adjoints, which take the time: a run
        that goes on solves the ODE again.
    threads : int or None
        Threads for the compiled kernels; results do not depend on it, to the last bit.
    progress : bool
        Show a progress bar of the ODE.
    until : Condition or callable, optional
        What ends the run before `t_end`, by the ODE; see `solve_mean_field`.

    Returns
    -------
    Solution
        ``risk`` and states are the ODE's, ``observables["risk_std"]`` (T,) the risk's standard
        deviation at ``problem.dim``; `Solution.at_dim` says it for another. In ``stats``, beside
        those of `solve_overlaps`: ``risk_std_error``, of the samples (twice the standard error), or
        of a Gauss rule, relative to the largest ``risk_std``; ``adjoint_error``, by how much ψ·F
        changes along the way beyond ∫ψ·∂F/∂t, relative to |ψ| |F|; ``nodes``, the steps.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, the overlaps do not belong to the problem, or the
        checkpoint is damaged or another call's.
    OSError
        If the checkpoint's folder does not exist or cannot be written in.

    Notes
    -----
    Without the γ/p term the flow descends the risk, whose Hessian is symmetric: Jᵀψ costs as much
    as two right-hand sides. The γ/p term is differentiated by differences where it has a closed
    form and p ≤ 10, else by the score of the Gaussian law. The bias, and the scatter of Q, M and
    a, are left to `solve_fluctuations`.

    Source of the expansion: van Kampen; see `solve_fluctuations`.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=1.0)
    >>> start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])
    >>> narrow = mf.solve_risk_band(problem, start, 1.0, save_at=3)
    >>> whole = mf.solve_fluctuations(problem, start, 1.0, save_at=3)
    >>> off = narrow.observables["risk_std"] / whole.observables["risk_std"].clip(1e-9) - 1
    >>> bool(abs(off[1:]).max() < 1e-4)
    True
    """
    request = Request.checked(
        t_end, save_at, keep, Measurements(observables), checkpoint, threads, progress, until=until
    )
    tolerances = Tolerances.checked(rtol, None)
    settings: dict[str, Any] = {
        "spherical": checks.switch(spherical, "spherical"),
        "batch_size": checks.integer(batch_size, "batch_size"),
        "samples": samples, "seed": checks.integer(seed, "seed", minimum=0),
    }  # fmt: skip
    scatter = Scatter(covariance, None)
    flow, backward = _make(problem, overlaps, request.t_end, scatter, **settings)
    settings["covariance"] = None if covariance is None else np.asarray(covariance).tolist()
    return carry_out(
        "solve_risk_band", problem, overlaps, request, tolerances._asdict() | settings,
        lambda: BandRun(flow, backward, overlaps, request, tolerances),
    )  # fmt: skip


def _make(
    problem: Problem, overlaps: Overlaps, t_end: float, scatter: Scatter,
    spherical: bool, batch_size: int, samples: Any, seed: int,
) -> tuple[OverlapFlow, Backward]:  # fmt: skip
    """The ODE and its adjoint; refuses what they do not cover."""
    checks.instance(problem, "problem", Problem)
    check_state(overlaps, "overlaps", Overlaps)
    check_gram(problem, overlaps.P, "overlaps")
    p = overlaps.p
    rates = RateSeries(problem, p, t_end)
    gamma, temperature = rates(0.0).learning_rate, largest(problem.temperature)
    if not gamma > 0.0 or math.isinf(problem.dim) or temperature > 0.0:
        raise ValueError(
            "problem must have a learning_rate above 0, a finite dim and temperature 0 for a band "
            f"of width √(γ/(p d)), got γ = {gamma:g}, dim = {problem.dim:g}, "
            f"temperature {temperature:g}"
        )
    averages = OverlapAverages(problem)
    noise = choose_noise(averages, problem, p, True, "auto", samples, seed)
    moving = largest(problem.second_layer_rate) > 0.0 or scatter.of_second_layer(overlaps)
    c = Coordinates(p, overlaps.k, overlaps.a, moving)
    field = OverlapField(problem, c, averages, noise, batch_size, spherical)
    differences = smooth_noise(noise, p, DIFFERENCES_WIDTH) and p <= DIFFERENCES_WIDTH
    flow = OverlapFlow(problem, overlaps, averages, noise, spherical, batch_size, rates)
    N = flow.read(flow.y0).N
    assert N is not None
    if not differences and np.linalg.eigvalsh(N)[0] < ROOM * np.abs(N).max():
        raise ValueError(
            "overlaps must lie inside the cone, that is Q − M P⁻¹ Mᵀ positive definite, where the "
            "γ/p term is differentiated by scores"
        )
    # the covariance of the start over η, (m, m): not made where it is 0, for m is of order p²
    start = None
    if scatter.covariance is not None:
        start = scatter.at(c)[1] * (p * problem.dim / gamma)
    return flow, Backward(field, rates, batch_size, samples, POINTS, seed, differences, start)
