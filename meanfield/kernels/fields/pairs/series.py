"""Pair sums for any smooth activation, by Hermite series in the correlation of two units.

For x, y Gaussian of variances q, q', correlation c/√(q q') = ρ, and h_m(q) = E σ(√q G) he_m(G),
s_m(q) = E σ'(√q G) he_m(G) with he_m normalised (Mehler's formula):

    E σ(x) σ(y) = Σ_m h_m h'_m ρ^m,   E σ'(x) σ'(y) = Σ_m s_m s'_m ρ^m,
    E σ''(x) σ(y) = Σ_m t_m h'_m ρ^m,  t_m = √(m+1) s_{m+1}/√q.

Only every `stride`-th term of each is stored: 2 for odd activations, whose even h vanish; then
series in h start at ρ. Time O(n m), memory O(n).

At finite D a correlation is A + B Z, with Z the cosine of two perpendicular parts, of density
(1 − Z²)^{(D−3)/2}. No nodes are needed to average its powers: by Laplace's integral for Gegenbauer
polynomials of order λ = (D − 1)/2 (Szegő 1939, 4.10.3), P_m = E (A + B Z)^m obeys

    (m + 2λ) P_{m+1} = 2 (m + λ) A P_m − m (A² − B²) P_{m−1},   P_0 = 1, P_1 = A.

The argument A/√(A² − B²) is never between −1 and 1, so P_m is the solution that grows, and forward
steps are stable. By parts, E Z (A + B Z)^m = (m B/D) P⁺_{m−1}, with P⁺ the same for D + 2.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.fields.mesh import POINTS
from meanfield.kernels.fields.places import arcsinh, lagrange_weights
from meanfield.kernels.options import serial, shared, shared_strict
from meanfield.kernels.simd import LANES, add, fill, load, multiply, multiply_add, store, total

TILE = 64  # sources at a time, so that their coefficients stay in cache
GROUP = 8  # neurons that share them


@shared(lambda root_q, grid, *_: (len(root_q), 5.0 * len(root_q) * grid.shape[1]))
def interpolate(first, last, root_q, grid, spacing, out):
    """Rows of `grid` (rows, M), in asinh(√q)/spacing from 3 below 0 on, at √q (n,) -> (n, M)."""
    M = grid.shape[1]
    for i in range(first, last):
        w = np.empty(POINTS)
        t = arcsinh(root_q[i]) / spacing
        row = int(t)
        lagrange_weights(t - row, w)
        for m in range(M):
            out[i, m] = 0.0
        for p in range(POINTS):
            for m in range(M):
                out[i, m] += w[p] * grid[row + p, m]


@serial
def _correlations(u, r, i, u_j, r_j, scale_j, first, n, A, B):
    """A and B of one neuron and eight sources, to A[0:8] and B[0:8]."""
    q = r[i] * r[i]
    for c in range(u.shape[1]):
        q += u[i, c] * u[i, c]
    root = 1.0 / math.sqrt(max(q, 1e-300))
    dot = fill(0.0)
    for c in range(u.shape[1]):
        dot = multiply_add(fill(u[i, c]), load(u_j, c * n + first), dot)
    scale = multiply(fill(root), load(scale_j, first))
    store(A, 0, multiply(dot, scale))
    store(B, 0, multiply(multiply(fill(r[i]), load(r_j, first)), scale))


@serial
def _slope_sums(A, B, s_i, t_i, i, s_j, h_j, block, step, stride, sums):
    """Σ_m s s' P_m, Σ_m t h' P_m and Σ_m s s' m P⁺_{m−1} of one neuron and eight sources."""
    M = s_i.shape[1]
    x, y = load(A, 0), load(B, 0)
    minus = multiply(add(y, multiply(x, fill(-1.0))), add(x, y))  # B² − A²
    P, before, plus, before_plus = fill(1.0), fill(0.0), fill(0.0), fill(0.0)
    sum_A, sum_B, sum_R = fill(0.0), fill(0.0), fill(0.0)
    m = 0
    for term in range(M):
        at = (block * M + term) * LANES
        both = multiply(fill(s_i[i, term]), load(s_j, at))
        other = multiply(fill(t_i[i, term]), load(h_j, at))
        sum_A = multiply_add(both, P, sum_A)
        sum_R = multiply_add(both, multiply(fill(float(m)), plus), sum_R)
        if stride == 1:
            sum_B = multiply_add(other, P, sum_B)
        for hop in range(stride):
            following = multiply(fill(step[0, m]), multiply(x, P))
            following = multiply_add(multiply(fill(step[1, m]), minus), before, following)
            before, P = P, following
            if m == 0:
                plus = fill(1.0)
            else:
                following = multiply(fill(step[2, m]), multiply(x, plus))
                following = multiply_add(multiply(fill(step[3, m]), minus), before_plus, following)
                before_plus, plus = plus, following
            m += 1
            if stride == 2 and hop == 0:
                sum_B = multiply_add(other, P, sum_B)
    store(sums, 0, sum_A)
    store(sums, LANES, sum_B)
    store(sums, 2 * LANES, multiply(sum_R, y))


