"""SGD exact in law, without R^d: the Markov chain of the overlaps (description 2).

A neuron is w_i/√d = (u_i, S_i, 0): u (p, k) its coordinates in the principal subspace, S its
coordinates in an orthonormal basis of p directions that holds the students' perpendicular parts,
chosen so that S is lower triangular. T[j, i] = S_ij is stored, one column more than needed: the
direction a fresh sample adds. In that basis a sample is (z, g, ρ, 0), with z, g standard normal
and ρ² ~ χ²_{d−k−p}; a batch adds the triangular (Bartlett) factor of a Wishart matrix.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.dynamics.sgd.pace import go_on, share_of_rate, slower
from meanfield.kernels.dynamics.sgd.random import (
    chi_square,
    fill_normals,
    normal,
    read_stream,
    write_stream,
)
from meanfield.kernels.dynamics.sgd.step import (
    at_step,
    batch_gradient,
    closed_risk,
    scale_entries,
    squared_gradient,
)
from meanfield.kernels.dynamics.sgd.triangle import add_batch, add_rank_one, triangular
from meanfield.kernels.options import serial, shared


@serial
def add_langevin_noise(s, langevin, outside, u, T, A):
    """Noise of deviation `langevin` in every coordinate; A (p, 2p), `outside` = d − k − p.

    In the directions that no weight had a part in, p Gaussian vectors have a triangular factor of
    independent entries (Bartlett).
    """
    p, k = u.shape
    for i in range(p):
        for r in range(k):
            xi, s = normal(s)
            u[i, r] += langevin * xi
        for j in range(2 * p):
            A[i, j] = 0.0
        for j in range(p):
            xi, s = normal(s)
            A[i, j] = langevin * xi + (T[j, i] if j <= i else 0.0)
        for j in range(int(min(float(i), outside))):
            xi, s = normal(s)
            A[i, p + j] = langevin * xi
        if i < outside:
            square, s = chi_square(s, outside - i)
            A[i, p + i] = langevin * math.sqrt(square)
    triangular(A, T)
    return s


@serial
def to_sphere(u, T):
    """Scale every neuron to |w|² = d."""
    p, k = u.shape
    for i in range(p):
        square = 0.0
        for r in range(k):
            square += u[i, r] * u[i, r]
        for j in range(i + 1):
            square += T[j, i] * T[j, i]
        scale = 1.0 / math.sqrt(square)
        for r in range(k):
            u[i, r] *= scale
        for j in range(i + 1):
            T[j, i] *= scale


@serial
def draw_batch(s, p, outside, Z, H):
    """A batch in the moving basis: Z (b, k) principal, H (b, p + m) the rest; `outside` = d−k−p."""
    b = Z.shape[0]
    extra = int(min(float(b), outside))
    for sample in range(b):
        s = fill_normals(s, Z[sample])
        for j in range(p + min(sample, extra)):
            H[sample, j], s = normal(s)
        if sample < extra:
            square, s = chi_square(s, outside - sample)
            H[sample, p + sample] = math.sqrt(square)
    return s


@serial
def pre_activations(u, T, B, Z, H, pre, pre_star):
    """λ = u z + S g into pre (b, p) and λ* = B z into pre_star (b, k)."""
    b, k = Z.shape
    p = u.shape[0]
    for sample in range(b):
        for r in range(B.shape[0]):
            total = 0.0
            for q in range(k):
                total += B[r, q] * Z[sample, q]
            pre_star[sample, r] = total
        for i in range(p):
            total = 0.0
            for q in range(k):
                total += u[i, q] * Z[sample, q]
            pre[sample, i] = total
        for j in range(p):
            for i in range(j, p):
                pre[sample, i] += T[j, i] * H[sample, j]


@serial
def step_law(
    step, pace, share, s, B, a_star, u, T, a, own, Z, H, pre, pre_star, C, value, move, A, wide,
    turns,
):  # fmt: skip
    """One update, in place: the state of the random numbers, and whether the error was finite.

    Z (b, k), H (b, p + m), pre (b, p), pre_star (b, ·), C (b, p), value (p,), move (p,),
    A (p, p + m), wide (p, 2p) and turns (4, p) are work space.
    """
    p, k = u.shape
    b, outside = step.batch, step.d - k - p
    s = draw_batch(s, p, outside, Z, H)
    pre_activations(u, T, B, Z, H, pre, pre_star)
    s, finite = batch_gradient(step, s, a, a_star, pre, pre_star, H, Z, C, value, move)
    if own.size > 0:
        go_on(pace, own, share, squared_gradient(step, C, H, Z) if finite else math.inf)
    if not finite:
        return s, False
    if step.keep != 1.0:
        scale_entries(u, step.keep)
        scale_entries(T, step.keep)
    for sample in range(b):
        for i in range(p):
            C[sample, i] /= step.d
            for r in range(k):
                u[i, r] += C[sample, i] * Z[sample, r]
    if b == 1:
        add_rank_one(T, C[0], H[0], turns)
    else:
        add_batch(T, C, H, A)
    if step.langevin > 0.0:
        s = add_langevin_noise(s, step.langevin, outside, u, T, wide)
    if step.spherical:
        to_sphere(u, T)
    return s, True


@serial
def run_law(fixed, rates, pace, B, a_star, u, T, a, own, words, steps):
    """`steps` updates of one run, in place; returns the updates made before an error overflowed.

    Under AdaGrad-norm, where `own` holds the run's clock, it stops earlier at the step nearest to
    the time that it is to reach; see `Pace`.
    """
    p, k = u.shape
    b, outside = fixed.batch, fixed.d - k - p
    # one column is there even when no direction is left outside: it then stays 0
    extra = max(1, int(min(float(b), outside)))
    Z, H = np.zeros((b, k)), np.zeros((b, p + extra))
    pre, pre_star = np.empty((b, p)), np.empty((b, B.shape[0]))
    C, value, move = np.empty((b, p)), np.empty(p), np.empty(p)
    A, wide, turns = np.empty((p, p + extra)), np.empty((p, 2 * p)), np.empty((4, p))
    s = read_stream(words)
    done, share = steps, 1.0
    for n in range(steps):
        step = at_step(fixed, rates, n)
        if own.size > 0:
            share = share_of_rate(pace, own)
            if share == 0.0:
                done = n
                break
            step = slower(step, share)
        s, finite = step_law(
            step, pace, share, s, B, a_star, u, T, a, own, Z, H, pre, pre_star, C, value, move, A,
            wide, turns,
        )  # fmt: skip
        if not finite:
            done = n
            break
    write_stream(words, s)
    return done


@shared(
    lambda step, rates, pace, B, a_star, u, *rest: (len(u), 20.0 * u.shape[1] * u.size * rest[-2])
)
def advance_law(first, last, step, rates, pace, B, a_star, u, T, a, own, words, steps, done):
    """Every run by `steps` updates: u (runs, p, k), T (runs, p + 1, p), a (runs, p)."""
    for run in range(first, last):
        done[run] = run_law(
            step, rates, pace, B, a_star, u[run], T[run], a[run], own[run], words[run], steps
        )


@serial
def overlaps_of(u, T, B, Q, M):
    """Q = u uᵀ + S Sᵀ and M = u Bᵀ."""
    p, k = u.shape
    for i in range(p):
        for j in range(i + 1):
            total = 0.0
            for r in range(k):
                total += u[i, r] * u[j, r]
            for column in range(j + 1):
                total += T[column, i] * T[column, j]
            Q[i, j] = Q[j, i] = total
        for r in range(B.shape[0]):
            total = 0.0
            for q in range(k):
                total += u[i, q] * B[r, q]
            M[i, r] = total


@shared(lambda step, B, P, a_star, u, *_: (len(u), 20.0 * u.shape[1] * u.size))
def record_law(first, last, step, B, P, a_star, u, T, a, Q, M, risk):
    """Overlaps Q (runs, p, p), M (runs, p, k) and risk (runs,) of every run."""
    for run in range(first, last):
        overlaps_of(u[run], T[run], B, Q[run], M[run])
        risk[run] = closed_risk(step.sigma, step.tau, Q[run], M[run], P, a[run], a_star)
