"""The whole right-hand side of the overlap equations as one compiled call, for small networks.

At p = 32 the special functions and the products take 4 µs, and each call from Python 1 to 5, so
there is one. The vector y is that of `dynamics.overlap_flow`: a, if it moves, then rows (u_i, V_i)
with V a factor of the perpendicular overlaps N or, with noise, (u_i, N_i).
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.dynamics.overlaps.drift import drift_alone, fields_alone
from meanfield.kernels.dynamics.overlaps.noise import erf_noise, erf_noise_group
from meanfield.kernels.options import serial
from meanfield.kernels.simd import LANES


@serial
def read_overlaps(y, moving, factored, spherical, basis, block, Q, M):
    """Rows of the state into block (p, columns), made unit or symmetric; then Q and M."""
    (p, columns), (k, rank) = block.shape, basis.shape
    rows = y[p if moving else 0 :].reshape(p, columns)
    for i in range(p):
        for c in range(columns):
            block[i, c] = rows[i, c]
    if not factored:
        for i in range(p):
            for j in range(i):
                block[i, rank + j] = 0.5 * (rows[i, rank + j] + rows[j, rank + i])
                block[j, rank + i] = block[i, rank + j]
    if spherical:
        _to_sphere(block, rank, factored)
    if factored:
        np.dot(block, block.T, Q)
    else:
        for i in range(p):
            for j in range(p):
                Q[i, j] = block[i, rank + j]
                for c in range(rank):
                    Q[i, j] += block[i, c] * block[j, c]
    for i in range(p):
        for r in range(k):
            M[i, r] = 0.0
            for c in range(rank):
                M[i, r] += block[i, c] * basis[r, c]


@serial
def _to_sphere(block, rank, factored):
    """Scale to Q_ii = 1."""
    p, columns = block.shape
    size = np.zeros(p)
    for i in range(p):
        for c in range(columns if factored else rank):
            size[i] += block[i, c] * block[i, c]
        size[i] = math.sqrt(size[i] if factored else size[i] + block[i, rank + i])
    for i in range(p):
        for c in range(columns):
            block[i, c] /= size[i] if factored or c < rank else size[i] * size[c - rank]


@serial
def join(Q, M, P, a, e_target, C, e):
    """The covariance C (p + k, p + k) of students and targets, and the coefficients of ε."""
    p, k = M.shape
    for i in range(p):
        e[i] = -a[i] / p
        for j in range(p):
            C[i, j] = Q[i, j]
        for r in range(k):
            C[i, p + r] = C[p + r, i] = M[i, r]
    for r in range(k):
        e[p + r] = e_target[r]
        for s in range(k):
            C[p + r, p + s] = P[r, s]


@serial
def finish(sigma, tau, rates, moving, factored, spherical, a, e, basis, P, block, Q, M, term, out):
    """dy/dt from the overlaps and, unless factored, the γ/p term without its γ/p a_i a_j."""
    (p, columns), (k, rank) = block.shape, basis.shape
    decay, second_decay, kappa, langevin, rate = rates
    D, E, first = np.empty((p, p)), np.empty((p, k)), p if moving else 0
    drift_alone(sigma, tau, Q, M, P, a, e, D, E)
    speed = out[first:].reshape(p, columns)
    if not factored:
        for i in range(p):
            for j in range(p):
                term[i, j] *= rate * a[i] * a[j]
            term[i, i] += langevin
    for i in range(p):
        shrink = decay
        if spherical:  # w ← √d w/|w| takes back half the growth of |w_i|² from row i
            growth = 0.0 if factored else term[i, i]
            for j in range(p):
                growth += 2.0 * D[i, j] * Q[i, j]
            for r in range(k):
                growth += 2.0 * E[i, r] * M[i, r]
            shrink += 0.5 * (growth - 2.0 * decay * Q[i, i]) / Q[i, i]
        D[i, i] -= shrink
    np.dot(D, block, speed)
    for i in range(p):
        for r in range(k):
            for c in range(rank):
                speed[i, c] += E[i, r] * basis[r, c]
    if not factored:
        for i in range(p):
            for j in range(i + 1):
                both = speed[i, rank + j] + speed[j, rank + i] + term[i, j]
                speed[i, rank + j] = speed[j, rank + i] = both
    if moving:
        fields_alone(sigma, tau, Q, M, P, e, out)
        for i in range(p):
            out[i] = kappa * (out[i] - second_decay * a[i])


@serial
def small_velocity(
    sigma, tau, rates, moving, factored, spherical, noisy, label_noise,
    a_fixed, basis, P, e_target, columns, y, term, out,
):  # fmt: skip
    """dy/dt into `out`, by the calling thread; `rates` as in `finish`.

    The γ/p term of squares of gradients is `term` (p, p), which is computed here if `noisy`.
    """
    p, k = a_fixed.size, e_target.size
    a = y[:p] if moving else a_fixed
    block, Q, M = np.empty((p, columns)), np.empty((p, p)), np.empty((p, k))
    read_overlaps(y, moving, factored, spherical, basis, block, Q, M)
    C, e = np.empty((p + k, p + k)), np.empty(p + k)
    join(Q, M, P, a, e_target, C, e)
    if noisy:
        work = np.empty((3, LANES * (p + k)))
        for first in range(0, p * (p + 1) // 2, LANES):
            erf_noise_group(tau, C, e, p, label_noise, first, work, term)
    finish(sigma, tau, rates, moving, factored, spherical, a, e, basis, P, block, Q, M, term, out)


@serial
def joint(moving, factored, spherical, a_fixed, basis, P, e_target, columns, y, C, e):
    """The joint covariance C (p + k, p + k) of a state, and e (p + k,); see `join`."""
    p, k = a_fixed.size, e_target.size
    a = y[:p] if moving else a_fixed
    block, Q, M = np.empty((p, columns)), np.empty((p, p)), np.empty((p, k))
    read_overlaps(y, moving, factored, spherical, basis, block, Q, M)
    join(Q, M, P, a, e_target, C, e)


def shared_velocity(
    sigma, tau, rates, moving, factored, spherical, label_noise,
    a_fixed, basis, P, e_target, columns, y, term, out,
):  # fmt: skip
    """The same with the γ/p term, shared between the threads."""
    p, kind = len(a_fixed), (moving, factored, spherical)
    C, e = np.empty((p + len(e_target),) * 2), np.empty(p + len(e_target))
    joint(*kind, a_fixed, basis, P, e_target, columns, y, C, e)
    erf_noise(tau, C, e, p, label_noise, term)
    small_velocity(
        sigma, tau, rates, *kind, False, label_noise,
        a_fixed, basis, P, e_target, columns, y, term, out,
    )  # fmt: skip
