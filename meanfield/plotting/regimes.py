"""One picture of the four regimes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.plotting.style import BAND, INK, LIMIT, TIME_LABEL
from meanfield.regimes import Comparison, Diagnosis, four_regimes
from meanfield.regimes.distances import risk_band
from meanfield.regimes.verdicts import TITLES
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
    columns = min(len(comparisons), 2)
    rows = math.ceil(len(comparisons) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(5.4 * columns, 4.0 * rows + 0.6),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax, (title, one) in zip(axes.flat, comparisons.items(), strict=False):
        _panel(ax, one)
        ax.set_title(title[:1].upper() + title[1:], loc="left", fontweight="bold")
        ax.set_title(_setting(one.diagnosis), loc="right", fontsize=9.5)
    for ax in axes.flat[len(comparisons) :]:
        ax.remove()
    for ax in axes[:, 0]:
        ax.set_ylabel("population risk ½ E(f − f*)²")
    for i in range(columns):
        axes[(len(comparisons) - 1 - i) // columns, i].set_xlabel(TIME_LABEL)
    _legend(figure, axes.flat[: len(comparisons)], columns)
    figure.suptitle(_subject(comparisons.values()), x=0.01, ha="left", fontsize=11)
    if path is not None:
        figure.savefig(Path(path), dpi=150)
    return figure


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
        t, risk = _points(comparison.solutions["sgd"])
        ax.plot(
            t, risk, "o", ms=3.6, mfc="white", mec=INK, mew=0.8, zorder=3,
            label=_runs(comparison.solutions["sgd"]),
        )  # fmt: skip
    ax.set(xscale="log", yscale="log")
    ax.text(
        0.03, 0.04, _sizes(comparison.diagnosis), transform=ax.transAxes, va="bottom", fontsize=8.5,
        linespacing=1.45, color=INK, bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 2},
    )  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)


def _points(solution: Solution, count: int = 20) -> tuple[Any, Any]:
    """All runs at about `count` of the times, evenly spread over those recorded."""
    chosen = np.flatnonzero(solution.t > 0)
    chosen = chosen[:: max(1, math.ceil(len(chosen) / count))]
    t = np.broadcast_to(solution.t[chosen], (len(solution.risk), len(chosen)))
    return t.ravel(), solution.risk[:, chosen].ravel()


def _runs(solution: Solution) -> str:
    count = len(solution.risk)
    return f"SGD, {count} runs" if count > 1 else "SGD, one run"


def _number(value: float) -> str:
    """Two digits, and no 1e-05."""
    if value == 0 or 1e-3 <= value < 1e4:
        return f"{value:.2g}" if value < 100 else f"{value:.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}·10$^{{{int(exponent)}}}$"


def _setting(diagnosis: Diagnosis) -> str:
    problem = diagnosis.problem
    d = "∞" if math.isinf(problem.dim) else f"{problem.dim:,}"
    return f"d = {d}, p = {diagnosis.width:,}, γ = {problem.learning_rate:g}"


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
