"""Several descriptions of one run, from one start; and of one run in each of four regimes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from meanfield import checks
from meanfield.activations import Activation
from meanfield.dynamics.fluctuations.risk_band import solve_risk_band
from meanfield.dynamics.fluctuations.solve import solve_fluctuations
from meanfield.dynamics.overlaps.solve import solve_overlaps
from meanfield.dynamics.particles.solve import solve_mean_field
from meanfield.dynamics.sgd.clock import EvenSteps
from meanfield.dynamics.sgd.simulate import simulate_sgd
from meanfield.dynamics.solution import Solution
from meanfield.integrate import Status, logarithmic_times
from meanfield.integrate.interrupts import raising_on_sigterm, return_or_raise
from meanfield.integrate.records import check_times
from meanfield.problem import Problem
from meanfield.regimes.descriptions import TITLES, run_start
from meanfield.regimes.diagnosis import Diagnosis, diagnose
from meanfield.regimes.distances import Comparison
from meanfield.starts import gaussian_measure
from meanfield.states import Overlaps, Weights
from meanfield.targets import Target, check_target

NARROW, WIDE = 8, 32  # widths whose full covariance, and whose band, takes seconds


class Setting(NamedTuple):
    """Dimension d, width p and learning rate γ of a run."""

    dim: int
    width: int
    learning_rate: float


# each is the regime `diagnose` names
SETTINGS = {
    "classical": Setting(20, 4, 0.04),
    "high-dimensional": Setting(2000, 4, 4.0),
    "mean-field": Setting(50, 100, 5.0),
    "intermediate": Setting(10, 4, 4.0),
}


@raising_on_sigterm()
def compare(
    problem: Problem,
    width: int,
    t_end: float,
    *,
    descriptions: Sequence[str] | None = None,
    start: Weights | Overlaps | None = None,
    runs: int = 8,
    seed: int = 0,
    scale: float = 1.0,
    save_at: ArrayLike | int | None = None,
    particles: int | None = None,
    in_weights: bool = False,
    band: bool = False,
    samples: int | None = None,
    rtol: float = 1e-6,
    tolerance: float = 0.1,
    threads: int | None = None,
    progress: bool = False,
) -> Comparison:
    """Run several descriptions from one start, at the same saved times.

    Parameters
    ----------
    problem : Problem
        d may be infinite and γ may be 0; SGD is then left out.
    width : int
        p, the number of neurons.
    t_end : float
        Final time, > 0, in units where one SGD step takes γ/(p d).
    descriptions : sequence of str, optional
        Among ``"sgd"``, ``"overlap_ode"``, ``"gradient_flow"``, ``"mean_field"``,
        ``"mean_field_infinite"``; by default all that exist and differ for the problem.
    start : Weights or Overlaps, optional
        Of width p. By default w ~ N(0, scale² I_d), a = 1: as weights if they are run, else
        their overlaps, drawn from their law where the weights would not fit.
    runs : int
        Independent runs of SGD, all from that start.
    seed : int
        Seed of the start, and of SGD, ≥ 0.
    scale : float
        Standard deviation of a weight of the default start, > 0.
    save_at : array_like (T,), int or None
        Times to record, each moved to the nearest whole step of SGD if that is run.
    particles : int, optional
        Neurons of the mean-field runs: by default the p neurons (a, u, r) of the start, which
        leaves out their mutual angles only. A number takes as many from the law of the default
        start instead, so that the spread of p draws shows as well.
    in_weights : bool
        Run SGD in R^d rather than exactly in law.
    band : bool
        Compute the scatter of SGD about the overlap ODE as well: with its bias by
        `solve_fluctuations` up to p = 8, without by `solve_risk_band` beyond. Both refuse what
        they do not cover: γ = 0, d = ∞.
    samples : int, optional
        Points of the sampled SGD term, as for `solve_overlaps`; its error is in the ``stats`` of
        ``"overlap_ode"`` as ``noise_error``. Fewer are faster for wide students.
    rtol : float
        Tolerance of the differential equations, > 0.
    tolerance : float
        Of the `Diagnosis`.
    threads : int, optional
        Threads for the kernels; results do not depend on it.
    progress : bool
        Show a progress bar a run.

    Returns
    -------
    Comparison
        Cut short under `return_on_interrupt`, with what was computed: the run says so in its
        ``status``, and those that would have followed are absent.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Notes
    -----
    The mean field at d = ∞ starts from the same (a, u, r) as the one at d: what differs is the
    dynamics. Its neurons, like those at d, are as many as in the start.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.4)
    >>> comparison = compare(problem, width=4, t_end=1.0, runs=2, save_at=5)
    >>> list(comparison.solutions)
    ['sgd', 'overlap_ode', 'gradient_flow', 'mean_field', 'mean_field_infinite']
    >>> comparison.distance("mean_field", "mean_field_infinite").largest < 0.01
    True
    """
    diagnosis = diagnose(problem, width, tolerance=tolerance)
    names = _chosen(descriptions, diagnosis)
    t_end = checks.real(t_end, "t_end", above=0.0)
    times = check_times(save_at, t_end)
    checks.integer(runs, "runs")
    checks.integer(seed, "seed", minimum=0)
    rtol = checks.real(rtol, "rtol", above=0.0)
    in_law = not (checks.switch(in_weights, "in_weights") and "sgd" in names)
    also = ["band"] if checks.switch(band, "band") else []
    start = run_start(problem, diagnosis.width, start, scale, seed, in_law=in_law)
    overlaps = start if isinstance(start, Overlaps) else start.overlaps()
    if particles is None:
        measure = overlaps.measure()
    else:
        particles = checks.integer(particles, "particles")
        measure = gaussian_measure(problem, particles, scale, seed, "antithetic-sobol")
    if "sgd" in names:
        schedule = EvenSteps(times, t_end, diagnosis.step)
        times = np.minimum(schedule.times, t_end)
    common: dict[str, Any] = {"save_at": times, "threads": threads, "progress": progress}

    def run(name: str) -> Solution:
        if name == "sgd":
            return simulate_sgd(
                problem, start, t_end, seed=seed, runs=runs, keep="overlaps", **common
            )
        if name in ("overlap_ode", "gradient_flow"):
            noise = name == "overlap_ode"
            return solve_overlaps(
                problem, overlaps, t_end, sgd_noise=noise, samples=samples, rtol=rtol, **common
            )
        if name == "band":
            if width > NARROW:
                return solve_risk_band(problem, overlaps, t_end, **common)
            return solve_fluctuations(problem, overlaps, t_end, save_at=times, progress=progress)
        at = problem if name == "mean_field" else problem.at_dim(math.inf)
        return solve_mean_field(at, measure, t_end, rtol=rtol, **common)

    solutions, cut = _run_in_turn(also + names, run)
    around = solutions.pop("band", None)
    found = Comparison(
        problem, diagnosis.width, start, solutions, diagnosis, cut is not None, around
    )
    return found if cut is None else return_or_raise(found, "interrupted", cut)


def _run_in_turn(
    names: Sequence[str], run: Callable[[str], Solution]
) -> tuple[dict[str, Solution], KeyboardInterrupt | None]:
    """The solutions by name, and the Ctrl-C that cut the sequence short."""
    solutions: dict[str, Solution] = {}
    for name in names:
        try:
            solutions[name] = run(name)
        except KeyboardInterrupt as error:
            if isinstance(partial := vars(error).get("result"), Solution):
                solutions[name] = partial
            return solutions, error
        if solutions[name].status is Status.INTERRUPTED:
            return solutions, KeyboardInterrupt()
    return solutions, None


def _chosen(descriptions: Any, diagnosis: Diagnosis) -> list[str]:
    """The descriptions to run, in the order of the diagnosis."""
    problem = diagnosis.problem
    if descriptions is None:
        same = {"overlap_ode"} if problem.learning_rate == 0.0 else set()
        same |= {"mean_field"} if math.isinf(problem.dim) else set()
        return [one.name for one in diagnosis.descriptions if one.exists and one.name not in same]
    if isinstance(descriptions, str):
        raise TypeError(f"descriptions must be a sequence of names, got {descriptions!r}")
    wanted = {checks.option(name, "descriptions", TITLES) for name in descriptions}
    if not wanted:
        raise ValueError("descriptions must name at least one, got none")
    for name in wanted:
        if not diagnosis[name].exists:
            raise ValueError(f"descriptions: {name!r} {diagnosis[name].note}")
    return [name for name in TITLES if name in wanted]


def four_regimes(
    target: Target,
    activation: str | Activation = "erf",
    *,
    t_end: float = 100.0,
    runs: int = 4,
    seed: int = 0,
    times: int = 60,
    settings: dict[str, Setting] | None = None,
    **options: Any,
) -> dict[str, Comparison]:
    """Compare the descriptions of one problem in four regimes.

    Parameters
    ----------
    target : CommitteeTarget or MultiIndexTarget
    activation : str or Activation
        σ of the student.
    t_end : float
        Final time, > 0, in units where one SGD step takes γ/(p d).
    runs : int
        Runs of SGD in each regime.
    seed : int
        Seed of starts and of SGD, ≥ 0.
    times : int
        Number of saved times, 0 and then equally spaced in log t.
    settings : dict of str to Setting, optional
        (d, p, γ) by the title of the regime; by default one each in the classical (γ/p small at
        moderate d and p), high-dimensional (d large at γ/p = 1), mean-field (p large) and
        intermediate regime (nothing small).
    **options
        For `compare`. By default ``samples`` is 2048 and ``rtol`` 1e-5, enough for a picture, and
        ``band`` is True for at most 32 neurons, as many as there are other directions or fewer.

    Returns
    -------
    dict of str to Comparison
        By title. After Ctrl-C under `return_on_interrupt`, those computed.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import meanfield as mf
    >>> one = {"tiny": (10, 2, 0.1)}
    >>> found = mf.regimes.four_regimes(
    ...     mf.CommitteeTarget(k=1), t_end=0.5, runs=2, times=4, settings=one
    ... )
    >>> found["tiny"].width
    2
    """
    check_target(target)
    t_end = checks.real(t_end, "t_end", above=0.0)
    save_at = logarithmic_times(t_end, checks.integer(times, "times", minimum=3))
    settings = SETTINGS if settings is None else checks.instance(settings, "settings", dict)
    options = {"samples": 2048, "rtol": 1e-5, **options}
    comparisons: dict[str, Comparison] = {}
    for name, (dim, width, rate) in settings.items():
        problem = Problem(target, activation, dim, rate)
        band = {"band": width <= min(WIDE, dim - target.k)}
        comparisons[name] = compare(
            problem, width, t_end, runs=runs, seed=seed, save_at=save_at, **band | options
        )
        if comparisons[name].status is Status.INTERRUPTED:
            break
    return comparisons
