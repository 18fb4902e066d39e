"""Sums over Hermite expansions: E σ(x) τ(y) = Σ_n c_n d_n ρⁿ for unit Gaussians of correlation ρ.

Mehler's formula, with c_n and d_n the coefficients of σ and τ on polynomials of unit norm.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.options import serial, shared


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
