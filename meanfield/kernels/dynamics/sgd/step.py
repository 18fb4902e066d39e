"""What both SGD simulators share: the gradient of one batch, and the population risk."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from meanfield.kernels.activations.units import SQUARE, Unit, activate, call_vector
from meanfield.kernels.dynamics.overlaps.drift import energy_alone, square_energy
from meanfield.kernels.dynamics.sgd.random import normal
from meanfield.kernels.options import serial

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
    langevin: float  # deviation of the Langevin noise on w/√d, √(2τγ/(p d))
    clip_norm: float  # |g| at which a gradient is clipped


@serial
def at_step(step, rates, n):
    """The n-th step: its rates are the n-th row, or the only one where they do not change.

    Columns: gain, second, noise, keep, second_keep, langevin; or gain alone, where nothing else
    changes and nothing else is moved by it.
    """
    row = min(n, rates.shape[0] - 1)
    if rates.shape[1] == 1:
        return with_rates(
            step, rates[row, 0], step.second, step.noise, step.keep, step.second_keep,
            step.langevin,
        )  # fmt: skip
    return with_rates(
        step, rates[row, 0], rates[row, 1], rates[row, 2], rates[row, 3], rates[row, 4],
        rates[row, 5],
    )  # fmt: skip


@serial
def with_rates(step, gain, second, noise, keep, second_keep, langevin):
    """The step with these in place of its own."""
    return Step(
        step.sigma, step.sigma_parameter, step.sigma_value, step.sigma_slope,
        step.tau, step.tau_parameter, step.tau_value, step.tau_slope,
        step.label, gain, second, noise, step.d, step.batch, step.spherical, keep, second_keep,
        langevin, step.clip_norm,
    )  # fmt: skip


@serial
def output(unit, a, pre):
    """(1/p) Σ_i a_i σ(pre_i)."""
    total = 0.0
    for i in range(a.size):
        value, _ = activate(unit, pre[i])
        total += a[i] * value
    return total / a.size


@serial
def units(unit, x, value, slope):
    """Write σ(x) and σ'(x) of all of x; the square has a loop of its own, which vectorises."""
    if unit.code == SQUARE:
        for i in range(x.size):
            value[i] = x[i] * x[i]
            slope[i] = 2.0 * x[i]
    else:
        for i in range(x.size):
            value[i], slope[i] = activate(unit, x[i])


@serial
def scale_entries(x, factor):
    """x *= factor, in loops, which compile faster than an array expression."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] *= factor


@serial
def squared_move(C, X, Z):
    """Σ_i |Σ_s C_si (X_s, Z_s)|², for C (b, p) and samples in two parts, X (b, m) and Z (b, n)."""
    b, p = C.shape
    total = 0.0
    for first in range(b):
        for second in range(first + 1):
            gram = 0.0
            for j in range(X.shape[1]):
                gram += X[first, j] * X[second, j]
            for j in range(Z.shape[1]):
                gram += Z[first, j] * Z[second, j]
            both = 0.0
            for i in range(p):
                both += C[first, i] * C[second, i]
            total += (1.0 if first == second else 2.0) * both * gram
    return total


@serial
def squared_gradient(step, C, X, Z):
    """|g|²/d for |g|² = (1/p) Σ_i |Σ_s C_si (X_s, Z_s)|²/(gain² d).

    C as `batch_gradient` writes it, with gain/b in it; the lengths and angles of (X, Z) are those
    of the samples in R^d.
    """
    return squared_move(C, X, Z) / (C.shape[1] * step.gain * step.gain * step.d * step.d)


@serial
def clip(step, C, move, trained, X, Z):
    """Multiply what updates both layers by min(1, clip_norm/|g|); see `squared_gradient`.

    Of the second layer that is move[:trained].
    """
    square = squared_move(C, X, Z)
    length = step.clip_norm * step.gain  # of the longest move allowed, over √(p d)
    if square <= length * length * (C.shape[1] * step.d):
        return
    share = length * math.sqrt(C.shape[1] * step.d / square)
    for sample in range(C.shape[0]):
        for i in range(C.shape[1]):
            C[sample, i] *= share
    for i in range(trained):
        move[i] *= share


@serial
def batch_gradient(step, s, a, a_star, pre, pre_star, X, Z, C, value, move):
    """Update a, and write what updates the first layer; both from the old parameters.

    pre (b, p) holds the students' pre-activations, pre_star (b, k) the target's, or z itself unless
    the target is a committee; X and Z are the samples as `squared_gradient` takes them, which
    clipping needs. C (b, p) receives (γ/p) a_i σ'(λ_i) ε / b, so that w_i moves by
    Σ_s C_si x_s/√d. value (p,) and move (p,) are work space, s the state of the random numbers.
    Returns that state after them, and whether every error ε was finite.
    """
    b, p = pre.shape
    student = Unit(step.sigma, step.sigma_parameter, step.sigma_value, step.sigma_slope)
    teacher = Unit(step.tau, step.tau_parameter, step.tau_value, step.tau_slope)
    trained = p if step.second > 0.0 else 0  # weights of the second layer that move
    finite = True
    for i in range(trained):
        move[i] = 0.0
    for sample in range(b):
        if step.label != 0:
            y = call_vector(step.label, pre_star[sample])
        else:
            y = output(teacher, a_star, pre_star[sample])
        if step.noise > 0.0:
            xi, s = normal(s)
            y += step.noise * xi
        units(student, pre[sample], value, C[sample])
        f = 0.0
        for i in range(p):
            f += a[i] * value[i]
        error = y - f / p
        # isfinite(x) compiles to a test of x − x, which reassociation folds to 0; this test stays
        finite = finite and abs(error) <= LARGEST
        factor = step.gain / b * error
        for i in range(p):
            C[sample, i] *= factor * a[i]
        for i in range(trained):
            move[i] += value[i] * error
    if step.clip_norm <= LARGEST:
        clip(step, C, move, trained, X, Z)
    for i in range(trained):
        a[i] = step.second_keep * a[i] + step.second / b * move[i]
    return s, finite


@serial
def coefficients(a, a_star):
    """The e of ε = Σ_m e_m φ_m(λ_m): −a_i/p of the students, then a*_r/k of the target."""
    e = np.empty(a.size + a_star.size)
    for i in range(a.size):
        e[i] = -a[i] / a.size
    for r in range(a_star.size):
        e[a.size + r] = a_star[r] / a_star.size
    return e


@serial
def closed_risk(sigma, tau, Q, M, P, a, a_star):
    """R = ½ E (f − f*)² of overlaps Q (p, p), M (p, k), P (k, k), for codes of closed form."""
    return 0.5 * energy_alone(sigma, tau, Q, M, P, coefficients(a, a_star))


@serial
def square_risk(W, W_star, a, a_star):
    """The same of weights W (p, d), W_star (k, d) of squares: p d² operations."""
    e = coefficients(a, a_star)
    return 0.5 * square_energy(W, W_star, e[: a.size], e[a.size :])
