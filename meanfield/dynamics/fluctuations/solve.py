"""SGD to the next order beyond its overlap ODE: how it scatters, and by how much it is biased."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.blas import one_blas_thread
from meanfield.dynamics.checkpoint import PathLike
from meanfield.dynamics.fluctuations.coordinates import Coordinates, Scatter
from meanfield.dynamics.fluctuations.drift import OverlapField, smooth_noise
from meanfield.dynamics.fluctuations.moments import MomentFlow, Moments
from meanfield.dynamics.fluctuations.record import FluctuationRun
from meanfield.dynamics.fluctuations.sample import StepSample, smooth
from meanfield.dynamics.observables import Measurements, Observables
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.overlaps.noise import choose_noise
from meanfield.dynamics.rates import RateSeries
from meanfield.dynamics.registry import goes_on
from meanfield.dynamics.run import (
    Request,
    Tolerances,
    carry_out,
    check_gram,
)
from meanfield.dynamics.solution import Solution
from meanfield.integrate.interrupts import raising_on_sigterm
from meanfield.problem import Problem
from meanfield.schedules.base import largest
from meanfield.states import Overlaps, check_state

Array = NDArray[np.float64]

CLOSED_WIDTH = 10  # beyond, differences of the γ/p term of erf cost more than its scores
SMOOTH_POINTS, SAMPLED_POINTS = 2**13, 2**15  # where C alone, and where the γ/p term is sampled
SMOOTH_RTOL, SCORED_RTOL, KINKED_RTOL = 1e-5, 1e-4, 1e-3
MOST_NUMBERS = 3000  # of y: Σ has as many squared
ROOM = 1e-9  # of Q: what scores need between the overlaps and the edge of the cone


def _scatter(before: Solution) -> dict[str, Any]:
    """How runs of SGD scatter and are biased where a band ends: its next start."""
    found = before.observables
    if "covariance" not in found or np.isnan(found["covariance"][-1]).any():
        raise ValueError(
            "then goes on with a band whose covariance was kept: save fewer times, at most "
            "4 million numbers in all"
        )
    parts = [found["Q_bias"][-1][np.triu_indices(len(found["Q_bias"][-1]))]]
    parts += [np.ravel(found["M_bias"][-1])]
    if "a_bias" in found and not np.isnan(found["a_bias"][-1]).any():
        parts.append(found["a_bias"][-1])
    return {"covariance": found["covariance"][-1], "bias": np.concatenate(parts)}


@goes_on(
    "fluctuations", settings=("rtol", "batch_size", "spherical", "samples", "seed"), begin=_scatter
)
@raising_on_sigterm()
@one_blas_thread()
def solve_fluctuations(
    problem: Problem,
    overlaps: Overlaps,
    t_end: float,
    *,
    save_at: ArrayLike | int | None = None,
    covariance: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    rtol: float | None = None,
    spherical: bool = False,
    batch_size: int = 1,
    samples: int | None = None,
    seed: int = 0,
    keep: str = "all",
    observables: Observables | None = None,
    checkpoint: PathLike | None = None,
    progress: bool = False,
    until: Any = None,
) -> Solution[Overlaps, Overlaps]:
    """The overlap ODE together with the scatter and the bias of SGD about it.

    With η = γ/(p d) and y = (Q_ij for i ≤ j, M, a), SGD is y(t) + √η ζ + η m + …, where y solves
    the ODE dy/dt = F(y), ζ is Gaussian of covariance Σ, and

        dΣ/dt = JΣ + ΣJᵀ + C,    dm/dt = Jm + ½ H:Σ − ½ JF + e,

    with J and H the first two derivatives of F, C = Cov(g) of one step g, and e its second order.
    Along a schedule of γ what a step adds goes with γ(t)/γ(0), and −½ JF becomes −½ (JF + ∂F/∂t).

    Parameters
    ----------
    problem : Problem
        With γ > 0 and a finite ``dim`` d, at which band and bias are said; `Solution.at_dim` says
        them for another d. Schedules are followed. No temperature: its size τd is tied to one d.
    overlaps : Overlaps
        The start, with Q (p, p), M (p, k), P (k, k) equal to the target's Gram matrix, a (p,).
    t_end : float
        Final time, > 0, in units where one step of SGD takes γ/(p d).
    save_at : array_like, int or None
        Times to record, or how many equally spaced ones; 51 by default.
    covariance : array_like, shape (m, m), optional
        Covariance of the start itself over runs, at ``problem.dim``, for y as above: m is
        p(p+1)/2 + pk, and p more with the second layer, whether it moves or not. It is taken to
        fall as 1/d. None: all runs start at `overlaps`.
    bias : array_like, shape (m,), optional
        By how much the start's mean over runs is off `overlaps`, likewise.
    rtol : float, optional
        Tolerance on the local error of y, m and Σ, > 0. By default 1e-5; 1e-4 where the γ/p term
        is sampled, by which Σ errs by more; 1e-3 with a kink in σ or f*, for each point of the
        sample that crosses one is a jump of C in time.
    spherical : bool
        Keep |w_i|² = d, as projected SGD w ← √d w/|w| does. The start is projected first.
    batch_size : int
        Samples that a step of SGD averages over.
    samples : int or None
        Points of the sample behind C, e and, without a closed form, the γ/p term: at least 16,
        rounded up to a power of two. By default a Gauss rule where all is smooth and at most four
        pre-activations and coordinates meet; else 8,192 points, 32,768 with a sampled γ/p term,
        fewer for wide networks.
    seed : int
        Seed of the sample, ≥ 0.
    keep : str
        ``"all"``: overlaps for each saved time. ``"ends"``: at the first and last of them only.
    observables : mapping of str to callable, optional
        Functions of (t, `Overlaps`) of the ODE that return a number or an array of a fixed shape;
        see `solve_mean_field`.
    checkpoint : path, optional
        A file to go on from after an interruption; see `solve_mean_field`.
    progress : bool
        Show a progress bar.
    until : Condition or callable, optional
        What ends the run before `t_end`, by the risk and the overlaps of the ODE; "steady" of the
        band as well. See `solve_mean_field`.

    Returns
    -------
    Solution
        ``risk`` and states are the ODE's. In ``observables``, (T, ...): ``risk_std``,
        ``risk_bias``; ``Q_std``, ``Q_bias`` (p, p), ``M_std``, ``M_bias`` (p, k) and, if κ > 0,
        ``a_std``, ``a_bias`` (p,); ``covariance`` (m, m) of (Q_ij for i ≤ j, M, a), a included,
        if the saved times hold at most 4 million such numbers. In ``stats``: ``covariance_error``,
        twice the standard error of C over independent scramblings of the sample (or its change
        with a rule of fewer nodes), relative, the largest over the saved times;
        ``derivative_error``, the relative change of JΣ and H:Σ with steps of twice the length;
        ``average_error`` as for `solve_overlaps`; ``points`` of the sample; ``noise``:
        ``"closed"``, or ``"sampled"`` where the γ/p term or its derivatives come from the sample.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, the overlaps do not belong to the problem, or the
        checkpoint is damaged or another call's. With a sampled γ/p term the start must lie inside
        the cone of overlaps.
    OSError
        If the checkpoint's folder does not exist or cannot be written in.

    Notes
    -----
    Derivatives are central differences of F's closed forms and expansions along the eigenvectors of
    Σ; those of a γ/p term without closed form are averages with the score of the Gaussian law. The
    expansion is one in √η about a single trajectory. A jump of a rate is taken to fall between two
    steps, at its time in the equations. The expansion fails where runs part: near a saddle that
    SGD leaves by its own noise, and at small d. There `risk_std` is no longer small beside the
    risk; see the page on fluctuations.

    Sources: van Kampen's expansion; Li, Tai & E 2019 for −½ JF. One thread computes all, so that
    results do not depend on their number.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=1.0)
    >>> start = mf.Overlaps([[1.0, 0.1], [0.1, 0.8]], [[0.3], [-0.2]], [[1.0]], [1.0, 1.0])
    >>> solution = mf.solve_fluctuations(problem, start, 1.0, save_at=3)
    >>> far = solution.at_dim(400).observables["risk_std"]
    >>> solution.observables["risk_std"][1:] / far[1:]
    array([2., 2.])
    """
    request = Request.checked(
        t_end, save_at, keep, Measurements(observables), checkpoint, 1, progress, until=until
    )
    scatter = Scatter(covariance, bias)
    flow, start = _make(
        problem, overlaps, request.t_end, spherical, batch_size, samples, seed, scatter
    )  # fmt: skip
    least = SCORED_RTOL if flow.scored else SMOOTH_RTOL
    least = least if smooth(flow.field) else KINKED_RTOL
    tolerances = Tolerances.checked(least if rtol is None else rtol, None)
    settings: dict[str, Any] = {
        "spherical": spherical, "batch_size": batch_size, "samples": samples, "seed": seed,
        "covariance": None if covariance is None else np.asarray(covariance).tolist(),
        "bias": None if bias is None else np.asarray(bias).tolist(),
    }  # fmt: skip
    return carry_out(
        "solve_fluctuations", problem, overlaps, request, tolerances._asdict() | settings,
        lambda: FluctuationRun(flow, start, overlaps, request, tolerances),
    )  # fmt: skip


def _make(
    problem: Problem, overlaps: Overlaps, t_end: float, spherical: Any, batch_size: Any,
    samples: Any, seed: Any, scatter: Scatter,
) -> tuple[MomentFlow, Moments]:  # fmt: skip
    """The equations and where they start; refuses what they do not cover."""
    checks.instance(problem, "problem", Problem)
    check_state(overlaps, "overlaps", Overlaps)
    check_gram(problem, overlaps.P, "overlaps")
    spherical, batch_size = (
        checks.switch(spherical, "spherical"), checks.integer(batch_size, "batch_size"),
    )  # fmt: skip
    rates = RateSeries(problem, overlaps.p, t_end)
    if not rates(0.0).learning_rate > 0.0 or math.isinf(problem.dim):
        raise ValueError(
            "problem must have a learning_rate above 0 and a finite dim, for the band of SGD is "
            f"√(γ/(p d)) wide; got γ = {problem.learning_rate}, dim = {problem.dim:g} (at_dim "
            "says a solution for another dim)"
        )
    if largest(problem.temperature) > 0.0:
        raise ValueError(
            "problem must have temperature 0 for solve_fluctuations, got "
            f"{problem.temperature}: Langevin noise τd is tied to one d, and no expansion in "
            "γ/(p d)"
        )
    p, averages = overlaps.p, OverlapAverages(problem)
    moving = largest(problem.second_layer_rate) > 0.0 or scatter.of_second_layer(overlaps)
    c = Coordinates(p, overlaps.k, overlaps.a, moving)
    if c.size > MOST_NUMBERS:
        raise ValueError(
            f"overlaps must hold at most {MOST_NUMBERS} numbers, of which Σ has the square, got "
            f"{c.size} at p = {p}"
        )
    noise = choose_noise(averages, problem, p, True, "auto", samples, seed)
    field = OverlapField(problem, c, averages, noise, batch_size, spherical)
    scored = not smooth_noise(noise, p, CLOSED_WIDTH)
    value = field.noise is None
    most = SAMPLED_POINTS if scored and value else SMOOTH_POINTS
    sample = StepSample(field, batch_size, samples, most, checks.integer(seed, "seed", minimum=0))
    flow = MomentFlow(field, sample, scored, value, rates)
    # the projection onto spheres, and what a start on them must fulfil, belong to the equations
    begun = OverlapFlow(problem, overlaps, averages, None, spherical, 1, rates)
    now = begun.read(begun.y0)
    y = c.join(now.Q, now.M, now.a)
    if scored:
        network = field.network(y)
        assert network.N is not None
        if np.linalg.eigvalsh(network.N)[0] < ROOM * np.abs(network.Q).max():
            raise ValueError(
                "overlaps must lie inside the cone, that is Q − M P⁻¹ Mᵀ positive definite, where "
                "the γ/p term is sampled"
            )
    mean, sigma = scatter.at(c)
    eta = flow.gamma / (p * problem.dim)
    return flow, Moments(y, mean / eta, sigma / eta)
