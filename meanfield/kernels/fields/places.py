"""Where neurons are on a mesh, and with which weights its points see them.

The mesh is uniform in asinh of each coordinate: fields of a neuron vary on the scale 1 near the
origin and on the scale of |u| far from it. Eight-point Lagrange weights in each coordinate; a slope
is the slope of the interpolant. The coordinates are (u, r), or α = u/√(1 + r²) where the potential
depends on that alone.

Neurons go by in batches: their places on the mesh are found together, by arithmetic that compiles
to vector instructions (no call, no branch), then each one's stencil is eight lanes wide.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from meanfield.kernels.options import serial
from meanfield.kernels.simd import fill, load, multiply_add

POINTS = 8
BELOW = 3  # stencil points below the cell's own
BATCH = 128


class Lattice(NamedTuple):
    """Where mesh points are, and what a neuron's coordinates are.

    `ratio` is 1 for α (one coordinate for each of u), 0 for (u, r). Point i of coordinate x lies at
    asinh(x) = (i − origin)/scale. Points are stored with the last coordinate running fastest.
    """

    ratio: int
    scale: float
    origin: np.ndarray
    counts: np.ndarray


def _lagrange_table(offsets):
    """Coefficients (8, 8) of the Lagrange weights of up to eight offsets: powers of x − ½."""
    nodes = [Fraction(2 * j - 1, 2) for j in offsets]
    table = np.zeros((POINTS, POINTS))
    for q in range(len(nodes)):
        powers = [Fraction(1)]
        for node in nodes[:q] + nodes[q + 1 :]:
            shifted = [Fraction(0), *powers]
            powers = [
                (high - node * low) / (nodes[q] - node)
                for high, low in zip(shifted, [*powers, Fraction(0)], strict=True)
            ]
        table[: len(nodes), q] = [float(c) for c in powers]
    return table


def _flat(table):
    """Coefficients of the weights and of their derivatives, each as one vector."""
    slopes = np.arange(1, POINTS)[:, None] * table[1:]
    return np.ascontiguousarray(table.ravel()), np.ascontiguousarray(slopes.ravel())


VALUE, SLOPE = _flat(_lagrange_table(range(-BELOW, POINTS - BELOW)))
POLE_VALUE, POLE_SLOPE = _flat(_lagrange_table(range(-BELOW, BELOW + 1)))


@serial
def _seventh_degree(table, x):
    X = fill(x)
    w = multiply_add(load(table, 56), X, load(table, 48))
    w = multiply_add(w, X, load(table, 40))
    w = multiply_add(w, X, load(table, 32))
    w = multiply_add(w, X, load(table, 24))
    w = multiply_add(w, X, load(table, 16))
    w = multiply_add(w, X, load(table, 8))
    return multiply_add(w, X, load(table, 0))


@serial
def _sixth_degree(table, x):
    X = fill(x)
    w = multiply_add(load(table, 48), X, load(table, 40))
    w = multiply_add(w, X, load(table, 32))
    w = multiply_add(w, X, load(table, 24))
    w = multiply_add(w, X, load(table, 16))
    w = multiply_add(w, X, load(table, 8))
    return multiply_add(w, X, load(table, 0))


@serial
def value_weights(x):
    """Lagrange weights at offsets −3..4 for the point x + ½ of the cell [0, 1]."""
    return _seventh_degree(VALUE, x)


@serial
def slope_weights(x):
    """Derivatives of the Lagrange weights."""
    return _sixth_degree(SLOPE, x)


@serial
def pole_value_weights(x):
    """Weights at offsets −3..3 (and 0 at 4): through even values they give an even polynomial."""
    return _sixth_degree(POLE_VALUE, x)


@serial
def pole_slope_weights(x):
    """Derivatives of `pole_value_weights`."""
    return _sixth_degree(POLE_SLOPE, x)


@serial
def locate(x, n, scale, origin, count, cell, offset, root, work, bits):
    """Cells of asinh(x) on a mesh and offsets from their middles; how many lie outside.

    `root` becomes √(1 + x²), the slope of x against asinh(x).

    asinh by the logarithm of y = |x| + √(1 + x²): y = 2^e m with m in [¾, 3/2), and log m by the
    series of 2 artanh((m − 1)/(m + 1)). `bits` is `work` seen as integers. Good to 2e-16
    absolutely, which is what a place on the mesh needs. NaN and infinity count as outside.
    """
    for j in range(n):
        root[j] = math.sqrt(1.0 + x[j] * x[j])
        work[j] = abs(x[j]) + root[j]
    for j in range(n):
        e = (bits[j] + 0x0008000000000000 >> 52) - 1023
        bits[j] -= e << 52
        cell[j] = e
    outside = 0
    for j in range(n):
        f = (work[j] - 1.0) / (work[j] + 1.0)
        z = f * f
        p = 2.0 / 17 + z * (2.0 / 19 + z * (2.0 / 21))
        p = 2.0 / 11 + z * (2.0 / 13 + z * (2.0 / 15 + z * p))
        p = 2.0 + z * (2.0 / 3 + z * (2.0 / 5 + z * (2.0 / 7 + z * (2.0 / 9 + z * p))))
        s = math.copysign(cell[j] * 0.6931471805599453 + f * p, x[j]) * scale + origin
        inside = (s >= BELOW) & (s < count - (POINTS - BELOW - 1))
        outside += 1 - inside
        s = s if inside else float(BELOW)
        cell[j] = int(s)
        offset[j] = s - cell[j] - 0.5
    return outside


@serial
def coordinates(u, r, first, n, ratio, x, q):
    """Coordinates x (axes, n) of the batch that starts at `first`; q = 1/√(1 + r²) for ratios."""
    k = u.shape[1]
    if ratio:
        for j in range(n):
            q[j] = 1.0 / math.sqrt(1.0 + r[first + j] * r[first + j])
        for c in range(k):
            for j in range(n):
                x[c, j] = u[first + j, c] * q[j]
    else:
        for c in range(k):
            for j in range(n):
                x[c, j] = u[first + j, c]
        for j in range(n):
            x[k, j] = abs(r[first + j])


@serial
def places(u, r, first, n, lattice, x, q, cell, offset, root, work, bits):
    """Cells and offsets (axes, n) of the batch that starts at `first`; how many lie outside."""
    coordinates(u, r, first, n, lattice.ratio, x, q)
    outside = 0
    for c in range(lattice.counts.size):
        outside += locate(
            x[c], n, lattice.scale, lattice.origin[c], lattice.counts[c], cell[c], offset[c],
            root[c], work, bits,
        )  # fmt: skip
    return outside


@serial
def lagrange_weights(x, w):
    """`value_weights` one number at a time, into w (8,): offsets −3..4 of a point x in [0, 1)."""
    d0, d1, d2, d3 = x + 3.0, x + 2.0, x + 1.0, x
    d4, d5, d6, d7 = x - 1.0, x - 2.0, x - 3.0, x - 4.0
    p01, p23, p45, p67 = d0 * d1, d2 * d3, d4 * d5, d6 * d7
    low, high = p01 * p23, p45 * p67
    w[0] = d1 * p23 * high * (-1.0 / 5040.0)
    w[1] = d0 * p23 * high * (1.0 / 720.0)
    w[2] = p01 * d3 * high * (-1.0 / 240.0)
    w[3] = p01 * d2 * high * (1.0 / 144.0)
    w[4] = low * d5 * p67 * (-1.0 / 144.0)
    w[5] = low * d4 * p67 * (1.0 / 240.0)
    w[6] = low * p45 * d7 * (-1.0 / 720.0)
    w[7] = low * p45 * d6 * (1.0 / 5040.0)


@serial
def arcsinh(x):
    """asinh(x), to full relative accuracy near 0, odd."""
    y = abs(x)
    s = math.log1p(y + y * y / (1.0 + math.sqrt(1.0 + y * y)))
    return s if x >= 0.0 else -s
