"""What the pictures share: colours, axes, and the neurons of a run as arrays over time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.projection.neurons import split

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

INK, LIMIT, BAND = "#222222", "#c1272d", "#d6d6d6"
TIME_LABEL = "time t  (one SGD step takes γ/(p d))"
RISK_LABEL = "population risk ½ E(f − f*)²"


def shades(count: int) -> Any:
    """Colours from light to dark: what comes later, or is larger, is darker in grey too."""
    return plt.get_cmap("viridis_r")(np.linspace(0.12, 0.95, count))


def new_axes(ax: Axes | None, size: tuple[float, float] = (5.6, 3.9)) -> Axes:
    """The axes given, or new ones, without the frame's upper and right side."""
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def panels(
    count: int, columns: int, size: tuple[float, float], room: tuple[float, float], **options: Any
) -> tuple[Figure, list[Axes], int]:
    """A figure with panels of a size row by row, and room beside them; how many are in a row."""
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(size[0] * columns + room[0], size[1] * rows + room[1]),
        squeeze=False, layout="constrained", **options,
    )  # fmt: skip
    for ax in grid.flat[count:]:
        ax.remove()
    return figure, [new_axes(ax) for ax in grid.flat[:count]], columns


def line_with_band(ax: Axes, t: Array, mean: Array, error: Array, *style: str, **how: Any) -> None:
    """A mean against time, and one standard error to either side."""
    (line,) = ax.plot(t, mean, *style, **how)
    ax.fill_between(t, mean - error, mean + error, color=line.get_color(), alpha=0.22, lw=0)


def written(
    figure: Figure, path: str | os.PathLike[str] | None, title: str | None = None
) -> Figure:
    """The figure under its title, in a file too if one is named."""
    if title is not None:
        figure.suptitle(title, x=0.01, ha="left")
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


@dataclass(frozen=True, eq=False)
class Neurons:
    """Times (T,), second layer (T, n), coordinates (T, n, k), lengths (T, n), masses (n,)."""

    t: Array
    a: Array
    u: Array
    r: Array
    masses: Array
    risk: Array

    @property
    def angles(self) -> Array:
        """Degrees from the subspace, (T, n); a neuron of length zero is orthogonal to it."""
        inside = np.sqrt((self.u**2).sum(axis=2))
        return np.where(inside + self.r > 0, np.degrees(np.arctan2(self.r, inside)), 90.0)

    def place(self, index: int) -> int:
        """Of a saved state that may be counted from the end."""
        count = len(self.t)
        if not -count <= index < count:
            raise ValueError(f"index must be one of the {count} saved states, got {index}")
        return range(count)[index]


def neurons_in_time(solution: Any, run: int) -> Neurons:
    """Every saved state of a run (or of one run of SGD), split."""
    checks.instance(solution, "solution", Solution)
    run = checks.integer(run, "run", minimum=0)
    shape = solution.states.shape
    if len(shape) > 1 and run >= shape[0]:
        raise ValueError(f"run must be below {shape[0]}, the number of runs, got {run}")
    states = solution.states[run] if len(shape) > 1 else solution.states
    # a run that kept its ends only still has those to show
    t, risk = solution.t, np.atleast_2d(solution.risk)[run if len(shape) > 1 else 0]
    if len(states) == 0:
        raise ValueError(f"solution must hold at least one state, got none: {solution.message}")
    if len(states) != len(t):
        t, risk = t[[0, -1]][: len(states)], risk[[0, -1]][: len(states)]
    found = [split(state, solution.problem) for state in states]
    a, u, r = (np.array([getattr(one, part) for one in found]) for part in "aur")
    return Neurons(t, a, u, r, found[0].masses, risk)


def risk_inset(
    ax: Axes, neurons: Neurons, place: tuple[float, float, float, float]
) -> Callable[[int], Any]:
    """The risk against time in a corner; returns what shows there which saved time is drawn."""
    inset = ax.inset_axes(place)
    shown = neurons.risk > 0
    inset.plot(neurons.t[shown], neurons.risk[shown], color=INK, lw=1)
    (marker,) = inset.plot(neurons.t[-1:], neurons.risk[-1:], "o", color=LIMIT, ms=4)
    inset.set_yscale("log")
    inset.set_title("risk", fontsize=8, pad=2)
    inset.set_xlabel("t", fontsize=8, labelpad=0)
    inset.tick_params(labelsize=7)
    inset.minorticks_off()
    inset.set_facecolor("#ffffffd0")

    def show(i: int) -> Any:
        marker.set_data(neurons.t[i : i + 1], neurons.risk[i : i + 1])
        ax.set_title(f"t = {neurons.t[i]:.3g}", loc="left")
        return marker

    return show


def animation(ax: Axes, draw: Callable[[int], Any], frames: int, interval: int) -> FuncAnimation:
    """A moving picture; `draw` sets the axes to a saved time."""
    from matplotlib.animation import FuncAnimation

    return FuncAnimation(ax.figure, draw, frames=frames, interval=interval)
