"""The kernel of a homogeneous student between circles of latitude, and products mode by mode."""

from __future__ import annotations

import numpy as np

from meanfield.kernels.arctangents import absolute_product
from meanfield.kernels.options import shared

TASKS = 32


def absolute_kernel(C, S, C_j, S_j, cosine, Z, w):
    """E_Z K(C C_j cos φ + S S_j Z), shape (n, angles): from one circle to n others.

    K(s) = √(1 − s²) + s asin s, see `absolute_product`.
    """
    out = np.zeros((len(C_j), len(cosine)))
    _absolute_kernel(out, C, S, C_j, S_j, cosine, Z, w)
    return out


@shared(lambda out, C, S, C_j, S_j, cosine, Z, w: (len(out), 5.0 * out.size * Z.size))
def _absolute_kernel(first, last, out, C, S, C_j, S_j, cosine, Z, w):
    count = cosine.size
    for j in range(first, last):
        for x in range(Z.size):
            across, along = S * S_j[j] * Z[x], C * C_j[j]
            for l in range(count):
                s = along * cosine[l] + across
                s = s if s < 1.0 else 1.0
                out[j, l] += w[x] * absolute_product(s if s > -1.0 else -1.0)


def multiply_modes(K, at, first, X):
    """Σ_j K_m[j, i] X[m, c, j] over rows i, j ≥ first[m], for X (modes, 2, rows).

    The symmetric K_m is stored from K[at[m]] on. Low modes have most rows, so a task takes some of
    all.
    """
    out = np.zeros(X.shape)
    _multiply_modes(K, at, first, X, out)
    return out


@shared(lambda K, *_: (TASKS, 1.0 * K.size))
def _multiply_modes(first_task, last_task, K, at, first, X, out):
    modes, rows = X.shape[0], X.shape[2]
    for task in range(first_task, last_task):
        for m in range(task, modes, TASKS):
            n, here = rows - first[m], at[m]
            real, imaginary = out[m, 0, first[m] :], out[m, 1, first[m] :]
            for j in range(n):
                x, y = X[m, 0, first[m] + j], X[m, 1, first[m] + j]
                row = K[here + j * n : here + (j + 1) * n]
                for i in range(n):
                    real[i] += row[i] * x
                    imaginary[i] += row[i] * y
