"""Slow, obvious twins of the mean-field equation: pairs, the definition itself, and sampling.

Everything acts on plain arrays a (n,), u (n, k), r (n,) in the target's coordinates λ* = B z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from scipy.special import erf, ndtr, roots_gegenbauer, roots_genlaguerre

ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)

SIGMA = {
    "erf": lambda x: erf(x / math.sqrt(2.0)),
    "relu": lambda x: np.maximum(x, 0.0),
    "square": lambda x: x * x,
    "tanh": np.tanh,
    "gelu": lambda x: x * ndtr(x),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "sine": np.sin,
    "hermite3": lambda x: (x**3 - 3.0 * x) / math.sqrt(6.0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
}
SLOPE = {
    "erf": lambda x: ROOT_TWO_OVER_PI * np.exp(-0.5 * x * x),
    "relu": lambda x: (x > 0) * 1.0,
    "square": lambda x: 2.0 * x,
    "tanh": lambda x: 1.0 / np.cosh(x) ** 2,
    "gelu": lambda x: ndtr(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi),
    "softplus": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "sigmoid": lambda x: 0.25 / np.cosh(0.5 * x) ** 2,
    "sine": np.cos,
    "hermite3": lambda x: (3.0 * x**2 - 3.0) / math.sqrt(6.0),
    "leaky_relu": lambda x: np.where(x > 0, 1.0, 0.01),
}


@dataclass
class Flow:
    """Velocities and risk at one measure; da is for κ as the problem has it."""

    da: np.ndarray
    du: np.ndarray
    dr: np.ndarray
    risk: float
    variance_parts: tuple[float, float]

    def stacked(self):
        return np.concatenate((self.da, self.du.ravel(), self.dr))


# (a) pair by pair


def overlap_law(D):
    """Points and weights for Z = θ·θ', the overlap of two uniform directions in D dimensions."""
    if math.isinf(D):
        return np.zeros(1), np.ones(1)
    if D == 1:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    if D <= 9:  # over the angle, finer and finer towards both ends: aligned pairs are nearly kinks
        edges = 0.5 * math.pi * np.append(0.0, 4.0 ** np.arange(-6.0, 1.0))
        edges = np.concatenate((edges, math.pi - edges[-2::-1]))
        x, w = leggauss(14)
        half = 0.5 * np.diff(edges)[:, None]
        angle = (edges[:-1, None] + half * (x + 1.0)).ravel()
        weight = (half * w).ravel() * np.sin(angle) ** (D - 2)
        return np.cos(angle), weight / weight.sum()
    if D > 10**5:  # Gaussian to within rounding of what Z does there, with E Z⁴ off by 6/D³
        x, w = hermegauss(12)
        return x / math.sqrt(D), w / w.sum()
    Z, w = roots_gegenbauer(48, 0.5 * D - 1.0)
    return Z, w / w.sum()


def pair(name, q, q_other, c):
    """E σ(x) σ(y) for covariances q, q_other, c, and its derivatives in q and in c."""
    if name == "erf":
        value = 2.0 / math.pi * np.arcsin(c / np.sqrt((1.0 + q) * (1.0 + q_other)))
        in_c = 2.0 / math.pi / np.sqrt((1.0 + q) * (1.0 + q_other) - c * c)
        return value, -0.5 * c / (1.0 + q) * in_c, in_c
    if name == "relu":
        area = np.sqrt(np.maximum(q * q_other - c * c, 0.0))
        in_c = (0.5 * math.pi + np.arctan2(c, area)) / (2.0 * math.pi)
        return area / (2.0 * math.pi) + c * in_c, area / (4.0 * math.pi * q), in_c
    return q * q_other + 2.0 * c * c, q_other + 0.0 * c, 4.0 * c


def smoothed(name, mean, variance):
    """h = E σ(mean + noise), and its derivatives in the mean and in the variance of the noise."""
    if name == "erf":
        wide = 1.0 + variance
        in_mean = ROOT_TWO_OVER_PI / np.sqrt(wide) * np.exp(-0.5 * mean**2 / wide)
        return erf(mean / np.sqrt(2.0 * wide)), in_mean, -0.5 * mean / wide * in_mean
    if name == "relu":
        s = np.sqrt(variance)
        density = np.exp(-0.5 * (mean / s) ** 2) / math.sqrt(2.0 * math.pi)
        return mean * ndtr(mean / s) + s * density, ndtr(mean / s), 0.5 * density / s
    return mean**2 + variance, 2.0 * mean, np.ones_like(mean)


