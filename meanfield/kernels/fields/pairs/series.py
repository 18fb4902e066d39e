"""Pair sums for any smooth activation, by Hermite series in the correlation of two units.

For x, y Gaussian of variances q, q', correlation c/√(q q') = ρ, and h_m(q) = E σ(√q G) he_m(G),
s_m(q) = E σ'(√q G) he_m(G) with he_m normalised (Mehler's formula):

    E σ(x) σ(y) = Σ_m h_m h'_m ρ^m,   E σ'(x) σ'(y) = Σ_m s_m s'_m ρ^m,
    E σ''(x) σ(y) = Σ_m t_m h'_m ρ^m,  t_m = √(m+1) s_{m+1}/√q.

Only every `stride`-th term of each is stored: 2 for odd activations, whose even h vanish; then
series in h start at ρ. Time O(n m), memory O(n).
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.fields.lagrange import arcsinh, lagrange_weights
from meanfield.kernels.fields.mesh import POINTS
from meanfield.kernels.options import shared, shared_strict

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


@shared_strict(
    lambda u, r, s_i, t_i, c_j, *rest: (
        -(-len(u) // GROUP),
        1.0 * s_i.size * len(c_j) * len(rest[-3]),
    )
)
def slopes(
    first_group, last_group,
    u, r, s_i, t_i, c_j, u_j, r_j, scale_j, s_j, h_j, stride, Z, wZ, out_u, out_r,
):  # fmt: skip
    """∂/∂u (m, k) and ∂/∂r (m,) of Σ_j c_j E_Z E σ(x_i) σ(y_j).

    s_i, t_i (m, M) of the neurons, t_i with the factor 1/√q; u_j (k, n), r_j (n,) and
    scale_j = 1/√q_j of the sources with s_j, h_j (M, n). Added to out_u, out_r.
    """
    m, k = u.shape
    n, M = c_j.size, s_i.shape[1]
    for group in range(first_group, last_group):
        dot, rho, x = np.empty(TILE), np.empty(TILE), np.empty(TILE)
        A, B = np.empty(TILE), np.empty(TILE)
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
                    across = r[i] * Z[z]
                    for j in range(width):
                        g = first + j
                        rho[j] = (dot[j] + across * r_j[g]) * root * scale_j[g]
                        x[j] = rho[j] if stride == 1 else rho[j] * rho[j]
                        A[j], B[j] = 0.0, 0.0
                    for term in range(M - 1, -1, -1):
                        s, t = s_i[i, term], t_i[i, term]
                        for j in range(width):
                            A[j] = A[j] * x[j] + s * s_j[term, first + j]
                            B[j] = B[j] * x[j] + t * h_j[term, first + j]
                    total_B, total_r = 0.0, 0.0
                    for j in range(width):
                        g = first + j
                        A[j] *= wZ[z] * c_j[g]
                        B[j] *= wZ[z] * c_j[g]
                        if stride == 2:
                            B[j] *= rho[j]
                        total_B += B[j]
                        total_r += A[j] * r_j[g]
                    for c in range(k):
                        total = 0.0
                        for j in range(width):
                            total += A[j] * u_j[c, first + j]
                        out_u[i, c] += total + u[i, c] * total_B
                    out_r[i] += Z[z] * total_r + r[i] * total_B


@shared_strict(
    lambda u, r, h_i, c_j, *rest: (-(-len(u) // GROUP), 0.5 * h_i.size * len(c_j) * len(rest[-2]))
)
def values(first_group, last_group, u, r, h_i, c_j, u_j, r_j, scale_j, h_j, stride, Z, wZ, out):
    """Σ_j c_j E_Z E σ(x_i) σ(y_j), added to out (m,); arguments as for `slopes`."""
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
