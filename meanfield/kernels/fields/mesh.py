"""Neurons to a mesh and back, in two or three coordinates.

See `places` for the mesh. Batches of neurons are located together; then each one's stencil is eight
lanes wide.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.fields.places import (
    BATCH,
    BELOW,
    POINTS,
    places,
    slope_weights,
    value_weights,
)
from meanfield.kernels.memory import integers
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import fill, load, multiply, multiply_add, store, total

SHORT = 8192  # neurons that one thread takes alone: waking the others costs as much


@serial
def spread_plane(charge, first, n, columns, cell, offset, mesh):
    """Add a batch of n neurons, charges from `first` on, to a mesh in two coordinates."""
    row = np.empty(POINTS)
    for j in range(n):
        store(row, 0, value_weights(offset[0, j]))
        weights = multiply(value_weights(offset[1, j]), fill(charge[first + j]))
        at = (cell[0, j] - BELOW) * columns + cell[1, j] - BELOW
        for p in range(POINTS):
            old = load(mesh, at + p * columns)
            store(mesh, at + p * columns, multiply_add(weights, fill(row[p]), old))


@serial
def spread_space(charge, first, n, rows, columns, cell, offset, mesh):
    """The same in three coordinates."""
    row, plane = np.empty(POINTS), np.empty(POINTS)
    for j in range(n):
        store(plane, 0, value_weights(offset[0, j]))
        store(row, 0, value_weights(offset[1, j]))
        weights = multiply(value_weights(offset[2, j]), fill(charge[first + j]))
        at = ((cell[0, j] - BELOW) * rows + cell[1, j] - BELOW) * columns + cell[2, j] - BELOW
        for s in range(POINTS):
            weighted = multiply(weights, fill(plane[s]))
            for p in range(POINTS):
                old = load(mesh, at + p * columns)
                store(mesh, at + p * columns, multiply_add(weighted, fill(row[p]), old))
            at += rows * columns


@serial
def spread_block(charge, u, r, first, last, lattice, mesh):
    """Add neurons first..last to a mesh; how many lie outside (they are put somewhere)."""
    count, outside = lattice.counts, 0
    x, offset, cell = np.empty((3, BATCH)), np.empty((3, BATCH)), integers(np.empty((3, BATCH)))
    root, q, y = np.empty((3, BATCH)), np.empty(BATCH), np.empty(BATCH)
    bits = integers(y)
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        outside += places(u, r, start, n, lattice, x, q, cell, offset, root, y, bits)
        if count.size == 2:
            spread_plane(charge, start, n, count[1], cell, offset, mesh)
        else:
            spread_space(charge, start, n, count[1], count[2], cell, offset, mesh)
    return outside


@serial
def interpolate_plane(mesh, n, columns, cell, offset, slope, value, wanted):
    """Slope of Φ, per mesh spacing, at a batch of n neurons, and Φ if wanted; two coordinates."""
    row, row_slope = np.empty(POINTS), np.empty(POINTS)
    for j in range(n):
        store(row, 0, value_weights(offset[0, j]))
        store(row_slope, 0, slope_weights(offset[0, j]))
        at = (cell[0, j] - BELOW) * columns + cell[1, j] - BELOW
        points = load(mesh, at)
        flat, along = multiply(points, fill(row[0])), multiply(points, fill(row_slope[0]))
        for p in range(1, POINTS):
            points = load(mesh, at + p * columns)
            flat = multiply_add(points, fill(row[p]), flat)
            along = multiply_add(points, fill(row_slope[p]), along)
        across = value_weights(offset[1, j])
        slope[0, j] = total(multiply(along, across))
        slope[1, j] = total(multiply(flat, slope_weights(offset[1, j])))
        if wanted:
            value[j] = total(multiply(flat, across))


@serial
def interpolate_space(mesh, n, rows, columns, cell, offset, slope, value, wanted):
    """The same in three coordinates."""
    row, row_slope = np.empty(POINTS), np.empty(POINTS)
    plane, plane_slope = np.empty(POINTS), np.empty(POINTS)
    for j in range(n):
        store(plane, 0, value_weights(offset[0, j]))
        store(plane_slope, 0, slope_weights(offset[0, j]))
        store(row, 0, value_weights(offset[1, j]))
        store(row_slope, 0, slope_weights(offset[1, j]))
        at = ((cell[0, j] - BELOW) * rows + cell[1, j] - BELOW) * columns + cell[2, j] - BELOW
        flat = first = second = fill(0.0)
        for s in range(POINTS):
            points = load(mesh, at)
            one, other = multiply(points, fill(row[0])), multiply(points, fill(row_slope[0]))
            for p in range(1, POINTS):
                points = load(mesh, at + p * columns)
                one = multiply_add(points, fill(row[p]), one)
                other = multiply_add(points, fill(row_slope[p]), other)
            flat = multiply_add(one, fill(plane[s]), flat)
            first = multiply_add(one, fill(plane_slope[s]), first)
            second = multiply_add(other, fill(plane[s]), second)
            at += rows * columns
        across = value_weights(offset[2, j])
        slope[0, j] = total(multiply(first, across))
        slope[1, j] = total(multiply(second, across))
        slope[2, j] = total(multiply(flat, slope_weights(offset[2, j])))
        if wanted:
            value[j] = total(multiply(flat, across))


@serial
def gather_block(a, u, r, first, last, lattice, mesh, rate, out_a, out_u, out_r):
    """Velocities of neurons first..last; out_a is filled only if rate > 0."""
    k, count = u.shape[1], lattice.counts
    x, offset, cell = np.empty((3, BATCH)), np.empty((3, BATCH)), integers(np.empty((3, BATCH)))
    slope, root = np.empty((3, BATCH)), np.empty((3, BATCH))
    value, q, y = np.empty(BATCH), np.empty(BATCH), np.empty(BATCH)
    bits = integers(y)
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        places(u, r, start, n, lattice, x, q, cell, offset, root, y, bits)
        if count.size == 2:
            interpolate_plane(mesh, n, count[1], cell, offset, slope, value, rate > 0.0)
        else:
            interpolate_space(mesh, n, count[1], count[2], cell, offset, slope, value, rate > 0.0)
        for c in range(lattice.counts.size):
            for j in range(n):
                slope[c, j] *= a[start + j] * lattice.scale / root[c, j]
        if lattice.ratio:  # ∂α/∂u = q and ∂α/∂r = −α r q²
            for j in range(n):
                across = 0.0
                for c in range(k):
                    across += slope[c, j] * x[c, j]
                    out_u[start + j, c] = slope[c, j] * q[j]
                out_r[start + j] = -across * r[start + j] * q[j] * q[j]
        else:  # Φ is even in r: a neuron pushed below 0 by rounding feels the mirrored slope
            for c in range(k):
                for j in range(n):
                    out_u[start + j, c] = slope[c, j]
            for j in range(n):
                out_r[start + j] = math.copysign(slope[k, j], slope[k, j] * r[start + j])
        if rate > 0.0:
            for j in range(n):
                out_a[start + j] = rate * value[j]


def spread(charge, u, r, lattice):
    """Mesh moments (size,) of the measure Σ charge_i δ(u_i, r_i)/n; None if one lies outside."""
    n, size, blocks = len(charge), int(lattice.counts.prod()), 1
    if n > SHORT:
        # a block costs a mesh to be zeroed and added up: it gets more neurons than that has points
        blocks = min(32, max(4, -(-n // max(2 * SHORT, size))))
    meshes, outside = np.zeros((blocks, size)), np.zeros(blocks, np.int64)
    _spread(meshes, outside, charge, u, r, lattice)
    if outside.any():
        return None
    mesh = meshes[0] if blocks == 1 else meshes.sum(axis=0)
    mesh /= n
    return mesh


@shared(lambda meshes, outside, charge, *_: (len(meshes), 20.0 * len(charge)))
def _spread(first, last, meshes, outside, charge, u, r, lattice):
    n, blocks = charge.size, outside.size
    step = (n + blocks - 1) // blocks
    for block in range(first, last):
        left, right = min(n, block * step), min(n, (block + 1) * step)
        outside[block] = spread_block(charge, u, r, left, right, lattice, meshes[block])


def gather(a, u, r, lattice, mesh, rate, out_a, out_u, out_r):
    """Write the velocities that the potential on a mesh (size,) gives; see `gather_block`."""
    n = len(a)
    blocks = 1 if n <= SHORT else min(64, -(-n // (SHORT // 2)))
    _gather(blocks, a, u, r, lattice, mesh, rate, out_a, out_u, out_r)


@shared(lambda blocks, a, *_: (blocks, 20.0 * len(a)))
def _gather(first, last, blocks, a, u, r, lattice, mesh, rate, out_a, out_u, out_r):
    n = a.size
    step = (n + blocks - 1) // blocks
    for block in range(first, last):
        left, right = min(n, block * step), min(n, (block + 1) * step)
        gather_block(a, u, r, left, right, lattice, mesh, rate, out_a, out_u, out_r)


@shared(lambda part_a, part_u, part_r, *_: (-(-len(part_r) // SHORT), 3.0 * len(part_r)))
def add_along(first, last, part_a, part_u, part_r, e, rate, out_a, out_u, out_r):
    """Add what one direction e gives: part_u (n, 1) is along it."""
    n = part_r.size
    for block in range(first, last):
        for i in range(block * SHORT, min(n, (block + 1) * SHORT)):
            for c in range(e.size):
                out_u[i, c] += part_u[i, 0] * e[c]
            out_r[i] += part_r[i]
            if rate > 0.0:
                out_a[i] += part_a[i]
