"""Averages of signs of correlated Gaussians, which kinked functions leave behind.

For unit Gaussians x of correlations R, two signs have the average product (2/π) asin ρ_ab, with ρ
the correlation of residuals where other units are 0. Four signs have no closed form. With the
correlations of one of them, d, scaled by t, Plackett 1954 gives

    E s_a s_b s_c s_d = (4/π²) Σ_l ∫₀¹ R_ld (1 − t² R_ld²)^(−1/2) asin ρ_xy|l,d(t) dt,

l over a, b, c and x, y the other two, for at t = 0 the average is 0. The integrand is analytic
but for branch points at 1/t = ± the multiple correlations of d with some of the others: nodes
crowd at t = 1, more where the largest of them is close to 1.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.inverse_trigonometry import asin
from meanfield.kernels.options import serial
from meanfield.kernels.simd import (
    LANES,
    add,
    divide,
    fill,
    load,
    multiply,
    multiply_add,
    square_root,
    total,
    where_above,
)

FOUR_OVER_PI_SQUARED = 4.0 / math.pi**2
TINY = 1e-290
FLAT = 1e-15  # a variance, of one, that is rounding


def _rule(count, power):
    """Gauss–Legendre nodes in v, t = 1 − v^power: the numbers 1 − t² and the weights, as rows."""
    x, w = np.polynomial.legendre.leggauss(count)
    v = 0.5 * (1.0 + x)
    late = v**power
    return np.array([late * (2.0 - late), 0.5 * w * power * v ** (power - 1)])


# of 1 − the squared multiple correlation of d, from where on a rule is used, and the rules: errors
# of 1e-11, 1e-11 and 1e-9 of four signs, against 600 nodes
EASY, HARD = 0.3, 0.03
FINE = np.concatenate((_rule(16, 3), _rule(24, 3), _rule(48, 8)), axis=1)
# the same for an estimate of the error: 1e-7, 1e-7 and 1e-5
COARSE = np.concatenate((_rule(8, 3), _rule(16, 3), _rule(32, 4)), axis=1)
FINE_ENDS, COARSE_ENDS = (0, 16, 40, 88), (0, 8, 24, 56)


@serial
def _part(R, l, d, x, y, late, weights, first, last):
    """The integral of one l, as a sum over nodes; late (n,) = 1 − t²."""
    r = R[l, d]
    free = max(1.0 - r * r, 0.0)
    n_xy, n_xd, n_yd = R[x, y] - R[x, l] * R[y, l], R[x, d] - R[x, l] * r, R[y, d] - R[y, l] * r
    v_x, v_y = max(1.0 - R[x, l] * R[x, l], 0.0), max(1.0 - R[y, l] * R[y, l], 0.0)
    if v_x <= FLAT or v_y <= FLAT:  # one that is l itself has no sign where l is 0
        return 0.0
    # numerator and both variances of ρ_xy|l,d are linear in 1 − t²
    over, more_over = fill(n_xy * free - n_xd * n_yd), fill(n_xy * r * r + n_xd * n_yd)
    left, more_left = fill(max(v_x * free - n_xd * n_xd, 0.0)), fill(v_x * r * r + n_xd * n_xd)
    right, more_right = fill(max(v_y * free - n_yd * n_yd, 0.0)), fill(v_y * r * r + n_yd * n_yd)
    still, more = fill(free), fill(r * r)
    sums, one, minus, tiny = fill(0.0), fill(1.0), fill(-1.0), fill(TINY)
    for k in range(first, last, LANES):
        z = load(late, k)
        variances = multiply(multiply_add(more_left, z, left), multiply_add(more_right, z, right))
        variances = where_above(variances, tiny, variances, tiny)
        rho = divide(multiply_add(more_over, z, over), square_root(variances))
        rho = where_above(rho, one, one, where_above(minus, rho, minus, rho))
        spread = multiply_add(more, z, still)
        spread = square_root(where_above(spread, tiny, spread, tiny))
        sums = add(sums, divide(multiply(load(weights, k), asin(rho)), spread))
    return r * total(sums)


@serial
def _minor(R, a, b, c):
    """The determinant of the correlations of three."""
    x, y, z = R[a, b], R[a, c], R[b, c]
    return max((1.0 - x * x) * (1.0 - y * y) - (z - x * y) * (z - x * y), 0.0)


@serial
def _determinant(R, a, b, c, d):
    """The determinant of the correlations of four, conditioned on a."""
    u, v, w = 1.0 - R[a, b] ** 2, 1.0 - R[a, c] ** 2, 1.0 - R[a, d] ** 2
    f = R[b, c] - R[a, b] * R[a, c]
    g = R[b, d] - R[a, b] * R[a, d]
    h = R[c, d] - R[a, c] * R[a, d]
    return u * (v * w - h * h) - f * (f * w - g * h) + g * (f * h - g * v)


@serial
def four_signs(R, a, b, c, d, late, weights, ends):
    """E s_a s_b s_c s_d for distinct places in R (n, n), by a rule like `FINE` and its ends."""
    # d becomes one that the others say least of: det over m is 1 − its multiple correlation squared
    m_a, m_b, m_c, m_d = (
        _minor(R, b, c, d),
        _minor(R, a, c, d),
        _minor(R, a, b, d),
        _minor(R, a, b, c),
    )
    least = min(min(m_a, m_b), min(m_c, m_d))
    if m_a == least:
        a, d = d, a
    elif m_b == least:
        b, d = d, b
    elif m_c == least:
        c, d = d, c
    alone = _determinant(R, a, b, c, d) / max(least, TINY)
    kind = 0 if alone > EASY else (1 if alone > HARD else 2)
    first, last = ends[kind], ends[kind + 1]
    value = _part(R, a, d, b, c, late, weights, first, last)
    value += _part(R, b, d, a, c, late, weights, first, last)
    value += _part(R, c, d, a, b, late, weights, first, last)
    return FOUR_OVER_PI_SQUARED * value


@serial
def without(rows, base, out):
    """Rows (n, m) less their part along row `base` of length one, again of length one, or 0."""
    n, m = rows.shape
    for a in range(n):
        for _ in range(2):  # twice, for what rounding leaves of a row almost parallel
            source = rows if _ == 0 else out
            along = 0.0
            for c in range(m):
                along += source[a, c] * base[c]
            for c in range(m):
                out[a, c] = source[a, c] - along * base[c]
        square = 0.0
        for c in range(m):
            square += out[a, c] * out[a, c]
        over = 1.0 / math.sqrt(square) if square > TINY else 0.0
        for c in range(m):
            out[a, c] *= over


@serial
def angle_between(rows, a, b):
    """asin of the product of two rows of length one."""
    cosine = 0.0
    for c in range(rows.shape[1]):
        cosine += rows[a, c] * rows[b, c]
    return math.asin(min(max(cosine, -1.0), 1.0))
