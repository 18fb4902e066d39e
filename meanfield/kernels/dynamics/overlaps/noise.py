"""The noise term ⟨σ'(λ_i) σ'(λ_j) ε²⟩ of the overlap equations.

Closed form for erf students: σ'(λ_i) σ'(λ_j) is A_ij times the density ratio of two Gaussians, so
what is left is ⟨ε²⟩ under the tilted covariance C' = C − C_{·,ij} (1 + C_{ij,ij})⁻¹ C_{ij,·}: a sum
of pair averages (for erf targets, the I₄ of Saad & Solla 1995). Any other case by a fixed sample.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.activations.units import ERF, RELU
from meanfield.kernels.gaussian.pair_averages import ROOT_TWO_OVER_PI, TWO_OVER_PI, pair_average
from meanfield.kernels.inverse_trigonometry import asin
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import (
    LANES,
    divide,
    fill,
    load,
    multiply,
    multiply_add,
    square_root,
    store,
)

ROOT_HALF = math.sqrt(0.5)
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


@serial
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
def pair_of(index):
    """The pair (i, j), j ≤ i, at a place in the list (0, 0), (1, 0), (1, 1), (2, 0) and so on."""
    i = int((math.sqrt(8.0 * index + 1.0) - 1.0) / 2.0)
    while i * (i + 1) // 2 > index:  # rounding of the root
        i -= 1
    while (i + 1) * (i + 2) // 2 <= index:
        i += 1
    return i, index - i * (i + 1) // 2


@serial
def _tilts(C, first, pairs, x, y, s):
    """The tilted covariances of eight pairs of students: C'_mn = C_mn − x_m x_n − y_m y_n.

    x, y, s (8 n,) hold eight numbers for each m, one for each pair; x and y come times
    s_m = (1 + C'_mm)^(−1/2), so that the cosine between fields m and n is
    C_mn s_m s_n − x_m x_n − y_m y_n.
    """
    n = C.shape[0]
    for lane in range(LANES):
        i, j = pair_of(min(first + lane, pairs - 1))
        alpha, c = 1.0 + C[i, i], C[i, j]
        along = c / alpha
        over, under = 1.0 / math.sqrt(alpha), 1.0 / math.sqrt(1.0 + C[j, j] - c * along)
        for m in range(n):
            x[LANES * m + lane] = C[i, m] * over
            y[LANES * m + lane] = (C[j, m] - along * C[i, m]) * under
    minus = fill(-1.0)
    for m in range(n):
        x_m, y_m = load(x, LANES * m), load(y, LANES * m)
        less = multiply_add(x_m, x_m, multiply(y_m, y_m))
        s_m = divide(fill(1.0), square_root(multiply_add(minus, less, fill(1.0 + C[m, m]))))
        store(s, LANES * m, s_m)
        store(x, LANES * m, multiply(x_m, s_m))
        store(y, LANES * m, multiply(y_m, s_m))


@serial
def _angles(C, e, x, y, s, count):
    """Σ_mn e_m e_n asin(cosine_mn) over the first `count` fields, for eight pairs at once."""
    minus, sums = fill(-1.0), fill(0.0)
    for m in range(count):
        s_m = load(s, LANES * m)
        x_m, y_m = multiply(load(x, LANES * m), minus), multiply(load(y, LANES * m), minus)
        row = fill(0.0)
        for n in range(m + 1):
            cosine = multiply(multiply(s_m, fill(C[m, n])), load(s, LANES * n))
            cosine = multiply_add(x_m, load(x, LANES * n), cosine)
            cosine = multiply_add(y_m, load(y, LANES * n), cosine)
            weight = e[n] if n < m else 0.5 * e[n]
            row = multiply_add(fill(weight), asin(cosine), row)
        sums = multiply_add(fill(2.0 * e[m]), row, sums)
    return sums


@serial
def _target_sum(tau, C, e, x, y, s, lane, p):
    """Σ e_m e_n ⟨φ_m φ_n⟩' over the pairs that hold a target, for a target that is not erf."""
    total = 0.0
    for r in range(p, e.size):
        right = LANES * r + lane
        for m in range(r + 1):
            left = LANES * m + lane
            tilted = C[m, r] - (x[left] * x[right] + y[left] * y[right]) / (s[left] * s[right])
            q_m, q_r = 1.0 / s[left] ** 2 - 1.0, 1.0 / s[right] ** 2 - 1.0
            value, _, _ = pair_average(ERF if m < p else tau, tau, q_m, q_r, tilted)
            total += (1.0 if m == r else 2.0) * e[m] * e[r] * value
    return total


@serial
def erf_noise_group(tau, C, e, p, label_noise, first, work, out):
    """Eight pairs of `erf_noise`, from place `first` of the list of pairs; work (3, 8 n)."""
    count, pairs = (e.size if tau == ERF else p), p * (p + 1) // 2
    x, y, s = work[0], work[1], work[2]
    _tilts(C, first, pairs, x, y, s)
    sums = np.empty(LANES)
    store(sums, 0, _angles(C, e, x, y, s, count))
    for lane in range(min(LANES, pairs - first)):
        i, j = pair_of(first + lane)
        value = TWO_OVER_PI * sums[lane] + label_noise
        if tau != ERF:
            value += _target_sum(tau, C, e, x, y, s, lane, p)
        determinant = (1.0 + C[i, i]) * (1.0 + C[j, j]) - C[i, j] * C[i, j]
        out[i, j] = out[j, i] = TWO_OVER_PI / math.sqrt(determinant) * value


@shared(lambda tau, C, e, p, *_: (-(-(p * (p + 1) // 2) // LANES), 0.2 * p * p * C.size))
def erf_noise(first, last, tau, C, e, p, label_noise, out):
    """out_ij = ⟨σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩ for erf students; C (n, n) joint covariance, e (n,)."""
    for group in range(first, last):
        work = np.empty((3, LANES * e.size))
        erf_noise_group(tau, C, e, p, label_noise, LANES * group, work, out)


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


@shared(lambda sigma, field, *_: (len(field), 5.0 * field.size))
def noise_rows(first, last, sigma, field, gauss, e, labels, out):
    """out_si = σ'(λ_i) ε at each sample s; field (S, p), gauss = exp(−field²/2), labels (S,)."""
    for s in range(first, last):
        error = labels[s] + _sample_row(sigma, field[s], gauss[s], e, out[s])
        for m in range(out.shape[1]):
            out[s, m] *= error
