"""The risk in time: of one run, under several descriptions, and what each of them neglects."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.plotting.style import (
    BAND,
    INK,
    LIMIT,
    RISK_LABEL,
    TIME_LABEL,
    new_axes,
    panels,
    written,
)
from meanfield.regimes import Budget, Comparison, Diagnosis, four_regimes
from meanfield.regimes.descriptions import TITLES, mean_risk
from meanfield.regimes.distances import risk_band
from meanfield.targets import Target, check_target, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# told apart by dashes and widths, so that grey print will do; wide lines first, thin ones over them
LINES: dict[str, dict[str, Any]] = {
    "overlap_ode": {"color": INK, "lw": 2.2, "ls": "-"},
    "gradient_flow": {"color": "#7a7a7a", "lw": 1.4, "ls": (0, (1, 1.2))},
    "mean_field": {"color": "#74add1", "lw": 3.0, "ls": "-"},
    "mean_field_infinite": {"color": LIMIT, "lw": 1.3, "ls": (0, (5, 2.5))},
}
ORDER = ("mean_field", "mean_field_infinite", "overlap_ode", "gradient_flow")


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
    ax = new_axes(ax)
    name = str(solution.parameters.get("description", "run"))
    risk = np.atleast_2d(solution.risk)
    if len(risk) > 1:
        ax.plot(solution.t, risk.T, color="0.75", linewidth=0.7)
        name = f"{name}, mean of {len(risk)} runs"
    ax.plot(solution.t, risk.mean(axis=0), color=INK, label=name)
    if "risk_std" in solution.observables and solution.risk.ndim == 1:
        label = f"SGD at d = {solution.problem.dim:g}, ±2 std"
        ax.fill_between(solution.t, *risk_band(solution), color=BAND, label=label)
        ax.legend(frameon=False)
    for phase in solution.parts[1:]:
        ax.axvline(phase.start, color="0.6", linestyle=":", linewidth=1.0)
    if np.all(risk > 0.0):
        ax.set_yscale("log")
    ax.set_xlabel(TIME_LABEL)
    ax.set_ylabel(RISK_LABEL)
    ax.set_title(name if solution.success else f"{name}: {solution.status}", loc="left")
    return ax


def plot_regimes(
    comparisons: Target | Mapping[str, Comparison],
    path: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Figure:
    """Draw the risk under every description, a panel a regime.

    Parameters
    ----------
    comparisons : target or mapping of str to Comparison
        Comparisons by title; for a target, those of `regimes.four_regimes`: classical,
        high-dimensional, mean-field and intermediate.
    path : str or path, optional
        Where to write the figure; the ending says the format.
    **options
        For `regimes.four_regimes`, if a target is given.

    Returns
    -------
    matplotlib.figure.Figure
        Each panel: population risk against time on logarithmic axes; runs of SGD as points, the
        overlap ODE with and without its SGD term and the mean field at d and at d = ∞ as lines,
        two standard deviations of SGD to either side of its mean as a band, where the comparison
        has one. In its corner, the sizes that separate the descriptions and the descriptions that
        hold.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import plot_regimes
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100, learning_rate=0.4)
    >>> comparison = mf.regimes.compare(problem, width=4, t_end=1.0, runs=2, save_at=5)
    >>> figure = plot_regimes({"mine": comparison})
    """
    if not isinstance(comparisons, Mapping):
        comparisons = four_regimes(check_target(comparisons, "comparisons"), **options)
    elif options:
        raise TypeError(f"options need a target to run, got {', '.join(options)}")
    if not comparisons:
        raise ValueError("comparisons must hold at least one, got none")
    for one in comparisons.values():
        checks.instance(one, "comparisons", Comparison)
    count = len(comparisons)
    figure, axes, columns = panels(count, 2, (5.4, 4.0), (0.0, 0.6), sharex=True, sharey=True)
    for ax, (title, one) in zip(axes, comparisons.items(), strict=True):
        _panel(ax, one)
        ax.set_title(title[:1].upper() + title[1:], loc="left", fontweight="bold")
        d = "∞" if math.isinf(one.problem.dim) else f"{one.problem.dim:,}"
        setting = f"d = {d}, p = {one.width:,}, γ = {one.problem.learning_rate:g}"
        ax.set_title(setting, loc="right", fontsize=9.5)
    for ax in axes[::columns]:
        ax.set_ylabel(RISK_LABEL)
    for ax in axes[-columns:]:  # the lowest of each column
        ax.set_xlabel(TIME_LABEL)
        ax.tick_params(labelbottom=True)  # which a panel that was removed below it had
    _legend(figure, axes, columns)
    return written(figure, path, _subject(comparisons.values()))


def _panel(ax: Axes, comparison: Comparison) -> None:
    if comparison.band is not None:
        low, high = risk_band(comparison.band)
        shown = comparison.band.t > 0
        ax.fill_between(
            comparison.band.t[shown], low[shown], high[shown], color=BAND, lw=0, zorder=1,
            label="SGD, ±2 std computed",
        )  # fmt: skip
    for name in ORDER:
        if name in comparison.solutions:
            solution = comparison.solutions[name]
            shown = solution.t > 0
            ax.plot(
                solution.t[shown], solution.risk[shown], label=TITLES[name],
                zorder=2 + 0.1 * ORDER.index(name), **LINES[name],
            )  # fmt: skip
    if "sgd" in comparison.solutions:
        solution = comparison.solutions["sgd"]
        t, risk = _points(solution)
        ax.plot(
            t, risk, "o", ms=3.6, mfc="white", mec=INK, mew=0.8, zorder=3,
            label="SGD, one run" if len(solution.risk) == 1 else f"SGD, {len(solution.risk)} runs",
        )  # fmt: skip
    ax.set(xscale="log", yscale="log")
    ax.text(
        0.03, 0.04, _sizes(comparison.diagnosis), transform=ax.transAxes, va="bottom", fontsize=8.5,
        linespacing=1.45, color=INK, bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 2},
    )  # fmt: skip


def _points(solution: Solution, count: int = 20) -> tuple[Any, Any]:
    """All runs at about `count` of the times, evenly spread over those recorded."""
    chosen = np.flatnonzero(solution.t > 0)
    chosen = chosen[:: max(1, math.ceil(len(chosen) / count))]
    t = np.broadcast_to(solution.t[chosen], (len(solution.risk), len(chosen)))
    return t.ravel(), solution.risk[:, chosen].ravel()


def _number(value: float) -> str:
    """Two digits, and no 1e-05."""
    if value == 0 or 1e-3 <= value < 1e4:
        return f"{value:.2g}" if value < 100 else f"{value:.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}·10$^{{{int(exponent)}}}$"


def _subject(comparisons: Iterable[Comparison]) -> str:
    """What is learned, where it is one thing."""
    problems = [one.problem for one in comparisons]
    first = problems[0]
    if any((p.target, p.activation) != (first.target, first.activation) for p in problems):
        return "Risk along training, under each description"
    target = first.target
    noise = f", label noise of variance {target.noise:g}" if target.noise else ""
    return f"{first.student.name} networks learn {title_of(target)}{noise}"


def _sizes(diagnosis: Diagnosis) -> str:
    short = {"sgd": "SGD", "overlap_ode": "overlap ODE", "gradient_flow": "gradient flow",
             "mean_field": "mean field", "mean_field_infinite": "mean field at ∞"}  # fmt: skip
    holding = [short[name] for name in diagnosis.holding]
    lines = [", ".join(holding[i : i + 3]) for i in range(0, len(holding), 3)]
    return "\n".join(
        (
            f"SGD term γ/p = {_number(diagnosis.noise_term)}",
            f"fluctuations √(γ/(p d)) = {_number(diagnosis.fluctuation)}",
            f"finite width 1/√p = {_number(math.sqrt(diagnosis.inverse_width))}",
            f"finite dimension 1/d = {_number(diagnosis.inverse_dim)}",
            f"hold within {diagnosis.tolerance:g}: " + ",\n    ".join(lines),
        )
    )


def _legend(figure: Figure, axes: Any, columns: int) -> None:
    """One legend for all panels, no wider than they are."""
    entries: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    fit = 2 if columns == 1 else 5 if len(entries) < 6 else 3
    figure.legend(
        entries.values(), entries.keys(), loc="outside lower center", ncols=fit, frameon=False,
        fontsize=9.5, handlelength=2.6, columnspacing=1.4,
    )  # fmt: skip


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
    ax = new_axes(ax)
    best = next(iter(budget.solutions))
    t, risk = budget.solutions[best].t, mean_risk(budget.solutions[best])
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
