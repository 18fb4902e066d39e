"""The runs behind a budget: what each description neglects, as differences of their risks.

And the risk of SGD by the cheapest description that is good enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanfield import checks
from meanfield.dynamics.diffusion.simulate import simulate_diffusion
from meanfield.dynamics.overlaps.solve import solve_overlaps
from meanfield.dynamics.particles.solve import solve_mean_field
from meanfield.dynamics.sgd.simulate import simulate_sgd
from meanfield.dynamics.solution import Solution
from meanfield.integrate.records import check_times
from meanfield.problem import Problem, refuse_schedules
from meanfield.regimes.budgets import Budget, Part
from meanfield.regimes.descriptions import LEFT_OUT, TITLES, run_start
from meanfield.regimes.widths import run_group, smallest_width, width_effect
from meanfield.starts import gaussian_measure
from meanfield.states import Overlaps, Weights

Array = NDArray[np.float64]

PARTICLES = 4000  # of the law that the mean field starts from
SGD_SECONDS = 20.0  # of exact SGD on one thread, beyond which the diffusion stands for it


def budget(
    problem: Problem,
    width: int,
    t_end: float,
    *,
    start: Weights | Overlaps | None = None,
    save_at: ArrayLike | int | None = None,
    runs: int = 200,
    starts: int = 12,
    scale: float = 1.0,
    seed: int = 0,
    rtol: float = 1e-6,
    threads: int | None = None,
    progress: bool = False,
) -> Budget:
    """Compute what each description of a run neglects in the risk, at each saved time.

    Parameters
    ----------
    problem : Problem
        With constant rates and no temperature. d may be infinite and γ may be 0.
    width : int
        p, the number of neurons.
    t_end : float
        Final time, > 0, in units where one step of SGD takes γ/(p d).
    start : Weights or Overlaps, optional
        Of width p. By default w ~ N(0, scale² I_d), a = 1, drawn anew.
    save_at : array_like (T,), int or None
        Times, or how many equally spaced ones; 51 by default.
    runs : int
        Runs of SGD, all from one start, ≥ 2.
    starts : int
        Draws of the start behind the spread and the bias of finite width, ≥ 3, of four times p
        neurons or of 32, whichever is less; each is run whole, in halves and in quarters.
    scale : float
        Standard deviation of a weight of the default start, > 0.
    seed : int
        ≥ 0.
    rtol : float
        Tolerance of the differential equations, > 0.
    threads : int, optional
        Results do not depend on it.
    progress : bool
        Show a progress bar a run of the width asked for.

    Returns
    -------
    Budget

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Notes
    -----
    Differences of risks of one start: SGD's mean and standard deviation over runs less the overlap
    ODE, exact SGD or, where that takes long and d is large, the diffusion of `simulate_diffusion`;
    the ODE with its γ/p term less that without; and the mean field at d less that at d = ∞. Finite
    width takes the mean over starts of gradient flow at p from the mean field, and adds their
    scatter: c₁/p + c₂/p² and the root of v₁/p + v₂/p² from three small widths, by differences
    between networks and their own parts, in which most of the chance of a draw is not seen. With a
    `start`, it is the flow of this one less the mean field from its own neurons.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=1000, learning_rate=0.1)
    >>> budget = mf.regimes.budget(problem, width=20, t_end=2.0, save_at=3, runs=20, starts=4)
    >>> budget.cheapest(0.5)
    'mean_field_infinite'
    """
    checks.instance(problem, "problem", Problem)
    refuse_schedules(problem, "a budget")
    if problem.temperature > 0.0:
        raise ValueError(
            f"problem must have temperature 0 for a budget, got {problem.temperature:g}"
        )
    p = checks.integer(width, "width")
    t_end = checks.real(t_end, "t_end", above=0.0)
    seed = checks.integer(seed, "seed", minimum=0)
    runs = checks.integer(runs, "runs", minimum=2)
    starts = checks.integer(starts, "starts", minimum=3)
    scale = checks.real(scale, "scale", above=0.0)
    t = check_times(save_at, t_end)
    common: dict[str, Any] = {"save_at": t, "threads": threads, "progress": progress}
    ode = {**common, "rtol": checks.real(rtol, "rtol", above=0.0)}
    begin = _drawn(problem, p, start, scale, seed)
    flow = solve_overlaps(problem, begin, t_end, sgd_noise=False, **ode)
    found: dict[str, Solution[Any, Any]] = {"gradient_flow": flow}
    parts: dict[str, Part] = {}
    if problem.learning_rate > 0.0:
        found["overlap_ode"] = solve_overlaps(problem, begin, t_end, sgd_noise=True, **ode)
        parts["gradient_flow"] = _difference(found["overlap_ode"], flow)
        if math.isfinite(problem.dim):
            found["sgd"] = _sgd(problem, begin, t_end, runs, seed, common)
            parts["overlap_ode"] = _of_runs(found["sgd"], found["overlap_ode"])
    begun = start is not None
    measure = (
        begin.measure() if begun
        else gaussian_measure(problem, PARTICLES, scale, seed, "antithetic-sobol")
    )  # fmt: skip
    field = found["mean_field"] = solve_mean_field(problem, measure, t_end, **ode)
    if begun:
        parts["mean_field"] = _difference(flow, field)
    else:
        seeds, quiet = range(seed, seed + starts), ode | {"progress": False}
        parts["mean_field"] = _of_starts(problem, p, t_end, scale, seeds, quiet)
    if math.isfinite(problem.dim):
        infinite = solve_mean_field(problem.at_dim(math.inf), measure, t_end, **ode)
        found["mean_field_infinite"] = infinite
        parts["mean_field_infinite"] = _difference(field, infinite)
    solutions = {name: found[name] for name in TITLES if name in found}
    errors = {name: _stated(one) for name, one in solutions.items()}
    named = {what: parts[name] for name, what in LEFT_OUT.items() if name in parts}
    return Budget(problem, p, np.asarray(t), named, solutions, errors)


def _drawn(problem: Problem, p: int, start: Any, scale: float, seed: int) -> Overlaps:
    state = run_start(problem, p, start, scale, seed, in_law=True)
    assert isinstance(state, Overlaps)
    return state


def _sgd(
    problem: Problem, start: Overlaps, t_end: float, runs: int, seed: int, common: dict[str, Any]
) -> Solution:
    """Exact SGD, or its diffusion where that is much cheaper; at the very times asked for."""
    p = start.p
    steps = t_end * p * problem.dim / problem.learning_rate
    seconds = 1e-9 * steps * runs * (100.0 + 30.0 * p + 6.0 * p * p)
    large = problem.dim > 10 * (problem.subspace_dim + p)
    solve = simulate_diffusion if seconds > SGD_SECONDS and large else simulate_sgd
    return solve(problem, start, t_end, runs=runs, seed=seed, keep="ends", **common)


def _of_runs(sgd: Solution, flow: Solution) -> Part:
    """SGD about its ODE, at whose times it has whole steps only nearby."""
    risk = np.array([np.interp(flow.t, sgd.t, one) for one in sgd.risk])
    spread = risk.std(axis=0, ddof=1)
    error = 2.0 * spread / math.sqrt(len(risk))
    # of Gaussian runs
    return Part(risk.mean(axis=0) - flow.risk, spread, error, error / math.sqrt(2.0))


def _difference(one: Solution, other: Solution) -> Part:
    """Two deterministic descriptions of one start."""
    bias = one.risk - other.risk
    return Part(bias, *(np.zeros_like(bias) for _ in range(3)))


def _of_starts(
    problem: Problem, p: int, t_end: float, scale: float, seeds: range, options: dict[str, Any]
) -> Part:
    """Gradient flow of p neurons over draws of its start, about the mean field of their law."""

    def risk_of(one: Overlaps) -> Array:
        return solve_overlaps(problem, one, t_end, sgd_noise=False, **options).risk

    widest = 4 * smallest_width(p)
    draws = (_drawn(problem, widest, None, scale, seed) for seed in seeds)
    return width_effect([run_group(one, risk_of) for one in draws], p)


def _stated(solution: Solution) -> float:
    """The largest error that a run states of its averages or field; `rtol` is not among them."""
    names = ("average_error", "noise_error", "field_error", "step_error")
    return max((float(solution.stats.get(name, 0.0)) for name in names), default=0.0)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a run of SGD will do, and the budget that says so.

    Attributes
    ----------
    t : ndarray, shape (T,)
    mean : ndarray, shape (T,)
        SGD's mean risk: the description's, and the biases that it is known to neglect.
    mean_error : ndarray, shape (T,)
        Two standard errors of these.
    low, high : ndarray, shape (T,)
        The band of a run: `mean` ± (`mean_error` + two standard deviations).
    description : str
        The cheapest within the tolerance, as `compare` calls it.
    solution : Solution
        Its run.
    budget : Budget

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=500, learning_rate=0.2)
    >>> found = mf.predict(problem, width=4, t_end=2.0, tolerance=0.3, save_at=5, runs=20, starts=4)
    >>> bool((found.low <= found.mean).all() and (found.mean <= found.high).all())
    True
    """

    t: Array
    mean: Array
    mean_error: Array
    low: Array
    high: Array
    description: str
    solution: Solution = field(repr=False)
    budget: Budget = field(repr=False)


