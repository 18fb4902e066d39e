"""The square units of a target in the γ/p term of kinked students.

W = Σ_r e_r λ*_r² is a quadratic form. For a function F of the pre-activations x,
⟨F W⟩ = tr(EP) ⟨F⟩ + 2 D⟨F⟩, where D is the change of ⟨F⟩ as the covariance of x changes by Γ,
Γ_mn = Σ_r e_r cov(x_m, λ*_r) cov(x_n, λ*_r): twice Stein's lemma, backwards.
"""

from __future__ import annotations

import math

from meanfield.kernels.dynamics.overlaps.kinked_noise import EDGE, FLAT, TWO_OVER_PI, pair
from meanfield.kernels.options import serial, shared


@serial
def _turned(R, singles, G, m, l, a, b):
    """Value and change of R_ml/√R_ll asin ρ_ab|l, for variances of one that change too."""
    along, bend = R[m, l], G[m, l] - 0.5 * R[m, l] * G[l, l]
    v_a, v_b = 1.0 - R[a, l] * R[a, l], 1.0 - R[b, l] * R[b, l]
    if v_a < FLAT or v_b < FLAT:
        return 0.0, 0.0
    angle, root = singles[l, pair(a, b)], math.sqrt(v_a * v_b)
    rho = math.sin(angle)
    change = G[a, b] + R[a, b] * G[l, l] - G[a, l] * R[b, l] - R[a, l] * G[b, l]
    by_a = (G[a, a] + G[l, l] - 2.0 * R[a, l] * G[a, l]) / v_a
    by_b = (G[b, b] + G[l, l] - 2.0 * R[b, l] * G[b, l]) / v_b
    slope = change / root - 0.5 * rho * (by_a + by_b)
    rest = math.cos(angle)
    turn = slope / rest if rest * rest > FLAT else 0.0
    return along * angle, bend * angle + along * turn


@serial
def _ramp_and_squares(R, singles, G, trace, i, j, m):
    """⟨s_i s_j |x_m| W⟩ for three different units."""
    value_m, change_m = _turned(R, singles, G, m, m, i, j)
    value_i, change_i = _turned(R, singles, G, m, i, j, m)
    value_j, change_j = _turned(R, singles, G, m, j, i, m)
    value, change = value_m + value_i + value_j, change_m + change_i + change_j
    return EDGE * TWO_OVER_PI * (trace * value + 2.0 * change)


@serial
def _two_squares(R, G, G2, trace, square, i, j):
    """⟨s_i s_j W²⟩, with square = ⟨W²⟩ and G2 = Σ_rs e_r e_s cov(x, λ*_r) P_rs cov(λ*_s, x)."""
    r = min(max(R[i, j], -1.0), 1.0)
    free = (1.0 - r) * (1.0 + r)
    value = square * math.asin(r)
    if free < FLAT:
        return TWO_OVER_PI * value
    alpha, beta, chi = G[i, i], G[j, j], G[i, j]
    root = math.sqrt(free)
    first = chi - 0.5 * r * (alpha + beta)
    second = r * (0.75 * (alpha * alpha + beta * beta) + 0.5 * alpha * beta)
    second -= chi * (alpha + beta)
    bend = second / root + r * first * first / (root * free)
    again = G2[i, j] - 0.5 * r * (G2[i, i] + G2[j, j])
    value += (4.0 * trace * first + 8.0 * again) / root + 4.0 * bend
    return TWO_OVER_PI * value


@shared(lambda R, *_: (len(R), 50.0 * len(R) * R.size))
def square_products(first, last, R, singles, G, G2, trace, square, gamma, out):
    """Add ⟨s_i s_j (2 Σ_m γ_m |x_m| W + W²)⟩ to out (p, p), i ≠ j."""
    p = R.shape[0]
    for i in range(first, last):
        for j in range(i):
            # ⟨s_j x_i W⟩ and ⟨s_i x_j W⟩
            shared = gamma[i] * (trace * R[i, j] + 2.0 * G[i, j] - R[i, j] * G[j, j])
            shared += gamma[j] * (trace * R[i, j] + 2.0 * G[i, j] - R[i, j] * G[i, i])
            total = 2.0 * EDGE * shared
            for m in range(p):
                if m != i and m != j:
                    total += 2.0 * gamma[m] * _ramp_and_squares(R, singles, G, trace, i, j, m)
            total += _two_squares(R, G, G2, trace, square, i, j)
            out[i, j] += total
            out[j, i] += total
