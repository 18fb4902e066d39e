"""Drift of the overlaps from the pair averages A and B: p² special functions, no p³.

With e the coefficients of ε = Σ_m e_m φ_m(λ_m) over students (e_j = −a_j/p) and targets
(e_r = a*_r/k), Stein's lemma gives ⟨a_i σ'(λ_i) ε l⟩ = Σ_m D_im cov(λ_m, l) + Σ_r E_ir cov(λ*_r, l)
with D_im = a_i e_m A_im + δ_im a_i Σ_n e_n B_in and E_ir = a_i e_r A_ir.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.activations.units import ERF
from meanfield.kernels.gaussian.pair_averages import TWO_OVER_PI, pair_average
from meanfield.kernels.inverse_trigonometry import EDGE, asin_sum
from meanfield.kernels.options import serial, shared


@serial
def _erf_row(q_i, q, c, a_i, e, row):
    """row = a_i e_m A_im for erf against erf; returns Σ_m e_m B_im. One loop that vectorises."""
    alpha = 1.0 + q_i
    total = 0.0
    for m in range(q.size):
        A = TWO_OVER_PI / math.sqrt(alpha * (1.0 + q[m]) - c[m] * c[m])
        row[m] = a_i * e[m] * A
        total -= e[m] * A * c[m]
    return total / alpha


@serial
def _row(sigma, tau, q_i, q, c, a_i, e, row):
    """The same for any two activations."""
    if sigma == ERF and tau == ERF:
        return _erf_row(q_i, q, c, a_i, e, row)
    total = 0.0
    for m in range(q.size):
        _, A, B = pair_average(sigma, tau, q_i, q[m], c[m])
        row[m] = a_i * e[m] * A
        total += e[m] * B
    return total


@serial
def _diagonal(Q):
    q = np.empty(Q.shape[0])
    for i in range(q.size):
        q[i] = Q[i, i]
    return q


@serial
def _drift_row(i, sigma, tau, Q, M, q, q_target, a, e, D, E):
    p = a.size
    b = _row(sigma, sigma, q[i], q, Q[i], a[i], e[:p], D[i])
    b += _row(sigma, tau, q[i], q_target, M[i], a[i], e[p:], E[i])
    D[i, i] += a[i] * b


@shared(lambda sigma, tau, Q, *_: (len(Q), 10.0 * Q.size))
def drift_matrices(first, last, sigma, tau, Q, M, P, a, e, D, E):
    """Fill D (p, p) and E (p, k) from Q (p, p), M (p, k), P (k, k), a (p,) and e (p + k,)."""
    q, q_target = _diagonal(Q), _diagonal(P)
    for i in range(first, last):
        _drift_row(i, sigma, tau, Q, M, q, q_target, a, e, D, E)


@serial
def drift_alone(sigma, tau, Q, M, P, a, e, D, E):
    """`drift_matrices` by the calling thread."""
    q, q_target = _diagonal(Q), _diagonal(P)
    for i in range(a.size):
        _drift_row(i, sigma, tau, Q, M, q, q_target, a, e, D, E)


@serial
def _scales(q):
    """(1 + q)^(−1/2): a covariance times two of them is the sine of an erf average."""
    scale = np.empty(q.size)
    for m in range(q.size):
        scale[m] = 1.0 / math.sqrt(1.0 + q[m])
    return scale


@serial
def _values(sigma, tau, q_i, q, scale, c, e, edge):
    """Σ_m e_m ⟨σ(λ_i) τ(λ_m)⟩, and the sum of the terms' sizes."""
    if sigma == ERF and tau == ERF:
        total, size = asin_sum(c, scale, 1.0 / math.sqrt(1.0 + q_i), e, edge)
        return TWO_OVER_PI * total, TWO_OVER_PI * size
    total, size = 0.0, 0.0
    for m in range(c.size):
        value, _, _ = pair_average(sigma, tau, q_i, q[m], c[m])
        total += e[m] * value
        size += abs(e[m] * value)
    return total, size


@serial
def _field(i, sigma, tau, Q, M, q, q_target, scale, scale_target, e, edge):
    p = q.size
    students, _ = _values(sigma, sigma, q[i], q, scale, Q[i], e[:p], edge)
    targets, _ = _values(sigma, tau, q[i], q_target, scale_target, M[i], e[p:], edge)
    return students + targets


