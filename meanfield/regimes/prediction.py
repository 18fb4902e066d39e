"""The risk of SGD by the cheapest description that is good enough, with its band."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.problem import Problem
from meanfield.regimes.budgeting import budget
from meanfield.regimes.budgets import Budget

Array = NDArray[np.float64]


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
