"""Slow, obvious twins of the overlap equations: sums of closed-form integrals, and SGD itself."""

from __future__ import annotations

import itertools
import math

import numpy as np

ROOT_TWO = math.sqrt(2.0)


def joint_covariance(overlaps):
    """Covariance of (λ, λ*)."""
    return np.block([[overlaps.Q, overlaps.M], [overlaps.M.T, overlaps.P]])


def error_coefficients(problem, overlaps):
    """ε = Σ_m e_m φ_m(λ_m), students first."""
    target = problem.target
    return np.concatenate((-overlaps.a / overlaps.p, np.asarray(target.weights) / target.k))


def integral_three(C, i, j, l):
    """⟨σ'(λ_i) λ_j σ(λ_l)⟩ for erf(x/√2): I₃ of Saad & Solla 1995."""
    determinant = (1 + C[i, i]) * (1 + C[l, l]) - C[i, l] ** 2
    top = C[j, l] * (1 + C[i, i]) - C[i, j] * C[i, l]
    return 2 / math.pi * top / (math.sqrt(determinant) * (1 + C[i, i]))


def integral_four(C, i, j, m, n):
    """⟨σ'(λ_i) σ'(λ_j) σ(λ_m) σ(λ_n)⟩ for erf(x/√2): I₄ of Saad & Solla 1995."""
    c11, c22, c33, c44 = C[i, i], C[j, j], C[m, m], C[n, n]
    c12, c13, c14, c23, c24, c34 = C[i, j], C[i, m], C[i, n], C[j, m], C[j, n], C[m, n]
    l4 = (1 + c11) * (1 + c22) - c12**2
    l0 = (
        l4 * c34 - c23 * c24 * (1 + c11) - c13 * c14 * (1 + c22) + c12 * c13 * c24 + c12 * c14 * c23
    )
    l1 = l4 * (1 + c33) - c23**2 * (1 + c11) - c13**2 * (1 + c22) + 2 * c12 * c13 * c23
    l2 = l4 * (1 + c44) - c24**2 * (1 + c11) - c14**2 * (1 + c22) + 2 * c12 * c14 * c24
    return 4 / math.pi**2 / math.sqrt(l4) * math.asin(l0 / math.sqrt(l1 * l2))


def slopes_two(C, i, j):
    """⟨σ'(λ_i) σ'(λ_j)⟩ for erf(x/√2)."""
    return 2 / math.pi / math.sqrt((1 + C[i, i]) * (1 + C[j, j]) - C[i, j] ** 2)


def erf_velocity(problem, overlaps, *, noise):
    """dQ/dt, dM/dt and the γ/p term, by p³ and p⁴ sums; student and target are erf."""
    C, e, a = joint_covariance(overlaps), error_coefficients(problem, overlaps), overlaps.a
    p, n = overlaps.p, len(e)
    drift = np.zeros((p, n))
    for i, l, m in itertools.product(range(p), range(n), range(n)):
        drift[i, l] += a[i] * e[m] * integral_three(C, i, l, m)
    term = np.zeros((p, p))
    if noise:
        for i, j in itertools.product(range(p), repeat=2):
            total = problem.target.noise * slopes_two(C, i, j)
            for m, l in itertools.product(range(n), repeat=2):
                total += e[m] * e[l] * integral_four(C, i, j, m, l)
            term[i, j] = problem.learning_rate / p * a[i] * a[j] * total
    return drift[:, :p] + drift[:, :p].T + term, drift[:, p:], term


def gaussian_moment(C, indices):
    """E Π λ_i over the indices, by Isserlis' theorem: the sum over pairings."""
    if not indices:
        return 1.0
    first, rest = indices[0], indices[1:]
    return sum(
        C[first, partner] * gaussian_moment(C, rest[:m] + rest[m + 1 :])
        for m, partner in enumerate(rest)
    )


def square_velocity(problem, overlaps):
    """The same for square students and targets, by sums of exact polynomial moments."""
    C, e, a = joint_covariance(overlaps), error_coefficients(problem, overlaps), overlaps.a
    p, n = overlaps.p, len(e)
    drift, term = np.zeros((p, n)), np.zeros((p, p))
    for i, l, m in itertools.product(range(p), range(n), range(n)):
        drift[i, l] += 2 * a[i] * e[m] * gaussian_moment(C, (i, m, m, l))
    for i, j in itertools.product(range(p), repeat=2):
        total = problem.target.noise * C[i, j]
        for m, l in itertools.product(range(n), repeat=2):
            total += e[m] * e[l] * gaussian_moment(C, (i, j, m, m, l, l))
        term[i, j] = 4 * problem.learning_rate / p * a[i] * a[j] * total
    return drift[:, :p] + drift[:, :p].T + term, drift[:, p:], term


