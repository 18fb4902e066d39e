"""Overlap ODEs: the closed dynamics of (Q, M) at finite width and infinite dimension."""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.dynamics.observables import Measurements, Observables
from meanfield.dynamics.overlaps.adagrad import AdaptiveFlow
from meanfield.dynamics.overlaps.averages import OverlapAverages
from meanfield.dynamics.overlaps.clipping import ClippedFlow
from meanfield.dynamics.overlaps.flow import OverlapFlow
from meanfield.dynamics.overlaps.noise import choose_noise
from meanfield.dynamics.overlaps.record import OverlapRun
from meanfield.dynamics.rates import RateSeries
from meanfield.dynamics.registry import OF_EQUATIONS, goes_on
from meanfield.dynamics.run import Request, Tolerances, carry_out, check_gram
from meanfield.dynamics.solution import Solution
from meanfield.integrate.interrupts import raising_on_sigterm
from meanfield.problem import Problem
from meanfield.schedules.base import largest
from meanfield.schedules.laws import AdagradNorm
from meanfield.states import Overlaps, check_state


class OverlapVelocity(NamedTuple):
    """dQ/dt (p, p), dM/dt (p, k) and da/dt (p,) at one moment."""

    Q: NDArray[np.float64]
    M: NDArray[np.float64]
    a: NDArray[np.float64]


