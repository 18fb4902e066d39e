"""Averages over a pair of pre-activations for every pair of activations.

For (x, y) ~ N(0, [[q1, c], [c, q2]]): I = E σ(x) τ(y), A = E σ'(x) τ'(y), B = E σ''(x) τ(y). In
closed form for erf, ReLU and square among themselves (`meanfield.kernels.gaussian.pair_averages`),
leaky ReLU with all of these, GELU with itself and erf, and sine with itself; by Hermite expansion
otherwise, which is exact for polynomials.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.gaussian.hermite_expansions import REACH, Expansion, KinkExpansion, expand
from meanfield.gaussian.unit_function import Ramps, UnitFunction, ramp_averages
from meanfield.kernels.activations.units import ERF, GELU, LEAKY_RELU, RELU, SINE, SQUARE
from meanfield.kernels.gaussian.pair_averages import (
    ROOT_TWO_OVER_PI,
    TWO_OVER_PI,
    pair_matrices,
    pair_sums,
)

Array = NDArray[np.float64]


class PairAverages(NamedTuple):
    """I, A and B (m, n), and the largest error of I and A relative to their norms.

    What a cut leaves out, what the coefficients miss, and what closed forms of ramps round. The
    norms are those of `held_to`.
    """

    value: Array
    A: Array
    B: Array
    error: float = 0.0


def has_closed_form(sigma: UnitFunction, tau: UnitFunction) -> bool:
    """Whether a pair of activations needs no expansion."""
    codes = {sigma.code, tau.code}
    family = {ERF, RELU, SQUARE, LEAKY_RELU}
    return codes <= family or codes <= {GELU, ERF} or codes == {SINE}


def pair_averages(
    sigma: UnitFunction, tau: UnitFunction, q1: Array, q2: Array, c: Array, *, same: bool = False
) -> PairAverages:
    """I, A, B for all pairs of two sets of units.

    Parameters
    ----------
    sigma, tau : UnitFunction
    q1, q2 : ndarray, shapes (m,), (n,)
        Variances.
    c : ndarray, shape (m, n)
        Covariances.
    same : bool
        The two sets are one, so that the diagonal pairs a unit with itself: it is then computed
        by itself, to rounding.
    """
    if has_closed_form(sigma, tau):
        return closed_averages(sigma, tau, q1, q2, c)
    left = expand(sigma, q1)
    right = left if same else expand(tau, q2)
    degree = max(left.degree, right.degree)
    if left.degree < degree:
        left = expand(sigma, q1, degree)
    if right.degree < degree:
        right = expand(tau, q2, degree)
    return expanded_averages(left, right, q1, q2, c, same=same)


def expanded_averages(
    left: Expansion, right: Expansion, q1: Array, q2: Array, c: Array, *, same: bool,
    with_error: bool = True,
) -> PairAverages:  # fmt: skip
    """The same from expansions of one degree; without its error, which is 0 then, for less."""
    scale, rho = _correlations(q1, q2, c)
    value, A, B = _sums(left, right, rho)
    if left.kinks is not None and right.kinks is not None:
        # the cut sum of the ramps of both gives way to their closed form
        exact = ramp_averages(left.kinks.ramps, right.kinks.ramps, q1, q2, rho)
        cut = _sums(left.kinks, right.kinks, rho)
        value, A, B = (x + y - z for x, y, z in zip((value, A, B), exact, cut, strict=True))
        norms, slope_norms = _norms(left, right)
        value, A = np.clip(value, -norms, norms), np.clip(A, -slope_norms, slope_norms)
        B = _clipped_curvature(B, A, (left, right), (q1, q2), rho)
    if same:
        np.fill_diagonal(value, left.square)
        np.fill_diagonal(A, left.slope_square)
        np.fill_diagonal(B, left.mixed)
        np.fill_diagonal(rho, 0.0)
    return PairAverages(value, A, B, _error(left, right, scale, rho) if with_error else 0.0)


def expanded_error(left: Expansion, right: Expansion, q1: Array, q2: Array, c: Array) -> float:
    """The error of the same, of two sets of units, without the averages."""
    return _error(left, right, *_correlations(q1, q2, c))


def _error(left: Expansion, right: Expansion, scale: Array, rho: Array) -> float:
    """See `PairAverages`; what pairs do not leave to the sums has a correlation of 0 here."""
    missed = left.tail[:, None] * right.tail
    slopes_missed = left.slope_tail[:, None] * right.slope_tail
    digits: tuple[Array | float, Array | float] = (0.0, 0.0)
    if left.kinks is not None and right.kinks is not None:
        missed = left.kinks.tail[:, None] * right.tail + left.tail[:, None] * right.kinks.tail
        slopes_missed = left.kinks.slope_tail[:, None] * right.slope_tail
        slopes_missed += left.slope_tail[:, None] * right.kinks.slope_tail
        norms, slope_norms = _norms(left, right)
        rounding = _rounding(left.kinks.ramps, right.kinks.ramps)
        digits = np.minimum(rounding * scale, norms), np.minimum(rounding, slope_norms)
    damping = np.abs(rho) ** left.degree
    error = max(left.error, right.error)
    for miss, lost, one, other in zip(
        (missed, slopes_missed), digits, left.held, right.held, strict=True
    ):
        error = max(error, float(((damping * miss + lost) / (one[:, None] * other)).max()))
    return error


def _correlations(q1: Array, q2: Array, c: Array) -> tuple[Array, Array]:
    """√(q1 q2) of all pairs, and their correlations."""
    scale = np.sqrt(np.maximum(q1, 0.0)[:, None] * np.maximum(q2, 0.0))
    rho = np.divide(c, scale, out=np.zeros_like(c), where=scale > 0.0)
    return scale, np.clip(rho, -1.0, 1.0)


def _norms(left: Expansion, right: Expansion) -> tuple[Array, Array]:
    """Bounds of I and A of all pairs."""
    return (
        np.sqrt(left.square)[:, None] * np.sqrt(right.square),
        np.sqrt(left.slope_square)[:, None] * np.sqrt(right.slope_square),
    )


def _clipped_curvature(
    B: Array, A: Array, units: tuple[Expansion, Expansion], q: tuple[Array, Array], rho: Array
) -> Array:
    """E σ''(x) τ(y) within E |g σ'| |τ|/√q1 + |c A|/q1, g = x/√q1, by partial integration."""
    (left, right), (q1, q2) = units, q
    sizes = np.sqrt(left.slope_square)[:, None] * np.sqrt(right.square)
    root1, root2 = np.sqrt(np.maximum(q1, 1e-300))[:, None], np.sqrt(np.maximum(q2, 0.0))
    bound = (REACH * sizes + np.abs(rho * A) * root2) / root1
    return np.clip(B, -bound, bound)