def predict(
    problem: Problem, width: int, t_end: float, tolerance: float, **options: Any
) -> Prediction:
    """Predict the risk of SGD by the cheapest description within a tolerance.

    Parameters
    ----------
    problem, width, t_end
        As for `regimes.budget`.
    tolerance : float
        What a description may neglect, relative to the largest risk of the run, > 0.
    **options
        `start`, `save_at`, `runs` and the other arguments of `regimes.budget`.

    Returns
    -------
    Prediction

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Notes
    -----
    A band of a `start` that is drawn is that of runs from starts of its law, where the description
    is a mean field; of the overlap equations and SGD it is that of runs from the first start.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=500, learning_rate=0.2)
    >>> start = mf.gaussian_overlaps(problem, p=4)
    >>> found = mf.predict(problem, 4, 2.0, 0.1, start=start, save_at=5, runs=20)
    >>> found.description in ("gradient_flow", "overlap_ode")
    True
    """
    tolerance = checks.real(tolerance, "tolerance", above=0.0)
    found = budget(problem, width, t_end, **options)
    name = found.cheapest(tolerance)
    if name not in found.solutions:  # no SGD at γ = 0 or d = ∞: its limit
        name = next(iter(found.solutions))
    solution = found.solutions[name]
    if name == "sgd":
        part = found.parts["fluctuations of SGD"]
        mean, error = found.solutions["overlap_ode"].risk + part.bias, part.error
        reach = error + 2.0 * part.spread
    else:
        bias, error, variance = found.sums(name)
        mean, reach = solution.risk + bias, error + 2.0 * np.sqrt(variance)
    return Prediction(found.t, mean, error, mean - reach, mean + reach, name, solution, found)
