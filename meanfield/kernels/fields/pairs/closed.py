"""Potential of a measure and its slopes at given neurons, pair by pair in closed form.

The potential of f is Φ(u, r) = E f(z, ρ) σ(u·z + ...) = ∫ a_j E_Z I(q, q_j, c) dμ_j with
c = u·u_j + r r_j Z and Z the overlap of two perpendicular directions. Z enters both the covariance
of the pre-activations and the one of the perpendicular part with the other pre-activation.
Time O(n m) for n sources and m neurons, memory O(n) a thread.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.activations.codes import ERF
from meanfield.kernels.gaussian.pair_averages import (
    erf_value,
    relu_slopes,
    relu_value,
)
from meanfield.kernels.options import shared_strict

TWO_OVER_PI = 2.0 / math.pi


@shared_strict(lambda code, u, r, a_j, *_: (len(u), 10.0 * len(u) * len(a_j)))
def student_slopes(first, last, code, u, r, a_j, u_j, r_j, Z, wZ, out_u, out_r):
    """∂Φ/∂u (m, k) and ∂Φ/∂r (m,) of the measure (a_j, u_j, r_j) at neurons (u, r).

    u_j comes transposed, (k, n). erf and ReLU; the square has moments instead.
    """
    k = u.shape[1]
    n = a_j.size
    q_j = r_j * r_j
    for x in range(k):
        q_j += u_j[x] * u_j[x]
    for i in range(first, last):
        dot = np.zeros(n)
        for x in range(k):
            for j in range(n):
                dot[j] += u[i, x] * u_j[x, j]
        q = r[i] * r[i]
        for x in range(k):
            q += u[i, x] * u[i, x]
        # E_Z A, E_Z Z A and E_Z B source by source, summed in order at the end
        A0, A1, B0 = np.zeros(n), np.zeros(n), np.zeros(n)
        for s in range(Z.size):
            z, w, r_z = Z[s], wZ[s], r[i] * Z[s]
            if code == ERF:
                for j in range(n):
                    c = dot[j] + r_z * r_j[j]
                    A = w * TWO_OVER_PI * a_j[j] / math.sqrt((1.0 + q) * (1.0 + q_j[j]) - c * c)
                    A0[j] += A
                    A1[j] += z * A
                    B0[j] -= A * c
            else:
                for j in range(n):
                    A, b = relu_slopes(q, q_j[j], dot[j] + r_z * r_j[j])
                    A0[j] += w * a_j[j] * A
                    A1[j] += w * a_j[j] * z * A
                    B0[j] += w * a_j[j] * b
        B, perpendicular = 0.0, 0.0
        for j in range(n):
            B += B0[j]
            perpendicular += A1[j] * r_j[j]
        if code == ERF:
            B /= 1.0 + q
        out_r[i] = (perpendicular + r[i] * B) / n
        for x in range(k):
            total = 0.0
            for j in range(n):
                total += A0[j] * u_j[x, j]
            out_u[i, x] = (total + u[i, x] * B) / n


@shared_strict(lambda code, u, r, a_j, *_: (len(u), 10.0 * len(u) * len(a_j)))
def student_values(first, last, code, u, r, a_j, u_j, r_j, Z, wZ, out):
    """Φ (m,) of the measure (a_j, u_j, r_j) at neurons (u, r); u_j transposed, (k, n)."""
    k = u.shape[1]
    n = a_j.size
    for i in range(first, last):
        q = r[i] * r[i]
        for x in range(k):
            q += u[i, x] * u[i, x]
        total = 0.0
        for j in range(n):
            dot, q_j = 0.0, r_j[j] * r_j[j]
            for x in range(k):
                dot += u[i, x] * u_j[x, j]
                q_j += u_j[x, j] * u_j[x, j]
            for s in range(Z.size):
                c = dot + r[i] * r_j[j] * Z[s]
                value = erf_value(q, q_j, c) if code == ERF else relu_value(q, q_j, c)
                total += wZ[s] * a_j[j] * value
        out[i] = total / n