@shared(lambda sigma, tau, Q, *_: (len(Q), 10.0 * Q.size))
def field_averages(first, last, sigma, tau, Q, M, P, e, out):
    """out_i = ⟨σ(λ_i) ε⟩, the drift of the second layer; arguments as for `drift_matrices`."""
    q, q_target = _diagonal(Q), _diagonal(P)
    scale, scale_target = _scales(q), _scales(q_target)
    for i in range(first, last):
        edge = np.empty(EDGE)
        out[i] = _field(i, sigma, tau, Q, M, q, q_target, scale, scale_target, e, edge)


@serial
def fields_alone(sigma, tau, Q, M, P, e, out):
    """`field_averages` by the calling thread."""
    q, q_target = _diagonal(Q), _diagonal(P)
    scale, scale_target, edge = _scales(q), _scales(q_target), np.empty(EDGE)
    for i in range(q.size):
        out[i] = _field(i, sigma, tau, Q, M, q, q_target, scale, scale_target, e, edge)


@serial
def _energy_row(i, sigma, tau, Q, M, q, q_target, scale, scale_target, e, edge):
    """The terms of ⟨ε²⟩ that student i has with itself, those before it (twice) and the targets."""
    p = q.size
    own, _, _ = pair_average(sigma, sigma, q[i], q[i], q[i])
    total, size = _values(sigma, sigma, q[i], q, scale, Q[i, :i], e[:i], edge)
    cross, cross_size = _values(sigma, tau, q[i], q_target, scale_target, M[i], e[p:], edge)
    size = 2.0 * abs(e[i]) * (size + cross_size) + e[i] * e[i] * abs(own)
    return e[i] * (2.0 * (total + cross) + e[i] * own), size


@serial
def _target_energy(tau, P, q_target, scale_target, e_target, edge):
    """The terms of ⟨ε²⟩ among the targets."""
    total, size = 0.0, 0.0
    for r in range(q_target.size):
        value, value_size = _values(
            tau, tau, q_target[r], q_target, scale_target, P[r], e_target, edge
        )
        total += e_target[r] * value
        size += abs(e_target[r]) * value_size
    return total, size


@shared(lambda sigma, tau, Q, *_: (len(Q) + 1, 5.0 * Q.size))
def error_energy(first, last, sigma, tau, Q, M, P, e, rows, sizes):
    """⟨ε²⟩ in p + 1 parts for the caller to sum, and the sums of their terms' sizes."""
    p, q, q_target = M.shape[0], _diagonal(Q), _diagonal(P)
    scale, scale_target, edge = _scales(q), _scales(q_target), np.empty(EDGE)
    for i in range(first, min(last, p)):
        rows[i], sizes[i] = _energy_row(
            i, sigma, tau, Q, M, q, q_target, scale, scale_target, e, edge
        )
    if last > p:
        rows[p], sizes[p] = _target_energy(tau, P, q_target, scale_target, e[p:], edge)


@serial
def energy_alone(sigma, tau, Q, M, P, e):
    """⟨ε²⟩ by the calling thread."""
    q, q_target = _diagonal(Q), _diagonal(P)
    scale, scale_target, edge = _scales(q), _scales(q_target), np.empty(EDGE)
    total, _ = _target_energy(tau, P, q_target, scale_target, e[q.size :], edge)
    for i in range(q.size):
        row, _ = _energy_row(i, sigma, tau, Q, M, q, q_target, scale, scale_target, e, edge)
        total += row
    return total


@serial
def square_energy(W, W_star, e, e_target):
    """⟨ε²⟩ of squares, from the one matrix S = Σ e_i w_i w_iᵀ/d of the quadratic form ε.

    E (xᵀSx)² = (tr S)² + 2 |S|²: positive terms, exact however small ε is, and p d² operations.
    """
    d = W.shape[1]
    S = np.zeros((d, d))
    for i in range(e.size):
        _add_outer(S, e[i], W[i])
    for r in range(e_target.size):
        _add_outer(S, e_target[r], W_star[r])
    trace, square = 0.0, 0.0
    for j in range(d):
        trace += S[j, j] / d
        for l in range(j + 1):
            square += (1.0 if l == j else 2.0) * (S[j, l] / d) ** 2
    return trace * trace + 2.0 * square


@serial
def _add_outer(S, e, w):
    for j in range(w.size):
        for l in range(j + 1):
            S[j, l] += e * w[j] * w[l]


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
