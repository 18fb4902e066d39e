"""Power laws and limits in d, fitted with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri, stdtrit

CONFIDENCE = 0.95
SUSPICION = 0.9  # of Fisher's test that dimensions scatter together
ROUNDING = 1e-12
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rate:
    """A fitted exponent: the quantity falls like d^slope as d grows.

    Attributes
    ----------
    slope : float
        The exponent.
    low, high : float
        A 95 % interval: scatter between replicas, or about the fit if there are none or if it is
        significantly more, and added to it what the fit's truncation may hide.
    prefactor : float
        Of the power law itself: quantity ≈ prefactor d^slope at large d.
    points : int
        Number of dimensions fitted.
    residual : float
        Root mean square of the logarithms about the fit.
    r_squared : float
        Share of the variance of the logarithms that the fit explains.
    correction : float
        b of the next order, exp(b/d): at finite d the fit is prefactor d^slope exp(b/d).
    sampling : float
        Standard error of the slope by the bootstrap over replicas; NaN without replicas.

    Examples
    --------
    >>> import meanfield as mf
    >>> study = mf.concentration_study(
    ...     mf.CommitteeTarget(k=1), [20, 40, 80, 160], n=20, t_end=1.0, replicas=2
    ... )
    >>> rate = study.rate("leak")
    >>> -1.1 < rate.low < rate.high < -0.9, rate.r_squared > 0.999
    (True, True)
    """

    slope: float
    low: float
    high: float
    prefactor: float
    points: int
    residual: float = math.nan
    r_squared: float = math.nan
    correction: float = 0.0
    sampling: float = math.nan

    def __str__(self) -> str:
        return f"{self.slope:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Limit:
    """A quantity extrapolated to d = ∞ from finite dimensions.

    Attributes
    ----------
    value : float
        By a polynomial in 1/d, of the degree with the least error.
    low, high : float
        Its 95 % interval: how far the degree below moves it, and scatter between replicas.
    solved : float
        What the run at d = ∞ found; NaN without one.
    degree : int
        Of the polynomial.

    Examples
    --------
    >>> import math, meanfield as mf
    >>> study = mf.concentration_study(
    ...     mf.CommitteeTarget(k=1), [20, 40, 80, 160, math.inf], n=20, t_end=1.0, replicas=2
    ... )
    >>> limit = study.extrapolate("risk")
    >>> limit.low <= limit.value <= limit.high
    True
    """

    value: float
    low: float
    high: float
    solved: float
    degree: int

    @property
    def agrees(self) -> bool:
        """Whether the interval holds what the run at d = ∞ found."""
        return self.low <= self.solved <= self.high

    def __str__(self) -> str:
        found = f"{self.value:.6g} [{self.low:.6g}, {self.high:.6g}]"
        return found if math.isnan(self.solved) else f"{found}, solved {self.solved:.6g}"


@dataclass(frozen=True)
class Resampled:
    """Means over replicas drawn again with replacement, (draws, m), of `replicas` replicas."""

    means: Array
    replicas: int

    def error(self, statistics: Array) -> float:
        """Standard error of a statistic, given its value on each draw.

        The bootstrap leaves out √(R/(R − 1)) of the scatter of R replicas.
        """
        R = self.replicas
        return float(np.std(statistics)) * math.sqrt(R / (R - 1))

    def half(self, statistics: Array) -> float:
        """Its 95 % half-width: Student's quantile makes up for how few the replicas are."""
        return Scatter(self.error(statistics) ** 2, self.replicas - 1.0).half


def fit_rate(dims: Array, values: Array, resampled: Resampled | None = None) -> Rate:
    """Fit log value = c + slope · log d + b/d over the dimensions.

    The term b/d is the next order of an expansion in 1/d: without it, small d bends the slope. The
    interval is Student's for the least squares, widened by how far the slope moves when the
    smallest d is left out, of four points b as well, and of three b alone.

    With replicas the bootstrap says how much each dimension scatters. Scatter common to all
    dimensions moves no slope; what is left of each dimension counts as independent of the others',
    with the degrees of freedom of all together (Welch–Satterthwaite), unless that of the slopes
    themselves is significantly more. The least squares' interval is then taken only if the points
    lie significantly further from the fit than they scatter, and a shift counts for what of it is
    more than scatter.

    Parameters
    ----------
    dims, values : ndarray, shape (m,)
        At least three dimensions, finite and distinct; positive values.
    resampled : Resampled, optional
        The values on resampled replicas.

    Returns
    -------
    Rate

    Raises
    ------
    ValueError
        If fewer than three points have a positive value.
    """
    keep = np.isfinite(dims) & (values > 0)
    d, log_value = dims[keep], np.log(values[keep])
    if len(d) < 3:
        few = "a rate needs positive values at three or more finite dimensions"
        raise ValueError(f"{few}, got {len(d)}")
    solution, covariance, residual = _least_squares(d, log_value, corrected=True)
    first, corrected = int(len(d) > 3), len(d) > 4
    shifted, *_ = _least_squares(d[first:], log_value[first:], corrected=corrected)
    slope = float(solution[1])
    fitted = Scatter(float(covariance[1, 1]), max(len(d) - 3.0, 1.0))
    moved, half, sampling = abs(float(shifted[1]) - slope), fitted.half, math.nan
    drawn = None if resampled is None else _log_draws(resampled, keep)
    if resampled is not None and drawn is not None:
        full = _slope_of(d, corrected=True)
        less = np.append(np.zeros(first), _slope_of(d[first:], corrected=corrected))
        sampling = resampled.error(drawn @ full)
        between = _scatter(resampled, drawn, full)
        half = between.half
        if fitted.exceeds(between, CONFIDENCE):
            half = max(half, fitted.half)
        by_chance = _scatter(resampled, drawn, less - full).half
        moved = math.sqrt(max(moved**2 - by_chance**2, 0.0))
    half += moved
    total = float(((log_value - log_value.mean()) ** 2).sum())
    squares = float(residual @ residual)
    return Rate(
        slope, slope - half, slope + half, float(np.exp(solution[0])), len(d),
        residual=math.sqrt(squares / len(d)),
        r_squared=1.0 - squares / total if total > 0 else 1.0,
        correction=float(solution[2]),
        sampling=sampling,
    )  # fmt: skip


