"""Neurons to cells and back, in one or two coordinates: a polynomial of total degree 7 in each.

A neuron adds the 36 monomials of its place in its cell to the cell's moments, and reads from the
polynomials of its cell: five vectors of eight, one after another in memory, where a stencil of
8 × 8 mesh points would be eight rows across two cache lines each.

Cells of a coordinate x are told by the leading bits of shift + |x|: 2^m of them to a factor of two,
so that they are as wide as the scale on which fields vary, 1 near the origin and |x| far from it.
The bits that follow are the place in the cell: no logarithm, no division. The coordinates are
(u, r), or α = u/√(1 + r²) where the potential depends on that alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from meanfield.kernels.fields.places import BATCH, coordinates
from meanfield.kernels.memory import integers
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import (
    fill,
    join,
    ladder,
    load,
    multiply,
    multiply_add,
    store,
    tail,
    total,
    totals,
)

DEGREE = 7
LINE, PLANE = 8, 40  # numbers of a cell in one coordinate and in two
SHORT = 32768  # neurons that one thread takes alone: waking the others costs as much
BLOCK = 16384  # neurons that are worth moments of their own


class Cells(NamedTuple):
    """Where cells are.

    `ratio` is 1 for α, 0 for (u, r). `odd` is 1 if functions are odd in u: then only |u| counts,
    else cells at u < 0 follow those at u > 0. `bits` is m; for each coordinate there are `counts`
    cells on one side of the origin, from the one numbered `first` on, for shift + |x| < `top`.
    Cells of r run fastest.
    """

    ratio: int
    odd: int
    bits: int
    shift: np.ndarray
    top: np.ndarray
    first: np.ndarray
    counts: np.ndarray


def slot(i, j):
    """Where the coefficient of x^i y^j is among a cell's 40: short rows fill the long ones up."""
    return 8 * j + i if j <= 4 else 8 * (8 - j) + 7 - i


