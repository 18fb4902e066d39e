"""The learning rate of each step in turn: γ_ν is read where the steps before have led.

No freedom for the compiler here: what rounding leaves out of a time is carried along.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.options import serial_strict

MANY, TOGETHER = 128, 16  # steps that go by one series,
TERMS = 6  # of so many terms,
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
def smooth_for(code, c, x, per, b):
    """How many steps from x on a series in b gives a schedule to rounding; 0 of none."""
    if code < 0 or code > 3:
        return 0
    end = math.inf
    if code == 3:
        b[:] = 0.0
        b[0] = value(code, c, x)
        for j in range(c.size // 2 - 1, 0, -1):
            end = c[j] if c[j] > x else end
    else:
        series(code, c, x, b)
        end = c[2] if code == 2 else end
    for count in (MANY, TOGETHER):
        span = 1.5 * count * b[0] * per
        if x + span < end and abs(b[TERMS]) * span**TERMS <= REMAINDER * b[0]:
            return count
    return 0


@serial_strict
def step_times(code, c, offset, t, low, per, gamma, times):
    """γ_ν = γ(t_ν) and t_ν+1 = t_ν + γ_ν `per` from t + low on: gamma (n,), times (n + 1,).

    Returns the last time and what rounding leaves out of it, which a billion steps would add up to.
    Some steps at a time go by a Taylor series in the way s since the first of them, where what
    that leaves out is below rounding: each waits for the one before, so that what counts is the
    way from one s to the next.
    """
    times[0] = t
    b = np.empty(TERMS + 1)
    first = 0
    while first < gamma.size:
        smooth = smooth_for(code, c, t + offset, per, b)
        last = min(first + max(smooth, TOGETHER), gamma.size)
        q0, q1, q2 = b[0] * per, b[1] * per, b[2] * per
        q3, q4, q5 = b[3] * per, b[4] * per, b[5] * per
        s = 0.0
        for n in range(first, last):
            if smooth > 0:
                s2 = s * s
                s4 = s2 * s2
                low_terms = (b[0] + b[1] * s) + s2 * (b[2] + b[3] * s)
                gamma[n] = low_terms + s4 * (b[4] + b[5] * s)
                # the same times `per`, by itself: the next step waits for this sum alone
                move = s2 * (q2 + q3 * s) + s4 * (q4 + q5 * s)
                s = ((s + q0) + q1 * s) + move
            else:
                gamma[n] = value(code, c, t + (low + s) + offset)
                s += gamma[n] * per
            times[n + 1] = t + (low + s)
        t, low = two_sum(t, low + s)
        first = last
    return t, low


@serial_strict
def two_sum(t, move):
    """t + move, and what rounding leaves out of it; t ≥ |move| is not asked for."""
    after = t + move
    part = after - t
    return after, (t - (after - part)) + (move - part)


@serial_strict
def accumulate(t, low, per, gamma, times):
    """The same times for rates (n,) that are known."""
    times[0] = t
    for first in range(0, gamma.size, TOGETHER):
        s = 0.0
        for n in range(first, min(first + TOGETHER, gamma.size)):
            s += gamma[n] * per
            times[n + 1] = t + (low + s)
        t, low = two_sum(t, low + s)
    return t, low
