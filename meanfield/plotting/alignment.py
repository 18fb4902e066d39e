"""Pictures of the law of angles between neurons and the target subspace."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.plotting.style import (
    INK,
    LIMIT,
    TIME_LABEL,
    Neurons,
    animation,
    neurons_in_time,
    new_axes,
    risk_inset,
)
from meanfield.projection import Concentration
from meanfield.projection.neurons import quantiles

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
ANGLE_LABEL = "angle to the target subspace (degrees)"
INSET = (0.1, 0.68, 0.32, 0.25)
STEEP = 2.5  # times the usual height of the highest bar: a square-root scale shows both
HEADROOM = 1.55  # the risk and the legend lie above all bars


def plot_alignment(concentration: Concentration, ax: Axes | None = None) -> Axes:
    """Share of the neurons within an angle of the target subspace.

    Parameters
    ----------
    concentration : Concentration
        Of one state; see `projection.concentration`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import plot_alignment
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> start = mf.gaussian_measure(problem, n=100)
    >>> ax = plot_alignment(mf.projection.concentration(start, problem))
    """
    checks.instance(concentration, "concentration", Concentration)
    ax = new_axes(ax, (5, 3.5))
    angles = np.linspace(0.0, math.pi / 2, 361)
    ax.plot(np.degrees(angles), concentration.mass_within(angles), color=INK)
    ax.set(
        xlabel=ANGLE_LABEL, ylabel="share of the neurons within it", xlim=(0, 90), ylim=(0, 1.02)
    )
    return ax


def plot_alignment_law(
    solution: Solution, ax: Axes | None = None, *, run: int = 0, bins: int = 60
) -> Axes:
    """The law of the neurons' angles to the target subspace, as a density over time.

    Parameters
    ----------
    solution : Solution
        Of any description, with its states.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    run : int
        Which run, for SGD.
    bins : int
        Of the angle.

    Returns
    -------
    matplotlib Axes
        Darker where more neurons are; lines for the angles that 10, 50 and 90 % of them are within.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or fewer than two states were kept.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import plot_alignment_law
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> ax = plot_alignment_law(
    ...     mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=100), 1.0)
    ... )
    """
    neurons = neurons_in_time(solution, run)
    bins = checks.integer(bins, "bins")
    if len(neurons.t) < 2:
        raise ValueError("solution must hold two states or more to show them over time")
    ax = new_axes(ax)
    angles = neurons.angles
    edges = np.linspace(0.0, 90.0, bins + 1)
    density = np.array([_histogram(row, neurons.masses, edges) for row in angles])
    middle = 0.5 * (neurons.t[1:] + neurons.t[:-1])
    times = np.concatenate((neurons.t[:1], middle, neurons.t[-1:]))
    image = ax.pcolormesh(
        times, edges, density.T, cmap="Greys", norm=PowerNorm(0.4, 0.0, density.max()),
        rasterized=True,
    )  # fmt: skip
    styles = {0.1: ":", 0.5: "-", 0.9: "--"}
    shares = np.array([quantiles(row, neurons.masses, list(styles)) for row in angles])
    for (share, style), line in zip(styles.items(), shares.T, strict=True):
        ax.plot(
            neurons.t, line, style, color=LIMIT, lw=1.4, label=f"{share:.0%} of the neurons",
            path_effects=[withStroke(linewidth=3.2, foreground="white")],
        )  # fmt: skip
    ax.set(xlabel=TIME_LABEL, ylabel=ANGLE_LABEL, ylim=(0, 90), xlim=(times[0], times[-1]))
    ax.legend(frameon=True, framealpha=0.9, edgecolor="none", loc="lower left", fontsize=8)
    assert ax.figure is not None
    ax.figure.colorbar(image, ax=ax, label="share of the neurons per degree")
    return ax


def plot_alignment_histogram(
    solution: Solution, ax: Axes | None = None, *, index: int = -1, run: int = 0, bins: int = 45
) -> Axes:
    """Histogram of the neurons' angles to the target subspace at one time, with the risk.

    Parameters
    ----------
    solution : Solution
        Of any description, with its states.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    index : int
        Which saved time; the last by default.
    run : int
        Which run, for SGD.
    bins : int
        Of the angle.

    Returns
    -------
    matplotlib Axes
        With the start's histogram as an outline, and the risk against time in a corner.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or no state was kept.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import plot_alignment_histogram
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> ax = plot_alignment_histogram(
    ...     mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=100), 1.0)
    ... )
    """
    neurons = neurons_in_time(solution, run)
    edges = np.linspace(0.0, 90.0, checks.integer(bins, "bins") + 1)
    i = neurons.place(index)
    ax, draw = _histogram_axes(new_axes(ax), neurons, edges)
    draw(i)
    return ax


def animate_alignment(
    solution: Solution, ax: Axes | None = None, *, run: int = 0, bins: int = 45, interval: int = 80
) -> FuncAnimation:
    """`plot_alignment_histogram` as a moving picture, a frame a saved time.

    Parameters
    ----------
    solution, ax, run, bins
        As in `plot_alignment_histogram`.
    interval : int
        Milliseconds from frame to frame.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        ``.save("law.gif")`` writes it; in a notebook, ``HTML(animation.to_jshtml())`` shows it.

    Raises
    ------
    TypeError, ValueError
        As `plot_alignment_histogram` does.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import animate_alignment
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=100), 1.0, save_at=3)
    >>> len(animate_alignment(run).to_jshtml()) > 1000
    True
    """
    neurons = neurons_in_time(solution, run)
    edges = np.linspace(0.0, 90.0, checks.integer(bins, "bins") + 1)
    ax, draw = _histogram_axes(new_axes(ax), neurons, edges)
    return animation(ax, draw, len(neurons.t), interval)


def _histogram_axes(ax: Axes, neurons: Neurons, edges: Array) -> tuple[Axes, Any]:
    """Axes with bars, and the function that sets them to a saved time."""
    angles = neurons.angles
    heights = np.array([_histogram(row, neurons.masses, edges) for row in angles])
    bars = ax.bar(edges[:-1], heights[-1], np.diff(edges), align="edge", color="#5b8db8", lw=0)
    ax.stairs(heights[0], edges, color=INK, lw=1.2, ls="--", label=f"t = {neurons.t[0]:g}")
    ax.set(xlabel=ANGLE_LABEL, ylabel="share of the neurons per degree", xlim=(0, 90))
    highest = heights.max(axis=1)
    if highest.max() > STEEP * np.median(highest):
        # a start that lies in one bin would flatten all that comes after it
        ax.set_yscale("function", functions=(_root, np.square))
        ax.set_ylabel("share of the neurons per degree (square-root scale)")
    ax.set_ylim(0, HEADROOM * float(highest.max()))
    ax.legend(frameon=False, loc="upper right", fontsize=8)
    show = risk_inset(ax, neurons, INSET)

    def draw(i: int) -> list[Any]:
        for bar, height in zip(bars, heights[i], strict=True):
            bar.set_height(height)
        return [*bars, show(i)]

    return ax, draw


def _root(heights: Array) -> Array:
    return np.sqrt(np.maximum(heights, 0.0))


def _histogram(angles: Array, masses: Array, edges: Array) -> Array:
    return np.asarray(np.histogram(angles, edges, weights=masses)[0] / np.diff(edges))
