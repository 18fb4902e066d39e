"""Neurons to mesh and back, on the plane (v, r) of one direction.

v = u·e is a neuron's coordinate along a direction e and r its perpendicular length. The mesh is
uniform in s = asinh(v) and asinh(r): fields of a neuron vary on the scale 1 near the origin and on
the scale of v far from it. Eight-point Lagrange weights; the radial axis is continued evenly below
0 by `GHOSTS` columns, which `fold` adds back.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from meanfield.kernels.options import inline, parallel, serial

POINTS = 8
GHOSTS = 3  # stencil points below the cell's own


@inline
def lagrange_weights(x, w):
    """Weights at offsets -3..4 for a point x in [0, 1); w (8,) is overwritten."""
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


@inline
def arcsinh(x):
    """asinh(x), to full relative accuracy near 0, odd."""
    y = abs(x)
    s = math.log1p(y + y * y / (1.0 + math.sqrt(1.0 + y * y)))
    return s if x >= 0.0 else -s


@parallel
def spread(a, u, r, e, h, half, columns, blocks):
    """Mesh moments of the measure along each direction.

    a (n,), u (n, k), r (n,); directions e (m, k); mesh spacing h, rows -half..half in v, `columns`
    in r. Returns (blocks, m, 2 half + 1, GHOSTS + columns): each block of neurons by itself, to be
    summed in order. The caller has made sure that the mesh covers every neuron.
    """
    n, k = u.shape
    m = e.shape[0]
    moments = np.zeros((blocks, m, 2 * half + 1, GHOSTS + columns))
    size = (n + blocks - 1) // blocks
    for task in prange(blocks * m):
        block, x = task // m, task % m
        mine = moments[block, x]
        wv, wr = np.empty(POINTS), np.empty(POINTS)
        for i in range(block * size, min(n, (block + 1) * size)):
            v = 0.0
            for c in range(k):
                v += u[i, c] * e[x, c]
            s, t = arcsinh(v) / h + half, arcsinh(abs(r[i])) / h
            row, column = int(s), int(t)
            lagrange_weights(s - row, wv)
            lagrange_weights(t - column, wr)
            for p in range(POINTS):
                weight = a[i] * wv[p] / n
                for q in range(POINTS):
                    mine[row - 3 + p, column + q] += weight * wr[q]
    return moments


@parallel
def gather(a, u, r, e, share, h, half, fields, rate, out_a, out_u, out_r):
    """Velocities from mesh fields (m, 3, rows, GHOSTS + columns): Φ, ∂Φ/∂v, ∂Φ/∂r.

    Directions e (m, k) carry weights share (m,). out_a is filled only if rate > 0.
    """
    n, k = u.shape
    m = e.shape[0]
    first = 0 if rate > 0.0 else 1
    blocks = 64
    size = (n + blocks - 1) // blocks
    for block in prange(blocks):
        wv, wr = np.empty(POINTS), np.empty(POINTS)
        sums = np.empty((3, POINTS))
        for i in range(block * size, min(n, (block + 1) * size)):
            t = arcsinh(abs(r[i])) / h
            column = int(t)
            lagrange_weights(t - column, wr)
            value, slope_r = 0.0, 0.0
            for c in range(k):
                out_u[i, c] = 0.0
            for x in range(m):
                v = 0.0
                for c in range(k):
                    v += u[i, c] * e[x, c]
                s = arcsinh(v) / h + half
                row = int(s)
                lagrange_weights(s - row, wv)
                for f in range(first, 3):
                    for q in range(POINTS):
                        sums[f, q] = 0.0
                    for p in range(POINTS):
                        for q in range(POINTS):
                            sums[f, q] += wv[p] * fields[x, f, row - 3 + p, column + q]
                slope_v = 0.0
                for q in range(POINTS):
                    slope_v += wr[q] * sums[1, q]
                    slope_r += share[x] * wr[q] * sums[2, q]
                if first == 0:
                    for q in range(POINTS):
                        value += share[x] * wr[q] * sums[0, q]
                for c in range(k):
                    out_u[i, c] += a[i] * share[x] * slope_v * e[x, c]
            # Φ is even in r: a neuron pushed below 0 by rounding feels the mirrored slope
            out_r[i] = a[i] * (slope_r if r[i] >= 0.0 else -slope_r)
            if first == 0:
                out_a[i] = rate * value


@serial
def fold(moments):
    """Add the ghost columns back onto the even radial axis: (m, rows, GHOSTS + columns)."""
    m, rows, _ = moments.shape
    folded = moments[:, :, GHOSTS:].copy()
    for x in range(m):
        for row in range(rows):
            for g in range(GHOSTS):
                folded[x, row, GHOSTS - g] += moments[x, row, g]
    return folded


@parallel
def mesh_fields(potential, cosh_v, cosh_r, at_v, weight_v, at_r, weight_r):
    """Φ, ∂Φ/∂v, ∂Φ/∂r on the mesh with ghosts, (m, 3, rows, GHOSTS + columns), from Φ.

    Finite differences in s: point i takes weight[i] of the points at[i]; cosh is dv/ds.
    """
    m, rows, columns = potential.shape
    fields = np.zeros((m, 3, rows, GHOSTS + columns))
    width = at_v.shape[1]
    for x in prange(m):
        for i in range(rows):
            for j in range(columns):
                slope_v, slope_r = 0.0, 0.0
                for p in range(width):
                    slope_v += weight_v[i, p] * potential[x, at_v[i, p], j]
                    slope_r += weight_r[j, p] * potential[x, i, at_r[j, p]]
                fields[x, 0, i, GHOSTS + j] = potential[x, i, j]
                fields[x, 1, i, GHOSTS + j] = slope_v / cosh_v[i]
                fields[x, 2, i, GHOSTS + j] = slope_r / cosh_r[j]
            for g in range(1, GHOSTS + 1):
                fields[x, 0, i, GHOSTS - g] = fields[x, 0, i, GHOSTS + g]
                fields[x, 1, i, GHOSTS - g] = fields[x, 1, i, GHOSTS + g]
                fields[x, 2, i, GHOSTS - g] = -fields[x, 2, i, GHOSTS + g]
    return fields
