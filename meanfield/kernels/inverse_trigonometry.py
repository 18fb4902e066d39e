"""Arc sines and arc tangents of many numbers at once: closed forms of erf and ReLU hold them.

Sums of arc sines are over vectors in a stated order, so that the compiler has no order to choose:
what it made of plain loops over arcsines differed between a function just compiled and one from the
cache. Functions of one number have no order, and are left to it to make vectors of.
"""

from __future__ import annotations

import math

import numpy as np

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
TINY = 1e-300
SCALE = 2.0 / math.tan(math.pi / 8.0) ** 2


def _series(function, end, terms):
    """function(t)/t on [0, end] as a polynomial in 2 (t/end)² − 1, interpolated to rounding."""
    x = np.cos(math.pi * (np.arange(terms) + 0.5) / terms)
    t = end * np.sqrt(0.5 * (x + 1.0))
    return [float(c) for c in np.linalg.solve(np.vander(x, increasing=True), function(t) / t)]


_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11 = _series(np.arctan, math.tan(math.pi / 8.0), 12)
SINES = _series(np.arcsin, math.sqrt(0.5), 20)
(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15, s16, s17, s18, s19) = SINES


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


@serial
def angles(y, x, n, out):
    """Angles atan2(|y|, |x|) in [0, π/2] of n points; 0 within 1e-300 of the origin.

    The smaller of the two angles has a tangent t ≤ 1; half of it has t/(1 + √(1 + t²)).
    """
    for j in range(n):
        high, wide = abs(y[j]), abs(x[j])
        steep = high > wide
        t = (wide if steep else high) / ((high if steep else wide) + TINY)
        t /= 1.0 + math.sqrt(1.0 + t * t)
        q = SCALE * t * t - 1.0
        p = _6 + q * (_7 + q * (_8 + q * (_9 + q * (_10 + q * _11))))
        p = _0 + q * (_1 + q * (_2 + q * (_3 + q * (_4 + q * (_5 + q * p)))))
        angle = 2.0 * t * p
        out[j] = 0.5 * math.pi - angle if steep else angle


@serial
def absolute_product(s):
    """√(1 − s²) + s asin s for |s| ≤ 1: for unit Gaussians of correlation s, (π/2) E |x y|.

    asin |s| = π/2 − 2 asin w with w = √((1 − |s|)/2) ≤ √½.
    """
    size = abs(s)
    half = 0.5 * (1.0 - size)
    w = math.sqrt(half)
    q = 4.0 * half - 1.0
    p = s15 + q * (s16 + q * (s17 + q * (s18 + q * s19)))
    p = s10 + q * (s11 + q * (s12 + q * (s13 + q * (s14 + q * p))))
    p = s5 + q * (s6 + q * (s7 + q * (s8 + q * (s9 + q * p))))
    p = s0 + q * (s1 + q * (s2 + q * (s3 + q * (s4 + q * p))))
    return 2.0 * w * math.sqrt(1.0 - half) + size * (0.5 * math.pi - 2.0 * w * p)
