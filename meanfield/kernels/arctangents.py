"""Angles of many points at once, by arithmetic that compiles to vector instructions."""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.options import serial

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
