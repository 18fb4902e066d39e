"""Drift of the overlaps from the pair averages A and B: p² special functions, no p³.

With e the coefficients of ε = Σ_m e_m φ_m(λ_m) over students (e_j = −a_j/p) and targets
(e_r = a*_r/k), Stein's lemma gives ⟨a_i σ'(λ_i) ε l⟩ = Σ_m D_im cov(λ_m, l) + Σ_r E_ir cov(λ*_r, l)
with D_im = a_i e_m A_im + δ_im a_i Σ_n e_n B_in and E_ir = a_i e_r A_ir.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from meanfield.kernels.codes import ERF
from meanfield.kernels.options import parallel, serial
from meanfield.kernels.pairs import TWO_OVER_PI, pair_average


@serial
def _erf_row(i, q, Q, a_i, e, row):
    """row = a_i e_m A_im for erf against erf; returns Σ_m e_m B_im. One loop that vectorises."""
    alpha = 1.0 + q[i]
    total = 0.0
    for m in range(q.size):
        c = Q[i, m]
        A = TWO_OVER_PI / math.sqrt(alpha * (1.0 + q[m]) - c * c)
        row[m] = a_i * e[m] * A
        total -= e[m] * A * c
    return total / alpha


@serial
def _any_row(sigma, tau, q_i, q, c, a_i, e, row):
    """The same for any two activations."""
    total = 0.0
    for m in range(q.size):
        _, A, B = pair_average(sigma, tau, q_i, q[m], c[m])
        row[m] = a_i * e[m] * A
        total += e[m] * B
    return total


@parallel
def drift_matrices(sigma, tau, Q, M, q_target, a, e, e_target, D, E):
    """Fill D (p, p) and E (p, k); Q (p, p), M (p, k), q_target = diag P, e (p,), e_target (k,)."""
    p = a.size
    q = np.empty(p)
    for i in range(p):
        q[i] = Q[i, i]
    for i in prange(p):
        if sigma == ERF:
            b = _erf_row(i, q, Q, a[i], e, D[i])
        else:
            b = _any_row(sigma, sigma, q[i], q, Q[i], a[i], e, D[i])
        b += _any_row(sigma, tau, q[i], q_target, M[i], a[i], e_target, E[i])
        D[i, i] += a[i] * b


@parallel
def field_averages(sigma, tau, Q, M, q_target, e, e_target, out):
    """out_i = ⟨σ(λ_i) ε⟩, the drift of the second layer."""
    p, k = M.shape
    for i in prange(p):
        total = 0.0
        for m in range(p):
            value, _, _ = pair_average(sigma, sigma, Q[i, i], Q[m, m], Q[i, m])
            total += e[m] * value
        for r in range(k):
            value, _, _ = pair_average(sigma, tau, Q[i, i], q_target[r], M[i, r])
            total += e_target[r] * value
        out[i] = total


@parallel
def error_energy(sigma, tau, C, e, p, rows, sizes):
    """⟨ε²⟩ by rows: rows_m = Σ_n e_m e_n I_mn; sizes_m the same of absolute values.

    C (n, n) joins the p students and the targets. The caller sums the rows.
    """
    n = e.size
    for m in prange(n):
        left = sigma if m < p else tau
        total, size = 0.0, 0.0
        for l in range(n):
            right = sigma if l < p else tau
            value, _, _ = pair_average(left, right, C[m, m], C[l, l], C[m, l])
            term = e[m] * e[l] * value
            total += term
            size += abs(term)
        rows[m] = total
        sizes[m] = size


@serial
def semidefinite_factor(N):
    """Lower triangular L with N = L Lᵀ; a column whose pivot is rounding is left at zero."""
    p = N.shape[0]
    L = np.zeros((p, p))
    for j in range(p):
        pivot = N[j, j]
        for l in range(j):
            pivot -= L[j, l] * L[j, l]
        if pivot <= 4e-16 * p * N[j, j]:
            continue
        L[j, j] = math.sqrt(pivot)
        for i in range(j + 1, p):
            entry = N[i, j]
            for l in range(j):
                entry -= L[i, l] * L[j, l]
            L[i, j] = entry / L[j, j]
    return L
