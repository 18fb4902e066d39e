"""Pictures of how a run concentrates on the target subspace."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from meanfield import checks
from meanfield.plotting.style import INK, LIMIT
from meanfield.projection import Concentration
from meanfield.studies import ConcentrationStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    """
    checks.instance(study, "study", ConcentrationStudy)
    figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.4), layout="constrained")
    _curves(axes[0], study, "energy")
    axes[0].set_title("The weights turn towards the target", loc="left")
    axes[0].set_ylabel("share of squared weights\ninside the target subspace")
    axes[0].set_ylim(0, 1)
    axes[0].legend(title="input dimension d", frameon=False, ncols=2, loc="lower right")
    _curves(axes[1], study, "leak")
    axes[1].set_title("The function forgets the other directions", loc="left")
    axes[1].set_ylabel("share of the function's variance\ndue to other directions")
    axes[1].set_yscale("log")
    _rates(axes[2], study)
    target = study.problem.target
    figure.suptitle(
        f"{study.parameters['n']:,} {study.problem.student.name} neurons in the mean-field limit "
        f"learn {target.title}",
        x=0.01, ha="left",
    )  # fmt: skip
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    if path is not None:
        figure.savefig(Path(path), dpi=150)
    return figure


def _shades(count: int) -> Any:
    """Dark for large d: readable in grey as in colour."""
    return plt.get_cmap("viridis_r")(np.linspace(0.12, 0.95, count))


def _curves(ax: Axes, study: ConcentrationStudy, name: str) -> None:
    finite = [i for i, d in enumerate(study.dims) if math.isfinite(d)]
    for colour, i in zip(_shades(len(finite)), finite, strict=True):
        values = study.curves[name][i]
        # at the start a symmetric f is near 0 and the leak, a ratio, means nothing
        shown = slice(1, None) if name == "leak" else slice(None)
        ax.plot(study.t[shown], values[shown], color=colour, label=f"{study.dims[i]:g}")
    if len(finite) < len(study.dims) and name == "energy":
        ax.plot(study.t, study.curves[name][-1], "--", color=LIMIT, lw=1.5, label="∞")
    ax.set_xlabel("time t  (one SGD step takes γ/(p d))")
    ax.set_xlim(0, study.t[-1])


def _rates(ax: Axes, study: ConcentrationStudy) -> None:
    shown = (
        ("wasserstein", "Wasserstein distance\nof the neurons' law", "s"),
        ("leak", "share due to\nother directions", "o"),
        ("risk", "difference in risk", "^"),
    )
    finite = np.isfinite(study.dims)
    dims = study.dims[finite]
    for colour, (name, title, marker) in zip(("#1b6ca8", INK, "#7a9e2f"), shown, strict=True):
        try:
            values = study.final("risk_difference" if name == "risk" else name)[finite]
            rate = study.rate(name)
        except ValueError:
            continue
        ax.plot(dims, values, marker, color=colour, ms=7)
        ax.plot(dims, values[-1] * (dims / dims[-1]) ** rate.slope, "-", color=colour, lw=1)
        half = 0.5 * (rate.high - rate.low)
        ax.annotate(
            f"{title}\nslope {rate.slope:.3f} ± {half:.3f}",
            (dims[-1], values[-1]), xytext=(10, 0), textcoords="offset points",
            va="center", fontsize=8.5, color=colour, annotation_clip=False,
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="input dimension d")
    ax.set_ylabel(f"distance to d = ∞ at t = {study.t[-1]:g}")
    ax.set_title("Distances to d = ∞ fall as powers of d", loc="left")
    ax.xaxis.set_major_locator(FixedLocator(list(dims)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda d, _: f"{d:g}"))


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
    """
    checks.instance(concentration, "concentration", Concentration)
    if ax is None:
        _, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
    angles = np.linspace(0.0, math.pi / 2, 361)
    ax.plot(np.degrees(angles), concentration.mass_within(angles), color=INK)
    ax.set(
        xlabel="angle to the target subspace (degrees)", ylabel="share of the neurons within it",
        xlim=(0, 90), ylim=(0, 1.02),
    )  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)
    return ax