def _rounding(left: Ramps, right: Ramps) -> float:
    """What the sums over pairs of ramps lose where they cancel: each is good to ε."""
    eps = float(np.finfo(np.float64).eps)
    return eps * float(np.abs(left.jumps).sum() * np.abs(right.jumps).sum())


def _sums(
    left: Expansion | KinkExpansion, right: Expansion | KinkExpansion, rho: Array
) -> tuple[Array, Array, Array]:
    """I, A and B by Mehler's formula."""
    value, A, B = (np.empty_like(rho) for _ in range(3))
    D, T = np.ascontiguousarray(right.C.T), np.ascontiguousarray(right.S.T)
    pair_sums(left.C, left.S, left.B, D, T, rho, value, A, B)
    return value, A, B


def closed_averages(
    sigma: UnitFunction, tau: UnitFunction, q1: Array, q2: Array, c: Array
) -> PairAverages:
    """The same where `has_closed_form`."""
    if sigma.code == SINE:
        return _sines(q1, q2, c)
    if GELU in (sigma.code, tau.code):
        return _gelus(sigma, tau, q1, q2, c)
    # a leaky unit is slope·x + (1 − slope) max(x, 0), and x itself pairs by Stein's lemma
    if LEAKY_RELU in (sigma.code, tau.code):
        return _leaky(sigma, tau, q1, q2, c)
    return PairAverages(*_coded(sigma.code, tau.code, q1, q2, c))


