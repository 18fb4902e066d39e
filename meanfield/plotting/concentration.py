"""Pictures of how a run concentrates on the target subspace."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from meanfield import checks
from meanfield.plotting.style import (
    INK,
    LIMIT,
    TIME_LABEL,
    line_with_band,
    new_axes,
    panels,
    shades,
    written,
)
from meanfield.studies import ConcentrationStudy
from meanfield.studies.tables import standard_error
from meanfield.targets import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


TITLES = {
    "risk": "population risk",
    "energy": "share of squared weights\ninside the target subspace",
    "mean_alignment": "mean alignment of the neurons",
    "leak": "leak: share of the function's\nvariance due to other directions",
    "leak_variance": "variance of the function\ndue to other directions",
    "function_energy": "mean square of the function",
    "perpendicular": "perpendicular overlaps\n(root mean square)",
}
RATE_TITLES = {
    "wasserstein": "Wasserstein distance\nof the neurons' law",
    "leak": "leak: share due to\nother directions",
    "risk": "difference in risk\nto d = ∞",
    "perpendicular": "perpendicular\noverlaps",
    "energy_difference": "difference in energy\nto d = ∞",
}
COLOURS, MARKERS = ("#1b6ca8", INK, "#7a9e2f", "#b0501e"), "so^D"
ROUNDING = 1e-12  # of the largest value drawn: what is below is 0


def plot_concentration(
    study: ConcentrationStudy, path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw a concentration study: mass onto the subspace, and how fast d = ∞ is approached.

    Parameters
    ----------
    study : ConcentrationStudy
    path : str or path, optional
        Where to write the figure; the ending says the format.

    Returns
    -------
    matplotlib.figure.Figure
        Left: the share of squared weights in the target subspace against time. Middle: the share of
        the function that depends on inputs outside. Right: distances to d = ∞ at the final time
        against d, with fitted power laws.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> from meanfield.plotting import plot_concentration
    >>> study = mf.concentration_study(
    ...     mf.CommitteeTarget(k=1), [20, 40, 80, 160, math.inf], n=20, t_end=1.0, replicas=2
    ... )
    >>> figure = plot_concentration(study)
    """
    checks.instance(study, "study", ConcentrationStudy)
    figure, axes, _ = panels(3, 3, (4.5, 4.4), (0.0, 0.0))
    plot_curves(study, "energy", axes[0])
    axes[0].set_title("The weights turn towards the target", loc="left")
    axes[0].set_ylim(-0.02, 1)  # a limit that stays at 0 is to be seen
    plot_curves(study, "leak", axes[1])
    axes[1].set_title("The function forgets the other directions", loc="left")
    axes[1].get_legend().remove()
    axes[1].autoscale(axis="y")
    plot_rates(study, axes[2])
    n, activation = study.parameters["n"], study.problem.student.name
    networks = math.isfinite(study.widths[-1])
    who = f"Networks of {study.widths[-1]:g}" if networks else f"{n:,}"
    where = "" if networks else " in the mean-field limit"
    learn = f"learn {title_of(study.problem.target)}"
    if study.notes:
        notes = "\n".join(fill(f"Note: {note}", 190) for note in study.notes)
        figure.supxlabel(notes, x=0.01, ha="left", fontsize=9)
    return written(figure, path, f"{who} {activation} neurons{where} {learn}")


def plot_curves(
    study: ConcentrationStudy,
    quantity: str = "energy",
    ax: Axes | None = None,
    *,
    width: float | None = None,
) -> Axes:
    """A quantity against time, a curve for each dimension, with the limit d = ∞.

    Parameters
    ----------
    study : ConcentrationStudy
    quantity : str
        One of the study's curves, ``"energy"`` or ``"leak"`` for example.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    width : float, optional
        Of the networks; by default the largest.

    Returns
    -------
    matplotlib Axes
        Darker for larger d, dashed for d = ∞; bands of one standard error over replicas.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> from meanfield.plotting import plot_curves
    >>> study = mf.concentration_study(mf.CommitteeTarget(k=1), [10, math.inf], n=20, t_end=1.0)
    >>> ax = plot_curves(study, "leak")
    """
    checks.instance(study, "study", ConcentrationStudy)
    checks.option(quantity, "quantity", study.curves)
    ax = new_axes(ax)
    rows = _rows(study, width)
    finite = [i for i in rows if math.isfinite(study.dims[i])]
    # at the start a symmetric f is near 0 and the leak, a ratio, means nothing
    shown = slice(1, None) if quantity == "leak" else slice(None)
    t = study.t[shown]
    for colour, i in zip(shades(len(finite)), finite, strict=True):
        values = study.curves[quantity][i][shown]
        error = np.nan_to_num(standard_error(study.replicas[quantity])[i])[shown]
        line_with_band(ax, t, values, error, color=colour, label=f"{study.dims[i]:g}")
    limit = [i for i in rows if math.isinf(study.dims[i])]
    log = quantity in ("leak", "leak_variance", "risk", "perpendicular")
    # a leak of nothing but rounding would stretch a logarithmic axis down to 1e-32
    floor = ROUNDING * max((study.curves[quantity][i][shown].max() for i in finite), default=0.0)
    if limit:
        values = study.curves[quantity][limit[0]][shown]
        if log and values.max() <= floor:  # it has no place on a logarithmic axis
            ax.plot([], [], "--", color=LIMIT, lw=1.5, label="∞: 0")
        else:
            ax.plot(t, values, "--", color=LIMIT, lw=1.5, label="∞")
    ax.set(xlabel=TIME_LABEL, ylabel=TITLES[quantity], xlim=(0, study.t[-1]))
    drawn = any((np.asarray(line.get_ydata()) > 0.0).any() for line in ax.get_lines())
    if log and drawn:  # where all is 0, at d = ∞ alone, a logarithmic axis has nothing to span
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend above the curves
    place = "upper right" if log else "best"
    ax.legend(title="input dimension d", frameon=False, ncols=2, loc=place, fontsize=9)
    return ax


