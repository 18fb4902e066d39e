"""The phase diagram as a picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

from meanfield import checks
from meanfield.plotting.style import INK, written
from meanfield.problem import Problem
from meanfield.regimes import PhaseDiagram, phase_diagram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# light to dark from the gentlest to the wildest: told apart in grey
SHADES = {"perfect learning": "#e3f0dc", "bad learning": "#f2c38b", "no ODE": "#a8503f"}
WIDEST, LOWEST, HIGHEST = 1.3, -2.0, 1.2


def plot_phase_diagram(
    diagram: PhaseDiagram | None = None,
    runs: Mapping[str, tuple[Problem, int]] | None = None,
    ax: Axes | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the plane of p ~ d^κ and γ ~ d^−δ (Veiga et al. 2022).

    Parameters
    ----------
    diagram : PhaseDiagram, optional
        By default `regimes.phase_diagram()`.
    runs : mapping of str to (Problem, int), optional
        Runs to mark, as problem and width, by label; placed as by `PhaseDiagram.locate`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    path : str or path, optional
        Where to write the figure; the ending says the format.

    Returns
    -------
    matplotlib.figure.Figure
        Regions as shades, the line κ + δ = 0 on which the SGD term stays of order one, and the
        runs as numbered points.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import plot_phase_diagram
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=1000, learning_rate=1.0)
    >>> figure = plot_phase_diagram(runs={"mine": (problem, 30)})
    """
    diagram = phase_diagram() if diagram is None else diagram
    checks.instance(diagram, "diagram", PhaseDiagram)
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
    points = {name: diagram.locate(*run) for name, run in (runs or {}).items()}
    right = max([WIDEST, *(point.kappa + 0.1 for point in points.values())])
    low = min([LOWEST, *(point.delta - 0.1 for point in points.values())])
    high = max([HIGHEST, *(point.delta + 0.1 for point in points.values())])
    _regions(ax, diagram, right, low, high)
    _words(ax)
    for name, point in points.items():
        ax.plot(*point, "o", ms=7, mfc="white", mec=INK, mew=1.4, zorder=4, clip_on=False)
        side = -1 if point.kappa > 0.7 * right else 1  # the label turns away from the edge
        ax.annotate(
            name, point, xytext=(9 * side, 9), textcoords="offset points", va="center", fontsize=9,
            zorder=5, ha="left" if side > 0 else "right",
            bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1.2},
        )  # fmt: skip
    ax.set(xlim=(0, right), ylim=(low, high))
    ax.set_xlabel("κ, exponent of the width p ~ d$^{κ}$")
    ax.set_ylabel("δ, exponent of the learning rate γ ~ d$^{−δ}$")
    ax.set_title("What SGD becomes as the dimension d grows", loc="left")
    return written(ax.get_figure(), path)


def _regions(ax: Axes, diagram: PhaseDiagram, right: float, low: float, high: float) -> None:
    kappa = np.array([0.0, right])
    for phase in diagram.phases:
        if phase.is_line:
            ax.plot(kappa, phase.lower - kappa, color=INK, lw=2.4, zorder=3)
            continue
        bottom = np.full(2, low) if np.isinf(phase.lower) else phase.lower - kappa
        top = np.full(2, high) if np.isinf(phase.upper) else phase.upper - kappa
        ax.fill_between(kappa, bottom, top, color=SHADES.get(phase.name, "#dddddd"), lw=0)
        if np.isfinite(phase.lower) and phase.lower < 0:
            ax.plot(kappa, phase.lower - kappa, color=INK, lw=1, ls="--", zorder=3)


def _words(ax: Axes) -> None:
    """Names of the regions; beside the lines, and turned along them."""
    style: dict[str, Any] = {"ha": "center", "zorder": 4, "color": INK}
    along = {**style, "rotation": -45, "rotation_mode": "anchor", "transform_rotates_text": True}
    ax.text(0.72, 0.5, "perfect learning", va="bottom", fontweight="bold", **style)
    ax.text(
        0.72, 0.47, "gradient flow, γ/p → 0\n(mean field for κ > 0)", va="top", fontsize=9, **style
    )
    ax.text(1.0, -0.95, "plateau: overlap ODE, γ/p of order one", va="bottom", fontsize=9, **along)
    ax.text(0.62, -0.82, "bad learning", va="bottom", fontweight="bold", **along)
    ax.text(0.62, -0.84, "SGD noise outweighs the drift", va="top", fontsize=9, **along)
    style["color"] = "white"
    ax.text(0.3, -1.35, "no ODE", va="bottom", fontweight="bold", **style)
    ax.text(0.3, -1.38, "one step moves the\noverlaps by O(1)", va="top", fontsize=9, **style)
