"""The learning rate of each step in turn: γ_ν is read where the steps before have led.

No freedom for the compiler here: what rounding leaves out of a time is carried along.
"""

from __future__ import annotations

import math

from meanfield.kernels.options import serial_strict


@serial_strict
def value(code, c, x):
    """A law of `meanfield.schedules.laws` at x, by its code and its constants; NaN of no code."""
    if code == 0:
        if c[1] == 1.0:  # a division in place of a power
            return c[0] * c[2] / (c[2] + x)
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
def march(code, c, offset, t, low, per, gamma, times, lows):
    """γ_ν = γ(t_ν) and t_ν+1 = t_ν + γ_ν `per` from t + low on: gamma (n,), times, lows (n + 1,).

    `lows` is what rounding leaves out of the times: a billion steps would add up to it.
    """
    times[0], lows[0] = t, low
    for n in range(gamma.size):
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
