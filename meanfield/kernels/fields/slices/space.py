"""Neurons seen along many directions, with the vectors b(r) of their lengths: there and back.

At k = 3 a mesh in u would have too many points, so each direction takes the neurons themselves to
its mesh in v = u·e, whose points carry vectors as in `lengths`. A neuron's vector is made once for
all directions.
"""

from __future__ import annotations

import numpy as np

from meanfield.kernels.fields.places import BELOW, POINTS, slope_weights, value_weights
from meanfield.kernels.fields.slices.along import locate_along, spread_points
from meanfield.kernels.fields.slices.lengths import length_slopes, length_values, locate_lengths
from meanfield.kernels.memory import integers
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import LANES, fill, load, multiply, multiply_add, store, total

CHUNK = 8192  # neurons whose vectors are kept at a time
BLOCK = 512  # of a task: meshes of all directions go by once for each


@shared(lambda charge, r, first, n, *_: (-(-n // BLOCK), 50.0 * n))
def _make_vectors(first_block, last_block, charge, r, first, n, lengths, out, outside):
    """charge b(r) of n neurons from `first` on; how many r of each block lie outside the table."""
    width = lengths.width
    for block in range(first_block, last_block):
        cell, offset, root = integers(np.empty(BLOCK)), np.empty(BLOCK), np.empty(BLOCK)
        x, y, weight = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
        bits, start = integers(y), block * BLOCK
        size = min(BLOCK, n - start)
        outside[block] = locate_lengths(
            r, first + start, size, lengths, x, cell, offset, root, y, bits
        )
        for j in range(size):
            weight[j] = charge[first + start + j]
        part = out[start * width : (start + size) * width]
        length_values(size, lengths, cell, offset, weight, part)


def spread(charge, u, r, directions, lattice, lengths, meshes):
    """Add neurons to a mesh along each direction (m, size width), not divided by n.

    How many lie outside.
    """
    vectors, outside = np.empty(min(len(r), CHUNK) * lengths.width), 0
    for first in range(0, len(r), CHUNK):
        n = min(CHUNK, len(r) - first)
        lost = np.zeros(-(-n // BLOCK), np.int64)
        _make_vectors(charge, r, first, n, lengths, vectors, lost)
        outside += lost.sum()
        part = u[first : first + n]
        outside += spread_points(part, vectors, directions, lattice, lengths.width, meshes)
    return outside


@serial
def slopes_along(n, width, cell, offset, values, slopes, mesh, wanted, phi, dv, dr):
    """Add to Φ, if wanted, and to ∂Φ/∂r of n neurons; its slope in v per mesh spacing."""
    w, w_slope = np.empty(POINTS), np.empty(POINTS)
    for j in range(n):
        store(w, 0, value_weights(offset[j]))
        store(w_slope, 0, slope_weights(offset[j]))
        corner = (cell[j] - BELOW) * width
        along = across = flat = fill(0.0)
        for c in range(0, width, LANES):
            points = load(mesh, corner + c)
            one, other = multiply(points, fill(w[0])), multiply(points, fill(w_slope[0]))
            for p in range(1, POINTS):
                points = load(mesh, corner + p * width + c)
                one = multiply_add(points, fill(w[p]), one)
                other = multiply_add(points, fill(w_slope[p]), other)
            b = load(values, j * width + c)
            along = multiply_add(other, b, along)
            across = multiply_add(one, load(slopes, j * width + c), across)
            flat = multiply_add(one, b, flat)
        dv[j] = total(along)
        dr[j] += total(across)
        if wanted:
            phi[j] += total(flat)


@serial
def gather_block(
    a, u, r, first, n, directions, lattice, lengths, meshes, rate, out_a, out_u, out_r
):
    """Velocities of n neurons from `first` on."""
    cell, offset, root = integers(np.empty(BLOCK)), np.empty(BLOCK), np.empty(BLOCK)
    x, y, one = np.empty(BLOCK), np.empty(BLOCK), np.ones(BLOCK)
    phi, dv, dr, du = np.zeros(n), np.empty(n), np.zeros(n), np.zeros((u.shape[1], n))
    values, slopes = np.empty(n * lengths.width), np.empty(n * lengths.width)
    bits = integers(y)
    locate_lengths(r, first, n, lengths, x, cell, offset, root, y, bits)
    length_values(n, lengths, cell, offset, one, values)
    length_slopes(n, lengths, cell, offset, root, r[first : first + n], slopes)
    for m in range(directions.shape[0]):
        e = directions[m]
        locate_along(u, first, n, e, lattice, x, cell, offset, root, y, bits)
        slopes_along(
            n, lengths.width, cell, offset, values, slopes, meshes[m], rate > 0.0, phi, dv, dr
        )
        for c in range(e.size):
            for j in range(n):
                du[c, j] += e[c] * lattice.scale * dv[j] / root[j]
    for j in range(n):
        for c in range(u.shape[1]):
            out_u[first + j, c] = a[first + j] * du[c, j]
        out_r[first + j] = a[first + j] * dr[j]
        if rate > 0.0:
            out_a[first + j] = rate * phi[j]


@shared(
    lambda a, u, r, e, lattice, lengths, *_: (
        -(-len(a) // BLOCK),
        5.0 * len(a) * len(e) * lengths.width,
    )
)
def gather(
    first_block,
    last_block,
    a,
    u,
    r,
    directions,
    lattice,
    lengths,
    meshes,
    rate,
    out_a,
    out_u,
    out_r,
):
    """Write the velocities that potentials along all directions, weighed, give together."""
    n = a.size
    for block in range(first_block, last_block):
        first = block * BLOCK
        gather_block(
            a, u, r, first, min(BLOCK, n - first), directions, lattice, lengths, meshes, rate,
            out_a, out_u, out_r,
        )  # fmt: skip
