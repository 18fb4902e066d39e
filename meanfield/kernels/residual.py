"""Products with the matrices that join mesh, directions and nodes.

Each row of a product is summed by one thread in a fixed order, so that the numbers do not depend on
how many threads there are; a library's product may split its sums.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from meanfield.kernels.lanes import LANES, fill, load, multiply_add, store, total
from meanfield.kernels.options import parallel, serial

ROWS = 32  # of a task
SHORT = 2**18  # multiplications that one thread does alone


def multiply(A, X):
    """A X for contiguous A (M, K) and X (K, C)."""
    (M, K), C = A.shape, X.shape[1]
    whole = C - C % LANES
    rest = np.ascontiguousarray(X[:, whole:].T).ravel()
    out = np.empty((M, C))
    product = _multiply_short if M * K * C < SHORT else _multiply_long
    product(A.ravel(), X.ravel(), rest, out.ravel(), M, K, C, whole)
    return out


@serial
def _multiply_rows(A, X, rest, out, first, last, K, C, whole):
    """Rows first..last: columns in lanes of eight, four rows at a time; the last columns singly."""
    for i in range(first, last, 4):
        rows = min(4, last - i)
        # a group cut short takes its last row over again
        i1, i2, i3 = (i + min(1, rows - 1), i + min(2, rows - 1), i + min(3, rows - 1))
        for c in range(0, whole, LANES):
            y0 = y1 = y2 = y3 = fill(0.0)
            for x in range(K):
                lanes = load(X, x * C + c)
                y0 = multiply_add(fill(A[i * K + x]), lanes, y0)
                y1 = multiply_add(fill(A[i1 * K + x]), lanes, y1)
                y2 = multiply_add(fill(A[i2 * K + x]), lanes, y2)
                y3 = multiply_add(fill(A[i3 * K + x]), lanes, y3)
            store(out, i * C + c, y0)
            store(out, i1 * C + c, y1)
            store(out, i2 * C + c, y2)
            store(out, i3 * C + c, y3)
    for i in range(first, last):
        for c in range(C - whole):
            y0 = y1 = fill(0.0)
            x = 0
            while x + 2 * LANES <= K:
                y0 = multiply_add(load(A, i * K + x), load(rest, c * K + x), y0)
                y1 = multiply_add(load(A, i * K + x + LANES), load(rest, c * K + x + LANES), y1)
                x += 2 * LANES
            value = total(y0) + total(y1)
            for last_x in range(x, K):
                value += A[i * K + last_x] * rest[c * K + last_x]
            out[i * C + whole + c] = value


@serial
def _multiply_short(A, X, rest, out, M, K, C, whole):
    _multiply_rows(A, X, rest, out, 0, M, K, C, whole)


@parallel
def _multiply_long(A, X, rest, out, M, K, C, whole):
    for task in prange((M + ROWS - 1) // ROWS):
        first, last = task * ROWS, min(M, (task + 1) * ROWS)
        _multiply_rows(A, X, rest, out, first, last, K, C, whole)