@goes_on(
    "overlap ODEs",
    settings=(
        *OF_EQUATIONS, "sgd_noise", "batch_size", "noise_method", "samples", "seed",
    ),
)  # fmt: skip
@raising_on_sigterm()
def solve_overlaps(
    problem: Problem,
    overlaps: Overlaps,
    t_end: float,
    *,
    sgd_noise: bool = True,
    save_at: ArrayLike | int | None = None,
    rtol: float = 1e-6,
    atol: float | None = None,
    spherical: bool = False,
    batch_size: int = 1,
    noise_method: str = "auto",
    samples: int | None = None,
    seed: int = 0,
    method: str = "auto",
    keep: str = "all",
    observables: Observables | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: bool = False,
    until: Any = None,
) -> Solution[Overlaps, Overlaps]:
    """Integrate the ordinary differential equations of the overlaps.

    With ⟨·⟩ over the joint Gaussian law of the pre-activations,

        dM_ir/dt = ⟨a_i σ'(λ_i) ε λ*_r⟩
        dQ_ij/dt = ⟨a_i σ'(λ_i) ε λ_j⟩ + (i↔j) + (γ/p) ⟨a_i a_j σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩
        da_i/dt  = κ ⟨σ(λ_i) ε⟩

    and, with weight decays and a temperature τ, −weight_decay M_ir, −2 weight_decay Q_ij + 2τd δ_ij
    and −κ second_layer_decay a_i. Under a `clip_norm` c, min(1, c/|g|) (ε + √Δ ξ) stands for ε.

    Parameters
    ----------
    problem : Problem
        Its ``dim`` plays no part without a temperature: the equations are the limit d → ∞ at fixed
        γ/p. One step of SGD at finite d differs by O((p + k)/d), relatively, in the γ/p term. With
        a temperature d must be finite: only τd stays in the limit.
    overlaps : Overlaps
        The start, with Q (p, p), M (p, k), P (k, k) equal to the target's Gram matrix, a (p,).
    t_end : float
        Final time, > 0, in units where one step of SGD takes γ/(p d).
    sgd_noise : bool
        Whether to keep the γ/p term. Without it, or with γ = 0, this is gradient flow.
    save_at : array_like, int or None
        Times to record, or how many equally spaced ones; 51 by default.
    rtol, atol : float
        Tolerances on the local error, > 0, for the principal coordinates and perpendicular
        overlaps (or, in gradient flow, weights) of every neuron that moves; see `solve_mean_field`.
    spherical : bool
        Keep |w_i|² = d, as projected SGD w ← √d w/|w| does. The start is projected first.
    batch_size : int
        b: samples that a step of SGD averages over; divides the γ/p term.
    noise_method : str
        How the γ/p term is computed. ``"closed"``: in closed form (erf students and a committee
        of erf, ReLU or square, p⁴/4 arc sines; ReLU and leaky ReLU students and a committee of
        these, erf or square, some p⁴ arc sines and as many numbers held; square students and
        targets of up to four directions). ``"expanded"``: by cumulants, for wide networks of
        smooth, ReLU or leaky ReLU students whose weights are not all but parallel, p² for each
        node of the target's coordinates. ``"sampled"``: over a fixed sample, p² per point,
        anything. ``"auto"``: closed where there is one, for erf up to p = 96 and kinked students
        up to 48; else expanded from p = 48 on, if its error at the start is below 10⁻³ and no
        `samples` are given; else sampled.
    samples : int or None
        Points of the sample, at least 16, rounded up to a power of two; by default as many as hold
        about four million numbers, or two million and at most 32,768 points of clipped gradients.
    seed : int
        Seed of the sample, ≥ 0.
    method : str
        How the equations are integrated: ``"auto"``, ``"dormand_prince"``, ``"bogacki_shampine"``;
        see `solve_mean_field`.
    keep : str
        ``"all"``: overlaps for each saved time. ``"ends"``: at the first and last of them only; t,
        risk and observables stay whole.
    observables : mapping of str to callable, optional
        Functions of (t, `Overlaps`) that return a number or an array of a fixed shape; their values
        at the saved times are ``solution.observables[name]``, (T, ...); see `solve_mean_field`.
    checkpoint : path, optional
        A file to go on from after an interruption; see `solve_mean_field`.
    threads : int or None
        Threads for the compiled kernels; results do not depend on it, to the last bit.
    progress : bool
        Show a progress bar.
    until : Condition or callable, optional
        What ends the run before `t_end`: one of `meanfield.until`, or a function of
        (t, `Overlaps`), continuous in time, where its sign changes; see `solve_mean_field`.

    Returns
    -------
    Solution
        With states of kind `Overlaps`. In ``stats``: ``noise_method`` (``"none"``, ``"closed"``,
        ``"expanded"``, ``"sampled"``); ``noise_error`` of the γ/p term relative to the term
        (Frobenius norm), the largest over the saved times: twice the standard error of a sample,
        the size of what an expansion leaves out, the error of the nodes behind kinked students'
        averages of four signs, 0 for the other closed forms;
        ``noise_samples`` if sampled; ``risk_floor``, the rounding error of the risk, below which it
        means nothing; ``average_error``, the largest estimate of the relative error of an average
        over pairs of units or over the target's coordinates, 0 where all are closed forms;
        ``clipped``, the largest change made to Q to keep saved states positive
        semi-definite. Under a `clip_norm` also ``clip_error``, twice the standard error of the mean
        clipped gradient over the scramblings of its sample, relative to its root mean square.
        Under `schedules.adagrad_norm` γ at the saved times is
        ``observables["learning_rate"]``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, the overlaps do not belong to the problem, or the checkpoint
        is damaged or another call's.
    OSError
        If the checkpoint's folder does not exist or cannot be written in.

    Notes
    -----
    Equations: Saad & Solla 1995, Goldt et al. 2019, Veiga et al. 2022, Arnaboldi et al. 2023. The
    drift uses Stein's lemma and matrix products; see `meanfield.kernels.dynamics.overlaps.drift`.
    Clipped gradients: see `meanfield.dynamics.overlaps.clipping`; of a batch, the mean is clipped.
    Spherical: to leading order in 1/d, renormalising takes (q_i + q_j)/2 Q_ij from dQ_ij/dt and
    q_i/2 M_ir from dM_ir/dt, with q_i = dQ_ii/dt of the free equations, γ/p term included. One step
    of SGD at finite d multiplies ε² in the γ/p term by |x|²/d, whose mean given the pre-activations
    is 1 − (p + k)/d + λᵀ Ω⁻¹ λ/d.

    A sampled term of ReLU or leaky ReLU students takes an average over a direction of its own for
    every neuron, and is smooth in time as far as neurons have one. That of other kinked students
    has kinks in time, one for each point that crosses zero: an rtol far below ``noise_error`` then
    costs many steps and gains nothing.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.5)
    >>> solution = mf.solve_overlaps(problem, mf.gaussian_overlaps(problem, p=3), 5.0, save_at=6)
    >>> solution.success, bool(solution.risk[-1] < solution.risk[0] / 2)
    (True, True)
    """
    measurements = Measurements(observables)
    request = Request.checked(
        t_end, save_at, keep, measurements, checkpoint, threads, progress, until=until
    )
    tolerances = Tolerances.checked(rtol, atol, method)
    settings: dict[str, Any] = {
        "sgd_noise": checks.switch(sgd_noise, "sgd_noise"),
        "spherical": checks.switch(spherical, "spherical"),
        "batch_size": checks.integer(batch_size, "batch_size"),
        "noise_method": noise_method,
        "samples": samples,
        "seed": seed,
    }
    flow = _make_flow(problem, overlaps, **settings, t_end=request.t_end)
    return carry_out(
        "solve_overlaps", problem, overlaps, request, tolerances._asdict() | settings,
        lambda: OverlapRun(flow, overlaps, request, tolerances),
    )  # fmt: skip


