"""Slow, obvious twin of `solve_fluctuations`: all by tensor quadrature, differences and RK4."""

import itertools
import math

import numpy as np

NODES = 20
H = 1e-3


class Twin:
    """Moments of one step for activation (f, df), target, width p; y = (Q_{i≤j}, M, a)."""

    def __init__(self, f, df, target, p, gamma, kappa, a, noise=0.0):
        self.f, self.df, self.target, self.p, self.k = f, df, target, p, target.k
        self.gamma, self.kappa, self.a, self.noise = gamma, kappa, np.asarray(a, float), noise
        x, w = np.polynomial.hermite_e.hermegauss(NODES)
        w = w / w.sum()
        grid = list(itertools.product(range(NODES), repeat=p + self.k))
        self.Z = np.array([[x[i] for i in one] for one in grid])
        self.w = np.array([math.prod(w[i] for i in one) for one in grid])
        self.pairs = [(i, j) for i in range(p) for j in range(i, p)]

    def parts(self, y):
        Q = np.zeros((self.p, self.p))
        for (i, j), q in zip(self.pairs, y, strict=False):
            Q[i, j] = Q[j, i] = q
        n = len(self.pairs)
        M = y[n : n + self.p * self.k].reshape(self.p, self.k)
        return Q, M, y[n + self.p * self.k :] if self.kappa > 0 else self.a

    def steps(self, y):
        """Weights, g (S, m), Gaussians and b, with label noise by three nodes."""
        Q, M, a = self.parts(y)
        joint = np.block([[np.eye(self.k), M.T], [M, Q]])  # orthonormal directions
        x = self.Z @ np.linalg.cholesky(joint).T
        z, lam = x[:, : self.k], x[:, self.k :]
        rows, weights, bs = [], [], []
        for xi, share in ((0.0, 2 / 3), (math.sqrt(3), 1 / 6), (-math.sqrt(3), 1 / 6)):
            error = self.target(z) - self.f(lam) @ a / self.p + math.sqrt(self.noise) * xi
            b = a * self.df(lam) * error[:, None]
            g = [
                b[:, i] * lam[:, j] + b[:, j] * lam[:, i] + self.gamma / self.p * b[:, i] * b[:, j]
                for i, j in self.pairs
            ]
            g += [b[:, i] * z[:, r] for i in range(self.p) for r in range(self.k)]
            if self.kappa > 0:
                g += [self.kappa * self.f(lam[:, i]) * error for i in range(self.p)]
            rows.append(np.array(g).T)
            weights.append(share * self.w)
            bs.append(b)
        Z = np.concatenate([self.Z] * 3)
        return np.concatenate(weights), np.concatenate(rows), Z, np.concatenate(bs)

    def F(self, y):
        w, g, _, _ = self.steps(y)
        return w @ g

    def risk(self, y):
        Q, M, a = self.parts(y)
        joint = np.block([[np.eye(self.k), M.T], [M, Q]])
        x = self.Z @ np.linalg.cholesky(joint).T
        error = self.target(x[:, : self.k]) - self.f(x[:, self.k :]) @ a / self.p
        return 0.5 * self.w @ error**2

    def derivatives(self, f, y):
        """Gradient and Hessian along every coordinate, (m, ...), (m, m, ...)."""
        m = len(y)
        e = H * np.eye(m)
        first = np.array([(f(y + v) - f(y - v)) / (2 * H) for v in e])
        second = np.array(
            [
                [
                    (f(y + u + v) - f(y + u - v) - f(y - u + v) + f(y - u - v)) / (4 * H * H)
                    for v in e
                ]
                for u in e
            ]
        )
        return first, second

    def velocity(self, y, m, S):
        w, g, Z, b = self.steps(y)
        F = w @ g
        C = (g * w[:, None]).T @ g - np.outer(F, F)
        J, HH = self.derivatives(self.F, y)
        J = J.T
        e = np.zeros(len(y))
        extra = (Z**2).sum(axis=1) - self.p - self.k
        for n, (i, j) in enumerate(self.pairs):
            e[n] = w @ (b[:, i] * b[:, j] * extra)
        bias = J @ m + 0.5 * np.einsum("ab,abc->c", S, HH) - 0.5 * J @ F + e
        return F, bias, J @ S + S @ J.T + C

    def solve(self, y, t_end, steps):
        """y, m, Σ, and √(∇RᵀΣ∇R), ∇R·m + ½ tr ∇²R Σ, at t_end."""
        m, S, h = np.zeros(len(y)), np.zeros((len(y), len(y))), t_end / steps
        now = (y, m, S)
        for _ in range(steps):
            k1 = self.velocity(*now)
            k2 = self.velocity(*(x + h / 2 * v for x, v in zip(now, k1, strict=True)))
            k3 = self.velocity(*(x + h / 2 * v for x, v in zip(now, k2, strict=True)))
            k4 = self.velocity(*(x + h * v for x, v in zip(now, k3, strict=True)))
            now = tuple(
                x + h / 6 * (a + 2 * b + 2 * c + d)
                for x, a, b, c, d in zip(now, k1, k2, k3, k4, strict=True)
            )
        slope, bend = self.derivatives(self.risk, now[0])
        y, m, S = now
        return y, m, S, math.sqrt(slope @ S @ slope), slope @ m + 0.5 * np.sum(bend * S)
