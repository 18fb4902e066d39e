"""What the pictures share: colours, axes, and the neurons of a run as arrays over time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.projection.neurons import split

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

INK, LIMIT, BAND = "#222222", "#c1272d", "#d6d6d6"
TIME_LABEL = "time t  (one SGD step takes γ/(p d))"


def shades(count: int) -> Any:
    """Colours from light to dark: what comes later, or is larger, is darker in grey too."""
    return plt.get_cmap("viridis_r")(np.linspace(0.12, 0.95, count))


def new_axes(ax: Axes | None, size: tuple[float, float] = (5.6, 3.9)) -> Axes:
    """The axes given, or new ones, without the frame's upper and right side."""
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def written(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """The figure, in a file too if one is named."""
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


def risk_inset(ax: Axes, neurons: Neurons, place: tuple[float, float, float, float]) -> Any:
    """The risk against time in a corner; returns the marker of the present."""
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
    return marker
