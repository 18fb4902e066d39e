"""A coarse mesh and the polynomials in its cells: moments one way, coefficients the other.

In two coordinates, row by row of cells: each row's polynomials are products with a matrix for the
other coordinate, in Chebyshev's basis, where they are cut down to total degree 7, then turned into
monomials. Columns of that matrix are in the order (degree, cell), so what is kept of row i of
degrees is the first 8 − i of its blocks; cells are padded to whole vectors of eight.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev

from meanfield.kernels.fields.slices.cells import DEGREE, LINE, PLANE, slot
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import LANES, fill, load, multiply_add, store

ORDER = DEGREE + 1
# T_i(x) = Σ_l POWERS[i, l] x^l
POWERS = np.array(
    [np.pad(chebyshev.cheb2poly(np.eye(ORDER)[i])[: i + 1], (0, DEGREE - i)) for i in range(ORDER)]
)
# where x^i y^j is among a cell's 40
SLOTS = np.array([[slot(i, j) for j in range(ORDER)] for i in range(ORDER)])


def line_moments(moments):
    """Moments of T_i from those of x^i, (cells · 8, 1)."""
    return np.ascontiguousarray((moments.reshape(-1, LINE) @ POWERS.T).reshape(-1, 1))


def line_coefficients(poly):
    """Coefficients of x^i from those of T_i, (cells, 8)."""
    return poly.reshape(-1, ORDER) @ POWERS


@serial
def row_down(moments, row, across, cells, m, out):
    """What a row of cells gives to (x in T_i, coarse y): rows 8 row… of `out` (·, m)."""
    width, first = ORDER * cells, row * cells * PLANE
    turned, part, flat = np.empty(PLANE * cells), np.empty(ORDER * width), np.empty(ORDER * width)
    for c in range(cells):
        for s in range(PLANE):
            turned[s * cells + c] = moments[first + c * PLANE + s]
    for i in range(ORDER):  # x^i y^l → x^i T_j
        for j in range(ORDER - i):
            for c in range(0, cells, LANES):
                total = fill(0.0)
                for l in range(j % 2, j + 1, 2):
                    term = load(turned, SLOTS[i, l] * cells + c)
                    total = multiply_add(fill(POWERS[j, l]), term, total)
                store(part, i * width + j * cells + c, total)
    flat[:] = 0.0
    for i in range(ORDER):  # → T_i T_j
        for c in range(0, (ORDER - i) * cells, LANES):
            total = fill(0.0)
            for l in range(i % 2, i + 1, 2):
                total = multiply_add(fill(POWERS[i, l]), load(part, l * width + c), total)
            store(flat, i * width + c, total)
    for i in range(0, ORDER, 4):  # four degrees read the matrix together
        p0, out0 = i * width, (row * ORDER + i) * m
        for y in range(0, m, LANES):
            s0 = s1 = s2 = s3 = fill(0.0)
            for c in range((ORDER - i) * cells):
                column, p = load(across, c * m + y), p0 + c
                s0 = multiply_add(fill(flat[p]), column, s0)
                s1 = multiply_add(fill(flat[p + width]), column, s1)
                s2 = multiply_add(fill(flat[p + 2 * width]), column, s2)
                s3 = multiply_add(fill(flat[p + 3 * width]), column, s3)
            store(out, out0 + y, s0)
            store(out, out0 + m + y, s1)
            store(out, out0 + 2 * m + y, s2)
            store(out, out0 + 3 * m + y, s3)


@serial
def row_up(left, row, across, cells, m, part, parts, table):
    """Coefficients of monomials in a row of cells, as part `part` of the `parts` of each cell.

    From (x in T_i, coarse y), `left`, and the matrix from coarse y to T_j, `across` (m, 8 cells).
    """
    width = ORDER * cells
    flat, half, turned = np.empty(ORDER * width), np.empty(ORDER * width), np.zeros(PLANE * cells)
    for i in range(0, ORDER, 4):  # four degrees read the matrix together
        p0 = (row * ORDER + i) * m
        for c in range(0, (ORDER - i) * cells, LANES):
            s0 = s1 = s2 = s3 = fill(0.0)
            for y in range(m):
                line, p = load(across, y * width + c), p0 + y
                s0 = multiply_add(fill(left[p]), line, s0)
                s1 = multiply_add(fill(left[p + m]), line, s1)
                s2 = multiply_add(fill(left[p + 2 * m]), line, s2)
                s3 = multiply_add(fill(left[p + 3 * m]), line, s3)
            store(flat, i * width + c, s0)
            store(flat, (i + 1) * width + c, s1)
            store(flat, (i + 2) * width + c, s2)
            store(flat, (i + 3) * width + c, s3)
    for l in range(ORDER):
        for j in range(ORDER - l):
            for c in range(j * cells, (j + 1) * cells, LANES):  # T_i T_j → x^l T_j
                total = fill(0.0)
                for i in range(l, ORDER - j, 2):
                    total = multiply_add(fill(POWERS[i, l]), load(flat, i * width + c), total)
                store(half, l * width + c, total)
    for i in range(ORDER):  # → x^i y^l
        for l in range(ORDER - i):
            for c in range(0, cells, LANES):
                total = fill(0.0)
                for j in range(l, ORDER - i, 2):
                    term = load(half, i * width + j * cells + c)
                    total = multiply_add(fill(POWERS[j, l]), term, total)
                store(turned, SLOTS[i, l] * cells + c, total)
    for c in range(cells):
        first = ((row * cells + c) * parts + part) * PLANE
        for s in range(PLANE):
            table[first + s] = turned[s * cells + c]


@shared(lambda moments, across, rows, *_: (rows, 2.0 * moments.size))
def down(first, last, moments, across, rows, cells, m, out):
    """`row_down` for all rows."""
    for row in range(first, last):
        row_down(moments, row, across, cells, m, out)


@serial
def up_row(lefts, matrices, row, cells, m, parts, table):
    """Both slopes in a row of cells, and Φ if there are three parts; see `up`."""
    for part in range(parts):
        left, across = lefts[1 if part == 0 else 0], matrices[1 if part == 1 else 0]
        row_up(left, row, across, cells, m, part, parts, table)


@shared(lambda lefts, matrices, rows, cells, m, parts, table: (rows, 2.0 * table.size))
def up(first, last, lefts, matrices, rows, cells, m, parts, table):
    """`row_up` for all rows and parts.

    `lefts` and `matrices` hold what makes values, then what makes slopes along their coordinate.
    """
    for row in range(first, last):
        up_row(lefts, matrices, row, cells, m, parts, table)
