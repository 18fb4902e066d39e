"""Products with the matrices that join mesh, directions and nodes.

Each row of a product is summed by one thread in a fixed order, so that the numbers do not depend on
how many threads there are; a library's product may split its sums.
"""

from __future__ import annotations

import numpy as np

from meanfield.kernels.memory import item
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import LANES, fill, load, multiply_add, store, total

GROUP = 6  # rows that a tile takes together
ROWS = 8 * GROUP  # rows of a task
BLOCK = 512  # terms that all sums of a task take before the next: what they read stays in cache
FEW = 2  # so many columns beyond whole vectors are summed singly; more are padded to a vector
_NONE = np.empty(0)


def multiply(A, X):
    """A X for contiguous A (M, K) and X (K, C)."""
    (M, K), C = A.shape, X.shape[1]
    whole, rest = C - C % LANES, _NONE
    if C - whole > FEW:
        padded = np.zeros((K, LANES))
        padded[:, : C - whole] = X[:, whole:]
        rest = padded.ravel()
    elif whole < C:
        rest = X[:, whole:].T.ravel()
    out = np.zeros((M, C))
    _multiply(A.ravel(), X.reshape(1, -1), rest, out.reshape(1, -1), M, K, C, whole)
    return out


def multiply_each(A, X, width, out):
    """A X for each X of a stack, into `out`; A (M, K) and the rest contiguous.

    Row i of the stack holds a matrix (K, width), and row i of `out` its product (M, width). `width`
    is a multiple of `LANES`; nothing is checked.
    """
    M, K = A.shape
    out[:] = 0.0
    _multiply(A.ravel(), X, _NONE, out, M, K, width, width)


@shared(lambda A, X, rest, out, M, K, C, whole: (len(X) * -(-M // ROWS), 0.1 * M * X.size))
def _multiply(first, last, A, X, rest, out, M, K, C, whole):
    """A X for each row of X, a task for every ROWS rows of a product.

    The first `whole` of the C columns fill vectors. The others, of a single X, are in `rest`: in
    (K, LANES) with zeros at the end if they are more than FEW, else one column after another.
    """
    blocks = (M + ROWS - 1) // ROWS
    for task in range(first, last):
        matrix, start = task // blocks, task % blocks * ROWS
        n = min(ROWS, M - start)
        rows, sums = A[start * K : (start + n) * K], out[matrix, start * C : (start + n) * C]
        _add_columns(rows, X[matrix], sums, n, K, C, whole)
        if C - whole > FEW:
            padded = np.zeros(ROWS * LANES)
            _add_columns(rows, rest, padded, n, K, LANES, LANES)
            for i in range(n):
                for c in range(C - whole):
                    sums[i * C + whole + c] = padded[i * LANES + c]
        else:
            _sum_singly(rows, rest, sums, n, K, C, whole)


@serial
def _add_columns(A, X, out, n, K, C, whole):
    """Add A X to n rows of `out`, the first `whole` of C columns; BLOCK of K terms at a time."""
    for start in range(0, K, BLOCK):
        stop = min(K, start + BLOCK)
        for i in range(0, n, GROUP):
            for c in range(0, whole, LANES):
                _tile(A, X, out, i, n, start, stop, K, C, c)


@serial
def _sum_singly(A, rest, out, n, K, C, whole):
    """Columns from `whole` on of A X, n rows; `rest` holds these columns of X one after another."""
    for i in range(n):
        for c in range(C - whole):
            y0 = y1 = fill(0.0)
            x = 0
            while x + 2 * LANES <= K:
                y0 = multiply_add(load(A, i * K + x), load(rest, c * K + x), y0)
                y1 = multiply_add(load(A, i * K + x + LANES), load(rest, c * K + x + LANES), y1)
                x += 2 * LANES
            value = total(y0) + total(y1)
            for last_x in range(x, K):
                value += item(A, i * K + last_x) * item(rest, c * K + last_x)
            out[i * C + whole + c] = value


@serial
def _tile(A, X, out, i0, n, start, stop, K, C, c):
    """Add terms start ≤ x < stop of A X to six rows of `out` from i0 and eight columns from c.

    The sums stay in registers, of which a processor has sixteen for four numbers or 32 for eight:
    more than six rows would not fit, fewer would wait for each other. Where fewer than six of the n
    rows are left, the last one is computed several times, to the same numbers.
    """
    i1, i2, i3 = min(i0 + 1, n - 1), min(i0 + 2, n - 1), min(i0 + 3, n - 1)
    i4, i5 = min(i0 + 4, n - 1), min(i0 + 5, n - 1)
    p0, p1, p2, p3 = i0 * C + c, i1 * C + c, i2 * C + c, i3 * C + c
    p4, p5 = i4 * C + c, i5 * C + c
    y0, y1, y2, y3 = load(out, p0), load(out, p1), load(out, p2), load(out, p3)
    y4, y5 = load(out, p4), load(out, p5)
    for x in range(start, stop):
        lanes = load(X, x * C + c)
        y0 = multiply_add(fill(item(A, i0 * K + x)), lanes, y0)
        y1 = multiply_add(fill(item(A, i1 * K + x)), lanes, y1)
        y2 = multiply_add(fill(item(A, i2 * K + x)), lanes, y2)
        y3 = multiply_add(fill(item(A, i3 * K + x)), lanes, y3)
        y4 = multiply_add(fill(item(A, i4 * K + x)), lanes, y4)
        y5 = multiply_add(fill(item(A, i5 * K + x)), lanes, y5)
    store(out, p0, y0)
    store(out, p1, y1)
    store(out, p2, y2)
    store(out, p3, y3)
    store(out, p4, y4)
    store(out, p5, y5)
