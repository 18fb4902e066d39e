"""The phase diagram, measured: exact SGD along a ray of each phase, against the phase's limit.

    python -m benchmarks.phases [picture.png]

Along a ray p ~ d^κ, γ ~ d^−δ the dimension grows. Printed, by dimension: by how much the mean risk
of SGD is off the limit, and its scatter over runs, at one time of the limit's own clock; then the
slopes of both in d with 95 % intervals from the sampling errors, of all dimensions and of the last
two, beside the powers that are expected.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

import meanfield as mf
from benchmarks.orders import slope

Array = NDArray[np.float64]

TARGET = mf.CommitteeTarget(k=1, noise=0.05)
ALONE = 1e8  # γ/p at which the overlap ODE is its SGD term
SAVED = 11
INK, LIGHT, DARK = "#222222", "#9ecae1", "#08519c"


class Ray(NamedTuple):
    """p = `p` d^κ and γ = `gamma` d^−δ, up to the time `end` of the clock of the limit."""

    title: str
    kappa: float
    delta: float
    p: float
    gamma: float
    end: float
    dims: tuple[int, ...]
    runs: int
    limit: Callable[[float], mf.Solution] | None


def start(p: int) -> mf.Overlaps:
    """Neurons with one overlap each, their other parts orthogonal: the same law at every width."""
    return mf.Overlaps(0.09 + np.eye(p), np.full((p, 1), 0.3), [[1.0]], np.ones(p))


def overlap_limit(rate: float) -> Callable[[float], mf.Solution]:
    """The overlap equations at d = ∞ of two neurons, at γ/p = `rate`."""

    def solve(end: float) -> mf.Solution:
        problem = mf.Problem(TARGET, dim=math.inf, learning_rate=2.0 * rate)
        return mf.solve_overlaps(problem, start(2), end, save_at=SAVED, rtol=1e-8)

    return solve


def mean_field_limit(end: float) -> mf.Solution:
    """The mean field at d = ∞ of the law of `start`, which is one point."""
    law = mf.ParticleMeasure([1.0], [[0.3]], [1.0])
    problem = mf.Problem(TARGET, dim=math.inf)
    return mf.solve_mean_field(problem, law, end, save_at=SAVED, rtol=1e-8)


def noise_limit(end: float) -> mf.Solution:
    """The SGD term alone, on the clock τ = ν γ²/(p² d) = (γ/p) t."""
    return overlap_limit(ALONE)(end / ALONE)


WIDE = (16, 64, 256, 1024)
RAYS = (
    Ray("perfect learning", 0, 0.5, 2, 4.0, 2.0, (16, 64, 256, 1024), 1000, overlap_limit(0.0)),
    Ray("perfect learning, wide", 0.5, 0, 1, 1.0, 2.0, WIDE, 60, mean_field_limit),
    Ray("plateau", 0, 0, 2, 2.0, 2.0, (16, 64, 256, 1024, 4096), 1000, overlap_limit(1.0)),
    Ray("bad learning", 0, -0.25, 2, 2.0, 1.0, (10**5, 10**6, 10**7, 10**8, 10**9), 1000,
        noise_limit),
    Ray("no ODE", 0, -0.5, 2, 2.0, 4.0, (10**2, 10**3, 10**4, 10**5, 10**6), 4000, None),
)  # fmt: skip


def expected(ray: Ray) -> tuple[float, float]:
    """Powers of d of the mean's distance and of the scatter."""
    powers = mf.regimes.phase_diagram().exponents(ray.kappa, ray.delta)
    if ray.limit is None:
        return 0.0, 0.0
    s = ray.kappa + ray.delta
    mean = -abs(s) if s != 0.0 else -1.0  # of what the limit leaves out, in the mean
    return mean, powers["fluctuation"]


def run(ray: Ray, d: int, seed: int = 0) -> mf.Solution:
    """SGD at one dimension of the ray; one unit of the ray's clock is `per_t` of t."""
    p = max(1, round(ray.p * d**ray.kappa))
    problem = mf.Problem(TARGET, dim=d, learning_rate=ray.gamma * d**-ray.delta)
    end = ray.end / per_t(ray, d)
    return mf.simulate_sgd(
        problem, start(p), end, runs=ray.runs, seed=seed, save_at=SAVED, keep="ends"
    )


def per_t(ray: Ray, d: int) -> float:
    """Units of the limit's clock in one of t: γ/p below the line, where there is no ODE too."""
    s = ray.kappa + ray.delta
    return 1.0 if s >= 0.0 else ray.gamma / ray.p * d**-s