@shared(lambda u, r, s_i, t_i, c_j, *rest: (-(-len(u) // GROUP), 0.7 * s_i.size * len(c_j)))
def slopes(
    first_group, last_group,
    u, r, s_i, t_i, c_j, u_j, r_j, scale_j, s_j, h_j, stride, step, D, out_u, out_r,
):  # fmt: skip
    """∂/∂u (m, k) and ∂/∂r (m,) of Σ_j c_j E σ(x_i) σ(y_j), added to out_u, out_r.

    s_i, t_i (m, M) of the neurons, t_i with the factor 1/√q. n sources, a multiple of eight:
    u_j (k n,), r_j (n,), scale_j = 1/√q_j, and s_j, h_j (n/8, M, 8) as vectors. `step` holds the
    factors of A P_m and (B² − A²) P_{m−1} in P_{m+1}, and of the same in P⁺_m (4, powers).
    """
    m, k = u.shape
    n = c_j.size
    for group in range(first_group, last_group):
        A, B, sums = np.empty(LANES), np.empty(LANES), np.empty(3 * LANES)
        for block in range(n // LANES):
            first = block * LANES
            charge = load(c_j, first)
            for i in range(group * GROUP, min(m, (group + 1) * GROUP)):
                _correlations(u, r, i, u_j, r_j, scale_j, first, n, A, B)
                _slope_sums(A, B, s_i, t_i, i, s_j, h_j, block, step, stride, sums)
                along = multiply(charge, load(sums, 0))
                own = total(multiply(charge, load(sums, LANES)))
                across = multiply(charge, load(sums, 2 * LANES))
                for c in range(k):
                    out_u[i, c] += total(multiply(along, load(u_j, c * n + first))) + u[i, c] * own
                out_r[i] += total(multiply(across, load(r_j, first))) / D + r[i] * own


@shared(lambda u, r, h_i, c_j, *rest: (-(-len(u) // GROUP), 0.4 * h_i.size * len(c_j)))
def values(first_group, last_group, u, r, h_i, c_j, u_j, r_j, scale_j, h_j, stride, step, out):
    """Σ_j c_j E σ(x_i) σ(y_j), added to out (m,); arguments as for `slopes`."""
    m = u.shape[0]
    n, M = c_j.size, h_i.shape[1]
    for group in range(first_group, last_group):
        A, B = np.empty(LANES), np.empty(LANES)
        for block in range(n // LANES):
            first = block * LANES
            for i in range(group * GROUP, min(m, (group + 1) * GROUP)):
                _correlations(u, r, i, u_j, r_j, scale_j, first, n, A, B)
                x, y = load(A, 0), load(B, 0)
                minus = multiply(add(y, multiply(x, fill(-1.0))), add(x, y))
                P, before, power, value = fill(1.0), fill(0.0), 0, fill(0.0)
                for term in range(M):
                    if stride == 2:  # the even power in between
                        following = multiply(fill(step[0, power]), multiply(x, P))
                        following = multiply_add(
                            multiply(fill(step[1, power]), minus), before, following
                        )
                        before, P, power = P, following, power + 1
                    at = (block * M + term) * LANES
                    value = multiply_add(multiply(fill(h_i[i, term]), load(h_j, at)), P, value)
                    following = multiply(fill(step[0, power]), multiply(x, P))
                    following = multiply_add(
                        multiply(fill(step[1, power]), minus), before, following
                    )
                    before, P, power = P, following, power + 1
                out[i] += total(multiply(load(c_j, first), value))


@shared_strict(
    lambda u, r, h_i, c_j, *rest: (-(-len(u) // GROUP), 0.5 * h_i.size * len(c_j) * len(rest[-2]))
)
def values_at(first_group, last_group, u, r, h_i, c_j, u_j, r_j, scale_j, h_j, stride, Z, wZ, out):
    """Σ_j c_j Σ_z wZ_z E σ(x_i) σ(y_j) at the Z of a rule, added to out (m,).

    Weights may sum to 0, for the difference between two laws; u_j (k, n), h_j (M, n).
    """
    m, k = u.shape
    n, M = c_j.size, h_i.shape[1]
    for group in range(first_group, last_group):
        dot, rho, x, K = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
        for first in range(0, n, TILE):
            width = min(TILE, n - first)
            for i in range(group * GROUP, min(m, (group + 1) * GROUP)):
                q = r[i] * r[i]
                for c in range(k):
                    q += u[i, c] * u[i, c]
                root = 1.0 / math.sqrt(max(q, 1e-300))
                for j in range(width):
                    dot[j] = 0.0
                for c in range(k):
                    for j in range(width):
                        dot[j] += u[i, c] * u_j[c, first + j]
                for z in range(Z.size):
                    for j in range(width):
                        g = first + j
                        rho[j] = (dot[j] + r[i] * Z[z] * r_j[g]) * root * scale_j[g]
                        x[j] = rho[j] if stride == 1 else rho[j] * rho[j]
                        K[j] = 0.0
                    for term in range(M - 1, -1, -1):
                        h = h_i[i, term]
                        for j in range(width):
                            K[j] = K[j] * x[j] + h * h_j[term, first + j]
                    total = 0.0
                    for j in range(width):
                        power = rho[j] if stride == 2 else 1.0
                        total += wZ[z] * c_j[first + j] * power * K[j]
                    out[i] += total
