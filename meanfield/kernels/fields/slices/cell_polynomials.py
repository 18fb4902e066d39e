"""A coarse mesh and the polynomials in its cells: moments one way, coefficients the other.

In two coordinates, row by row of cells: each row's polynomials are products with a matrix for the
other coordinate, in Chebyshev's basis, where they are cut down to total degree 7, then turned into
monomials. Columns of that matrix are in the order (degree, cell), so what is kept of row i of
degrees is the first 8 − i of its blocks; cells are padded to whole vectors of eight.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev

from meanfield.kernels.fields.slices.cells import DEGREE, PLANE, slot
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import LANES, fill, load, multiply, multiply_add, store, transpose

ORDER = DEGREE + 1
# T_i(x) = Σ_l POWERS[i, l] x^l
POWERS = np.array(
    [np.pad(chebyshev.cheb2poly(np.eye(ORDER)[i])[: i + 1], (0, DEGREE - i)) for i in range(ORDER)]
)
# where x^i y^j is among a cell's 40; what is cut off goes to a 41st place that nobody reads
SLOTS = np.array(
    [[slot(i, j) if i + j <= DEGREE else PLANE for j in range(ORDER)] for i in range(ORDER)]
)


@serial
def sum_of(x, a, y, b):
    """a x + b y."""
    return multiply_add(fill(b), y, multiply(x, fill(a)))


@serial
def moments_of_chebyshev(m0, m1, m2, m3, m4, m5, m6, m7):
    """Moments of T_0 … T_7 from those of x^0 … x^7."""
    return (
        m0,
        m1,
        sum_of(m0, -1.0, m2, 2.0),
        sum_of(m1, -3.0, m3, 4.0),
        multiply_add(m4, fill(8.0), sum_of(m0, 1.0, m2, -8.0)),
        multiply_add(m5, fill(16.0), sum_of(m1, 5.0, m3, -20.0)),
        multiply_add(m6, fill(32.0), multiply_add(m4, fill(-48.0), sum_of(m0, -1.0, m2, 18.0))),
        multiply_add(m7, fill(64.0), multiply_add(m5, fill(-112.0), sum_of(m1, -7.0, m3, 56.0))),
    )


@serial
def coefficients_of_powers(c0, c1, c2, c3, c4, c5, c6, c7):
    """Coefficients of x^0 … x^7 from those of T_0 … T_7."""
    return (
        multiply_add(c6, fill(-1.0), multiply_add(c4, fill(1.0), sum_of(c0, 1.0, c2, -1.0))),
        multiply_add(c7, fill(-7.0), multiply_add(c5, fill(5.0), sum_of(c1, 1.0, c3, -3.0))),
        multiply_add(c6, fill(18.0), sum_of(c2, 2.0, c4, -8.0)),
        multiply_add(c7, fill(56.0), sum_of(c3, 4.0, c5, -20.0)),
        sum_of(c4, 8.0, c6, -48.0),
        sum_of(c5, 16.0, c7, -112.0),
        multiply(c6, fill(32.0)),
        multiply(c7, fill(64.0)),
    )


@serial
def load_each(values, p, step):
    """Eight vectors, `step` apart from p on."""
    return (
        load(values, p), load(values, p + step),
        load(values, p + 2 * step), load(values, p + 3 * step),
        load(values, p + 4 * step), load(values, p + 5 * step),
        load(values, p + 6 * step), load(values, p + 7 * step),
    )  # fmt: skip


@serial
def store_four(values, p, step, x0, x1, x2, x3):
    """Four vectors, `step` apart from p on."""
    store(values, p, x0)
    store(values, p + step, x1)
    store(values, p + 2 * step, x2)
    store(values, p + 3 * step, x3)


@serial
def cut_down(flat, cells):
    """Zeros for the degrees (i, j) of `flat`, (i, j, cell), that add up to more than 7."""
    for i in range(1, ORDER):
        for c in range(((i + 1) * ORDER - i) * cells, (i + 1) * ORDER * cells, LANES):
            store(flat, c, fill(0.0))


@serial
def row_down(moments, row, across, cells, m, turned, flat, out):
    """What a row of cells gives to (x in T_i, coarse y): rows 8 row… of `out` (·, m)."""
    width, first = ORDER * cells, row * cells * PLANE
    for c in range(0, cells, LANES):
        for s in range(0, PLANE, LANES):
            transpose(moments, first + c * PLANE + s, PLANE, turned, s * cells + c, cells)
    for i in range(ORDER):  # x^i y^l → x^i T_j
        for c in range(0, cells, LANES):
            t0, t1, t2, t3, t4, t5, t6, t7 = moments_of_chebyshev(
                load(turned, SLOTS[i, 0] * cells + c), load(turned, SLOTS[i, 1] * cells + c),
                load(turned, SLOTS[i, 2] * cells + c), load(turned, SLOTS[i, 3] * cells + c),
                load(turned, SLOTS[i, 4] * cells + c), load(turned, SLOTS[i, 5] * cells + c),
                load(turned, SLOTS[i, 6] * cells + c), load(turned, SLOTS[i, 7] * cells + c),
            )  # fmt: skip
            store_four(flat, i * width + c, cells, t0, t1, t2, t3)
            store_four(flat, i * width + 4 * cells + c, cells, t4, t5, t6, t7)
    for c in range(0, width, LANES):  # → T_i T_j
        t0, t1, t2, t3, t4, t5, t6, t7 = moments_of_chebyshev(*load_each(flat, c, width))
        store_four(flat, c, width, t0, t1, t2, t3)
        store_four(flat, 4 * width + c, width, t4, t5, t6, t7)
    cut_down(flat, cells)
    half = 4 * cells  # all that is kept of degrees 4 to 7, and half of what there is of 0 to 3
    for y in range(0, m, LANES):  # eight sums at a time: no addition waits for the one before
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = fill(0.0)
        for c in range(half):
            column = load(across, c * m + y)
            s0 = multiply_add(fill(flat[c]), column, s0)
            s1 = multiply_add(fill(flat[c + width]), column, s1)
            s2 = multiply_add(fill(flat[c + 2 * width]), column, s2)
            s3 = multiply_add(fill(flat[c + 3 * width]), column, s3)
            s4 = multiply_add(fill(flat[c + 4 * width]), column, s4)
            s5 = multiply_add(fill(flat[c + 5 * width]), column, s5)
            s6 = multiply_add(fill(flat[c + 6 * width]), column, s6)
            s7 = multiply_add(fill(flat[c + 7 * width]), column, s7)
        for c in range(half, width):
            column = load(across, c * m + y)
            s0 = multiply_add(fill(flat[c]), column, s0)
            s1 = multiply_add(fill(flat[c + width]), column, s1)
            s2 = multiply_add(fill(flat[c + 2 * width]), column, s2)
            s3 = multiply_add(fill(flat[c + 3 * width]), column, s3)
        store_four(out, row * ORDER * m + y, m, s0, s1, s2, s3)
        store_four(out, (row * ORDER + 4) * m + y, m, s4, s5, s6, s7)


@serial
def row_up(left, row, across, cells, m, part, parts, flat, turned, table):
    """Coefficients of monomials in a row of cells, as part `part` of the `parts` of each cell.

    From (x in T_i, coarse y), `left`, and the matrix from coarse y to T_j, `across` (m, 8 cells).
    """
    width = ORDER * cells
    for i in range(0, ORDER, 4):  # four degrees read the matrix together, in eight sums
        p0 = (row * ORDER + i) * m
        for c in range(0, (ORDER - i) * cells, 2 * LANES):
            s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = fill(0.0)
            for y in range(m):
                line, more = load(across, y * width + c), load(across, y * width + c + LANES)
                x0, x1 = fill(left[p0 + y]), fill(left[p0 + m + y])
                x2, x3 = fill(left[p0 + 2 * m + y]), fill(left[p0 + 3 * m + y])
                s0, t0 = multiply_add(x0, line, s0), multiply_add(x0, more, t0)
                s1, t1 = multiply_add(x1, line, s1), multiply_add(x1, more, t1)
                s2, t2 = multiply_add(x2, line, s2), multiply_add(x2, more, t2)
                s3, t3 = multiply_add(x3, line, s3), multiply_add(x3, more, t3)
            store_four(flat, i * width + c, width, s0, s1, s2, s3)
            store_four(flat, i * width + c + LANES, width, t0, t1, t2, t3)
    cut_down(flat, cells)
    for c in range(0, width, LANES):  # T_i T_j → x^l T_j
        t0, t1, t2, t3, t4, t5, t6, t7 = coefficients_of_powers(*load_each(flat, c, width))
        store_four(flat, c, width, t0, t1, t2, t3)
        store_four(flat, 4 * width + c, width, t4, t5, t6, t7)
    for i in range(ORDER):  # → x^i y^l
        for c in range(0, cells, LANES):
            t0, t1, t2, t3, t4, t5, t6, t7 = coefficients_of_powers(
                *load_each(flat, i * width + c, cells)
            )
            store(turned, SLOTS[i, 7] * cells + c, t7)
            store(turned, SLOTS[i, 6] * cells + c, t6)
            store(turned, SLOTS[i, 5] * cells + c, t5)
            store(turned, SLOTS[i, 4] * cells + c, t4)
            store(turned, SLOTS[i, 3] * cells + c, t3)
            store(turned, SLOTS[i, 2] * cells + c, t2)
            store(turned, SLOTS[i, 1] * cells + c, t1)
            store(turned, SLOTS[i, 0] * cells + c, t0)
    for c in range(0, cells, LANES):
        first = ((row * cells + c) * parts + part) * PLANE
        for s in range(0, PLANE, LANES):
            transpose(turned, s * cells + c, cells, table, first + s, parts * PLANE)


@shared(lambda moments, across, rows, *_: (rows, 2.0 * moments.size))
def down(first, last, moments, across, rows, cells, m, out):
    """`row_down` for all rows."""
    turned, flat = np.zeros((PLANE + 1) * cells), np.empty(ORDER * ORDER * cells)
    for row in range(first, last):
        row_down(moments, row, across, cells, m, turned, flat, out)


@shared(lambda lefts, matrices, rows, cells, m, parts, table: (rows, 2.0 * table.size))
def up(first, last, lefts, matrices, rows, cells, m, parts, table):
    """`row_up` for all rows, of both slopes, and of Φ if there are three parts.

    `lefts` and `matrices` hold what makes values, then what makes slopes along their coordinate.
    """
    turned, flat = np.zeros((PLANE + 1) * cells), np.empty(ORDER * ORDER * cells)
    for row in range(first, last):
        for part in range(parts):
            left, across = lefts[1 if part == 0 else 0], matrices[1 if part == 1 else 0]
            row_up(left, row, across, cells, m, part, parts, flat, turned, table)
