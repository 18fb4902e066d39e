"""Arc sines, eight at a time: what the closed forms of erf are made of.

The sums are over vectors in a stated order, so that the compiler has no order to choose: what it
made of plain loops over arcsines differed between a function just compiled and one from the cache.
"""

from __future__ import annotations

import math

from meanfield.kernels.options import serial
from meanfield.kernels.simd import (
    LANES,
    absolute,
    add,
    any_above,
    fill,
    load,
    multiply,
    multiply_add,
    square_root,
    total,
    where_above,
    with_sign,
)

EDGE = 2 * LANES  # work space for what is left of a row after whole vectors
HALF_PI = 0.5 * math.pi
# (asin(s)/s − 1)/s² as a polynomial in s² on [0, 1/4]: Chebyshev interpolation, 2e-16 relative
ASIN = (
    0.16666666666666627, 0.07500000000032302, 0.04464285708840427, 0.03038194820803222,
    0.02237202248368142, 0.017355708032877004, 0.013924613499938232, 0.011912183837921475,
    0.007630423880376232, 0.016541213961318135, -0.011589103067914644, 0.028773128986358643,
)  # fmt: skip


@serial
def _small(s, z):
    """asin(s) for |s| ≤ 1/2, z = s²."""
    tail = multiply_add(fill(ASIN[11]), z, fill(ASIN[10]))
    tail = multiply_add(tail, z, fill(ASIN[9]))
    tail = multiply_add(tail, z, fill(ASIN[8]))
    tail = multiply_add(tail, z, fill(ASIN[7]))
    tail = multiply_add(tail, z, fill(ASIN[6]))
    tail = multiply_add(tail, z, fill(ASIN[5]))
    tail = multiply_add(tail, z, fill(ASIN[4]))
    tail = multiply_add(tail, z, fill(ASIN[3]))
    tail = multiply_add(tail, z, fill(ASIN[2]))
    tail = multiply_add(tail, z, fill(ASIN[1]))
    tail = multiply_add(tail, z, fill(ASIN[0]))
    return multiply_add(multiply(s, z), tail, s)


@serial
def asin(x):
    """asin(x) of eight numbers; the halved angle, and its root, only where one is beyond 1/2."""
    z = multiply(x, x)
    if not any_above(z, fill(0.25)):
        return _small(x, z)
    t = absolute(x)
    half = multiply_add(fill(-0.5), t, fill(0.5))  # asin t = π/2 − 2 asin √((1 − t)/2)
    z = where_above(t, fill(0.5), half, z)
    value = _small(square_root(z), z)
    value = where_above(t, fill(0.5), multiply_add(fill(-2.0), value, fill(HALF_PI)), value)
    return with_sign(value, x)


@serial
def asin_sum(c, scale, factor, e, edge):
    """Σ_m e_m asin(factor c_m scale_m), and the same of absolute values.

    c (n,), scale and e of n or more; edge (EDGE,) is work space.
    """
    count = c.size
    whole = count - count % LANES
    sums, sizes, factors = fill(0.0), fill(0.0), fill(factor)
    for m in range(0, whole, LANES):
        sine = multiply(multiply(load(c, m), load(scale, m)), factors)
        term = multiply(load(e, m), asin(sine))
        sums, sizes = add(sums, term), add(sizes, absolute(term))
    if whole < count:
        for m in range(LANES):
            inside = whole + m < count
            edge[m] = c[whole + m] * scale[whole + m] if inside else 0.0
            edge[LANES + m] = e[whole + m] if inside else 0.0
        term = multiply(load(edge, LANES), asin(multiply(load(edge, 0), factors)))
        sums, sizes = add(sums, term), add(sizes, absolute(term))
    return total(sums), total(sizes)
