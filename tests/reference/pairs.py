"""Slow, obvious twins of the pair averages: two-dimensional quadrature over (x, y)."""

from __future__ import annotations

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import erf

REACH = 11.0

SIGMA = {
    "erf": lambda x: erf(x / np.sqrt(2.0)),
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "square": lambda x: x**2,
}
SLOPE = {
    "erf": lambda x: np.sqrt(2.0 / np.pi) * np.exp(-0.5 * x**2),
    "relu": lambda x: np.where(x > 0, 1.0, 0.0),
    "square": lambda x: 2.0 * x,
}
BEND = {
    "erf": lambda x: -x * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * x**2),
    "square": lambda x: np.full_like(x, 2.0),
}


def panels(ends: np.ndarray, nodes: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre between consecutive `ends` (..., m), with the weight of a standard normal."""
    x, w = leggauss(nodes)
    half = 0.5 * np.diff(ends, axis=-1)[..., None]
    points = ends[..., :-1, None] + half * (x + 1.0)
    weights = half * w * np.exp(-0.5 * points**2) / np.sqrt(2.0 * np.pi)
    flat = (*ends.shape[:-1], -1)
    return points.reshape(flat), weights.reshape(flat)


def average(function, q1: float, q2: float, c: float) -> float:
    """E function(x, y), where it may have kinks at x = 0 and y = 0."""
    graded = REACH * np.append(0.0, 4.0 ** np.arange(-8, 1))
    s, w_s = panels(np.concatenate((-graded[:0:-1], graded)))
    mean, spread = c / np.sqrt(q1) * s, np.sqrt(max(q2 - c * c / q1, 0.0))
    # y = mean + spread t has its kink at t = −mean/spread, another for every s
    kink = np.clip(-mean / spread, -REACH, REACH) if spread > 0 else np.zeros_like(s)
    fixed = np.broadcast_to(np.array([-REACH, -4.0, 0.0, 4.0, REACH]), (s.size, 5))
    t, w_t = panels(np.sort(np.column_stack((fixed, kink)), axis=1))
    x = np.sqrt(q1) * s[:, None] + 0.0 * t
    y = mean[:, None] + spread * t
    return float(w_s @ (w_t * function(x, y)).sum(axis=1))


def pair_average(sigma: str, tau: str, q1: float, q2: float, c: float) -> tuple:
    """I = E σ(x) τ(y), A = E σ'(x) τ'(y), B = E σ''(x) τ(y)."""
    value = average(lambda x, y: SIGMA[sigma](x) * SIGMA[tau](y), q1, q2, c)
    A = average(lambda x, y: SLOPE[sigma](x) * SLOPE[tau](y), q1, q2, c)
    if sigma == "relu":  # σ'' is a Dirac mass: the density of x at 0 times E τ(y) given x = 0
        t, w = panels(np.array([-REACH, -4.0, 0.0, 4.0, REACH]))
        given_zero = w @ SIGMA[tau](np.sqrt(max(q2 - c * c / q1, 0.0)) * t)
        return value, A, float(given_zero / np.sqrt(2.0 * np.pi * q1))
    B = average(lambda x, y: BEND[sigma](x) * SIGMA[tau](y), q1, q2, c)
    return value, A, B
