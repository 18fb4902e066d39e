"""Products with the matrices that join mesh, directions and nodes.

Each row of a product is summed by one thread in a fixed order, so that the numbers do not depend on
how many threads there are; a library's product may split its sums.
"""

from __future__ import annotations

import numpy as np

from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import LANES, fill, load, multiply_add, store, total

ROWS = 32  # of a task
BLOCK = 512  # of sums at a time: what they read stays in cache
_NONE = np.empty(0)


def multiply(A, X):
    """A X for contiguous A (M, K) and X (K, C)."""
    (M, K), C = A.shape, X.shape[1]
    whole = C - C % LANES
    rest = X[:, whole:].T.ravel() if whole < C else _NONE
    out = np.zeros((M, C))
    _multiply(A.ravel(), X.reshape(1, -1), rest, out.reshape(1, -1), M, K, C, whole)
    return out


@serial
def _multiply_rows(A, X, rest, out, first, last, K, C, whole):
    """Rows first..last: columns in lanes, a block of K at a time; the last columns singly."""
    for start in range(0, K, BLOCK):
        stop = min(K, start + BLOCK)
        for i in range(first, last, 4):
            c = 0
            while c + 2 * LANES <= whole:
                _tile(A, X, out, i, last, start, stop, K, C, c)
                c += 2 * LANES
            if c < whole:
                _narrow_tile(A, X, out, i, last, start, stop, K, C, c)
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
def _tile(A, X, out, i0, last, start, stop, K, C, c):
    """Add start..stop to four rows from i0 and sixteen columns from c.

    Eight sums stay in registers. A group cut short takes its last row over again.
    """
    i1, i2, i3 = min(i0 + 1, last - 1), min(i0 + 2, last - 1), min(i0 + 3, last - 1)
    p0, p1, p2, p3 = i0 * C + c, i1 * C + c, i2 * C + c, i3 * C + c
    y0, y1, y2, y3 = load(out, p0), load(out, p1), load(out, p2), load(out, p3)
    z0, z1 = load(out, p0 + LANES), load(out, p1 + LANES)
    z2, z3 = load(out, p2 + LANES), load(out, p3 + LANES)
    for x in range(start, stop):
        left, right = load(X, x * C + c), load(X, x * C + c + LANES)
        a0, a1 = fill(A[i0 * K + x]), fill(A[i1 * K + x])
        a2, a3 = fill(A[i2 * K + x]), fill(A[i3 * K + x])
        y0, z0 = multiply_add(a0, left, y0), multiply_add(a0, right, z0)
        y1, z1 = multiply_add(a1, left, y1), multiply_add(a1, right, z1)
        y2, z2 = multiply_add(a2, left, y2), multiply_add(a2, right, z2)
        y3, z3 = multiply_add(a3, left, y3), multiply_add(a3, right, z3)
    store(out, p0, y0)
    store(out, p1, y1)
    store(out, p2, y2)
    store(out, p3, y3)
    store(out, p0 + LANES, z0)
    store(out, p1 + LANES, z1)
    store(out, p2 + LANES, z2)
    store(out, p3 + LANES, z3)


@serial
def _narrow_tile(A, X, out, i0, last, start, stop, K, C, c):
    """The same for eight columns."""
    i1, i2, i3 = min(i0 + 1, last - 1), min(i0 + 2, last - 1), min(i0 + 3, last - 1)
    p0, p1, p2, p3 = i0 * C + c, i1 * C + c, i2 * C + c, i3 * C + c
    y0, y1, y2, y3 = load(out, p0), load(out, p1), load(out, p2), load(out, p3)
    for x in range(start, stop):
        lanes = load(X, x * C + c)
        y0 = multiply_add(fill(A[i0 * K + x]), lanes, y0)
        y1 = multiply_add(fill(A[i1 * K + x]), lanes, y1)
        y2 = multiply_add(fill(A[i2 * K + x]), lanes, y2)
        y3 = multiply_add(fill(A[i3 * K + x]), lanes, y3)
    store(out, p0, y0)
    store(out, p1, y1)
    store(out, p2, y2)
    store(out, p3, y3)


def multiply_each(A, X, width, out):
    """A X for each X of a stack: (m, columns of A times width) to (m, rows of A times width)."""
    M, K = A.shape
    out[:] = 0.0
    _multiply(A.ravel(), X, _NONE, out, M, K, width, width)


@shared(lambda A, X, rest, out, M, K, C, whole: (len(X) * -(-M // ROWS), 0.2 * M * X.size))
def _multiply(first, last, A, X, rest, out, M, K, C, whole):
    blocks = (M + ROWS - 1) // ROWS
    for task in range(first, last):
        m, start = task // blocks, task % blocks * ROWS
        _multiply_rows(A, X[m], rest, out[m], start, min(M, start + ROWS), K, C, whole)
