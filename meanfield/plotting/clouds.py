"""Pictures of the neurons themselves, moving towards the target subspace."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meanfield import checks
from meanfield.dynamics.solution import Solution
from meanfield.plotting.style import (
    INK,
    LIMIT,
    Neurons,
    animation,
    neurons_in_time,
    new_axes,
    risk_inset,
    shades,
)

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

TRAILS = 60  # neurons whose way is drawn
DOTS = 2000  # neurons drawn at each time
MARKERS = "osD^vPX*"
DOT = "#1b4f72"
# corners for the risk, beside the legend's at the upper left, and how far the axes may be widened
CORNERS = ((0.68, 0.11), (0.12, 0.11), (0.68, 0.69))
INSET_SIZE = (0.3, 0.25)
ROOM = (1.15, 1.4, 1.8)


def plot_cloud(
    solution: Solution,
    ax: Axes | None = None,
    *,
    times: Sequence[float] | None = None,
    run: int = 0,
) -> Axes:
    """The neurons in the plane of |u|, their part in the target subspace, and r, the rest.

    Parameters
    ----------
    solution : Solution
        Of any description, with its states.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    times : sequence of float, optional
        At which to draw the cloud, each moved to the nearest saved time; by default four, between
        which the neurons have moved equally far.
    run : int
        Which run, for SGD.

    Returns
    -------
    matplotlib Axes
        Later times darker; thin lines are the ways of some neurons. The subspace is the axis r = 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or no state was kept.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import plot_cloud
    >>> problem = mf.Problem(mf.CommitteeTarget(k=1), dim=100)
    >>> ax = plot_cloud(mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=100), 1.0))
    """
    neurons = neurons_in_time(solution, run)
    inside = np.sqrt((neurons.u**2).sum(axis=2))
    if times is None:
        shown = _stages(inside, neurons.r, 4)
    else:
        wanted = checks.array(times, "times", (None,))
        shown = np.unique([int(np.abs(neurons.t - time).argmin()) for time in wanted])
    ax = new_axes(ax, (5.4, 4.4))
    for i in _some(inside.shape[1], TRAILS):
        ax.plot(inside[:, i], neurons.r[:, i], color="0.75", lw=0.6, zorder=1)
    dots = _some(inside.shape[1], DOTS)
    size = 40.0 / np.sqrt(len(dots)) + 2.0
    for colour, marker, i in zip(shades(len(shown)), cycle(MARKERS), shown, strict=False):
        ax.scatter(
            inside[i, dots], neurons.r[i, dots], size, color=colour, marker=marker, lw=0,
            label=f"t = {neurons.t[i]:.3g}", zorder=2, rasterized=True,
        )  # fmt: skip
    ax.axhline(0.0, color=LIMIT, lw=2.5, zorder=0)
    ax.annotate(
        "target subspace", (0.98, 0.0), xycoords=("axes fraction", "data"), xytext=(0, 4),
        textcoords="offset points", ha="right", color=LIMIT, fontsize=9,
    )  # fmt: skip
    ax.set(xlabel="|u|: length inside the target subspace", ylabel="r: length outside")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=-0.03 * ax.get_ylim()[1])
    ax.legend(frameon=False, markerscale=1.8)
    return ax


def plot_neurons(
    solution: Solution,
    ax: Axes | None = None,
    *,
    directions: tuple[int, int] = (0, 1),
    index: int = -1,
    run: int = 0,
) -> Axes:
    """The neurons in the plane of two principal directions, with their trails and the risk.

    Parameters
    ----------
    solution : Solution
        Of any description, with its states; k ≥ 2.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    directions : pair of int
        Which principal coordinates u to show.
    index : int
        Which saved time; the last by default. Trails lead there from the start.
    run : int
        Which run, for SGD.

    Returns
    -------
    matplotlib Axes
        Filled dots for neurons that count positively, open ones for a < 0, arrows for the target's
        units, and the risk against time in a corner.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, no state was kept, or k = 1.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import plot_neurons
    >>> problem = mf.Problem(mf.CommitteeTarget(k=2), dim=100)
    >>> ax = plot_neurons(mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=100), 1.0))
    """
    neurons = neurons_in_time(solution, run)
    i = neurons.place(index)
    draw = _Plane(new_axes(ax, (5.2, 5.2)), solution, neurons, directions)
    draw(i)
    return draw.ax


def animate_neurons(
    solution: Solution,
    ax: Axes | None = None,
    *,
    directions: tuple[int, int] = (0, 1),
    run: int = 0,
    interval: int = 80,
) -> FuncAnimation:
    """`plot_neurons` as a moving picture, a frame a saved time.

    Parameters
    ----------
    solution, ax, directions, run
        As in `plot_neurons`.
    interval : int
        Milliseconds from frame to frame.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        ``.save("neurons.gif")`` writes it; in a notebook, ``HTML(animation.to_jshtml())`` shows it.

    Raises
    ------
    TypeError, ValueError
        As `plot_neurons` does.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import animate_neurons
    >>> problem = mf.Problem(mf.CommitteeTarget(k=2), dim=100)
    >>> run = mf.solve_mean_field(problem, mf.gaussian_measure(problem, n=100), 1.0, save_at=3)
    >>> len(animate_neurons(run).to_jshtml()) > 1000
    True
    """
    neurons = neurons_in_time(solution, run)
    draw = _Plane(new_axes(ax, (5.2, 5.2)), solution, neurons, directions)
    return animation(draw.ax, draw, len(neurons.t), interval)


class _Plane:
    """Axes with dots, trails and risk, which a call sets to a saved time."""

    def __init__(self, ax: Axes, solution: Solution, neurons: Neurons, directions: tuple[int, int]):
        k = neurons.u.shape[2]
        if k < 2:
            raise ValueError("solution must have two principal directions or more, got k = 1")
        x, y = (checks.integer(i, "directions", minimum=0) for i in directions)
        if max(x, y) >= k or x == y:
            raise ValueError(f"directions must be two different ones below k = {k}, got {x}, {y}")
        self.ax, self.neurons = ax, neurons
        self.places = neurons.u[:, :, [x, y]]
        n = self.places.shape[1]
        self.dots = _some(n, DOTS)
        self.trails = [
            (i, ax.plot([], [], color="0.6", lw=0.7, zorder=1)[0]) for i in _some(n, TRAILS)
        ]
        size = 60.0 / np.sqrt(len(self.dots)) + 4.0
        options: dict[str, Any] = {"s": size, "zorder": 3, "rasterized": True, "lw": 0.8}
        self.positive = ax.scatter([], [], color=DOT, label="a ≥ 0", **options)
        self.negative = ax.scatter(
            [], [], facecolors="white", edgecolors=DOT, label="a < 0", **options
        )
        self._target(solution, x, y)
        reach, corner = self._room_for_the_risk()
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.set(xlabel=f"principal coordinate {x + 1}", ylabel=f"principal coordinate {y + 1}")
        ax.plot([], [], color=LIMIT, lw=2, label="target")
        ax.legend(frameon=False, loc="upper left", fontsize=8, handlelength=1.2)
        self.show = risk_inset(ax, neurons, (*corner, *INSET_SIZE))

    def _room_for_the_risk(self) -> tuple[float, tuple[float, float]]:
        """Half the width of the axes, and the corner where the inset covers the fewest neurons."""
        widest = max(float(np.abs(self.places).max()), self.longest)
        covered = []
        for room in ROOM:
            places = 0.5 + 0.5 * self.places / (room * widest)
            for corner in CORNERS:
                # its title and the numbers on its axes need a margin
                low, high = np.subtract(corner, 0.1), np.add(corner, INSET_SIZE) + 0.04
                inside = np.all((places > low) & (places < high), axis=-1)
                covered.append((int(inside.sum()), room * widest, corner))
                if covered[-1][0] == 0:
                    return covered[-1][1:]
        return min(covered)[1:]

    def _target(self, solution: Solution, x: int, y: int) -> None:
        """Arrows to the units of the target; its axes, where it has no units."""
        rows = np.asarray(solution.problem.target.basis)[:, [x, y]]
        rows = rows[np.sqrt((rows**2).sum(axis=1)) > 1e-9]
        self.longest = float(np.sqrt((rows**2).sum(axis=1).max()))
        for row in rows:
            self.ax.annotate(
                "", row, (0, 0), zorder=2,
                arrowprops={"arrowstyle": "-|>", "color": LIMIT, "lw": 2, "shrinkA": 0,
                            "shrinkB": 0},
            )  # fmt: skip
        self.ax.plot([0], [0], "+", color=INK, ms=8, zorder=2)

    def __call__(self, i: int) -> list[Any]:
        places, a = self.places[i, self.dots], self.neurons.a[i, self.dots]
        self.positive.set_offsets(places[a >= 0])
        self.negative.set_offsets(places[a < 0])
        for neuron, line in self.trails:
            line.set_data(*self.places[: i + 1, neuron].T)
        return [self.positive, self.negative, self.show(i), *(line for _, line in self.trails)]


def _some(n: int, most: int) -> NDArray[np.intp]:
    """At most so many of n, evenly taken."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.intp))


def _stages(inside: NDArray[np.float64], r: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Saved times, the ends among them, between which the neurons have moved equally far."""
    steps = np.hypot(np.diff(inside, axis=0), np.diff(r, axis=0)).mean(axis=1)
    way = np.append(0.0, np.cumsum(steps))
    return np.unique([np.abs(way - share).argmin() for share in np.linspace(0, way[-1], count)])