def normal_panels(per_side=22, nodes=16):
    """A standard normal in panels that halve towards 0, for what has a kink there."""
    x, w = leggauss(nodes)
    edges = 9.0 * np.append(0.0, 2.0 ** -np.arange(per_side - 1.0, -1.0, -1.0))
    half = 0.5 * np.diff(edges)[:, None]
    points = (edges[:-1, None] + half * (x + 1.0)).ravel()
    weights = (half * w).ravel() * np.exp(-0.5 * points**2)
    weights /= 2.0 * weights.sum()
    return np.concatenate((-points, points)), np.concatenate((weights, weights))


def target_potential(problem, u, r):
    """E f* σ(λ) and its slopes in u and r, by quadrature over each λ* and the noise beyond it."""
    target, sigma = problem.target, problem.activation
    x, w = normal_panels()
    value, in_u, in_r = np.zeros(len(u)), np.zeros_like(u), np.zeros(len(u))
    for b, weight in zip(target.basis, np.asarray(target.weights) / target.k, strict=True):
        P = float(b @ b)
        if P == 0.0:
            continue
        y = math.sqrt(P) * x
        c = (u @ b)[:, None]
        inside = u - c * b / P  # so that the variance beyond λ* is free of cancellation
        variance = ((inside**2).sum(axis=1) + r * r)[:, None]
        h, in_mean, in_variance = smoothed(sigma, c / P * y, np.broadcast_to(variance, c.shape))
        seen = w * SIGMA[target.activation](y)
        value += weight * (h @ seen if h.shape[1] > 1 else h[:, 0] * seen.sum())
        mean_slope = in_mean @ (seen * y / P)
        spread_slope = (in_variance * np.ones_like(y)) @ seen
        in_u += weight * (mean_slope[:, None] * b + 2.0 * spread_slope[:, None] * inside)
        in_r += weight * 2.0 * spread_slope * r
    return value, in_u, in_r


def student_potential(problem, a, u, r):
    """E f σ(λ_i) and its slopes, averaged over Z in both covariances; and its mean at Z = 0."""
    sigma, D = problem.activation, problem.perpendicular_dim
    q = (u * u).sum(axis=1) + r * r
    dot, lengths = u @ u.T, np.outer(r, r)
    mass = a / len(a)
    value, in_u, in_r = np.zeros(len(a)), np.zeros_like(u), np.zeros(len(a))
    for Z, w in zip(*overlap_law(D), strict=True):
        # x = λ_i, y = λ_j with covariance u_i·u_j + r_i r_j Z; r_i enters that, and q_i
        I, in_q, in_c = pair(sigma, q[:, None], q[None, :], dot + Z * lengths)
        value += w * I @ mass
        in_u += w * (2.0 * u * (in_q @ mass)[:, None] + in_c @ (mass[:, None] * u))
        in_r += w * (2.0 * r * (in_q @ mass) + Z * (in_c @ (mass * r)))
    given_z = pair(sigma, q[:, None], q[None, :], dot)[0] @ mass
    return value, in_u, in_r, given_z


def target_energy(target):
    """E f*²."""
    P, weights = np.asarray(target.gram), np.asarray(target.weights) / target.k
    q = np.diag(P)
    return float(weights @ pair(target.activation, q[:, None], q[None, :], P)[0] @ weights)


def flow(problem, a, u, r):
    """Velocities, risk and parts of the variance of f; erf and ReLU students."""
    if problem.activation == "square":
        return square_flow(problem, a, u, r)
    with_target = target_potential(problem, u, r)
    *with_student, given_z = student_potential(problem, a, u, r)
    potential, in_u, in_r = (t - s for t, s in zip(with_target, with_student, strict=True))
    energy = float(np.mean(a * with_student[0]))
    risk = 0.5 * target_energy(problem.target) - float(np.mean(a * with_target[0])) + 0.5 * energy
    outside = energy - float(np.mean(a * given_z))
    return Flow(
        problem.second_layer_rate * potential, a[:, None] * in_u, a * in_r, risk, (outside, energy)
    )


