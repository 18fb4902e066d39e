"""Gaussian averages over a pair of pre-activations, in closed form.

For (x, y) ~ N(0, [[q1, c], [c, q2]]) and activations σ, τ:

    I = E σ(x) τ(y),   A = E σ'(x) τ'(y),   B = E σ''(x) τ(y).

By Stein's lemma A and B are all the drift needs: for any jointly Gaussian l,
E σ'(x) τ(y) l = B cov(x, l) + A cov(y, l).  erf: Saad & Solla 1995, with erf(x/√2). ReLU: the
arc-cosine kernels. Mixed pairs follow by splitting each function into its odd and even parts.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.activations.codes import ERF, RELU, SQUARE
from meanfield.kernels.options import serial_strict

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
