"""The picture of a study: its curves in time, one panel an observable."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from meanfield import checks, display
from meanfield.plotting.style import TIME_LABEL, line_with_band, panels, shades, written
from meanfield.studies.results import StudyResults, label
from meanfield.studies.tables import ends, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POWERS = ("risk", "leak", "leak_variance", "perpendicular")
MOST_PANELS, MOST_IN_LEGEND = 6, 12
STYLES = ("-", "--", ":", "-.")


def plot_study(
    results: StudyResults,
    path: str | os.PathLike[str] | None = None,
    observables: Sequence[str] | None = None,
) -> Figure:
    """Draw the observables of a study against time.

    Parameters
    ----------
    results : StudyResults
    path : str or path, optional
        Where to write the figure; the ending says the format.
    observables : sequence of str, optional
        Which ones; by default those with one number a time, six at most.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each observable. Colours: values of the first axis of the grid; line styles: of
        the others together. Lines are means over replicas, bands one standard error.

    Raises
    ------
    TypeError, ValueError
        If there is nothing to draw, or an observable has no single number a time.

    Examples
    --------
    >>> import meanfield as mf
    >>> from meanfield.plotting import plot_study
    >>> study = mf.Study(
    ...     problem=mf.Problem(mf.CommitteeTarget(k=1)),
    ...     start={"law": "gaussian_measure", "n": 50},
    ...     solver={"description": "mean_field", "t_end": 1.0},
    ... )
    >>> figure = plot_study(study.run())
    >>> figure.axes[0].get_title("left")
    'risk'
    """
    checks.instance(results, "results", StudyResults)
    curves = curve_names(results)
    chosen = curves[:MOST_PANELS] if observables is None else list(observables)
    for name in chosen:
        checks.option(name, "observables", curves)
    if not chosen:
        raise ValueError("results must have an observable with one number a time, got none")
    figure, axes, _ = panels(len(chosen), 3, (4.4, 3.6), (0.6, 0.5))
    for ax, name in zip(axes, chosen, strict=True):
        _panel(ax, results, name)
    handles, words = axes[0].get_legend_handles_labels()
    if 1 < len(words) <= MOST_IN_LEGEND:
        figure.legend(handles, words, title=", ".join(varied_axes(results)), frameon=False,
                      loc="outside right upper")  # fmt: skip
    title = f"{results.study.name}: {len(results.records)} runs ({ends(results.records)})"
    return written(figure, path, title)


def _is_curve(results: StudyResults, name: str) -> bool:
    dims = results.dims(name)[len(results.axes) :]
    return dims in (("time",), ("run", "time"))


def varied_axes(results: StudyResults) -> list[str]:
    """Names of the axes, but the replica's, that have several values."""
    return [name for name, values in results.axes.items()
            if name != "replica" and len(values) > 1]  # fmt: skip


class Curve(NamedTuple):
    """Mean over the replicas of one point of the grid, with its standard error, (T,) each."""

    label: str
    first: int  # place on the first axis of the grid
    rest: int  # on the others together
    t: Any
    mean: Any
    error: Any


def curves_of(results: StudyResults, name: str) -> list[Curve]:
    """An observable's curves, one for each point of the grid that has runs."""
    values, t = results.array(name), results.array("t")
    grid = values.shape[: len(results.axes) - 1]
    values = values.reshape(*grid, -1, values.shape[-1])  # replicas, and runs inside a run
    t = t.reshape(*grid, -1, t.shape[-1])
    found = []
    for index in np.ndindex(*grid):
        if np.isfinite(values[index]).any():
            rest = np.ravel_multi_index(index[1:], grid[1:]) if len(index) > 1 else 0
            summary = _summary(t[index], values[index])
            found.append(
                Curve(_label(results, index), index[0] if index else 0, int(rest), *summary)
            )
    return found


def is_logarithmic(results: StudyResults, name: str) -> bool:
    """Whether the values span decades, and may be shown so."""
    values = results.array(name)
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0.0]
    # a leak is 0 at the start of a symmetric network and in its limit, and falls by powers else
    decades = np.log10(positive.max() / positive.min()) if positive.size else 0.0
    return bool(decades > 1.0 if name in POWERS else decades > 2.0 and finite.min() > 0.0)


def curve_names(results: StudyResults) -> list[str]:
    """Observables with one number a time."""
    return [name for name in results.names if name != "t" and _is_curve(results, name)]


def _panel(ax: Axes, results: StudyResults, name: str) -> None:
    curves = curves_of(results, name)
    colours = shades(1 + max((curve.first for curve in curves), default=0))
    for curve in curves:
        colour: Any = colours[curve.first]
        style = STYLES[curve.rest % len(STYLES)]
        line_with_band(
            ax, curve.t, curve.mean, curve.error, style, color=colour, lw=1.4, label=curve.label
        )
    if is_logarithmic(results, name):
        ax.set_yscale("log")
    ax.set_title(name.replace("_", " "), loc="left")
    ax.set_xlabel(TIME_LABEL)


def _summary(t: Any, curves: Any) -> tuple[Any, Any, Any]:
    """Times, mean over replicas and its standard error, where all replicas that ran have values."""
    alive = curves[np.isfinite(curves).any(axis=1)]
    time = t[np.isfinite(t).any(axis=1)][0]
    whole = np.isfinite(alive).all(axis=0) & np.isfinite(time)
    alive = alive[:, whole]
    return time[whole], alive.mean(axis=0), np.nan_to_num(standard_error(alive.T))


def _label(results: StudyResults, index: tuple[int, ...]) -> str:
    names = [name for name in results.axes if name != "replica"]
    shown = varied_axes(results)
    parts = []
    for name, i in zip(names, index, strict=True):
        if name in shown:
            parts.append(display.text(label(results.axes[name][i], name)))
    return ", ".join(parts)
