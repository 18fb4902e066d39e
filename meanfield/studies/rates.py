"""Power laws in d, fitted with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """A fitted exponent: the quantity falls like d^slope as d grows.

    Attributes
    ----------
    slope : float
        The exponent.
    low, high : float
        A 95 % interval: scatter about the fit and, added to it, what the fit's truncation may hide.
    prefactor : float
        Of the power law itself: quantity ≈ prefactor d^slope at large d.
    points : int
        Number of dimensions fitted.
    """

    slope: float
    low: float
    high: float
    prefactor: float
    points: int

    def __str__(self) -> str:
        return f"{self.slope:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def fit_rate(dims: NDArray[np.float64], values: NDArray[np.float64]) -> Rate:
    """Fit log value = c + slope · log d + b/d over the dimensions.

    The term b/d is the next order of an expansion in 1/d: without it, small d bends the slope. The
    interval is Student's for the least squares, widened by how far the slope moves when the
    smallest d is left out (three points or fewer left: when b is left out instead).

    Parameters
    ----------
    dims, values : ndarray, shape (m,)
        At least four dimensions, finite and distinct; positive values.

    Returns
    -------
    Rate

    Raises
    ------
    ValueError
        If fewer than four points have a positive value.
    """
    keep = np.isfinite(dims) & (values > 0)
    d, log_value = dims[keep], np.log(values[keep])
    if len(d) < 4:
        raise ValueError(
            f"a rate needs positive values at four or more finite dimensions, got {len(d)}"
        )
    solution, covariance = _least_squares(d, log_value, corrected=True)
    shifted, _ = _least_squares(d[1:], log_value[1:], corrected=len(d) > 4)
    slope = float(solution[1])
    scatter = stdtrit(len(d) - 3, 0.5 + CONFIDENCE / 2) * float(np.sqrt(covariance[1, 1]))
    half = scatter + abs(float(shifted[1]) - slope)
    return Rate(slope, slope - half, slope + half, float(np.exp(solution[0])), len(d))


def _least_squares(
    d: NDArray[np.float64], log_value: NDArray[np.float64], *, corrected: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    columns = [np.ones_like(d), np.log(d)] + ([1.0 / d] if corrected else [])
    design = np.column_stack(columns)
    solution, *_ = np.linalg.lstsq(design, log_value, rcond=None)
    residual = log_value - design @ solution
    freedom = max(len(d) - design.shape[1], 1)
    variance = float(residual @ residual) / freedom
    return solution, variance * np.linalg.inv(design.T @ design)