def plot_rates(
    study: ConcentrationStudy,
    ax: Axes | None = None,
    *,
    quantities: Sequence[str] = ("wasserstein", "leak", "risk"),
    width: float | None = None,
) -> Axes:
    """Final quantities against d on logarithmic axes, with fitted powers and their bands.

    Parameters
    ----------
    study : ConcentrationStudy
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    quantities : sequence of str
        See `ConcentrationStudy.rate`; those without a rate are points alone.
    width : float, optional
        Of the networks; by default the largest.

    Returns
    -------
    matplotlib Axes
        Points with one standard error over replicas, the fitted power law with its correction of
        order 1/d, and a band between the ends of the slope's 95 % interval.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> from meanfield.plotting import plot_rates
    >>> dims = [10, 20, 40, 80, math.inf]
    >>> ax = plot_rates(mf.concentration_study(mf.CommitteeTarget(k=1), dims, n=20, t_end=1.0))
    """
    checks.instance(study, "study", ConcentrationStudy)
    ax = new_axes(ax)
    rows = np.array([i for i in _rows(study, width) if math.isfinite(study.dims[i])], dtype=int)
    dims = study.dims[rows]
    labels: list[tuple[float, str, str]] = []
    for i, name in enumerate(quantities):
        quantity = "risk_difference" if name == "risk" else name
        try:
            values = study.final(quantity)[rows]
        except ValueError as error:
            if "quantity must be" in str(error):
                raise
            continue
        if not rows.size:
            continue
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        spread = study.sampling_error.get("risk" if name == "risk" else name)
        if spread is not None and np.isfinite(spread[rows]).all():
            ax.errorbar(dims, values, spread[rows], fmt="none", ecolor=colour, elinewidth=1)
        ax.plot(dims, values, marker, color=colour, ms=7)
        title = RATE_TITLES.get(name, name)
        try:
            rate = study.rate(name, at=float(study.widths[rows[0]]))
        except ValueError:
            if (values > 0.0).any():
                labels.append((float(values[values > 0.0][-1]), f"{title}\nno slope", colour))
            continue
        finer = np.geomspace(dims[0], dims[-1], 100)
        fit = rate.prefactor * finer**rate.slope * np.exp(rate.correction / finer)
        ax.plot(finer, fit, "-", color=colour, lw=1)
        ends = [fit * (finer / dims[-1]) ** (s - rate.slope) for s in (rate.low, rate.high)]
        ax.fill_between(finer, *ends, color=colour, alpha=0.2, lw=0)
        half = 0.5 * (rate.high - rate.low)
        text = f"{title}\nslope {rate.slope:.3f} ± {half:.3f}"
        labels.append((float(values[-1]), text, colour))
    ax.set(xscale="log", yscale="log", xlabel="input dimension d")
    ax.set_ylabel(f"values at t = {study.t[-1]:g}")
    ax.set_title("Powers of d", loc="left")
    ax.xaxis.set_major_locator(FixedLocator(list(dims)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda d, _: f"{d:g}"))
    if labels:
        _beside(ax, float(dims[-1]), labels)
    return ax


def _beside(ax: Axes, x: float, labels: list[tuple[float, str, str]]) -> None:
    """Labels to the right of points at x, from the top down, far enough apart to be read."""
    assert ax.figure is not None
    point = 72.0 / ax.figure.dpi
    low, high = ax.get_ylim()
    ax.set_ylim(low * (low / high) ** 0.12, high)  # the lowest one stays above the axis
    above = math.inf
    for y, text, colour in sorted(labels, reverse=True):
        wanted = float(ax.transData.transform((x, y))[1]) * point
        place = min(wanted, above)
        above = place - 13.0 * (text.count("\n") + 1)
        ax.annotate(
            text, (x, y), xytext=(10, place - wanted), textcoords="offset points",
            va="center", fontsize=8.5, color=colour, annotation_clip=False,
        )  # fmt: skip


def _rows(study: ConcentrationStudy, width: float | None) -> list[int]:
    wanted = float(study.widths.max()) if width is None else width
    rows = [i for i, p in enumerate(study.widths) if p == wanted]
    if not rows:
        widths = sorted(set(study.widths.tolist()))
        raise ValueError(f"width must be one of {widths}, got {width!r}")
    return rows
