"""Square students: f is a quadratic form, so that two moments of the measure say it all.

f(z, ρ) = zᵀ A z + s ρ²/D with A = ∫ a u uᵀ dμ and s = ∫ a r² dμ (ρ²/D → 1 at d = ∞), and of the
target only its mean and H = ½ E f* (z zᵀ − I) count, beside E f*².
"""

import math

import numpy as np


def flow(problem, mean, H, a, u, r):
    """da, du, dr, the risk, and (E Var(f | z), E f²) of neurons with equal masses."""
    D, k = problem.perpendicular_dim, u.shape[1]
    A, s = np.einsum("i,ix,iy->xy", a, u, u) / len(a), float((a * r * r).mean())
    radial = 0.0 if math.isinf(D) else 2.0 / D
    off, gap = H - A, mean - float(np.trace(A)) - s
    C = 2.0 * off + gap * np.eye(k)  # E ε z zᵀ
    c = gap - radial * s  # E ε ρ²/D
    da = problem.second_layer_rate * (np.einsum("ix,ix->i", u @ C, u) + c * r * r)
    unseen = problem.target.second_moment() - mean**2 - 2.0 * float((H * H).sum())
    risk = 0.5 * (max(unseen, 0.0) + 2.0 * float((off * off).sum()) + radial * s * s + gap * gap)
    energy = 2.0 * float((A * A).sum()) + (float(np.trace(A)) + s) ** 2 + radial * s * s
    return da, 2.0 * a[:, None] * (u @ C), 2.0 * c * a * r, risk, (radial * s * s, energy)