def _coded(sigma: int, tau: int, q1: Array, q2: Array, c: Array) -> tuple[Array, Array, Array]:
    """I, A and B of erf, ReLU and square among themselves."""
    q1, q2, c = (np.array(array, dtype=np.float64, order="C") for array in (q1, q2, c))
    value, A, B = pair_matrices(sigma, tau, q1, q2, c)
    return value, A, B


def _leaky(sigma: UnitFunction, tau: UnitFunction, q1: Array, q2: Array, c: Array) -> PairAverages:
    left, right = (RELU if one.code == LEAKY_RELU else one.code for one in (sigma, tau))
    first, second = (one.parameter if one.code == LEAKY_RELU else 0.0 for one in (sigma, tau))
    value, A, B = _coded(left, right, q1, q2, c)
    slope_right = _mean_slope(right, q2)[None, :]  # E τ'(y)
    slope_left = _mean_slope(left, q1)[:, None]
    kept = (1.0 - first) * (1.0 - second)
    cross = first * (1.0 - second) * slope_right + second * (1.0 - first) * slope_left
    both = cross + first * second
    B = kept * B + second * (1.0 - first) * c * _mean_third(left, q1)[:, None]
    return PairAverages(kept * value + c * both, kept * A + both, B)


def _mean_slope(code: int, q: Array) -> Array:
    """E σ'(x) of erf, ReLU and square."""
    if code == ERF:
        return ROOT_TWO_OVER_PI / np.sqrt(1.0 + q)
    return np.full(len(q), 0.5 if code == RELU else 0.0)


def _mean_third(code: int, q: Array) -> Array:
    """E σ'''(x) of erf, ReLU and square."""
    return -ROOT_TWO_OVER_PI * (1.0 + q) ** -1.5 if code == ERF else np.zeros(len(q))


def _sines(q1: Array, q2: Array, c: Array) -> PairAverages:
    h = 0.5 * np.add.outer(q1, q2)
    plus, minus = 0.5 * np.exp(c - h), 0.5 * np.exp(-c - h)
    return PairAverages(plus - minus, plus + minus, minus - plus)


def _gelus(sigma: UnitFunction, tau: UnitFunction, q1: Array, q2: Array, c: Array) -> PairAverages:
    """GELU is x Φ(x): products of Φ and of the density φ, by tilting the Gaussian."""
    s1, s2 = 1.0 + q1[:, None], 1.0 + q2[None, :]
    if tau.code == ERF:  # only x/2 of GELU is odd
        A = np.broadcast_to(0.5 * ROOT_TWO_OVER_PI / np.sqrt(s2), c.shape)
        return PairAverages(c * A, A.copy(), np.zeros_like(c))
    if sigma.code == ERF:
        A = np.broadcast_to(0.5 * ROOT_TWO_OVER_PI / np.sqrt(s1), c.shape)
        return PairAverages(c * A, A.copy(), -c * A / s1)
    L = s1 * s2 - c * c
    density = 1.0 / (2.0 * math.pi * np.sqrt(L))  # E φ(x) φ(y)
    below = 0.25 + 0.25 * TWO_OVER_PI * np.arcsin(c / np.sqrt(s1 * s2))  # E Φ(x) Φ(y)
    A = below + c * density * (1.0 / s1 + 1.0 / s2 + 1.0 / L)
    v, t = L / s1 - 1.0, c / s1  # variance of y and covariance under the tilt by φ(x)
    value = q1[:, None] * v * density + c * (below + c * density / s2)
    B = density * (2.0 * v - 2.0 * t * t - v * (q1[:, None] / s1 - t * t / (1.0 + v)))
    return PairAverages(value, A, B)
