"""Sums of long vectors, in parallel and in a fixed order."""

from __future__ import annotations

import numpy as np
from numba import prange

from meanfield.kernels.options import parallel

BLOCK = 4096


@parallel
def combine(out, y, h, K, c):
    """out = y + h Σ_s c_s K_s, in one pass; K (stages, N)."""
    N, stages = y.size, c.size
    for block in prange((N + BLOCK - 1) // BLOCK):
        first, last = block * BLOCK, min((block + 1) * BLOCK, N)
        for j in range(first, last):
            out[j] = 0.0
        for s in range(stages):
            if c[s] != 0.0:
                for j in range(first, last):
                    out[j] += c[s] * K[s, j]
        for j in range(first, last):
            out[j] = y[j] + h * out[j]


@parallel
def scaled_norm(h, K, c, y, y_new, atol, rtol):
    """Root mean square of h Σ_s c_s K_s / (atol + rtol max(|y|, |y_new|))."""
    N, stages = y.size, c.size
    blocks = (N + BLOCK - 1) // BLOCK
    partial = np.zeros(blocks)
    for block in prange(blocks):
        first, last = block * BLOCK, min((block + 1) * BLOCK, N)
        total = 0.0
        for j in range(first, last):
            x = 0.0
            for s in range(stages):
                x += c[s] * K[s, j]
            term = h * x / (atol + rtol * max(abs(y[j]), abs(y_new[j])))
            total += term * term
        partial[block] = total
    total = 0.0
    for block in range(blocks):
        total += partial[block]
    return np.sqrt(total / N)
