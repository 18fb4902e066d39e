"""Averages of signs and the γ/p term of kinked students: slow and obvious.

`four_signs` is Plackett's formula along t R, all correlations at once, by adaptive quadrature.
`planar_noise` is the γ/p term of units that all lie in one plane: an integral over the angle of the
input there, between the kinks, and over its length.
"""

import itertools
import math

import numpy as np
from scipy.integrate import quad


def four_signs(R):
    """E s₁s₂s₃s₄ = 16 P₄ − 1 − Σ (2/π) asin R_ab, P₄ the probability that all are positive."""
    pairs = [(a, b) for b in range(4) for a in range(b)]

    def slope(t):
        S = np.eye(4) + t * (R - np.eye(4))
        total = 0.0
        for a, b in pairs:
            rest = [c for c in range(4) if c not in (a, b)]
            own, cross = S[np.ix_([a, b], [a, b])], S[np.ix_(rest, [a, b])]
            left = S[np.ix_(rest, rest)] - cross @ np.linalg.solve(own, cross.T)
            sine = left[0, 1] / math.sqrt(left[0, 0] * left[1, 1])
            density = R[a, b] / (2.0 * math.pi * math.sqrt(1.0 - S[a, b] ** 2))
            total += density * (0.25 + math.asin(sine) / (2.0 * math.pi))
        return total

    # t = 1 − v⁴, for the branch points near t = 1
    P4 = 1.0 / 16.0 + quad(lambda v: 4.0 * v**3 * slope(1.0 - v**4), 0.0, 1.0, epsabs=1e-13)[0]
    return 16.0 * P4 - 1.0 - sum(2.0 / math.pi * math.asin(R[a, b]) for a, b in pairs)


def planar_noise(slope, value, label, rows, a, kinks, noise):
    """⟨σ'(λ_i) σ'(λ_j)(ε² + Δ)⟩ with λ = rows·z, rows (p, 2), z ~ N(0, I₂).

    `label` takes z (n, 2); `kinks` are directions (m, 2) across which a unit turns.
    """
    ends = np.concatenate([np.arctan2(d[1], d[0]) + np.array([0.5, 1.5]) * math.pi for d in kinks])
    ends = np.sort(ends % (2.0 * math.pi))
    ends = np.append(ends, ends[0] + 2.0 * math.pi)
    x, w = np.polynomial.legendre.leggauss(40)
    lengths, weights = np.polynomial.legendre.leggauss(80)
    lengths, weights = 6.0 * (1.0 + lengths), 6.0 * weights
    weights = weights * lengths * np.exp(-0.5 * lengths**2) / (2.0 * math.pi)
    total = np.zeros((len(a), len(a)))
    for first, last in itertools.pairwise(ends):
        for angle, share in zip(0.5 * (first + last + (last - first) * x), w, strict=True):
            z = lengths[:, None] * np.array([math.cos(angle), math.sin(angle)])
            lam = z @ rows.T
            error = label(z) - value(lam) @ a / len(a)
            density = weights * 0.5 * (last - first) * share * (error**2 + noise)
            steps = slope(lam)
            total += (steps * density[:, None]).T @ steps
    return total
