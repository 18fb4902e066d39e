"""SGD written out plainly: one step in any coordinates, and the chain of the overlaps."""

import numpy as np


def step(problem, W, W_star, a, X, xi, *, spherical=False, norm=None):
    """One update from samples X (b, n) and label noises xi (b,); weights and samples may be given
    in any orthonormal coordinates that hold them. `norm` is d, the n of X by default."""
    d = X.shape[1] if norm is None else norm
    target = problem.target
    (p, _), b = W.shape, len(X)
    gamma, kappa = problem.learning_rate, problem.second_layer_rate
    sigma, slope = problem.student.function, problem.student.derivative
    dW, da = np.zeros_like(W), np.zeros_like(a)
    for x, noise in zip(X, xi, strict=True):
        pre, pre_star = W @ x / np.sqrt(d), W_star @ x / np.sqrt(d)
        f = a @ sigma(pre) / p
        z = np.linalg.lstsq(target.basis, pre_star, rcond=None)[0]
        y = float(target(z)) + np.sqrt(target.noise) * noise
        dW += gamma / p * np.outer(a * slope(pre), x) / np.sqrt(d) * (y - f) / b
        da += kappa * gamma / (p * d) * sigma(pre) * (y - f) / b
    if problem.clip_norm < np.inf:
        norm = np.sqrt(d * squared_gradient(problem, W, W_star, a, X, xi, norm=d))
        dW, da = dW * min(1.0, problem.clip_norm / norm), da * min(1.0, problem.clip_norm / norm)
    dt = gamma / (p * d)
    W = (1 - problem.weight_decay * dt) * W + dW
    a = (1 - kappa * problem.second_layer_decay * dt) * a + da
    if spherical:
        W = W * np.sqrt(d / (W * W).sum(axis=1))[:, None]
    return W, a


def chain(problem, start, steps, runs, seed, *, keep_length=True):
    """Overlaps Q (runs, p, p) and M (runs, p, k) after `steps` of the chain that has SGD's law.

    One sample a step, second layer fixed. The new overlaps are multiplied out and factored again.
    `keep_length=False` leaves out the χ² term: a wrong chain, to measure a comparison's power.
    """
    rng = np.random.default_rng(seed)
    d, p, k, target = int(problem.dim), start.p, start.k, problem.target
    joint = np.block([[start.P, start.M.T], [start.M, start.Q]])
    joint = np.tile(joint, (runs, 1, 1))
    for _ in range(steps):
        L = np.linalg.cholesky(joint)
        g = rng.standard_normal((runs, k + p))
        square = rng.chisquare(d - k - p, runs) if keep_length else np.zeros(runs)
        pre = np.einsum("rij,rj->ri", L, g)
        f = problem.student.function(pre[:, k:]) @ start.a / p
        y = target.link.function(pre[:, :k]) @ np.asarray(target.weights) / k
        y += np.sqrt(target.noise) * rng.standard_normal(runs)
        c = np.zeros((runs, k + p))
        slope = problem.student.derivative(pre[:, k:])
        c[:, k:] = problem.learning_rate / p / d * start.a * slope * (y - f)[:, None]
        L += c[:, :, None] * g[:, None, :]
        joint = L @ L.transpose(0, 2, 1) + square[:, None, None] * c[:, :, None] * c[:, None, :]
    return joint[:, k:, k:], joint[:, k:, :k]


def squared_gradient(problem, W, W_star, a, X, xi, *, norm=None):
    """|g|²/d with |g|² = (1/p) Σ_i |p ∂L/∂w_i|² of a batch's mean loss L = ½ε², by differences."""
    d = X.shape[1] if norm is None else norm
    target, p = problem.target, len(W)

    def loss(W):
        total = 0.0
        for x, noise in zip(X, xi, strict=True):
            z = np.linalg.lstsq(target.basis, W_star @ x / np.sqrt(d), rcond=None)[0]
            y = float(target(z)) + np.sqrt(target.noise) * noise
            total += 0.5 * (y - a @ problem.student.function(W @ x / np.sqrt(d)) / p) ** 2
        return total / len(X)

    total, h = 0.0, 1e-4
    for place in np.ndindex(W.shape):
        move = np.zeros_like(W)
        move[place] = h
        far, near = (loss(W + s * move) - loss(W - s * move) for s in (2.0, 1.0))
        total += (p * (8.0 * near - far) / (12.0 * h)) ** 2
    return total / p / d
