"""Sums of long vectors, in parallel and in a fixed order.

Waking the threads costs more than a block of work, and milliseconds on a busy machine: up to one
block, the calling thread works alone.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from meanfield.kernels.options import inline, parallel, serial

BLOCK = 4096


def combine(out, y, h, K, c):
    """out = y + h Σ_s c_s K_s, in one pass; K (stages, N)."""
    (_combine_long if y.size > BLOCK else _combine_short)(out, y, h, K, c)


def scaled_norm(h, K, c, y, y_new, atol, rtol):
    """Root mean square of h Σ_s c_s K_s / (atol + rtol max(|y|, |y_new|))."""
    total = _squares_long if y.size > BLOCK else _squares_short
    return np.sqrt(total(h, K, c, y, y_new, atol, rtol) / y.size)


@inline
def _combine(out, y, h, K, c, first, last):
    for j in range(first, last):
        out[j] = 0.0
    for s in range(c.size):
        if c[s] != 0.0:
            for j in range(first, last):
                out[j] += c[s] * K[s, j]
    for j in range(first, last):
        out[j] = y[j] + h * out[j]


@serial
def _combine_short(out, y, h, K, c):
    _combine(out, y, h, K, c, 0, y.size)


@parallel
def _combine_long(out, y, h, K, c):
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        first, last = block * BLOCK, min((block + 1) * BLOCK, y.size)
        _combine(out, y, h, K, c, first, last)


@inline
def _squares(h, K, c, y, y_new, atol, rtol, first, last):
    total = 0.0
    for j in range(first, last):
        x = 0.0
        for s in range(c.size):
            x += c[s] * K[s, j]
        term = h * x / (atol + rtol * max(abs(y[j]), abs(y_new[j])))
        total += term * term
    return total


@serial
def _squares_short(h, K, c, y, y_new, atol, rtol):
    return _squares(h, K, c, y, y_new, atol, rtol, 0, y.size)


@parallel
def _squares_long(h, K, c, y, y_new, atol, rtol):
    blocks = (y.size + BLOCK - 1) // BLOCK
    partial = np.zeros(blocks)
    for block in prange(blocks):
        first, last = block * BLOCK, min((block + 1) * BLOCK, y.size)
        partial[block] = _squares(h, K, c, y, y_new, atol, rtol, first, last)
    total = 0.0
    for block in range(blocks):
        total += partial[block]
    return total
