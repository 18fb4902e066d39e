"""What a neuron's length r does to the field, as a vector b(r) read from a table.

A few functions b_j(r) hold it (see `fields.slices.planes`), a multiple of eight side by side, so
that points of a mesh carry their coefficients.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from meanfield.kernels.fields.places import BELOW, POINTS, locate, slope_weights, value_weights
from meanfield.kernels.options import serial
from meanfield.kernels.simd import LANES, fill, load, multiply, multiply_add, store


class Lengths(NamedTuple):
    """Functions b_j(r), j < width, at asinh(r) = (i − origin)/scale: table[i width + j]."""

    scale: float
    origin: float
    points: int
    width: int
    table: np.ndarray


@serial
def length_values(n, lengths, cell, offset, weight, out):
    """weight b(r) of a batch of n neurons, whose r have these places."""
    width, table = lengths.width, lengths.table
    w = np.empty(POINTS)
    for j in range(n):
        store(w, 0, value_weights(offset[j]))
        at = (cell[j] - BELOW) * width
        for c in range(0, width, LANES):
            y = multiply(load(table, at + c), fill(w[0]))
            for p in range(1, POINTS):
                y = multiply_add(load(table, at + p * width + c), fill(w[p]), y)
            store(out, j * width + c, multiply(y, fill(weight[j])))


@serial
def length_slopes(n, lengths, cell, offset, root, r, out):
    """db/dr of a batch of n neurons; even in r, for one pushed below 0 by rounding."""
    width, table = lengths.width, lengths.table
    w = np.empty(POINTS)
    for j in range(n):
        store(w, 0, slope_weights(offset[j]))
        at = (cell[j] - BELOW) * width
        factor = math.copysign(lengths.scale / root[j], r[j])
        for c in range(0, width, LANES):
            y = multiply(load(table, at + c), fill(w[0]))
            for p in range(1, POINTS):
                y = multiply_add(load(table, at + p * width + c), fill(w[p]), y)
            store(out, j * width + c, multiply(y, fill(factor)))


@serial
def locate_lengths(r, first, n, lengths, x, cell, offset, root, work, bits):
    """Places of |r| on the table; how many lie outside."""
    for j in range(n):
        x[j] = abs(r[first + j])
    return locate(
        x, n, lengths.scale, lengths.origin, lengths.points, cell, offset, root, work, bits
    )
