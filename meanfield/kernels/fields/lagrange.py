"""Interpolation in a table, one number at a time."""

from __future__ import annotations

import math

from meanfield.kernels.options import serial


@serial
def lagrange_weights(x, w):
    """Weights at offsets -3..4 for a point x in [0, 1); w (8,) is overwritten."""
    d0, d1, d2, d3 = x + 3.0, x + 2.0, x + 1.0, x
    d4, d5, d6, d7 = x - 1.0, x - 2.0, x - 3.0, x - 4.0
    p01, p23, p45, p67 = d0 * d1, d2 * d3, d4 * d5, d6 * d7
    low, high = p01 * p23, p45 * p67
    w[0] = d1 * p23 * high * (-1.0 / 5040.0)
    w[1] = d0 * p23 * high * (1.0 / 720.0)
    w[2] = p01 * d3 * high * (-1.0 / 240.0)
    w[3] = p01 * d2 * high * (1.0 / 144.0)
    w[4] = low * d5 * p67 * (-1.0 / 144.0)
    w[5] = low * d4 * p67 * (1.0 / 240.0)
    w[6] = low * p45 * d7 * (-1.0 / 720.0)
    w[7] = low * p45 * d6 * (1.0 / 5040.0)


@serial
def arcsinh(x):
    """asinh(x), to full relative accuracy near 0, odd."""
    y = abs(x)
    s = math.log1p(y + y * y / (1.0 + math.sqrt(1.0 + y * y)))
    return s if x >= 0.0 else -s
