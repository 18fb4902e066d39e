"""The kernel of a homogeneous student between circles of latitude, and products mode by mode."""

from __future__ import annotations

import numpy as np
from numba import prange

from meanfield.kernels.arctangents import absolute_product
from meanfield.kernels.options import parallel

TASKS = 32


@parallel
def absolute_kernel(C, S, C_j, S_j, cosine, Z, w):
    """E_Z K(C C_j cos φ + S S_j Z), shape (n, angles): from one circle to n others.

    K(s) = √(1 − s²) + s asin s, see `absolute_product`.
    """
    n, count = C_j.size, cosine.size
    out = np.zeros((n, count))
    for j in prange(n):
        for x in range(Z.size):
            across, along = S * S_j[j] * Z[x], C * C_j[j]
            for l in range(count):
                s = along * cosine[l] + across
                s = s if s < 1.0 else 1.0
                out[j, l] += w[x] * absolute_product(s if s > -1.0 else -1.0)
    return out


@parallel
def multiply_modes(K, at, first, X):
    """Σ_j K_m[j, i] X[m, c, j] over rows i, j ≥ first[m], for X (modes, 2, rows).

    The symmetric K_m is stored from K[at[m]] on. Low modes have most rows, so a task takes some of
    all.
    """
    modes, rows = X.shape[0], X.shape[2]
    out = np.zeros((modes, 2, rows))
    for task in prange(TASKS):
        for m in range(task, modes, TASKS):
            n, here = rows - first[m], at[m]
            real, imaginary = out[m, 0, first[m] :], out[m, 1, first[m] :]
            for j in range(n):
                x, y = X[m, 0, first[m] + j], X[m, 1, first[m] + j]
                row = K[here + j * n : here + (j + 1) * n]
                for i in range(n):
                    real[i] += row[i] * x
                    imaginary[i] += row[i] * y
    return out
