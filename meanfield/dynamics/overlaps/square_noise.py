"""The γ/p term of square students, ⟨σ'(λ_i) σ'(λ_j) (ε² + Δ)⟩ with σ' = 2λ, in closed form.

Exact under square targets; under another of few coordinates it takes nodes in these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanfield.dynamics.accuracy import relative
from meanfield.dynamics.overlaps.averages import Joint, Network, OverlapAverages
from meanfield.gaussian.rules import PRODUCT_NODES, Rule, gaussian_nodes
from meanfield.kernels.activations.units import SQUARE
from meanfield.targets import Target

Matrix = NDArray[np.float64]

LEAST_WEIGHT = 1e-18  # of a node, over the largest
BLOCK = 2**18  # units times nodes at a time


class SquareNoise:
    """Closed form for square students and targets: exact Gaussian moments, p³ by matrix products.

    With X = λᵀEλ and E = diag e, Stein's lemma (or Isserlis' theorem) gives
    E λ_i λ_j X² = C_ij E X² + 4 [CEC E X + 2 CECEC]_ij, where E X = tr EC and
    E X² = (tr EC)² + 2 tr ECEC.
    """

    name, analytic = "closed", True

    def __init__(self, target: Target) -> None:
        self.stats: dict[str, Any] = {}
        self.joint, self.label_noise = Joint(target), 0.0

    def term(self, network: Network) -> Matrix:
        """See `Noise`."""
        C, e = self.joint.covariance(network), self.joint.coefficients(network)
        return self.terms(C[None], e[None], len(network.a))[0]

    def terms(self, C: Matrix, e: Matrix, p: int) -> Matrix:
        """Terms (runs, p, p) of networks of covariances C (runs, n, n) and e (runs, n)."""
        mean = np.einsum("rm,rmm->r", e, C)[:, None, None]
        square = mean * mean + 2.0 * np.einsum("rm,rmn,rn->r", e, C * C, e)[:, None, None]
        once = (C[:, :p] * e[:, None]) @ C
        twice = (once * e[:, None]) @ C[:, :, :p]
        total = C[:, :p, :p] * (square + self.label_noise)
        total = total + 4.0 * (mean * once[:, :, :p] + 2.0 * twice)
        return np.asarray(2.0 * (total + total.swapaxes(1, 2)))

    def error(self, network: Network) -> float:
        """Rounding only."""
        return 0.0


class SquareStudentNoise:
    """Of square students and any target of up to four coordinates, by a rule in these.

    Given the principal coordinates z, students are λ ~ N(c, N) with c = u z, and ε = f*(z) + λᵀEλ
    with E = diag e is a quadratic form Y. With g = κ(λ, Y) = 2NEc and h = κ(λ, Y, Y) = 8NENEc, μ
    and v the mean and the variance of Y given z (κ for cumulants, as in Isserlis' theorem),

        ⟨λ_i λ_j Y²⟩ = (c_i c_j + N_ij) (μ² + v) + 2μ [c_i g_j + g_i c_j + 2 (NEN)_ij]
                       + 2 g_i g_j + c_i h_j + h_i c_j + 8 (NENEN)_ij.
    """

    name, analytic = "closed", True

    def __init__(self, target: Target):
        self.stats: dict[str, Any] = {}
        self.label_noise = 0.0
        self.coarse, self.fine = (rule_of(target, level) for level in (0, 1))
        self.labels = [target(rule[0]) for rule in (self.coarse, self.fine)]

    @staticmethod
    def serves(averages: OverlapAverages) -> bool:
        """Whether these students are square, and a product rule holds the target's coordinates."""
        return averages.sigma.code == SQUARE and averages.target.rank in PRODUCT_NODES

    def term(self, network: Network) -> Matrix:
        """See `Noise`."""
        return self._by_rule(self.fine, self.labels[1], network)

    def error(self, network: Network) -> float:
        """From a rule of fewer nodes."""
        fine, coarse = self.term(network), self._by_rule(self.coarse, self.labels[0], network)
        return relative(fine - coarse, fine)

    def _by_rule(self, rule: Rule, labels: Matrix, network: Network) -> Matrix:
        """The term, the mean over z of the formula above; `once` is NEN, σ' = 2λ brings the 4."""
        N, e = network.N, -network.a / len(network.a)
        assert N is not None
        rows = max(1, BLOCK // len(e))
        once = (N * e) @ N
        spread = 2.0 * float(e @ (N * N) @ e)
        half, means, squares = np.zeros_like(N), 0.0, 0.0
        for first in range(0, len(labels), rows):
            z, w, f = (part[first : first + rows] for part in (*rule, labels))
            c = z @ network.u.T
            moved = (c * e) @ N
            mean = f + (c * c) @ e + float(e @ np.diag(N))
            size = mean * mean + spread + 4.0 * (c * e * moved).sum(axis=1) + self.label_noise
            g, h = 2.0 * moved, 8.0 * (moved * e) @ N
            left = 0.5 * size[:, None] * c + 2.0 * mean[:, None] * g + h
            half += c.T @ (w[:, None] * left) + g.T @ (w[:, None] * g)
            means, squares = means + float(w @ mean), squares + float(w @ size)
        total = half + half.T + squares * N + 4.0 * means * once + 8.0 * (once * e) @ N
        return np.asarray(4.0 * total)


def rule_of(target: Target, level: int) -> Rule:
    """A product rule for z, without the nodes of negligible weight; level 0 is the coarser."""
    z, weight = gaussian_nodes(target.rank, smooth=target.smooth, level=level)
    kept = weight > LEAST_WEIGHT * weight.max()
    return z[kept], weight[kept]
