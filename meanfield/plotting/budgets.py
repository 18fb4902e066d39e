"""A picture of what each description neglects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from meanfield import checks
from meanfield.plotting.regimes import LINES
from meanfield.plotting.style import INK, TIME_LABEL, axes
from meanfield.regimes import Budget
from meanfield.regimes.verdicts import TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_budget(budget: Budget, ax: Axes | None = None) -> Axes:
    """Draw the risk and what every description neglects of it, against time.

    Parameters
    ----------
    budget : Budget
        Of `regimes.budget`.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    matplotlib Axes
        The risk in points, by the best description of the budget; a line a description, on a
        logarithmic axis.

    Raises
    ------
    TypeError
        If `budget` is none.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.4)
    >>> budget = mf.regimes.budget(problem, width=4, t_end=1.0, save_at=5, runs=20, starts=3)
    >>> len(mf.plotting.plot_budget(budget).lines)
    5
    """
    checks.instance(budget, "budget", Budget)
    ax = axes(ax)
    best = next(iter(budget.solutions))
    risk = budget.solutions[best].risk
    risk = risk.mean(axis=0) if risk.ndim == 2 else risk
    t = budget.solutions[best].t
    ax.plot(t, np.where(risk > 0.0, risk, np.nan), ".", color=INK, label=f"risk, {TITLES[best]}")
    for name in LINES:
        if name in budget.solutions and (sizes := budget.neglected(name)).any():
            shown = np.where(sizes > 1e-14, sizes, np.nan)
            ax.plot(budget.t, shown, **LINES[name], label=f"neglected by {TITLES[name]}")
    ax.set_yscale("log")
    ax.set_xlabel(TIME_LABEL)
    ax.set_ylabel("population risk")
    ax.legend(frameon=False, fontsize=8)
    return ax
