"""Potential of a measure and its slopes at given neurons, pair by pair in closed form.

The potential of f is Φ(u, r) = E f(z, ρ) σ(u·z + ...) = ∫ a_j E_Z I(q, q_j, c) dμ_j with
c = u·u_j + r r_j Z and Z the overlap of two perpendicular directions. Z enters both the covariance
of the pre-activations and the one of the perpendicular part with the other pre-activation.
Time O(n m) for n sources and m neurons, memory O(n) a thread.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.activations.units import ERF
from meanfield.kernels.gaussian.pair_averages import relu_slopes, relu_value
from meanfield.kernels.inverse_trigonometry import asin
from meanfield.kernels.options import shared, shared_strict
from meanfield.kernels.simd import (
    LANES,
    absolute,
    fill,
    load,
    multiply,
    multiply_add,
    total,
    where_above,
    with_sign,
)

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
            along = 0.0
            for j in range(n):
                along += A0[j] * u_j[x, j]
            out_u[i, x] = (along + u[i, x] * B) / n


def student_values(code, u, r, a_j, u_j, r_j, Z, wZ, out):
    """Φ (m,) of the measure (a_j, u_j, r_j) at neurons (u, r); u_j transposed, (k, n)."""
    values = _erf_values if code == ERF else _relu_values
    values(u, r, a_j, u_j, r_j, Z, wZ, out)


@shared(lambda u, r, a_j, u_j, r_j, Z, *_: (len(u), 3.0 * len(u) * len(a_j) * len(Z)))
def _erf_values(first, last, u, r, a_j, u_j, r_j, Z, wZ, out):
    """By arc sines, eight sources at a time."""
    k, n = u.shape[1], a_j.size
    size = LANES * ((n + LANES - 1) // LANES)
    charge, length, scale, dot = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    for j in range(n):
        q_j = r_j[j] * r_j[j]
        for x in range(k):
            q_j += u_j[x, j] * u_j[x, j]
        charge[j], length[j], scale[j] = a_j[j], r_j[j], 1.0 / math.sqrt(1.0 + q_j)
    for i in range(first, last):
        q = r[i] * r[i]
        for x in range(k):
            q += u[i, x] * u[i, x]
        dot[:] = 0.0
        for x in range(k):
            for j in range(n):
                dot[j] += u[i, x] * u_j[x, j]
        factor, own, sums = fill(1.0 / math.sqrt(1.0 + q)), fill(r[i]), fill(0.0)
        for j in range(0, size, LANES):
            scales, across = multiply(load(scale, j), factor), multiply(load(length, j), own)
            angles, along = fill(0.0), load(dot, j)
            for s in range(Z.size):  # over Z pair by pair, where weights may cancel
                sine = multiply(multiply_add(across, fill(Z[s]), along), scales)
                sine = where_above(absolute(sine), fill(1.0), with_sign(fill(1.0), sine), sine)
                angles = multiply_add(fill(wZ[s]), asin(sine), angles)
            sums = multiply_add(load(charge, j), angles, sums)
        out[i] = TWO_OVER_PI * total(sums) / n


@shared_strict(lambda u, r, a_j, *_: (len(u), 10.0 * len(u) * len(a_j)))
def _relu_values(first, last, u, r, a_j, u_j, r_j, Z, wZ, out):
    """Pair by pair."""
    k = u.shape[1]
    n = a_j.size
    for i in range(first, last):
        q = r[i] * r[i]
        for x in range(k):
            q += u[i, x] * u[i, x]
        value = 0.0
        for j in range(n):
            dot, q_j = 0.0, r_j[j] * r_j[j]
            for x in range(k):
                dot += u[i, x] * u_j[x, j]
                q_j += u_j[x, j] * u_j[x, j]
            for s in range(Z.size):
                value += wZ[s] * a_j[j] * relu_value(q, q_j, dot + r[i] * r_j[j] * Z[s])
        out[i] = value / n
