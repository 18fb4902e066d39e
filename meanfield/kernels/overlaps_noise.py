"""The noise term ⟨σ'(λ_i) σ'(λ_j) ε²⟩ of the overlap equations.

Closed form for erf students: σ'(λ_i) σ'(λ_j) is A_ij times the density ratio of two Gaussians, so
what is left is ⟨ε²⟩ under the tilted covariance C' = C − C_{·,ij} (1 + C_{ij,ij})⁻¹ C_{ij,·}: a sum
of pair averages (for erf targets, the I₄ of Saad & Solla 1995). Any other case by a fixed sample.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from meanfield.kernels.codes import ERF, RELU
from meanfield.kernels.options import inline, parallel, serial
from meanfield.kernels.pairs import ROOT_TWO_OVER_PI, TWO_OVER_PI, pair_average

HALF_PI = 0.5 * math.pi
ROOT_HALF = math.sqrt(0.5)
# (asin(s)/s − 1)/s² as a polynomial in s² on [0, 1/4]: Chebyshev interpolation, 2e-16 relative
ASIN = (
    0.16666666666666627, 0.07500000000032302, 0.04464285708840427, 0.03038194820803222,
    0.02237202248368142, 0.017355708032877004, 0.013924613499938232, 0.011912183837921475,
    0.007630423880376232, 0.016541213961318135, -0.011589103067914644, 0.028773128986358643,
)  # fmt: skip
# (1 + 2y) exp(y²) erfc(y), y ≥ 0, as a polynomial in (y − 3.75)/(y + 3.75) (the variable of
# Shepherd & Laframboise 1981): Chebyshev interpolation; erf is then good to 4e-14 absolute
ERFCX = (
    1.2375126308378273, -0.1402405985848426, 0.00358541548687126, 0.08227673844770754,
    -0.1088039302268061, 0.09230432191129156, -0.05869339707710382, 0.02836227133897975,
    -0.009746591817488671, 0.0017556527727346127, 0.000293767760241119, -0.00029022505711246164,
    5.1507698602012834e-05, 2.2499838905787328e-05, -1.1217413633570878e-05,
    -1.0900267194588922e-06, 1.5292091694917838e-06, 1.290678291728622e-08,
    -1.3090998675723216e-07,
)  # fmt: skip


@inline
def fast_asin(x):
    """asin without a call or a branch, so that a loop over it vectorises."""
    t = abs(x)
    far = t > 0.5
    z = 0.5 * (1.0 - t) if far else t * t
    s = math.sqrt(z) if far else t
    tail = ASIN[11]
    tail = tail * z + ASIN[10]
    tail = tail * z + ASIN[9]
    tail = tail * z + ASIN[8]
    tail = tail * z + ASIN[7]
    tail = tail * z + ASIN[6]
    tail = tail * z + ASIN[5]
    tail = tail * z + ASIN[4]
    tail = tail * z + ASIN[3]
    tail = tail * z + ASIN[2]
    tail = tail * z + ASIN[1]
    tail = tail * z + ASIN[0]
    value = s + s * z * tail
    value = HALF_PI - 2.0 * value if far else value
    return math.copysign(value, x)


@inline
def fast_erf(x, gauss):
    """erf(x/√2) given gauss = exp(−x²/2), without a call or a branch."""
    y = ROOT_HALF * abs(x)
    t = (y - 3.75) / (y + 3.75)
    tail = ERFCX[18]
    tail = tail * t + ERFCX[17]
    tail = tail * t + ERFCX[16]
    tail = tail * t + ERFCX[15]
    tail = tail * t + ERFCX[14]
    tail = tail * t + ERFCX[13]
    tail = tail * t + ERFCX[12]
    tail = tail * t + ERFCX[11]
    tail = tail * t + ERFCX[10]
    tail = tail * t + ERFCX[9]
    tail = tail * t + ERFCX[8]
    tail = tail * t + ERFCX[7]
    tail = tail * t + ERFCX[6]
    tail = tail * t + ERFCX[5]
    tail = tail * t + ERFCX[4]
    tail = tail * t + ERFCX[3]
    tail = tail * t + ERFCX[2]
    tail = tail * t + ERFCX[1]
    tail = tail * t + ERFCX[0]
    return math.copysign(1.0 - gauss * tail / (1.0 + 2.0 * y), x)


@serial
def _asin_sum(C, g, h, i, j, es, scale, count):
    """Σ_mn es_m es_n asin(C'_mn s_m s_n) over the first `count` fields, with symmetry."""
    total = 0.0
    for m in range(count):
        c_i, c_j, s_m = C[m, i], C[m, j], scale[m]
        row = 0.0
        for n in range(m):
            tilted = C[m, n] - c_i * g[n] - c_j * h[n]
            row += es[n] * fast_asin(tilted * s_m * scale[n])
        tilted = C[m, m] - c_i * g[m] - c_j * h[m]
        total += es[m] * (2.0 * row + es[m] * fast_asin(tilted * s_m * s_m))
    return total


@serial
def _target_sum(tau, C, g, h, i, j, e, q, p):
    """Σ e_m e_n ⟨φ_m φ_n⟩' over the pairs that hold a target, for a target that is not erf."""
    total = 0.0
    n = e.size
    for r in range(p, n):
        for m in range(r + 1):
            left = ERF if m < p else tau
            tilted = C[m, r] - C[m, i] * g[r] - C[m, j] * h[r]
            value, _, _ = pair_average(left, tau, q[m], q[r], tilted)
            total += (1.0 if m == r else 2.0) * e[m] * e[r] * value
    return total


@parallel
def erf_noise(tau, C, e, p, label_noise, out):
    """out_ij = ⟨σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩ for erf students; C (n, n) joint covariance, e (n,)."""
    n = e.size
    count = n if tau == ERF else p
    for pair in prange(p * (p + 1) // 2):
        i = int((math.sqrt(8.0 * pair + 1.0) - 1.0) / 2.0)
        while i * (i + 1) // 2 > pair:  # rounding of the root
            i -= 1
        while (i + 1) * (i + 2) // 2 <= pair:
            i += 1
        j = pair - i * (i + 1) // 2
        alpha, beta, c = 1.0 + C[i, i], 1.0 + C[j, j], C[i, j]
        determinant = alpha * beta - c * c
        g, h, q, scale = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
        for m in range(n):
            g[m] = (beta * C[i, m] - c * C[j, m]) / determinant
            h[m] = (alpha * C[j, m] - c * C[i, m]) / determinant
            q[m] = C[m, m] - C[m, i] * g[m] - C[m, j] * h[m]
            scale[m] = 1.0 / math.sqrt(1.0 + q[m])
        total = TWO_OVER_PI * _asin_sum(C, g, h, i, j, e, scale, count)
        if tau != ERF:
            total += _target_sum(tau, C, g, h, i, j, e, q, p)
        out[i, j] = TWO_OVER_PI / math.sqrt(determinant) * (total + label_noise)
        out[j, i] = out[i, j]


@serial
def _sample_row(code, field, gauss, e, slope):
    """Σ_m e_m φ(λ_m) over one sample's fields; slope_m = φ'(λ_m)."""
    total = 0.0
    if code == ERF:
        for m in range(e.size):
            slope[m] = ROOT_TWO_OVER_PI * gauss[m]
            total += e[m] * fast_erf(field[m], gauss[m])
    elif code == RELU:
        for m in range(e.size):
            slope[m] = 1.0 if field[m] > 0.0 else 0.0
            total += e[m] * max(field[m], 0.0)
    else:
        for m in range(e.size):
            slope[m] = 2.0 * field[m]
            total += e[m] * field[m] * field[m]
    return total


@parallel
def noise_rows(sigma, field, gauss, e, labels, out):
    """out_si = σ'(λ_i) ε at each sample s; field (S, p), gauss = exp(−field²/2), labels (S,)."""
    S, p = field.shape
    for s in prange(S):
        error = labels[s] + _sample_row(sigma, field[s], gauss[s], e, out[s])
        for m in range(p):
            out[s, m] *= error
