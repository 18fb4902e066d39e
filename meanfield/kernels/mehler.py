"""Sums over Hermite expansions: E σ(x) τ(y) = Σ_n c_n d_n ρⁿ for unit Gaussians of correlation ρ.

Mehler's formula, with c_n and d_n the coefficients of σ and τ on polynomials of unit norm.
"""

from __future__ import annotations

from numba import prange

from meanfield.kernels.options import parallel


@parallel
def pair_sums(C, S, B, D, T, R, value, A, curvature):
    """Three sums for every pair, by Horner's rule in the correlations R (m, n).

    Coefficients of the left functions: C (m, N) of σ, S of σ', B of σ''. Of the right ones,
    transposed: D (N, n) of τ, T of τ'. Writes value = Σ C D Rⁿ, A = Σ S T Rⁿ and
    curvature = Σ B D Rⁿ, (m, n).
    """
    m, N = C.shape
    n = R.shape[1]
    for i in prange(m):
        for j in range(n):
            value[i, j], A[i, j], curvature[i, j] = 0.0, 0.0, 0.0
        for degree in range(N - 1, -1, -1):
            c, s, b = C[i, degree], S[i, degree], B[i, degree]
            for j in range(n):
                rho = R[i, j]
                value[i, j] = value[i, j] * rho + c * D[degree, j]
                A[i, j] = A[i, j] * rho + s * T[degree, j]
                curvature[i, j] = curvature[i, j] * rho + b * D[degree, j]


@parallel
def value_sums(C, D, R, value):
    """The first of the three alone."""
    m, N = C.shape
    n = R.shape[1]
    for i in prange(m):
        for j in range(n):
            value[i, j] = 0.0
        for degree in range(N - 1, -1, -1):
            c = C[i, degree]
            for j in range(n):
                value[i, j] = value[i, j] * R[i, j] + c * D[degree, j]
