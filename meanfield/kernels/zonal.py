"""The kernel of a homogeneous student between circles of latitude, and products mode by mode."""

from __future__ import annotations

import numpy as np
from numba import prange

from meanfield.kernels.arcs import absolute_product
from meanfield.kernels.options import parallel


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
def multiply_modes(K, X):
    """Σ_j K[m, j, i] X[m, c, j] for symmetric K (modes, n, n) and X (modes, 2, n)."""
    modes, n = K.shape[0], K.shape[1]
    out = np.zeros((modes, 2, n))
    for m in prange(modes):
        for j in range(n):
            x, y = X[m, 0, j], X[m, 1, j]
            for i in range(n):
                out[m, 0, i] += K[m, j, i] * x
                out[m, 1, i] += K[m, j, i] * y
    return out
