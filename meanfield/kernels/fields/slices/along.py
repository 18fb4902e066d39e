"""Points that carry vectors, seen along directions: to a mesh in v = x·e for each, and back.

Eight points of the mesh see each point, as in `places`: its vector is added to theirs, or taken
from theirs.
"""

from __future__ import annotations

import numpy as np

from meanfield.kernels.fields.places import BATCH, BELOW, POINTS, locate, value_weights
from meanfield.kernels.memory import integers, item
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import LANES, fill, load, multiply_add, store


@serial
def locate_along(points, first, n, e, lattice, x, cell, offset, root, work, bits):
    """Places of x·e for n points (P, 2 or 3) from `first` on; how many lie outside."""
    if e.size == 2:
        for j in range(n):
            at = 2 * (first + j)
            x[j] = e[0] * item(points, at) + e[1] * item(points, at + 1)
    else:
        for j in range(n):
            at = 3 * (first + j)
            x[j] = e[0] * item(points, at) + e[1] * item(points, at + 1)
            x[j] += e[2] * item(points, at + 2)
    return locate(
        x, n, lattice.scale, lattice.origin[0], lattice.counts[0], cell, offset, root, work, bits
    )


@serial
def add_vectors(first, n, width, cell, offset, vectors, mesh):
    """Add the vectors of n points from `first` on to the eight mesh points around each."""
    w = np.empty(POINTS)
    for j in range(n):
        store(w, 0, value_weights(offset[j]))
        corner = (cell[j] - BELOW) * width
        for c in range(0, width, LANES):
            y = load(vectors, (first + j) * width + c)
            for p in range(POINTS):
                at = corner + p * width + c
                store(mesh, at, multiply_add(y, fill(w[p]), load(mesh, at)))


@serial
def take_vectors(start, n, width, cell, offset, mesh, out):
    """Add to the n vectors from `start` on what the eight mesh points around each say."""
    w = np.empty(POINTS)
    for j in range(n):
        store(w, 0, value_weights(offset[j]))
        corner = (cell[j] - BELOW) * width
        for c in range(0, width, LANES):
            y = load(out, (start + j) * width + c)
            for p in range(POINTS):
                y = multiply_add(load(mesh, corner + p * width + c), fill(w[p]), y)
            store(out, (start + j) * width + c, y)


def spread_points(points, vectors, directions, lattice, width, meshes):
    """Add vectors (P width,) at points (P, k) to a mesh along each direction, (m, size width).

    How many points lie outside; NaN counts as outside.
    """
    outside = np.zeros(len(directions), np.int64)
    _spread_points(points, vectors, directions, lattice, width, meshes, outside)
    return outside.sum()


@shared(
    lambda points, vectors, directions, *_: (len(directions), 3.0 * vectors.size * len(directions))
)
def _spread_points(first_m, last_m, points, vectors, directions, lattice, width, meshes, outside):
    P = points.shape[0]
    for m in range(first_m, last_m):
        cell, offset, root = integers(np.empty(BATCH)), np.empty(BATCH), np.empty(BATCH)
        x, y = np.empty(BATCH), np.empty(BATCH)
        bits, mesh = integers(y), meshes[m]
        for first in range(0, P, BATCH):
            n = min(BATCH, P - first)
            outside[m] += locate_along(
                points, first, n, directions[m], lattice, x, cell, offset, root, y, bits
            )
            add_vectors(first, n, width, cell, offset, vectors, mesh)


@shared(
    lambda points, directions, lattice, width, *_: (
        -(-len(points) // BATCH),
        3.0 * len(points) * width * len(directions),
    )
)
def gather_points(first_task, last_task, points, directions, lattice, width, meshes, out):
    """Fill vectors (P width,) at points with the sum over directions of what their meshes say."""
    P, M = points.shape[0], directions.shape[0]
    for task in range(first_task, last_task):
        cell, offset, root = integers(np.empty(BATCH)), np.empty(BATCH), np.empty(BATCH)
        x, y = np.empty(BATCH), np.empty(BATCH)
        bits, first = integers(y), task * BATCH
        n = min(BATCH, P - first)
        out[first * width : (first + n) * width] = 0.0
        for m in range(M):
            locate_along(points, first, n, directions[m], lattice, x, cell, offset, root, y, bits)
            take_vectors(first, n, width, cell, offset, meshes[m], out)
