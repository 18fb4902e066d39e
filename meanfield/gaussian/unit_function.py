"""What averages need to know of a function of one Gaussian coordinate, and what its kinks add.

That part is Σ_κ J_κ (x − κ)₊. Hermite coefficients of a kink fall slowly, so that pairs of kinks on
nearly parallel units are what a cut sum misses. They are bivariate normal probabilities (Owen 1956,
his T function in SciPy).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, owens_t


class UnitFunction(Protocol):
    """A function σ of a pre-activation, such as an `Activation`; hashable: its rules are kept."""

    @property
    def code(self) -> int:
        """Number by which kernels and closed forms know it."""

    @property
    def parameter(self) -> float:
        """Slope of a leaky ReLU below 0, degree of a Hermite polynomial, else 0."""

    @property
    def kinks(self) -> tuple[float, ...]:
        """Where σ' jumps."""

    @property
    def strip(self) -> float:
        """Distance from the real axis to which σ is analytic."""

    @property
    def smooth(self) -> bool:
        """False where σ has a kink."""

    @property
    def function(self) -> Any:
        """σ, elementwise on arrays."""

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where panels of quadratures end."""

    @property
    def edges(self) -> tuple[float, ...]:
        """Ends of panels on which a steep function is a polynomial."""

    @property
    def powers(self) -> tuple[float, ...]:
        """Of a polynomial its coefficients, constant first; else empty."""

    @property
    def derivative(self) -> Any:
        """σ', elementwise on arrays."""

    def __hash__(self) -> int: ...


Array = NDArray[np.float64]

# from a kink at which slopes are read; twice that corrects for curvature
ASIDE = 2.0**-10


class Ramps(NamedTuple):
    """Σ_κ J_κ (x − κ)₊: where the ramps start, and by how much each turns the slope."""

    at: Array
    jumps: Array

    def values(self, x: Array) -> tuple[Array, Array]:
        """The function and its slope, elementwise."""
        total, slope = np.zeros_like(x), np.zeros_like(x)
        for kink, jump in zip(self.at, self.jumps, strict=True):
            total += jump * np.maximum(x - kink, 0.0)
            slope += jump * (x > kink)
        return total, slope


@lru_cache(maxsize=64)
def ramps_of(sigma: UnitFunction) -> Ramps:
    """The part of an activation that carries its kinks."""
    at = np.asarray(sigma.kinks, dtype=np.float64)
    near, far = (sigma.derivative(at + h) - sigma.derivative(at - h) for h in (ASIDE, 2 * ASIDE))
    return Ramps(at, 2.0 * np.asarray(near) - np.asarray(far))


def ramp_averages(
    left: Ramps, right: Ramps, q1: Array, q2: Array, rho: Array
) -> tuple[Array, Array, Array]:
    """I, A and B for units of two sums of ramps, variances (m,), (n,), correlations (m, n)."""
    root1, root2 = np.sqrt(np.maximum(q1, 0.0))[:, None], np.sqrt(np.maximum(q2, 0.0))[None, :]
    inverse = np.divide(1.0, root1, out=np.zeros_like(root1), where=root1 > 1e-150)
    s = np.sqrt(np.maximum((1.0 - rho) * (1.0 + rho), 1e-300))
    value, A, B = np.zeros_like(rho), np.zeros_like(rho), np.zeros_like(rho)
    for kink, jump in zip(left.at, left.jumps, strict=True):
        for other, turn in zip(right.at, right.jumps, strict=True):
            a = np.broadcast_to(kink / np.maximum(root1, 1e-150), rho.shape)
            b = np.broadcast_to(other / np.maximum(root2, 1e-150), rho.shape)
            both, weight = _upper_orthant(a, b, rho, s), jump * turn
            beyond = _mean_beyond(rho * a - b, s)  # E (y − b)₊ given x = a
            edge_a, edge_b = _density(a), _density(b)
            first = rho * edge_a * ndtr((rho * a - b) / s) + edge_b * ndtr((rho * b - a) / s)
            ramp = edge_a * beyond + rho * both - a * (first - b * both)
            value += weight * root1 * root2 * np.where(np.isfinite(ramp), ramp, 0.0)
            A += weight * both
            B += weight * root2 * inverse * edge_a * beyond
    return value, A, B


def _upper_orthant(a: Array, b: Array, rho: Array, s: Array) -> Array:
    """P(x > a, y > b) for unit Gaussians of correlation ρ, s = √(1 − ρ²)."""
    h = np.clip(np.where(a == 0.0, 1e-200, -a), -1e100, 1e100)
    k = np.clip(np.where(b == 0.0, 1e-200, -b), -1e100, 1e100)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        first = owens_t(h, np.nan_to_num((k / h - rho) / s, nan=0.0))
        second = owens_t(k, np.nan_to_num((h / k - rho) / s, nan=0.0))
    opposite = np.where(h * k < 0.0, 0.5, 0.0)
    return np.clip(0.5 * (ndtr(h) + ndtr(k)) - first - second - opposite, 0.0, 1.0)


def _mean_beyond(mean: Array, s: Array) -> Array:
    """E (mean + sG)₊."""
    return mean * ndtr(mean / s) + s * _density(mean / s)


def _density(x: Array) -> Array:
    return np.exp(-0.5 * np.minimum(x * x, 1500.0)) / math.sqrt(2.0 * math.pi)
