"""The learning rate of each step in turn: γ_ν is read where the steps before have led.

No freedom for the compiler here: what rounding leaves out of a time is carried along.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.options import serial_strict

TOGETHER = 16  # steps that go by one series,
TERMS = 8  # of so many terms,
REMAINDER = 1e-16  # which leaves out this part of a rate at most


@serial_strict
def value(code, c, x):
    """A law of `meanfield.schedules.laws` at x, by its code and its constants; NaN of no code."""
    if code == 0:
        if c[1] == 1.0:  # a division in place of a power
            return c[0] * (c[2] / (c[2] + x))
        return c[0] * (1.0 + x / c[2]) ** -c[1]
    if code == 1:
        return c[0] * math.exp(-x / c[1])
    if code == 2:
        return c[1] + 0.5 * (c[0] - c[1]) * (1.0 + math.cos(math.pi * min(x / c[2], 1.0)))
    if code != 3:
        return math.nan
    m = c.size // 2
    place = 0
    while place + 1 < m and c[place + 1] <= x:
        place += 1
    return c[m + place]


@serial_strict
def series(code, c, x, b):
    """Taylor coefficients of a schedule about x into b (TERMS + 1,); the last is a bound."""
    b[0] = value(code, c, x)
    size = 0.5 * (c[0] - c[1])
    angle, cosine, sine = 0.0, 0.0, 0.0
    if code == 2:
        angle = math.pi / c[2]
        cosine, sine = math.cos(angle * x), math.sin(angle * x)
    for j in range(1, b.size):
        if code == 0:
            b[j] = b[j - 1] * (1.0 - j - c[1]) / (j * (c[2] + x))
        elif code == 1:
            b[j] = -b[j - 1] / (j * c[1])
        else:
            size *= angle / j
            slope = sine if j % 2 == 1 else cosine
            b[j] = size * (slope if j % 4 in (0, 3) else -slope)
    if code == 2:
        b[b.size - 1] = size


@serial_strict
def step_times(code, c, offset, t, low, per, gamma, times, lows):
    """γ_ν = γ(t_ν) and t_ν+1 = t_ν + γ_ν `per` from t + low on: gamma (n,), times, lows (n + 1,).

    `lows` is what rounding leaves out of the times: a billion steps would add up to it. What takes
    as long as a good part of a whole step of few neurons, all but divisions, goes for a few steps
    at a time by a Taylor series, where what that leaves out is below rounding.
    """
    times[0], lows[0] = t, low
    b = np.empty(TERMS + 1)
    for first in range(0, gamma.size, TOGETHER):
        start, smooth = t, code == 1 or code == 2 or (code == 0 and c[1] != 1.0)
        if smooth:
            series(code, c, t + offset, b)
            span = 1.5 * TOGETHER * b[0] * per
            smooth = abs(b[TERMS]) * span**TERMS <= REMAINDER * b[0]
            smooth = smooth and (code != 2 or t + offset + span < c[2])
        for n in range(first, min(first + TOGETHER, gamma.size)):
            if smooth:
                s = t - start
                s2 = s * s
                low_terms = (b[0] + b[1] * s) + s2 * (b[2] + b[3] * s)
                gamma[n] = low_terms + s2 * s2 * ((b[4] + b[5] * s) + s2 * (b[6] + b[7] * s))
            else:
                gamma[n] = value(code, c, t + offset)
            move = gamma[n] * per + low
            after = t + move
            low = move - (after - t)
            t = after
            times[n + 1], lows[n + 1] = t, low


@serial_strict
def accumulate(t, low, per, gamma, times, lows):
    """The same times for rates (n,) that are known."""
    times[0], lows[0] = t, low
    for n in range(gamma.size):
        move = gamma[n] * per + low
        after = t + move
        low = move - (after - t)
        t = after
        times[n + 1], lows[n + 1] = t, low
