"""What both SGD simulators share: the gradient of one batch, and the population risk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from meanfield.kernels.options import serial
from meanfield.kernels.pairs import pair_average
from meanfield.kernels.sgd_random import normal
from meanfield.kernels.units import Unit, activate, call_vector

LARGEST = float(np.finfo(np.float64).max)


class Step(NamedTuple):
    """One update, in numbers: flat, for parallel loops take no tuple in a tuple."""

    sigma: int  # the student's activation, as in `Unit`
    sigma_parameter: float
    sigma_value: int
    sigma_slope: int
    tau: int  # the target's, if it is a committee
    tau_parameter: float
    tau_value: int
    tau_slope: int
    label: int  # address of the target as a function of z, else 0
    gain: float  # γ/p
    second: float  # γ_a/p = κγ/(p d)
    noise: float  # √Δ
    d: float
    batch: int
    spherical: bool
    keep: float  # what weight decay leaves of a weight, 1 − weight_decay γ/(p d)
    second_keep: float  # the same of a second-layer weight
    heat: float  # deviation of the Langevin noise on w/√d, √(2τγ/(p d))


@serial
def output(unit, a, pre):
    """(1/p) Σ_i a_i σ(pre_i)."""
    total = 0.0
    for i in range(a.size):
        value, _ = activate(unit, pre[i])
        total += a[i] * value
    return total / a.size


@serial
def batch_gradient(step, s, a, a_star, pre, pre_star, C, value):
    """Move a by one update and write the first layer's, all at the old parameters.

    pre (b, p) and pre_star (b, k) hold the pre-activations (z itself, unless the target is a
    committee); C (b, p) receives
    (γ/p) a_i σ'(λ_i) ε / b, so that w_i moves by Σ_s C_si x_s/√d. value (p,) is work space.
    Returns the stream, and whether every error ε was finite.
    """
    b, p = pre.shape
    student = Unit(step.sigma, step.sigma_parameter, step.sigma_value, step.sigma_slope)
    teacher = Unit(step.tau, step.tau_parameter, step.tau_value, step.tau_slope)
    move = np.zeros(p)
    finite = True
    for sample in range(b):
        if step.label != 0:
            y = call_vector(step.label, pre_star[sample])
        else:
            y = output(teacher, a_star, pre_star[sample])
        if step.noise > 0.0:
            xi, s = normal(s)
            y += step.noise * xi
        f = 0.0
        for i in range(p):
            value[i], C[sample, i] = activate(student, pre[sample, i])
            f += a[i] * value[i]
        error = y - f / p
        # isfinite(x) compiles to a test of x − x, which reassociation folds to 0; this stands
        finite = finite and abs(error) <= LARGEST
        for i in range(p):
            C[sample, i] *= step.gain / b * a[i] * error
            move[i] += value[i] * error
    if step.second > 0.0:
        for i in range(p):
            a[i] = step.second_keep * a[i] + step.second / b * move[i]
    return s, finite


@serial
def population_risk(sigma, tau, Q, M, P, a, a_star):
    """R = ½ E (f − f*)² of overlaps Q (p, p), M (p, k), P (k, k), for codes of closed form."""
    p, k = M.shape
    own = cross = target = 0.0
    for i in range(p):
        diagonal, _, _ = pair_average(sigma, sigma, Q[i, i], Q[i, i], Q[i, i])
        own += a[i] * a[i] * diagonal
        for j in range(i):
            value, _, _ = pair_average(sigma, sigma, Q[i, i], Q[j, j], Q[i, j])
            own += 2.0 * a[i] * a[j] * value
        for r in range(k):
            value, _, _ = pair_average(sigma, tau, Q[i, i], P[r, r], M[i, r])
            cross += a[i] * a_star[r] * value
    for r in range(k):
        for q in range(k):
            value, _, _ = pair_average(tau, tau, P[r, r], P[q, q], P[r, q])
            target += a_star[r] * a_star[q] * value
    return 0.5 * (own / p**2 - 2.0 * cross / (p * k) + target / k**2)
