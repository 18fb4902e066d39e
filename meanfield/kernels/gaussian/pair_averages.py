"""Gaussian averages over a pair of pre-activations: in closed form, or by Hermite expansions.

For (x, y) ~ N(0, [[q1, c], [c, q2]]) and activations σ, τ:

    I = E σ(x) τ(y),   A = E σ'(x) τ'(y),   B = E σ''(x) τ(y).

By Stein's lemma A and B are all the drift needs: for any jointly Gaussian l,
E σ'(x) τ(y) l = B cov(x, l) + A cov(y, l).  erf: Saad & Solla 1995, with erf(x/√2). ReLU: the
arc-cosine kernels. Mixed pairs follow by splitting each function into its odd and even parts.
Others by Mehler's formula, E σ(x) τ(y) = Σ_n c_n d_n ρⁿ for unit Gaussians of correlation ρ, with
c_n and d_n the coefficients of σ and τ on polynomials of unit norm.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.activations.units import ERF, RELU, SQUARE
from meanfield.kernels.options import serial, serial_strict, shared

TWO_OVER_PI = 2.0 / math.pi
ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)


@serial_strict
def erf_value(q1, q2, c):
    """E erf(x/√2) erf(y/√2)."""
    return TWO_OVER_PI * math.asin(c / math.sqrt((1.0 + q1) * (1.0 + q2)))


@serial_strict
def erf_slopes(q1, q2, c):
    """A and B for σ = τ = erf(·/√2)."""
    A = TWO_OVER_PI / math.sqrt((1.0 + q1) * (1.0 + q2) - c * c)
    return A, -A * c / (1.0 + q1)


@serial_strict
def relu_slopes(q1, q2, c):
    """A and B for σ = τ = ReLU; a vanishing neuron contributes as its limit from q > 0."""
    if q1 <= 0.0 or q2 <= 0.0:
        return 0.25, 0.0
    determinant = max(q1 * q2 - c * c, 0.0)
    root = math.sqrt(determinant)
    # atan2 keeps full relative accuracy where asin(c/√(q1 q2)) loses half the digits
    A = 0.25 + math.atan2(c, root) / (2.0 * math.pi)
    return A, root / (2.0 * math.pi * q1)


@serial_strict
def relu_value(q1, q2, c):
    """E ReLU(x) ReLU(y)."""
    root = math.sqrt(max(q1 * q2 - c * c, 0.0))
    return root / (2.0 * math.pi) + c * (0.25 + math.atan2(c, root) / (2.0 * math.pi))


@serial_strict
def pair_average(sigma, tau, q1, q2, c):
    """I, A, B for any two activation codes; see the module."""
    if sigma == ERF and tau == ERF:
        A, B = erf_slopes(q1, q2, c)
        return erf_value(q1, q2, c), A, B
    if sigma == RELU and tau == RELU:
        A, B = relu_slopes(q1, q2, c)
        return relu_value(q1, q2, c), A, B
    if sigma == SQUARE and tau == SQUARE:
        return q1 * q2 + 2.0 * c * c, 4.0 * c, 2.0 * q2
    if sigma == ERF and tau == RELU:
        A = 0.5 * ROOT_TWO_OVER_PI / math.sqrt(1.0 + q1)
        return c * A, A, -c * A / (1.0 + q1)
    if sigma == RELU and tau == ERF:
        A = 0.5 * ROOT_TWO_OVER_PI / math.sqrt(1.0 + q2)
        return c * A, A, 0.0
    if (sigma == ERF and tau == SQUARE) or (sigma == SQUARE and tau == ERF):
        return 0.0, 0.0, 0.0
    if sigma == RELU and tau == SQUARE:
        if q1 <= 0.0:
            return 0.0, 0.0, 0.0
        root = math.sqrt(q1)
        value = 0.5 * ROOT_TWO_OVER_PI * (c * c / root + q2 * root)
        return value, ROOT_TWO_OVER_PI * c / root, 0.5 * ROOT_TWO_OVER_PI * (q2 - c * c / q1) / root
    if sigma == SQUARE and tau == RELU:
        if q2 <= 0.0:
            return 0.0, 0.0, 0.0
        root = math.sqrt(q2)
        value = 0.5 * ROOT_TWO_OVER_PI * (c * c / root + q1 * root)
        return value, ROOT_TWO_OVER_PI * c / root, ROOT_TWO_OVER_PI * root
    return math.nan, math.nan, math.nan


@serial_strict
def pair_matrices(sigma, tau, q1, q2, c):
    """I, A, B for all pairs: q1 (m,), q2 (n,), c (m, n) -> three (m, n) arrays."""
    m, n = c.shape
    value, A, B = np.empty((m, n)), np.empty((m, n)), np.empty((m, n))
    for i in range(m):
        for j in range(n):
            value[i, j], A[i, j], B[i, j] = pair_average(sigma, tau, q1[i], q2[j], c[i, j])
    return value, A, B


@shared(lambda C, S, B, D, T, R, *_: (len(R), 1.0 * R.size * C.shape[1]))
def pair_sums(first, last, C, S, B, D, T, R, value, A, curvature):
    """Three sums for every pair, by Horner's rule in the correlations R (m, n).

    Coefficients of the left functions: C (m, N) of σ, S of σ', B of σ''. Of the right ones,
    transposed: D (N, n) of τ, T of τ'. Writes value = Σ C D Rⁿ, A = Σ S T Rⁿ and
    curvature = Σ B D Rⁿ, (m, n).
    """
    for i in range(first, last):
        _row(i, C, S, B, D, T, R, value, A, curvature)


@serial
def _row(i, C, S, B, D, T, R, value, A, curvature):
    n = R.shape[1]
    for j in range(n):
        value[i, j], A[i, j], curvature[i, j] = 0.0, 0.0, 0.0
    for degree in range(C.shape[1] - 1, -1, -1):
        c, s, b = C[i, degree], S[i, degree], B[i, degree]
        for j in range(n):
            rho = R[i, j]
            value[i, j] = value[i, j] * rho + c * D[degree, j]
            A[i, j] = A[i, j] * rho + s * T[degree, j]
            curvature[i, j] = curvature[i, j] * rho + b * D[degree, j]


@shared(lambda f, slope, g, w, C, *_: (len(g), 1.0 * g.size * C.shape[1]))
def project_rows(first, last, f, slope, g, w, C, S):
    """C_in = Σ_s w_is f_is h_n(g_is), and S with the slopes: f, slope, g, w (m, nodes)."""
    nodes = g.shape[1]
    count = C.shape[1]
    for i in range(first, last):
        before, now = np.zeros(nodes), np.ones(nodes)
        for n in range(count):
            value, slopes = 0.0, 0.0
            low, high = math.sqrt(float(n)), 1.0 / math.sqrt(n + 1.0)
            for s in range(nodes):
                weighted = w[i, s] * now[s]
                value += weighted * f[i, s]
                slopes += weighted * slope[i, s]
                following = (g[i, s] * now[s] - low * before[s]) * high
                before[s], now[s] = now[s], following
            C[i, n], S[i, n] = value, slopes
