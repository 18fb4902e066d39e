"""Neurons to a mesh in (u₁, u₂) whose points carry a vector, and back.

What a neuron's length r does to the field is a combination of a few functions b_j(r), which a
table holds (see `fields.lengths`). So a mesh point carries their coefficients, a multiple of eight
side by side, and a neuron meets 64 points with its own vector b(r).

A student that is odd sees u and −u as one: neurons with u₁ < 0 are reflected, and the mesh has
u₁ ≥ 0 alone, but for the margin of a stencil.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from meanfield.kernels.lanes import LANES, fill, load, multiply, multiply_add, store, total
from meanfield.kernels.options import inline, parallel, serial
from meanfield.kernels.places import BATCH, BELOW, POINTS, locate, slope_weights, value_weights


class Lengths(NamedTuple):
    """Functions b_j(r), j < width, at asinh(r) = (i − origin)/scale: table[i width + j]."""

    scale: float
    origin: float
    points: int
    width: int
    table: np.ndarray


class Plane(NamedTuple):
    """Mesh points in u₁ and u₂, as those of `places.Lattice`; odd: u₁ ≥ 0 only."""

    odd: int
    scale: float
    origin: np.ndarray
    counts: np.ndarray


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


@inline
def locate_lengths(r, first, n, lengths, x, cell, offset, root, work, bits):
    """Places of |r| on the table; how many lie outside."""
    for j in range(n):
        x[j] = abs(r[first + j])
    return locate(
        x, n, lengths.scale, lengths.origin, lengths.points, cell, offset, root, work, bits
    )


@inline
def locate_plane(u, first, n, plane, sign, x, cell, offset, root, work, bits):
    """Places of u (2, n), reflected where sign becomes −1; how many lie outside."""
    for j in range(n):
        sign[j] = -1.0 if plane.odd and u[first + j, 0] < 0.0 else 1.0
    outside = 0
    for c in range(2):
        for j in range(n):
            x[j] = sign[j] * u[first + j, c]
        outside += locate(
            x, n, plane.scale, plane.origin[c], plane.counts[c], cell[c], offset[c], root[c],
            work, bits,
        )  # fmt: skip
    return outside


@serial
def spread_vectors(n, columns, width, cell, offset, vectors, mesh):
    """Add the vectors of a batch of n neurons to the 64 points around each, two lanes at a time."""
    row, column = np.empty(POINTS), np.empty(POINTS)
    for j in range(n):
        store(row, 0, value_weights(offset[0, j]))
        store(column, 0, value_weights(offset[1, j]))
        corner = ((cell[0, j] - BELOW) * columns + cell[1, j] - BELOW) * width
        c = 0
        while c + 2 * LANES <= width:
            left, right = load(vectors, j * width + c), load(vectors, j * width + c + LANES)
            for s in range(POINTS):
                y, z = multiply(left, fill(row[s])), multiply(right, fill(row[s]))
                at = corner + s * columns * width + c
                for p in range(POINTS):
                    w = fill(column[p])
                    store(mesh, at, multiply_add(y, w, load(mesh, at)))
                    store(mesh, at + LANES, multiply_add(z, w, load(mesh, at + LANES)))
                    at += width
            c += 2 * LANES
        if c < width:
            left = load(vectors, j * width + c)
            for s in range(POINTS):
                y = multiply(left, fill(row[s]))
                at = corner + s * columns * width + c
                for p in range(POINTS):
                    store(mesh, at, multiply_add(y, fill(column[p]), load(mesh, at)))
                    at += width


@serial
def spread_block(charge, u, r, first, last, plane, lengths, mesh):
    """Add neurons first..last to a mesh; how many lie outside (they are put somewhere)."""
    cell, offset = np.empty((3, BATCH), np.int64), np.empty((3, BATCH))
    root, x, y = np.empty((3, BATCH)), np.empty(BATCH), np.empty(BATCH)
    sign, vectors = np.empty(BATCH), np.empty(BATCH * lengths.width)
    bits, outside = y.view(np.int64), 0
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        outside += locate_plane(u, start, n, plane, sign, x, cell, offset, root, y, bits)
        outside += locate_lengths(r, start, n, lengths, x, cell[2], offset[2], root[2], y, bits)
        for j in range(n):
            sign[j] *= charge[start + j]
        length_values(n, lengths, cell[2], offset[2], sign, vectors)
        spread_vectors(n, plane.counts[1], lengths.width, cell, offset, vectors, mesh)
    return outside


@serial
def interpolate_vectors(n, columns, width, cell, offset, values, slopes, mesh, phi, du, dr):
    """Φ, its slopes in (u₁, u₂) per mesh spacing and in r, of a batch of n neurons."""
    row, row_slope = np.empty(POINTS), np.empty(POINTS)
    column, column_slope = np.empty(POINTS), np.empty(POINTS)
    for j in range(n):
        store(row, 0, value_weights(offset[0, j]))
        store(row_slope, 0, slope_weights(offset[0, j]))
        store(column, 0, value_weights(offset[1, j]))
        store(column_slope, 0, slope_weights(offset[1, j]))
        corner = ((cell[0, j] - BELOW) * columns + cell[1, j] - BELOW) * width
        phi[j] = du[0, j] = du[1, j] = dr[j] = 0.0
        for c in range(0, width, LANES):
            flat = first = second = fill(0.0)
            for s in range(POINTS):
                at = corner + s * columns * width + c
                points = load(mesh, at)
                one, other = (
                    multiply(points, fill(column[0])),
                    multiply(points, fill(column_slope[0])),
                )
                for p in range(1, POINTS):
                    points = load(mesh, at + p * width)
                    one = multiply_add(points, fill(column[p]), one)
                    other = multiply_add(points, fill(column_slope[p]), other)
                flat = multiply_add(one, fill(row[s]), flat)
                first = multiply_add(one, fill(row_slope[s]), first)
                second = multiply_add(other, fill(row[s]), second)
            b = load(values, j * width + c)
            phi[j] += total(multiply(flat, b))
            du[0, j] += total(multiply(first, b))
            du[1, j] += total(multiply(second, b))
            dr[j] += total(multiply(flat, load(slopes, j * width + c)))


@serial
def gather_block(a, u, r, first, last, plane, lengths, mesh, rate, out_a, out_u, out_r):
    """Velocities of neurons first..last; out_a is filled only if rate > 0."""
    cell, offset = np.empty((3, BATCH), np.int64), np.empty((3, BATCH))
    root, x, y = np.empty((3, BATCH)), np.empty(BATCH), np.empty(BATCH)
    sign, one, bits = np.empty(BATCH), np.ones(BATCH), y.view(np.int64)
    values, slopes = np.empty(BATCH * lengths.width), np.empty(BATCH * lengths.width)
    phi, du, dr = np.empty(BATCH), np.empty((2, BATCH)), np.empty(BATCH)
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        locate_plane(u, start, n, plane, sign, x, cell, offset, root, y, bits)
        locate_lengths(r, start, n, lengths, x, cell[2], offset[2], root[2], y, bits)
        length_values(n, lengths, cell[2], offset[2], one, values)
        for j in range(n):
            x[j] = r[start + j]
        length_slopes(n, lengths, cell[2], offset[2], root[2], x, slopes)
        interpolate_vectors(
            n, plane.counts[1], lengths.width, cell, offset, values, slopes, mesh, phi, du, dr
        )
        for c in range(2):  # Φ(−u) = −Φ(u) where neurons are reflected: its slope in u is even
            for j in range(n):
                out_u[start + j, c] = a[start + j] * du[c, j] * plane.scale / root[c, j]
        for j in range(n):
            out_r[start + j] = a[start + j] * sign[j] * dr[j]
        if rate > 0.0:
            for j in range(n):
                out_a[start + j] = rate * sign[j] * phi[j]


@parallel
def spread_blocks(charge, u, r, plane, lengths, meshes):
    """Sum of the meshes (blocks, size) of one block of neurons each; how many lie outside."""
    n, (blocks, size) = charge.size, meshes.shape
    outside = np.zeros(blocks, np.int64)
    step = (n + blocks - 1) // blocks
    for block in prange(blocks):
        first, last = min(n, block * step), min(n, (block + 1) * step)
        meshes[block] = 0.0
        outside[block] = spread_block(charge, u, r, first, last, plane, lengths, meshes[block])
    chunk = (size + blocks - 1) // blocks
    for part in prange(blocks):  # the sum over blocks, in order
        for block in range(1, blocks):
            for point in range(part * chunk, min(size, (part + 1) * chunk)):
                meshes[0, point] += meshes[block, point]
    return outside.sum()


@parallel
def gather(a, u, r, plane, lengths, mesh, rate, out_a, out_u, out_r):
    """Write the velocities that the potential on a mesh (size,) gives; see `gather_block`."""
    n, step = a.size, 4096
    for block in prange((n + step - 1) // step):
        first, last = block * step, min(n, (block + 1) * step)
        gather_block(a, u, r, first, last, plane, lengths, mesh, rate, out_a, out_u, out_r)


def spread(charge, u, r, plane, lengths):
    """Mesh moments (size,) of the measure Σ charge_i δ(u_i, r_i)/n; None if one lies outside."""
    n, size = len(charge), int(plane.counts.prod()) * lengths.width
    blocks = min(8, max(1, -(-n // 16384)))
    meshes = aligned((blocks, size))
    outside = spread_blocks(charge, u, r, plane, lengths, meshes)
    return None if outside else meshes[0] / n


def aligned(shape):
    """An empty array of doubles that starts with a line of the cache, as vectors want it."""
    size = int(np.prod(shape))
    memory = np.empty(size + LANES)
    skip = -memory.ctypes.data % (8 * LANES) // 8
    return memory[skip : skip + size].reshape(shape)