class Point(NamedTuple):
    """At one dimension: the mean less the limit, the scatter, two standard errors of each."""

    d: int
    off: float
    off_error: float
    scatter: float
    scatter_error: float


def measure(ray: Ray, d: int, sgd: mf.Solution) -> Point:
    """At the last time of the clock."""
    risk = sgd.risk[:, -1]
    reached = sgd.t[-1] * per_t(ray, d)  # whole steps end nearby
    limit = ray.limit(reached).risk[-1] if ray.limit else math.nan
    scatter = float(risk.std(ddof=1))
    twice = 2.0 * scatter / math.sqrt(len(risk))
    return Point(d, float(risk.mean() - limit), twice, scatter, twice / math.sqrt(2.0))


def slopes(points: list[Point]) -> dict[str, tuple[float, float]]:
    """In log d, of what stands out of its sampling error; half the 95 % intervals."""
    d, off, off_error, scatter, scatter_error = np.array(points).T
    found = {"scatter": slope(d, scatter, scatter_error)}
    if (np.abs(off) > 1.5 * off_error).all():
        found["mean"] = slope(d, off, off_error)
    return found


def draw(measured: dict[str, tuple[Ray, list[mf.Solution], list[Point]]], path: str) -> None:
    """Risks on the limit's clock above, distances from the limit below; a column a ray."""
    figure, axes = plt.subplots(
        2, len(measured), figsize=(3.1 * len(measured), 6.0), layout="constrained"
    )
    for column, (ray, runs, points) in zip(axes.T, measured.values(), strict=True):
        _draw_risks(column[0], ray, runs)
        _draw_distances(column[1], ray, points)
    axes[0, 0].set_ylabel("population risk")
    axes[1, 0].set_ylabel("at the end; dotted: expected power")
    figure.savefig(path, dpi=110)


def _draw_risks(ax: Axes, ray: Ray, runs: list[mf.Solution]) -> None:
    for sgd, d, shade in ((runs[0], ray.dims[0], LIGHT), (runs[-1], ray.dims[-1], DARK)):
        ax.plot(sgd.t * per_t(ray, d), sgd.risk[:6].T, color=shade, lw=0.8)
        label = f"d = {d:,}" if d < 10**4 else f"d = $10^{{{round(math.log10(d))}}}$"
        ax.plot([], [], color=shade, label=label)
    if ray.limit:
        times = np.linspace(0.0, ray.end, SAVED)
        ax.plot(times, ray.limit(ray.end).risk, color=INK, lw=2, label="limit")
    clock = "the limit's clock" if ray.limit else "steps"
    ax.set(title=f"{ray.title}\nκ = {ray.kappa:g}, δ = {ray.delta:g}", xlabel=clock)
    ax.legend(frameon=False, fontsize=8)


def _draw_distances(ax: Axes, ray: Ray, points: list[Point]) -> None:
    d, off, off_error, scatter, scatter_error = np.array(points).T
    mean, spread = expected(ray)
    ax.errorbar(d, scatter, scatter_error, fmt="o", color=DARK, ms=4, label="scatter")
    ax.plot(d, scatter[-1] * (d / d[-1]) ** spread, ":", color=DARK)
    if "mean" in slopes(points):
        ax.errorbar(d, np.abs(off), off_error, fmt="s", color=INK, ms=4, label="|mean − limit|")
        ax.plot(d, np.abs(off[-1]) * (d / d[-1]) ** mean, ":", color=INK)
    ax.set(xscale="log", yscale="log", xlabel="dimension d")
    ax.legend(frameon=False, fontsize=8)


def main(arguments: list[str]) -> None:
    """Measure every ray; draw them if a path is given."""
    measured = {}
    for ray in RAYS:
        runs = [run(ray, d) for d in ray.dims]
        points = [measure(ray, d, sgd) for d, sgd in zip(ray.dims, runs, strict=True)]
        measured[ray.title] = (ray, runs, points)
        for one in points:
            print(
                f"{ray.title}, d = {one.d:g}: mean off by {one.off:+.2e} ± {one.off_error:.0e}, "
                f"scatter {one.scatter:.3e} ± {one.scatter_error:.0e}", flush=True,
            )  # fmt: skip
        wanted = dict(zip(("mean", "scatter"), expected(ray), strict=True))
        for several in (points, points[-2:]):
            for what, (value, half) in slopes(several).items():
                print(
                    f"{ray.title}, from d = {several[0].d:g}: {what} ~ d^{value:.3f} ± {half:.3f}, "
                    f"expected {wanted[what]:g}", flush=True,
                )  # fmt: skip
    if arguments:
        draw(measured, arguments[0])


if __name__ == "__main__":
    main(sys.argv[1:])
