"""Monomials of a neuron's coordinates (u, r²): their moments, and slopes of a polynomial.

Monomials are ordered by degree, and each but the first, 1, is an earlier one times a coordinate.
Slopes go back along the same products, the chain rule in reverse. Neurons go by in batches, so
that every operation is one of long vectors.
"""

from __future__ import annotations

import numpy as np

from meanfield.kernels.options import serial, shared

BATCH = 128
BLOCK = 4096  # neurons of a task


@serial
def fill_monomials(u, r, first, n, parent, factor, x, psi):
    """Coordinates x (k + 1, n) and monomials (count, n) of neurons from `first` on."""
    k = u.shape[1]
    for c in range(k):
        along = x[c]
        for j in range(n):
            along[j] = u[first + j, c]
    across, one = x[k], psi[0]
    for j in range(n):
        across[j] = r[first + j] * r[first + j]
        one[j] = 1.0
    for i in range(1, parent.size):
        before, by, made = psi[parent[i]], x[factor[i]], psi[i]
        for j in range(n):
            made[j] = before[j] * by[j]


def moments(charge, u, r, parent, factor, wanted):
    """Σ charge ψ / n for each monomial ψ that is wanted, else 0; blocks are summed in order."""
    parts = np.zeros((-(-len(charge) // BLOCK), len(parent)))
    _moments(charge, u, r, parent, factor, wanted, parts)
    return parts.sum(axis=0) / len(charge)


@shared(lambda charge, u, r, parent, *rest: (len(rest[-1]), 1.0 * len(charge) * len(parent)))
def _moments(first_block, last_block, charge, u, r, parent, factor, wanted, parts):
    n, count = charge.size, parent.size
    for block in range(first_block, last_block):
        x, psi = np.empty((u.shape[1] + 1, BATCH)), np.empty((count, BATCH))
        last = min(n, (block + 1) * BLOCK)
        for first in range(block * BLOCK, last, BATCH):
            size = min(BATCH, last - first)
            fill_monomials(u, r, first, size, parent, factor, x, psi)
            for i in range(count):
                if not wanted[i]:
                    continue
                total, values = 0.0, psi[i]
                for j in range(size):
                    total += charge[first + j] * values[j]
                parts[block, i] += total


@shared(lambda a, u, r, parent, *_: (-(-len(a) // BLOCK), 2.0 * len(a) * len(parent)))
def velocities(first_block, last_block, a, u, r, parent, factor, weight, rate, out_a, out_u, out_r):
    """Velocities in the potential Φ = Σ weight ψ; out_a is filled only if rate > 0."""
    n, count, k = a.size, parent.size, u.shape[1]
    for block in range(first_block, last_block):
        x, psi = np.empty((k + 1, BATCH)), np.empty((count, BATCH))
        back, slope = np.empty((count, BATCH)), np.empty((k + 1, BATCH))
        last = min(n, (block + 1) * BLOCK)
        for first in range(block * BLOCK, last, BATCH):
            size = min(BATCH, last - first)
            fill_monomials(u, r, first, size, parent, factor, x, psi)
            for i in range(count):
                mine, constant = back[i], weight[i]
                for j in range(size):
                    mine[j] = constant
            for c in range(k + 1):
                total = slope[c]
                for j in range(size):
                    total[j] = 0.0
            for i in range(count - 1, 0, -1):
                # rows apart, which the compiler may then take for long vectors
                p, c = parent[i], factor[i]
                mine, before, total = back[i], back[p], slope[c]
                value, by = psi[p], x[c]
                for j in range(size):
                    total[j] += mine[j] * value[j]
                if p > 0 or rate > 0.0:  # Φ itself moves the second layer alone
                    for j in range(size):
                        before[j] += mine[j] * by[j]
            for c in range(k):
                total = slope[c]
                for j in range(size):
                    out_u[first + j, c] = a[first + j] * total[j]
            total = slope[k]
            for j in range(size):
                out_r[first + j] = 2.0 * a[first + j] * r[first + j] * total[j]
            if rate > 0.0:  # back[0] has become Φ
                mine = back[0]
                for j in range(size):
                    out_a[first + j] = rate * mine[j]
