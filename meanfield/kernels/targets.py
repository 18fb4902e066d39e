"""Potential of a target that is a sum of units, in closed form pair by pair."""

from __future__ import annotations

from meanfield.kernels.gaussian.pair_averages import pair_average
from meanfield.kernels.options import shared_strict


@shared_strict(lambda code, link, u, r, b, *_: (len(u), 30.0 * len(u) * len(b)))
def target_slopes(first, last, code, link, u, r, b, weights, out_value, out_u, out_r):
    """Value and slopes of E f*(z) σ(λ) at neurons (u, r), for f* = Σ_r weights_r σ*(b_r·z)."""
    k = u.shape[1]
    for i in range(first, last):
        q = r[i] * r[i]
        for x in range(k):
            q += u[i, x] * u[i, x]
            out_u[i, x] = 0.0
        out_value[i] = 0.0
        out_r[i] = 0.0
        for t in range(weights.size):
            c, P = 0.0, 0.0
            for x in range(k):
                c += u[i, x] * b[t, x]
                P += b[t, x] * b[t, x]
            value, A, B = pair_average(code, link, q, P, c)
            out_value[i] += weights[t] * value
            out_r[i] += weights[t] * B * r[i]
            for x in range(k):
                out_u[i, x] += weights[t] * (B * u[i, x] + A * b[t, x])