def overlap_velocity(
    problem: Problem,
    overlaps: Overlaps,
    *,
    sgd_noise: bool = True,
    spherical: bool = False,
    batch_size: int = 1,
    noise_method: str = "auto",
    samples: int | None = None,
    seed: int = 0,
) -> OverlapVelocity:
    """The right-hand side of the overlap equations at one state.

    Parameters
    ----------
    problem, overlaps, sgd_noise, spherical, batch_size, noise_method, samples, seed
        As for `solve_overlaps`. With `spherical`, at the start projected onto |w_i|² = d.

    Returns
    -------
    OverlapVelocity
        dQ/dt (p, p), dM/dt (p, k), da/dt (p,).

    Raises
    ------
    TypeError, ValueError
        As for `solve_overlaps`.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> velocity = mf.overlap_velocity(problem, mf.gaussian_overlaps(problem, p=3))
    >>> velocity.Q.shape, velocity.M.shape, velocity.a.shape
    ((3, 3), (3, 1), (3,))
    """
    sgd_noise = checks.switch(sgd_noise, "sgd_noise")
    spherical = checks.switch(spherical, "spherical")
    batch_size = checks.integer(batch_size, "batch_size")
    flow = _make_flow(
        problem, overlaps, sgd_noise, spherical, batch_size, noise_method, samples, seed
    )
    return OverlapVelocity(*flow.velocity_of(flow.y0))


def _make_flow(
    problem: Problem,
    overlaps: Overlaps,
    sgd_noise: bool,
    spherical: bool,
    batch_size: int,
    noise_method: Any,
    samples: Any,
    seed: Any,
    t_end: float = 1.0,
) -> OverlapFlow:
    """The equations from the overlaps on; refuses what is not a student of this problem."""
    checks.instance(problem, "problem", Problem)
    check_state(overlaps, "overlaps", Overlaps)
    check_gram(problem, overlaps.P, "overlaps")
    if largest(problem.temperature) > 0.0 and math.isinf(problem.dim):
        raise ValueError(
            "problem must have a finite dim for the overlap equations at a temperature, got inf: "
            "|w|²/d gains 2τd a unit of time"
        )
    averages = OverlapAverages(problem)
    noise = choose_noise(
        averages, problem, overlaps.p, sgd_noise, noise_method, samples, seed, overlaps
    )
    rates = RateSeries(problem, overlaps.p, t_end, adaptive=True)
    adaptive = noise is not None and isinstance(problem.learning_rate, AdagradNorm)
    arguments = problem, overlaps, averages, noise, spherical, batch_size, rates
    if problem.clips:
        return ClippedFlow(*arguments, samples=samples, seed=seed)
    return AdaptiveFlow(*arguments) if adaptive else OverlapFlow(*arguments)