def sgd_increments(problem, overlaps, fields, squared_length, labels, *, spherical, f_star=None):
    """(ΔQ, ΔM, Δa)/Δt of one step of SGD from each of n samples.

    fields (n, p + k) are pre-activations, squared_length (n,) is |x|², labels (n,) the label noise;
    d is the problem's. Everything a step does to the overlaps follows from these. f_star (n,) is
    the target's value at each sample, by default that of a committee.
    """
    p, d, gamma = overlaps.p, problem.dim, problem.learning_rate
    student = problem.student
    own, target = fields[:, :p], fields[:, p:]
    if f_star is None:
        weights = np.asarray(problem.target.weights) / problem.target.k
        f_star = problem.target.link(target) @ weights
    error = f_star + labels - student(own) @ overlaps.a / p
    push = gamma / p * overlaps.a * student.derivative(own) * error[:, None] / d
    Q = overlaps.Q + push[:, :, None] * own[:, None, :] + own[:, :, None] * push[:, None, :]
    Q += push[:, :, None] * push[:, None, :] * squared_length[:, None, None]
    M = overlaps.M + push[:, :, None] * target[:, None, :]
    if spherical:
        length = np.sqrt(np.einsum("sii->si", Q))
        Q = Q / (length[:, :, None] * length[:, None, :])
        M = M / length[:, :, None]
    a_rate = problem.second_layer_rate * gamma / d
    dt = gamma / (p * d)
    da = a_rate / p * student(own) * error[:, None]
    return (Q - overlaps.Q) / dt, (M - overlaps.M) / dt, da / dt


def exact_law_samples(overlaps, dim, count, noise, seed):
    """Pre-activations, |x|² and label noise of `count` inputs x ~ N(0, I_d), without R^d."""
    rng = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(joint_covariance(overlaps))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    g = rng.standard_normal((count, len(values)))
    squared_length = (g * g).sum(axis=1) + rng.chisquare(dim - len(values), count)
    return g @ root.T, squared_length, math.sqrt(noise) * rng.standard_normal(count)


def run_sgd(problem, weights, t_end, seed, *, spherical):
    """One run of SGD in R^d; returns the final overlaps."""
    rng = np.random.default_rng(seed)
    W, a = np.array(weights.W), np.array(weights.a)
    p, d = W.shape
    gamma, root = problem.learning_rate, math.sqrt(d)
    a_star, noise = np.asarray(problem.target.weights), math.sqrt(problem.target.noise)
    student, link = problem.student, problem.target.link
    for _ in range(round(t_end * p * d / gamma)):
        x = rng.standard_normal(d)
        own, target = W @ x / root, weights.W_star @ x / root
        error = link(target) @ a_star / len(a_star) + noise * rng.standard_normal()
        error -= student(own) @ a / p
        W += gamma / p * (a * student.derivative(own) * error)[:, None] * x / root
        a += problem.second_layer_rate * gamma / d / p * student(own) * error
        if spherical:
            W *= root / np.sqrt((W * W).sum(axis=1))[:, None]
    return type(weights)(W, weights.W_star, a).overlaps()


def clipped_velocity(problem, overlaps, count, *, batch_size=1, noise=True, seed=0):
    """(dQ, dM, da) under a clip_norm by plain Monte Carlo, and the standard errors of each.

    `count` batches of the pre-activations and label noises of independent samples.
    """
    rng = np.random.default_rng(seed)
    p, k, a, target = overlaps.p, overlaps.k, overlaps.a, problem.target
    joint = np.block([[overlaps.Q, overlaps.M], [overlaps.M.T, overlaps.P]])
    fields = rng.multivariate_normal(np.zeros(p + k), joint, (count, batch_size))
    lam, lam_star = fields[..., :p], fields[..., p:]
    z = lam_star @ np.linalg.pinv(target.basis).T
    labels = target(z.reshape(-1, z.shape[-1])).reshape(count, batch_size)
    value = problem.student.function(lam)
    error = labels + np.sqrt(target.noise) * rng.standard_normal((count, batch_size))
    error = error - value @ a / p
    b = a * problem.student.derivative(lam) * error[..., None]
    # |g|² = (1/p) Σ_i |Σ_s b_si x_s/B|²/d with orthogonal x_s of |x_s|² = d
    norm = np.sqrt((b**2).sum(axis=(1, 2)) / p) / batch_size
    norm = np.maximum(norm, 1e-300)
    chi = np.minimum(1.0, problem.clip_norm / norm)[:, None, None]
    push = np.einsum("nbi,nbj->nbij", chi * b, lam)
    dQ = (push + push.swapaxes(2, 3)).mean(axis=1)
    if noise:
        rate = problem.learning_rate / p / batch_size
        dQ += rate * np.einsum("nbi,nbj->nij", chi * b, chi * b) / batch_size
    dM = np.einsum("nbi,nbr->nir", chi * b, lam_star) / batch_size
    da = problem.second_layer_rate * (chi * value * error[..., None]).mean(axis=1)
    each = dQ, dM, da
    return [x.mean(axis=0) for x in each], [x.std(axis=0) / np.sqrt(count) for x in each]