@serial
def locate(x, n, shift, top, m, first, count, cell, offset, work, bits):
    """Add cells of |x| to count · cell; places in them, in [−1, 1); how many lie outside.

    NaN and infinity are outside as well.
    """
    outside = 0
    for j in range(n):
        v = shift + abs(x[j])
        inside = v < top
        outside += 1 - inside
        work[j] = v if inside else shift
    for j in range(n):
        cell[j] = count * cell[j] + (bits[j] >> (52 - m)) - first
        bits[j] = ((bits[j] << m) & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000
    for j in range(n):
        offset[j] = 2.0 * work[j] - 3.0
    return outside


@serial
def cells_of(u, r, first, n, cells, x, q, at, offset, work, bits):
    """Cells `at` and offsets (axes, n) of the batch from `first` on; how many are outside."""
    coordinates(u, r, first, n, cells.ratio, x, q)
    for j in range(n):
        at[j] = 1 if x[0, j] < 0.0 and not cells.odd else 0
    outside = 0
    for c in range(cells.counts.size):
        outside += locate(
            x[c], n, cells.shift[c], cells.top[c], cells.bits, cells.first[c], cells.counts[c],
            at, offset[c], work, bits,
        )  # fmt: skip
    return outside


@serial
def powers(scale, y, n, out):
    """scale y^0, …, scale y^7 of n places y, shape (8, n)."""
    for j in range(n):
        square = y[j] * y[j]
        out[0, j] = scale[j]
        out[1, j] = scale[j] * y[j]
        out[2, j] = scale[j] * square
        out[3, j] = out[1, j] * square
        out[4, j] = out[2, j] * square
        out[5, j] = out[3, j] * square
        out[6, j] = out[4, j] * square
        out[7, j] = out[5, j] * square


@serial
def spread_block(charge, u, r, first, last, cells, moments):
    """Add neurons first..last to the moments; how many lie outside (they are put somewhere)."""
    x, offset = np.empty((2, BATCH)), np.empty((2, BATCH))
    q, work = np.empty(BATCH), np.empty(BATCH)
    at, bits = integers(np.empty(BATCH)), integers(work)
    weight, y, outside = np.empty(BATCH), np.empty((8, BATCH)), 0
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        outside += cells_of(u, r, start, n, cells, x, q, at, offset, work, bits)
        for j in range(n):
            c = charge[start + j]
            weight[j] = math.copysign(c, c * x[0, j]) if cells.odd else c
        if cells.counts.size == 1:
            for j in range(n):
                X = ladder(offset[0, j])
                p = LINE * at[j]
                store(moments, p, multiply_add(X, fill(weight[j]), load(moments, p)))
        else:
            powers(weight, offset[1], n, y)
            for j in range(n):
                add_monomials(offset[0, j], y, j, moments, PLANE * at[j])
    return outside


@serial
def add_monomials(x, y, j, moments, p):
    """Add x^i y^l, i + l ≤ 7, from `p` on; powers of y are column j."""
    X, Z = ladder(x), tail(x)
    store(moments, p, multiply_add(X, fill(y[0, j]), load(moments, p)))
    old = load(moments, p + 8)
    new = join(multiply_add(X, fill(y[1, j]), old), multiply_add(Z, fill(y[7, j]), old), 7)
    store(moments, p + 8, new)
    old = load(moments, p + 16)
    new = join(multiply_add(X, fill(y[2, j]), old), multiply_add(Z, fill(y[6, j]), old), 6)
    store(moments, p + 16, new)
    old = load(moments, p + 24)
    new = join(multiply_add(X, fill(y[3, j]), old), multiply_add(Z, fill(y[5, j]), old), 5)
    store(moments, p + 24, new)
    store(moments, p + 32, multiply_add(X, fill(y[4, j]), load(moments, p + 32)))


@serial
def monomials(x, y, j):
    """The same five vectors, by themselves."""
    X, Z = ladder(x), tail(x)
    one = join(multiply(X, fill(y[1, j])), multiply(Z, fill(y[7, j])), 7)
    two = join(multiply(X, fill(y[2, j])), multiply(Z, fill(y[6, j])), 6)
    three = join(multiply(X, fill(y[3, j])), multiply(Z, fill(y[5, j])), 5)
    return X, one, two, three, multiply(X, fill(y[4, j]))


@serial
def along(v0, v1, v2, v3, v4, table, p):
    """Products with the coefficients from `p` on, still to be summed over the lanes."""
    s = multiply_add(v0, load(table, p), multiply(v1, load(table, p + 8)))
    t = multiply_add(v2, load(table, p + 16), multiply(v3, load(table, p + 24)))
    return multiply_add(v4, load(table, p + 32), s), t


@serial
def read_plane(offset, y, at, n, parts, table, slope, value):
    """Slopes (2, n) at places in cells, and Φ where the table has it as a third part."""
    for j in range(n):
        v0, v1, v2, v3, v4 = monomials(offset[0, j], y, j)
        p = parts * PLANE * at[j]
        s, t = along(v0, v1, v2, v3, v4, table, p)
        e, f = along(v0, v1, v2, v3, v4, table, p + PLANE)
        slope[0, j], slope[1, j] = totals(s, t, e, f)
        if parts == 3:
            s, t = along(v0, v1, v2, v3, v4, table, p + 2 * PLANE)
            value[j] = total(s) + total(t)


@serial
def read_line(offset, at, n, parts, table, slope, value):
    """The same in one coordinate."""
    for j in range(n):
        X = ladder(offset[0, j])
        p = parts * LINE * at[j]
        slope[0, j] = total(multiply(X, load(table, p)))
        if parts == 2:
            value[j] = total(multiply(X, load(table, p + LINE)))


@serial
def gather_block(a, u, r, first, last, cells, table, parts, rate, out_a, out_u, out_r):
    """Velocities of neurons first..last, which may take their place; out_a only if rate > 0."""
    x, offset = np.empty((2, BATCH)), np.empty((2, BATCH))
    q, work = np.empty(BATCH), np.empty(BATCH)
    at, bits = integers(np.empty(BATCH)), integers(work)
    one, y = np.ones(BATCH), np.empty((8, BATCH))
    slope, value = np.empty((2, BATCH)), np.empty(BATCH)
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        cells_of(u, r, start, n, cells, x, q, at, offset, work, bits)
        if cells.ratio:
            read_line(offset, at, n, parts, table, slope, value)
            for j in range(n):  # ∂α/∂u = q and ∂α/∂r = −α r q²
                along_u = slope[0, j] * a[start + j] * q[j]
                out_r[start + j] = -along_u * x[0, j] * r[start + j] * q[j]
                out_u[start + j, 0] = along_u
        else:
            powers(one, offset[1], n, y)
            read_plane(offset, y, at, n, parts, table, slope, value)
            for j in range(n):
                # Φ is even in r: a neuron pushed below 0 by rounding feels the mirrored slope
                across = a[start + j] * math.copysign(slope[1, j], slope[1, j] * r[start + j])
                if cells.odd:
                    across = math.copysign(across, across * x[0, j])
                out_r[start + j] = across
                out_u[start + j, 0] = a[start + j] * slope[0, j]
        if rate > 0.0:
            for j in range(n):
                other = math.copysign(value[j], value[j] * x[0, j]) if cells.odd else value[j]
                out_a[start + j] = rate * other


@shared(
    lambda charge, u, r, cells, meshes, *_: (len(meshes), 10.0 * len(charge) + 0.5 * meshes.size)
)
def _spread(first_block, last_block, charge, u, r, cells, meshes, outside):
    """Moments of blocks of neurons; how many of each lie outside."""
    n, (blocks, size) = charge.size, meshes.shape
    step = (n + blocks - 1) // blocks
    for block in range(first_block, last_block):
        for point in range(size):
            meshes[block, point] = 0.0
        first, last = min(n, block * step), min(n, (block + 1) * step)
        outside[block] = spread_block(charge, u, r, first, last, cells, meshes[block])


@shared(lambda blocks, a, *_: (blocks, 10.0 * len(a)))
def _gather(
    first_block, last_block, blocks, a, u, r, cells, table, parts, rate, out_a, out_u, out_r
):
    """`gather_block` for all neurons."""
    n = a.size
    step = (n + blocks - 1) // blocks
    for block in range(first_block, last_block):
        first, last = min(n, block * step), min(n, (block + 1) * step)
        gather_block(a, u, r, first, last, cells, table, parts, rate, out_a, out_u, out_r)


def spread_count(n, size):
    """How many blocks of neurons have moments of their own; it does not depend on threads.

    A block costs moments to be zeroed and added up: it gets more neurons than there are of those.
    A power of two, which threads share evenly.
    """
    wanted = n / max(BLOCK, 2 * size)
    return 1 if n <= SHORT else min(32, max(2, 2 ** math.ceil(math.log2(wanted))))


def spread(charge, u, r, cells, meshes):
    """Moments (size,) of Σ charge_i δ(u_i, r_i), in the first of `meshes`; None if one is outside.

    `meshes` is (spread_count, size), of any content.
    """
    outside = np.zeros(len(meshes), np.int64)
    _spread(charge, u, r, cells, meshes, outside)
    for mesh in meshes[1:]:
        meshes[0] += mesh
    return None if any(outside.tolist()) else meshes[0]


def gather(a, u, r, cells, table, parts, rate, out_a, out_u, out_r):
    """Write the velocities that the polynomials of a table give; see `gather_block`.

    A cell of the table has `parts` polynomials: its slopes, and Φ itself where rate > 0.
    """
    blocks = min(64, -(-len(a) // (BLOCK // 4)))
    _gather(blocks, a, u, r, cells, table, parts, rate, out_a, out_u, out_r)