def square_flow(problem, a, u, r):
    """The same by exact moments: f = Σ a ((u·z)² + r² (θ·x)²)/n, its pair average over θ."""
    target, D = problem.target, problem.perpendicular_dim
    inverse = 0.0 if math.isinf(D) else 1.0 / D
    n, q = len(a), (u * u).sum(axis=1) + r * r
    value, in_u, in_r = target_potential(problem, u, r)
    energy = between = 0.0
    for j in range(n):
        dot, mass = u @ u[j], a[j] / n
        # E λ_i² λ_j² = q_i q_j + 2 c², and E_Z c² = (u_i·u_j)² + r_i² r_j²/D
        term = q * q[j] + 2.0 * (dot**2 + r**2 * r[j] ** 2 * inverse)
        value = value - mass * term
        in_u = in_u - mass * (2.0 * q[j] * u + 4.0 * dot[:, None] * u[j])
        in_r = in_r - mass * (2.0 * q[j] * r + 4.0 * r * r[j] ** 2 * inverse)
        energy += mass * float(np.mean(a * term))
        between += mass * float(np.mean(a * (q * q[j] + 2.0 * dot**2)))
    with_target = float(np.mean(a * target_potential(problem, u, r)[0]))
    return Flow(
        problem.second_layer_rate * value,
        a[:, None] * in_u,
        a * in_r,
        0.5 * target_energy(target) - with_target + 0.5 * energy,
        (energy - between, energy),
    )


# (b) the definition, by brute force


def inputs(k, D, nodes):
    """Points of (z, ρ) with their weights."""
    x, w = hermegauss(nodes)
    z = np.stack(np.meshgrid(*[x] * k, indexing="ij"), axis=-1).reshape(-1, k)
    w_z = np.prod(np.stack(np.meshgrid(*[w / w.sum()] * k, indexing="ij"), axis=-1), axis=-1)
    if math.isinf(D):
        return z, np.ones(len(z)), w_z.ravel()
    half_square, w_rho = roots_genlaguerre(32, 0.5 * D - 1.0)
    rho = np.sqrt(2.0 * half_square)
    weight = np.outer(w_z.ravel(), w_rho / w_rho.sum())
    return np.repeat(z, len(rho), axis=0), np.tile(rho, len(z)), weight.ravel()


def target_values(target, z):
    """f* at principal coordinates."""
    if not hasattr(target, "weights"):
        return target(z)
    return SIGMA[target.activation](z @ target.basis.T) @ np.asarray(target.weights) / target.k


def definition(problem, a, u, r, nodes=64):
    """Velocities and risk straight from g0, g1, g2 averaged over U; few neurons."""
    sigma, slope = SIGMA[problem.activation], SLOPE[problem.activation]
    D = problem.perpendicular_dim
    z, rho, weight = inputs(problem.subspace_dim, D, nodes)
    if math.isinf(D):
        U, w_U = hermegauss(nodes)
        w_U = w_U / w_U.sum()
    else:
        U, w_U = overlap_law(D)
    arguments = [(z @ u[i])[:, None] + r[i] * rho[:, None] * U for i in range(len(a))]
    g0 = np.array([sigma(x) @ w_U for x in arguments])
    g1 = np.array([slope(x) @ w_U for x in arguments])
    g2 = np.array([slope(x) @ (w_U * U) for x in arguments])
    f_star = target_values(problem.target, z)
    f = a @ g0 / len(a)
    charge = weight * (f_star - f)
    return Flow(
        problem.second_layer_rate * (g0 @ charge),
        a[:, None] * ((g1 * charge) @ z),
        a * (g2 @ (charge * rho)),
        0.5 * float(weight @ (f_star - f) ** 2),
        (math.nan, float(weight @ f**2)),
    )


# (c) real inputs, real directions


def sampled(problem, a, u, r, samples, seed):
    """Mean and standard error of the velocities over x in R^d and independent directions θ."""
    k, D, n = problem.subspace_dim, int(problem.perpendicular_dim), len(a)
    rng = np.random.default_rng(seed)
    z, x = rng.standard_normal((samples, k)), rng.standard_normal((samples, D))
    sigma, slope = SIGMA[problem.activation], SLOPE[problem.activation]

    def across():
        theta = rng.standard_normal((samples, n, D))
        theta /= np.linalg.norm(theta, axis=2, keepdims=True)
        return np.einsum("snd,sd->sn", theta, x)

    f_star = target_values(problem.target, z)
    # neurons are spread over all directions: those that make f are others than those that move
    error = f_star - sigma(z @ u.T + r * across()) @ a / n
    beside = across()
    preactivation = z @ u.T + r * beside
    da = problem.second_layer_rate * error[:, None] * sigma(preactivation)
    force = a * error[:, None] * slope(preactivation)
    steps = np.concatenate(
        (da, (force[:, :, None] * z[:, None, :]).reshape(samples, -1), force * beside), axis=1
    )
    return steps.mean(axis=0), steps.std(axis=0) / math.sqrt(samples)
