"""Slow, obvious twins of the cells: one neuron, one monomial at a time."""

from __future__ import annotations

import math

import numpy as np

DEGREE = 7
MONOMIALS = [(i, j) for j in range(DEGREE + 1) for i in range(DEGREE + 1 - j)]


def edges(shift, bits, count):
    """Lower ends of cells of |x|: 2^bits of them to each factor of two in shift + |x|."""
    found, number = [], 0
    power = math.floor(math.log2(shift))
    number = math.floor((shift / 2.0**power - 1.0) * 2**bits)
    while len(found) <= count:
        octave, part = divmod(number, 2**bits)
        found.append(2.0 ** (power + octave) * (1.0 + part / 2**bits) - shift)
        number += 1
    return np.array(found)


def locate(x, shift, bits, count):
    """The cell of |x| and the place in it, in [−1, 1); None outside."""
    ends = edges(shift, bits, count)
    if not abs(x) < ends[-1]:
        return None
    cell = int(np.searchsorted(ends, abs(x), side="right")) - 1
    low, high = ends[cell], ends[cell + 1]
    return cell, (2.0 * abs(x) - low - high) / (high - low)


def place(u, r, cells):
    """Cell and places (x, y) of one neuron; on one axis y is None."""
    if cells.ratio:
        u = u / math.sqrt(1.0 + r * r)
    row, x = locate(u, cells.shift[0], cells.bits, cells.counts[0])
    row += cells.counts[0] if u < 0.0 and not cells.odd else 0
    if cells.ratio:
        return row, x, None
    column, y = locate(r, cells.shift[1], cells.bits, cells.counts[1])
    return row * cells.counts[1] + column, x, y


def spread(charge, u, r, cells, rows):
    """Moments by cell and (i, j), a dictionary; on one axis j is 0."""
    moments = {}
    for weight, one, length in zip(charge, u, r, strict=True):
        cell, x, y = place(float(one), float(length), cells)
        weight = -weight if one < 0.0 and cells.odd else weight
        for i, j in MONOMIALS:
            if y is None and j > 0:
                continue
            term = weight * x**i * (1.0 if y is None else y**j)
            moments[cell, i, j] = moments.get((cell, i, j), 0.0) + term
    return moments
