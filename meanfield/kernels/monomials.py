"""Monomials of a neuron's coordinates (u, r²): their moments, and slopes of a polynomial.

Monomials are ordered by degree, and each but the first, 1, is an earlier one times a coordinate.
Slopes go back along the same products, the chain rule in reverse. Neurons go by in batches, so
that every operation is one of long vectors.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from meanfield.kernels.options import parallel, serial

BATCH = 128
BLOCK = 4096  # neurons of a task


@serial
def fill_monomials(u, r, first, n, parent, factor, x, psi):
    """Coordinates x (k + 1, n) and monomials (count, n) of neurons from `first` on."""
    k = u.shape[1]
    for j in range(n):
        for c in range(k):
            x[c, j] = u[first + j, c]
        x[k, j] = r[first + j] * r[first + j]
        psi[0, j] = 1.0
    for i in range(1, parent.size):
        before, by = psi[parent[i]], x[factor[i]]
        for j in range(n):
            psi[i, j] = before[j] * by[j]


@parallel
def moments(charge, u, r, parent, factor):
    """Σ charge ψ / n for each monomial ψ; blocks are summed in order."""
    n, count = charge.size, parent.size
    blocks = (n + BLOCK - 1) // BLOCK
    parts = np.zeros((blocks, count))
    for block in prange(blocks):
        x, psi = np.empty((u.shape[1] + 1, BATCH)), np.empty((count, BATCH))
        last = min(n, (block + 1) * BLOCK)
        for first in range(block * BLOCK, last, BATCH):
            size = min(BATCH, last - first)
            fill_monomials(u, r, first, size, parent, factor, x, psi)
            for i in range(count):
                total = 0.0
                for j in range(size):
                    total += charge[first + j] * psi[i, j]
                parts[block, i] += total
    found = np.zeros(count)
    for block in range(blocks):
        for i in range(count):
            found[i] += parts[block, i]
    return found / n


@parallel
def velocities(a, u, r, parent, factor, weight, rate, out_a, out_u, out_r):
    """Velocities in the potential Φ = Σ weight ψ; out_a is filled only if rate > 0."""
    n, count, k = a.size, parent.size, u.shape[1]
    for block in prange((n + BLOCK - 1) // BLOCK):
        x, psi = np.empty((k + 1, BATCH)), np.empty((count, BATCH))
        back, slope = np.empty((count, BATCH)), np.empty((k + 1, BATCH))
        last = min(n, (block + 1) * BLOCK)
        for first in range(block * BLOCK, last, BATCH):
            size = min(BATCH, last - first)
            fill_monomials(u, r, first, size, parent, factor, x, psi)
            for i in range(count):
                back[i, :size] = weight[i]
            slope[:, :size] = 0.0
            for i in range(count - 1, 0, -1):
                p, c = parent[i], factor[i]
                for j in range(size):
                    slope[c, j] += back[i, j] * psi[p, j]
                    back[p, j] += back[i, j] * x[c, j]
            for j in range(size):
                at = first + j
                for c in range(k):
                    out_u[at, c] = a[at] * slope[c, j]
                out_r[at] = 2.0 * a[at] * r[at] * slope[k, j]
                if rate > 0.0:  # back[0] has become Φ
                    out_a[at] = rate * back[0, j]