@dataclass(frozen=True)
class Scatter:
    """A variance, and the degrees of freedom that it was estimated with."""

    variance: float
    freedom: float

    @property
    def half(self) -> float:
        """Half of the 95 % interval."""
        return float(stdtrit(self.freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(self.variance)

    def exceeds(self, other: Scatter, confidence: float) -> bool:
        """Whether it is more by Fisher's test than another of the same quantity."""
        least = float(fdtri(self.freedom, other.freedom, confidence))
        return self.variance > least * other.variance


def _scatter(resampled: Resampled, drawn: Array, weights: Array) -> Scatter:
    """Of a linear function of the logarithms (draws, m) whose weights (m,) add up to zero."""
    R, m = resampled.replicas, drawn.shape[1]
    together = Scatter(resampled.error(drawn @ weights) ** 2, R - 1.0)
    # what all dimensions share adds nothing; to take it off takes a share of the rest
    own = (drawn - drawn.mean(axis=1, keepdims=True)).var(axis=0) * R / (R - 1) * m / (m - 1)
    parts = weights**2 * own
    total = float(parts.sum())
    if total == 0.0:
        return together
    apart = Scatter(total, total**2 / float((parts**2).sum()) * (R - 1))
    if together.exceeds(apart, SUSPICION):
        return together
    return Scatter(max(apart.variance, together.variance), apart.freedom)


def _log_draws(resampled: Resampled, keep: NDArray[np.bool_]) -> Array | None:
    """Logarithms of the means that are positive throughout; None if there are not two."""
    means = resampled.means[:, keep]
    means = means[(means > 0).all(axis=1)]
    return np.log(means) if len(means) > 1 else None


def fit_limit(
    dims: Array, values: Array, solved: float, resampled: Resampled | None = None
) -> Limit:
    """Extrapolate value = y∞ + c₁/d + c₂/d² + … to d = ∞.

    Parameters
    ----------
    dims, values : ndarray, shape (m,)
        At least three finite dimensions.
    solved : float
        The value at d = ∞, to compare with.
    resampled : Resampled, optional
        The values on resampled replicas.

    Returns
    -------
    Limit

    Raises
    ------
    ValueError
        If there are fewer than three finite dimensions.
    """
    keep = np.isfinite(dims) & np.isfinite(values)
    x, y = 1.0 / dims[keep], values[keep]
    if len(x) < 3:
        raise ValueError(f"a limit needs three or more finite dimensions, got {len(x)}")
    best: tuple[float, int, float] | None = None
    below = _intercept(x, y, 0)
    for degree in range(1, len(x)):
        value = _intercept(x, y, degree)
        half = abs(float(value - below)) + ROUNDING * float(np.abs(y).max())
        if resampled is not None:
            scatter = resampled.half(_intercept(x, resampled.means[:, keep].T, degree))
            half = math.hypot(half, scatter)
        if best is None or half < best[0]:
            best = half, degree, float(value)
        below = value
    assert best is not None
    half, degree, value = best
    return Limit(value, value - half, value + half, solved, degree)


def _intercept(x: Array, y: Array, degree: int) -> Any:
    """At x = 0, of the polynomial through or nearest to y (m,) or (m, draws)."""
    design = np.vander(x / x.max(), degree + 1, increasing=True)
    return np.linalg.lstsq(design, y, rcond=None)[0][0]


def _design(d: Array, *, corrected: bool) -> Array:
    return np.column_stack([np.ones_like(d), np.log(d)] + ([1.0 / d] if corrected else []))


def _slope_of(d: Array, *, corrected: bool) -> Array:
    """The slope is linear in the logarithms: its weights (m,)."""
    return np.asarray(np.linalg.pinv(_design(d, corrected=corrected))[1])


def _least_squares(d: Array, log_value: Array, *, corrected: bool) -> tuple[Array, Array, Array]:
    design = _design(d, corrected=corrected)
    solution = np.asarray(np.linalg.lstsq(design, log_value, rcond=None)[0], dtype=np.float64)
    residual = log_value - design @ solution
    freedom = max(len(d) - design.shape[1], 1)
    variance = float(residual @ residual) / freedom
    return solution, variance * np.linalg.inv(design.T @ design), residual
