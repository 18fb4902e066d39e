"""SGD as a diffusion of its overlaps: any dimension at the price of a small one."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from meanfield import checks
from meanfield.dynamics.checkpoint import PathLike
from meanfield.dynamics.diffusion.record import DiffusionRun
from meanfield.dynamics.observables import Measurements, Observables
from meanfield.dynamics.random_run import starts_of_runs
from meanfield.dynamics.rates import RateSeries
from meanfield.dynamics.registry import goes_on
from meanfield.dynamics.run import Request, carry_out, check_gram
from meanfield.dynamics.solution import Solution
from meanfield.dynamics.state_series import StateSeries
from meanfield.problem import Problem
from meanfield.schedules.base import largest
from meanfield.states import Overlaps


@goes_on("diffusion", settings=("rtol", "step", "batch_size", "spherical"))
def simulate_diffusion(
    problem: Problem,
    overlaps: Overlaps | StateSeries[Any],
    t_end: float,
    *,
    runs: int = 1,
    seed: int = 0,
    save_at: ArrayLike | int | None = None,
    rtol: float = 1e-3,
    step: float | None = None,
    spherical: bool = False,
    batch_size: int = 1,
    keep: str = "all",
    observables: Observables | None = None,
    checkpoint: PathLike | None = None,
    threads: int | None = None,
    progress: bool = False,
    until: Any = None,
) -> Solution[StateSeries[Any], list[Any]]:
    """Runs of SGD in the limit of small steps, as a stochastic differential equation.

    With η = γ/(p d), y = (Q, M, a), F the overlap ODE, C the covariance of one step of SGD and e
    its second order,

        dy = (F + η e) dt + √η C^{1/2} dB.

    SGD takes 1/η steps a unit of time, the diffusion as many as its error asks for, whatever d is.

    Parameters
    ----------
    problem : Problem
        With γ > 0, a finite ``dim`` d and no temperature. Schedules are followed: steps end where
        they jump or bend, and η is that of the moment.
    overlaps : Overlaps, or StateSeries of them
        The start of every run, with P equal to the target's Gram matrix; or one for each run.
    t_end : float
        Final time, > 0, in units where one step of SGD takes γ/(p d).
    runs : int
        Independent runs.
    seed : int
        Seed of them all, ≥ 0. Runs share their steps, so that a run's numbers depend on how many
        there are; they do not depend on `threads`.
    save_at : array_like (T,), int or None
        Times to record, or how many equally spaced ones; 51 by default.
    rtol : float
        Tolerance, > 0: of the variance that a step adds, relatively, and ten times that of the
        error of the mean motion in a step, relative to each coordinate or, where that is larger,
        to √η.
    step : float, optional
        Steps of this length, > 0, instead of chosen ones; shorter ones end at the saved times.
    spherical : bool
        Keep |w_i|² = d, as projected SGD does. The start is projected first.
    batch_size : int
        Samples that a step of SGD averages over.
    keep : str
        ``"all"``: overlaps of every run at each saved time. ``"ends"``: at the first and last only.
    observables : mapping of str to callable, optional
        Functions of (t, `Overlaps`), as for `simulate_sgd`; values (runs, T, ...).
    checkpoint : path, optional
        A file from which the same call goes on, bit for bit; see `solve_mean_field`.
    threads : int, optional
        At most this many threads.
    progress : bool
        Show a progress bar.
    until : Condition or callable, optional
        What ends each run before `t_end`, as for `simulate_sgd`: looked for after every step, and
        then on the straight line of that step, to 1e-9 of the time.

    Returns
    -------
    Solution
        ``risk`` (runs, T), states of shape (runs, T). In ``stats``: ``steps``, ``step`` (the
        shortest), ``sgd_steps`` that SGD would take; ``clipped``, by how much Q was changed to
        stay positive semi-definite, summed along a run, in the mean over runs; ``flow_error``, the
        largest error of a step of the mean motion in units of what was allowed;
        ``average_error`` as for `solve_overlaps`.
        Status ``"diverged"`` if a state stops being finite; ``"invalid"`` where a schedule ends.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the overlaps do not belong to the problem.
    OSError
        If the checkpoint's folder does not exist or cannot be written in.

    Notes
    -----
    Overlaps are moved as those of weights, so that (Q, M) is positive semi-definite. An impulse
    stands for the noise of a step and has exactly its covariance: √(ηh) times centred steps of
    fresh samples, with random signs. Between impulses the ODE is solved by Bogacki & Shampine's
    method. Splitting after Strang: variances err by (2hJ)²/12, second order in the step h, where J
    is the rate at which deviations grow. What is left of SGD is of higher order in η, and the
    shape of its single steps: use `simulate_sgd` where it takes fewer steps. On spheres the
    square of the mean step, a bias of order η, is left out. Rates that read α read ∫p/γ dt, from
    which SGD's own α differs by O(1/d) while γ changes.

    Sources: Arnaboldi, Krzakala, Loureiro & Stephan 2024 for the equation; Milstein & Tretyakov
    1997 for methods for small noise; Li, Tai & E 2019 for −½ η JF, which is included.

    Examples
    --------
    >>> import meanfield as mf
    >>> square = mf.CommitteeTarget(k=1, activation="square")
    >>> problem = mf.Problem(square, "square", dim=10**9, learning_rate=0.1)
    >>> start = mf.Overlaps([[1.0]], [[1e-4]], [[1.0]], [1.0])
    >>> runs = mf.simulate_diffusion(problem, start, 4.0, runs=20, spherical=True, save_at=5)
    >>> runs.risk.shape, runs.stats["sgd_steps"] // runs.stats["steps"] > 10**6
    ((20, 5), True)
    """
    starts, runs = starts_of_runs(overlaps, runs, "overlaps")
    for each in starts:
        _check(problem, each)
    request = Request.checked(
        t_end, save_at, keep, Measurements(observables), checkpoint, threads, progress,
        until=until,
    )  # fmt: skip
    if request.stops is not None:
        request.stops.refuse_noise("the diffusion")
    settings: dict[str, Any] = {
        "runs": checks.integer(runs, "runs"),
        "seed": checks.integer(seed, "seed", minimum=0),
        "rtol": checks.real(rtol, "rtol", above=0.0),
        "step": None if step is None else checks.real(step, "step", above=0.0),
        "spherical": checks.switch(spherical, "spherical"),
        "batch_size": checks.integer(batch_size, "batch_size"),
    }
    rates = RateSeries(problem, starts[0].p, request.t_end)
    if not rates(0.0).learning_rate > 0.0:
        raise ValueError("problem must have a learning_rate above 0 at the start, got 0")
    return carry_out(
        "simulate_diffusion", problem, overlaps, request, settings,
        lambda: DiffusionRun(problem, starts, rates, request, **settings),
    )  # fmt: skip


def _check(problem: Problem, overlaps: Overlaps) -> None:
    """Refuse what has no diffusion."""
    checks.instance(problem, "problem", Problem)
    checks.instance(overlaps, "overlaps", Overlaps)
    check_gram(problem, overlaps.P, "overlaps")
    if largest(problem.learning_rate) == 0.0 or math.isinf(problem.dim):
        raise ValueError(
            "problem must have a learning_rate above 0 and a finite dim for simulate_diffusion, "
            f"whose noise is √(γ/(p d)); got γ = {problem.learning_rate}, dim = {problem.dim:g} "
            "(solve_overlaps is the limit)"
        )
    if largest(problem.temperature) > 0.0:
        raise ValueError(
            "problem must have temperature 0 for simulate_diffusion, got "
            f"{problem.temperature}: simulate_sgd knows temperatures"
        )
    if problem.dim <= problem.subspace_dim + overlaps.p:
        raise ValueError(
            "problem must have dim > k + p for simulate_diffusion, got "
            f"{problem.dim:g} with k + p = {problem.subspace_dim + overlaps.p}: use simulate_sgd"
        )
