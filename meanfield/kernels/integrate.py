"""Sums of long vectors, in parallel and in a fixed order.

The vectors are rows of one array, named by their indices. Waking the threads costs more than a
block of work, and milliseconds on a busy machine: one block, the calling thread works alone.
"""

from __future__ import annotations

import numpy as np

from meanfield.kernels.options import serial, shared

BLOCK = 4096
SUMS = 7  # that `scaled_squares` takes in one pass
GROWTH = 10.0  # looser than others by so much, what grows is right once it is seen
CHUNK = 1024  # what a pass holds of each sum while it gathers it: it stays in the cache


def mix(rows, out, c, of):
    """rows[out[m]] = Σ_s c[m, s] rows[of[s]] for all m at once; a row may be on both sides."""
    _mix(rows, _indices(out), np.array(c, np.float64, order="C", ndmin=2), _indices(of))


def scaled_squares(rows, c, of, y, y_new, weight, floors, rtol):
    """Sums over j of e², m, m², of the same times weight[j], and of e² with the first floor alone.

    e = |Σ_s c[s] rows[of[s]]| over floor + rtol s with s = max(|y|, |y_new|), where the floor is
    the second for what grows away from zero and the first for all else; m = |y_new − y| over the
    third floor + s. An empty `weight` is one of ones.
    """
    partial = np.empty((_blocks(rows), SUMS))
    c = np.asarray(c, np.float64)
    _scaled(rows, c, _indices(of), y, y_new, weight, floors, rtol, partial)
    return _total(partial)


def dots(rows, of, other, w):
    """Inner products of rows[of[s]] with row w of another array (or the same)."""
    of = _indices(of)
    partial = np.empty((_blocks(rows), of.size))
    _dots(rows, of, other, w, partial)
    return _total(partial)


def _total(partial):
    return partial.sum(axis=0) if len(partial) > 1 else partial[0]


def _indices(values):
    return np.array(values, np.int64, ndmin=1)


def _blocks(rows):
    return -(-rows.shape[1] // BLOCK)


@serial
def _mix_block(rows, out, c, of, sums, first, last):
    for left in range(first, last, CHUNK):
        count = min(CHUNK, last - left)
        for m in range(out.size):
            total, started = sums[m], False
            for s in range(of.size):
                weight, row = c[m, s], rows[of[s], left : left + count]
                if weight != 0.0 and started:
                    for j in range(count):
                        total[j] += weight * row[j]
                elif weight != 0.0:
                    started = True
                    for j in range(count):
                        total[j] = weight * row[j]
            if not started:
                total[:] = 0.0
        for m in range(out.size):
            total, row = sums[m], rows[out[m], left : left + count]
            for j in range(count):
                row[j] = total[j]


@shared(lambda rows, out, c, of: (_blocks(rows), 0.5 * c.size * rows.shape[1]))
def _mix(first, last, rows, out, c, of):
    sums = np.empty((out.size, CHUNK))
    for block in range(first, last):
        end = min((block + 1) * BLOCK, rows.shape[1])
        _mix_block(rows, out, c, of, sums, block * BLOCK, end)


@serial
def _scaled_block(rows, c, of, y, y_new, weight, floors, rtol, out, first, last):
    idle, growing, moving = floors
    out[:] = 0.0
    x = np.empty(CHUNK)
    for left in range(first, last, CHUNK):
        count = min(CHUNK, last - left)
        x[:] = 0.0
        for s in range(of.size):
            factor, row = c[s], rows[of[s], left : left + count]
            for j in range(count):
                x[j] += factor * row[j]
        here, there = rows[y, left : left + count], rows[y_new, left : left + count]
        for j in range(count):
            move = there[j] - here[j]
            size = max(abs(here[j]), abs(there[j]))
            allowed = rtol * size + idle
            loose, motion = abs(x[j]) / allowed, abs(move) / (size + moving)
            if here[j] * move > 0.0:
                allowed = min(allowed, GROWTH * rtol * size + growing)
            error = abs(x[j]) / allowed
            w = weight[left + j] if weight.size > 0 else 1.0
            out[0] += error * error
            out[1] += motion
            out[2] += motion * motion
            out[3] += w * error * error
            out[4] += w * motion
            out[5] += w * motion * motion
            out[6] += loose * loose


@shared(lambda rows, c, *_: (_blocks(rows), (3.0 + 0.5 * c.size) * rows.shape[1]))
def _scaled(first, last, rows, c, of, y, y_new, weight, floors, rtol, partial):
    for block in range(first, last):
        left, right = block * BLOCK, min((block + 1) * BLOCK, rows.shape[1])
        _scaled_block(rows, c, of, y, y_new, weight, floors, rtol, partial[block], left, right)


@serial
def _dots_block(rows, of, other, w, out, first, last):
    right = other[w, first:last]
    for s in range(of.size):
        total, left = 0.0, rows[of[s], first:last]
        for j in range(last - first):
            total += left[j] * right[j]
        out[s] = total


@shared(lambda rows, of, *_: (_blocks(rows), 0.5 * of.size * rows.shape[1]))
def _dots(first, last, rows, of, other, w, partial):
    for block in range(first, last):
        left, right = block * BLOCK, min((block + 1) * BLOCK, rows.shape[1])
        _dots_block(rows, of, other, w, partial[block], left, right)
