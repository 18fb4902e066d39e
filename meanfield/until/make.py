"""Conditions from a user's arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meanfield.until.conditions import AnyOf, Condition, RiskBelow, Steady


def risk_below(level: float) -> Condition:
    """The population risk is at most `level`.

    Parameters
    ----------
    level : float
        > 0, of R = ½ E (f − f*)², label noise not included.

    Returns
    -------
    Condition

    Raises
    ------
    TypeError, ValueError
        If the level is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1))
    >>> start = mf.gaussian_overlaps(problem, p=2, seed=1)
    >>> run = mf.solve_overlaps(problem, start, 100.0, until=mf.until.risk_below(1e-3))
    >>> run.stopped_by, bool(run.t[-1] == run.stopped_at), round(float(run.risk[-1]), 9)
    ('risk_below(0.001)', True, 0.001)
    """
    return RiskBelow(level)


def steady(rtol: float = 1e-4) -> Condition:
    """The state has come to rest, and not on a plateau that will be left.

    Parameters
    ----------
    rtol : float
        > 0. In as long again, max(t, 1), at its present speed, no coordinate would change by more
        than this share of the largest size that it has had: a large coordinate that stands still
        hides no other. Where that holds, the direction in which a deviation grows fastest is
        looked for, and as long as one grows (at more than rtol/100 of the fastest rate there is)
        the state is that of a saddle and the run goes on.

    Returns
    -------
    Condition
        Of equations: SGD and Langevin noise never rest, and refuse it.

    Raises
    ------
    TypeError, ValueError
        If rtol is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1, noise=0.1), learning_rate=0.5)
    >>> start = mf.gaussian_overlaps(problem, p=2, seed=1)
    >>> mf.solve_overlaps(problem, start, 1000.0, until=mf.until.steady(1e-3)).stopped_by
    'steady(0.001)'
    """
    return Steady(rtol)


def any(*conditions: Condition | Callable[[float, Any], float]) -> Condition:
    """The first of several conditions; the run says which it was.

    Parameters
    ----------
    *conditions : Condition or callable
        At least one.

    Returns
    -------
    Condition

    Raises
    ------
    TypeError, ValueError
        If there is none, or one is not as above.

    Examples
    --------
    >>> import meanfield as mf
    >>> mf.until.any(mf.until.risk_below(1e-3), lambda t, state: state.M[0, 0] - 0.5).name
    'any(risk_below(0.001), <lambda>)'
    """
    return AnyOf(conditions)  # type: ignore[arg-type]
