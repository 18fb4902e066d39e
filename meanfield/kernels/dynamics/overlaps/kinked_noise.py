"""The γ/p term ⟨σ'(λ_i) σ'(λ_j) ε²⟩ in closed form, for ReLU and leaky ReLU students.

σ(λ) = hλ + c|λ| has the slope h + c s, s the sign of λ. With the residual ε split into its odd and
even part, ε = O + E, what is odd under λ → −λ averages to 0, and

    ⟨σ'_i σ'_j ε²⟩ = h² ⟨ε²⟩ + 2hc (⟨s_i O E⟩ + ⟨s_j O E⟩) + c² ⟨s_i s_j (O² + E²)⟩.

Pre-activations are taken at unit variance, x_m with correlations R, first students, then the units
of a target. O = L + Σ_r ν_r s̃_r, with L linear, of covariance b_m with x_m and variance V; s̃_r is
the sign of λ*_r plus a standard Gaussian, whose mean is erf(λ*_r/√2). E = Σ_m γ_m |x_m| + W, W the
square units of a target. Stein's lemma leaves averages of signs of Gaussians some of which are 0.
Of four signs, see `meanfield.kernels.gaussian.signs`; all else is elementary.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.gaussian.signs import angle_between, four_signs, without
from meanfield.kernels.options import serial, shared

EDGE = math.sqrt(2.0 / math.pi)  # of E 2δ(x), twice the density at 0
TWO_OVER_PI = 2.0 / math.pi
FLAT = 1e-15  # a variance, of one, that is rounding


@serial
def pair(i, j):
    """The place of an unordered pair of different indices in the list 10, 20, 21, 30 and so on."""
    return i * (i - 1) // 2 + j if i > j else j * (j - 1) // 2 + i


@shared(lambda rows, *_: (len(rows), 0.2 * len(rows) ** 3 * rows.size))
def angle_tables(first, last, rows, singles, angles):
    """Where some units are 0: asin ρ_ab|i at (i, ab), and asin ρ_ab|i,j at (ij, ab).

    rows (n, m), of length one, have the correlations of the units as their products: residuals of
    rows keep digits that conditional covariances would lose.
    """
    n, m = rows.shape
    for i in range(first, last):
        once, twice = np.empty((n, m)), np.empty((n, m))
        without(rows, rows[i], once)
        for a in range(n):
            for b in range(a):
                singles[i, pair(a, b)] = 0.0 if a == i or b == i else angle_between(once, a, b)
        for j in range(i):
            without(once, once[j], twice)
            for a in range(n):
                for b in range(a):
                    apart = a != i and a != j and b != i and b != j
                    angles[pair(i, j), pair(a, b)] = angle_between(twice, a, b) if apart else 0.0


@shared(lambda R, *_: (len(R), 10.0 * R.size**2))
def sign_table(first, last, R, late, weights, ends, fours):
    """Four signs of different units at pairs of pairs, all three ways; the rest stays."""
    for i in range(first, last):
        for j in range(i):
            for a in range(j):
                for b in range(a):
                    value = four_signs(R, i, j, a, b, late, weights, ends)
                    one, two, three = pair(i, j), pair(i, a), pair(i, b)
                    other, another, third = pair(a, b), pair(j, b), pair(j, a)
                    fours[one, other] = fours[other, one] = value
                    fours[two, another] = fours[another, two] = value
                    fours[three, third] = fours[third, three] = value


@serial
def _part_at_zero(R, n, j, i):
    """cov(x_n, x_j)/√var x_j where x_i = 0."""
    free = 1.0 - R[i, j] * R[i, j]
    return (R[n, j] - R[i, n] * R[i, j]) / math.sqrt(free) if free > FLAT else 0.0


@serial
def _length_at_zero(R, a, b):
    """The deviation of x_a where x_b = 0."""
    return math.sqrt(max(1.0 - R[a, b] * R[a, b], 0.0))


@serial
def _two_signs_at_zero(R, angles, j, m, n, i):
    """⟨s_j s_m |x_n|⟩ where x_i = 0."""
    total = _length_at_zero(R, n, i) * angles[pair(i, n), pair(j, m)]
    total += _part_at_zero(R, n, j, i) * angles[pair(i, j), pair(m, n)]
    total += _part_at_zero(R, n, m, i) * angles[pair(i, m), pair(j, n)]
    return EDGE * TWO_OVER_PI * total


@serial
def _four(R, angles, fours, i, j, m, n):
    """⟨s_i s_j |x_m| |x_n|⟩ of four different units."""
    total = R[i, m] * _two_signs_at_zero(R, angles, j, m, n, i)
    total += R[j, m] * _two_signs_at_zero(R, angles, i, m, n, j)
    total += _two_signs_at_zero(R, angles, i, j, n, m)
    return R[m, n] * fours[pair(i, j), pair(m, n)] + EDGE * total


@serial
def two_signs_with(R, b_i, b_j, V, i, j):
    """⟨s_i s_j l²⟩ for a Gaussian l of variance V and covariances b with x_i, x_j."""
    r = R[i, j]
    size = min(abs(r), 1.0)
    sign = math.copysign(1.0, r)
    apart, free = b_i - sign * b_j, (1.0 - size) * (1.0 + size)
    total = V * math.asin(sign * size)
    if free > 0.0:
        # 2 b_i b_j − r (b_i² + b_j²), without the digits that it loses near r = ±1
        total -= r * apart * apart / math.sqrt(free)
        total += 2.0 * b_i * b_j * math.sqrt((1.0 - size) / (1.0 + size))
    return TWO_OVER_PI * total


@serial
def _with_linear(singles, b, i, j, r):
    """⟨s_i s_j s_r l⟩ for a Gaussian l of covariances b with the units, all different."""
    total = b[i] * singles[i, pair(j, r)] + b[j] * singles[j, pair(i, r)]
    total += b[r] * singles[r, pair(i, j)]
    return EDGE * TWO_OVER_PI * total


@serial
def _with_ramp(R, j, i, n):
    """⟨|x_i| s_j |x_n| s_i⟩ = ⟨x_i s_j |x_n|⟩ for three different units."""
    sine = min(max(R[j, n], -1.0), 1.0)
    return R[i, j] * TWO_OVER_PI * _length_at_zero(R, n, j) + R[i, n] * TWO_OVER_PI * math.asin(
        sine
    )


@serial
def _ramps(R, angles, fours, gamma, i, j):
    """⟨s_i s_j (Σ_m γ_m |x_m|)²⟩, i ≠ j."""
    n = R.shape[0]
    total = 2.0 * gamma[i] * gamma[j] * R[i, j]
    for m in range(n):
        if gamma[m] == 0.0:
            continue
        total += gamma[m] ** 2 * two_signs_with(R, R[i, m], R[j, m], 1.0, i, j)
        if m in (i, j):
            continue
        near = gamma[i] * _with_ramp(R, j, i, m) + gamma[j] * _with_ramp(R, i, j, m)
        total += 2.0 * gamma[m] * near
        row = 0.0
        for k in range(m):
            if k != i and k != j and gamma[k] != 0.0:
                row += gamma[k] * _four(R, angles, fours, i, j, m, k)
        total += 2.0 * gamma[m] * row
    return total


@shared(lambda R, angles, fours, gamma, b, V, p, out: (p, 5.0 * p * p * R.size))
def ramp_products(first, last, R, angles, fours, gamma, b, V, p, out):
    """out_ij = ⟨s_i s_j (L² + (Σ_m γ_m |x_m|)²)⟩ for students i ≠ j."""
    for i in range(first, last):
        for j in range(i):
            value = two_signs_with(R, b[i], b[j], V, i, j)
            out[i, j] = out[j, i] = value + _ramps(R, angles, fours, gamma, i, j)


@serial
def _signs_of_link(R, fours, copies, late, weights, ends, nu, p, i, j):
    """⟨s_i s_j (Σ_r ν_r s̃_r)²⟩, units r with a Gaussian each of their own for each factor."""
    n, total = R.shape[0], 0.0
    small = np.eye(4)
    for r in range(p, n):
        for s in range(p, r):
            total += 2.0 * nu[r - p] * nu[s - p] * fours[pair(i, j), pair(r, s)]
        # the same unit twice: two signs of correlation copies[r]
        small[0, 1] = small[1, 0] = R[i, j]
        small[0, 2] = small[2, 0] = small[0, 3] = small[3, 0] = R[i, r]
        small[1, 2] = small[2, 1] = small[1, 3] = small[3, 1] = R[j, r]
        small[2, 3] = small[3, 2] = copies[r - p]
        total += nu[r - p] ** 2 * four_signs(small, 0, 1, 2, 3, late, weights, ends)
    return total


@shared(lambda *args: (len(args[-1]), 500.0 * args[-1].size))
def erf_products(first, last, R, singles, fours, copies, late, weights, ends, nu, b, p, out):
    """Add ⟨s_i s_j (2 L S + S²)⟩ to out (p, p), i ≠ j, where S = Σ_r ν_r s̃_r."""
    n = R.shape[0]
    for i in range(first, last):
        for j in range(i):
            total = _signs_of_link(R, fours, copies, late, weights, ends, nu, p, i, j)
            for r in range(p, n):
                total += 2.0 * nu[r - p] * _with_linear(singles, b, i, j, r)
            out[i, j] += total
            out[j, i] += total


@serial
def linear_with_ramps(R, gamma, b, out):
    """out_i = ⟨s_i L Σ_m γ_m |x_m|⟩."""
    n = R.shape[0]
    for i in range(out.size):
        total = gamma[i] * b[i]
        for m in range(n):
            if m != i:
                sine = min(max(R[i, m], -1.0), 1.0)
                near = b[i] * _length_at_zero(R, m, i) + b[m] * math.asin(sine)
                total += gamma[m] * TWO_OVER_PI * near
        out[i] = total


@serial
def signs_with_ramps(R, singles, gamma, nu, p, out):
    """Add ⟨s_i Σ_r ν_r s̃_r Σ_m γ_m |x_m|⟩, m < p, to out_i."""
    n = R.shape[0]
    for i in range(p):
        for r in range(p, n):
            row = gamma[i] * EDGE * R[i, r]
            for m in range(p):
                if m != i:
                    row += gamma[m] * _with_linear(singles, R[m], i, r, m)
            out[i] += nu[r - p] * row
