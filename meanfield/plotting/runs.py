"""The risk along one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.plotting import style
from meanfield.regimes.distances import risk_band

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_run(solution: Solution, ax: Axes | None = None) -> Axes:
    """Draw the population risk of a run against time.

    Parameters
    ----------
    solution : Solution
        Of any description. Several runs of SGD are drawn in grey, with their mean over them; the
        ODE of `solve_fluctuations` and of `solve_risk_band` with a band, two standard deviations of
        SGD to either side of its mean (of the ODE, where no bias is known). Where the run went on
        under another problem stands a dotted line.
    ax : matplotlib Axes, optional
        Where to draw; by default new ones.

    Returns
    -------
    matplotlib Axes
        With a logarithmic axis of risk where all risks are positive. A run that did not end in
        success says so in the title.

    Raises
    ------
    TypeError
        If `solution` is not a Solution.

    Examples
    --------
    >>> import meanfield as mf
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=20), 1.0)
    >>> run.plot().get_ylabel()
    'population risk ½ E(f − f*)²'
    """
    checks.instance(solution, "solution", Solution)
    ax = style.axes(ax)
    name = str(solution.parameters.get("description", "run"))
    risk = np.atleast_2d(solution.risk)
    if len(risk) > 1:
        ax.plot(solution.t, risk.T, color="0.75", linewidth=0.7)
        name = f"{name}, mean of {len(risk)} runs"
    ax.plot(solution.t, risk.mean(axis=0), color=style.INK, label=name)
    if "risk_std" in solution.observables and solution.risk.ndim == 1:
        ax.fill_between(
            solution.t,
            *risk_band(solution),
            color=style.BAND,
            label=f"SGD at d = {solution.problem.dim:g}, ±2 std",
        )
        ax.legend(frameon=False)
    for phase in solution.parts[1:]:
        ax.axvline(phase.start, color="0.6", linestyle=":", linewidth=1.0)
    if np.all(risk > 0.0):
        ax.set_yscale("log")
    ax.set_xlabel(style.TIME_LABEL)
    ax.set_ylabel("population risk ½ E(f − f*)²")
    ax.set_title(name if solution.success else f"{name}: {solution.status}", loc="left")
    return ax
