"""The triangular factor of the students' perpendicular parts, after they have moved.

S (p, p) is held as T (p + 1, p), T[j, i] = S_ij; see `law`.
"""

from __future__ import annotations

import math

from meanfield.kernels.options import serial

NEURONS = 256  # at a time through the rotations of a step: they stay in the second cache


@serial
def rotation(x, y):
    """Length, cosine and sine of the rotation that takes (x, y) to (length, 0)."""
    r = math.sqrt(x * x + y * y)
    return (r, x / r, y / r) if r > 0.0 else (r, 1.0, 0.0)


@serial
def rotate(T, j, cosine, sine, first, last):
    """Rotate columns j and j + 1 of S, for the neurons first ≤ i < last."""
    left, right = T[j, first:last], T[j + 1, first:last]
    for i in range(left.size):
        x, y = left[i], right[i]
        left[i] = cosine * x + sine * y
        right[i] = cosine * y - sine * x


@serial
def add_rank_one(T, c, h, turns):
    """S becomes the triangular factor of S Sᵀ with the row S_i moved by c_i h; h (p + 1,).

    Rotations of neighbouring columns turn h into |h| e_0, where the move touches one column, and
    a second sweep removes what the first put above the diagonal: 12 p² operations. Both go over
    one block of neurons after another, which stays in the cache. turns (4, p) is work space.
    """
    p = c.size
    for j in range(p - 1, -1, -1):
        h[j], turns[0, j], turns[1, j] = rotation(h[j], h[j + 1])
    for first in range(0, p, NEURONS):
        last = min(first + NEURONS, p)
        for j in range(last - 1, -1, -1):
            rotate(T, j, turns[0, j], turns[1, j], max(j, first), last)
        for i in range(first, last):
            T[0, i] += c[i] * h[0]
        for j in range(first):
            rotate(T, j, turns[2, j], turns[3, j], first, last)
        for j in range(first, last):
            T[j, j], turns[2, j], turns[3, j] = rotation(T[j, j], T[j + 1, j])
            T[j + 1, j] = 0.0
            rotate(T, j, turns[2, j], turns[3, j], j + 1, last)


@serial
def add_batch(T, C, H, A):
    """The same for Σ_s C_si H_s, C (b, p), H (b, p + m), by reflections of A (p, p + m)."""
    b, p = C.shape
    n = H.shape[1]
    for i in range(p):
        for j in range(n):
            A[i, j] = T[j, i] if j <= i else 0.0
        for sample in range(b):
            for j in range(n):
                A[i, j] += C[sample, i] * H[sample, j]
    triangular(A, T)


@serial
def triangular(A, T):
    """T becomes the triangular factor of A Aᵀ, by reflections of A (p, n) in place."""
    p, n = A.shape
    for i in range(p):
        square = 0.0
        for j in range(i, n):
            square += A[i, j] * A[i, j]
        norm = -math.copysign(math.sqrt(square), A[i, i])
        # reflect (A_ii, …, A_in) onto norm·e_i; v = row − norm·e_i has |v|²/2 = norm² − norm A_ii
        half = square - norm * A[i, i]
        A[i, i] -= norm
        if half > 0.0:
            for q in range(i + 1, p):
                dot = 0.0
                for j in range(i, n):
                    dot += A[i, j] * A[q, j]
                dot /= half
                for j in range(i, n):
                    A[q, j] -= dot * A[i, j]
        T[i, i] = norm
        for q in range(i + 1, p):
            T[i, q] = A[q, i]
