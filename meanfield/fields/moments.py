"""Square students: f is a quadratic form, so a few moments of the measure are exact.

f(z, ρ) = zᵀ A z + s ρ²/D with A = ∫ a u uᵀ dμ and s = ∫ a r² dμ (ρ²/D → 1 at d = ∞). The target
enters through its Hermite components of degree 0 and 2 alone; the rest of it is a constant floor
of the risk.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meanfield.fields.base import Array, charges
from meanfield.fields.units import coefficients
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure
from meanfield.targets import CommitteeTarget, hermite_coefficients


class MomentField:
    """Exact evaluation for σ(x) = x², in time linear in n."""

    name = "moments"

    def __init__(self, problem: Problem):
        self.rate, self.D = problem.second_layer_rate, problem.perpendicular_dim
        target = problem.target
        self.mean, self.quadratic, self.unknown = _even_components(problem)
        k = self.quadratic.shape[0]
        # f* = mean + zᵀ H z − tr H + (what no quadratic sees)
        captured = self.mean**2 + 2.0 * float((self.quadratic**2).sum())
        self.floor = 0.5 * max(target.second_moment() - captured, 0.0)
        if isinstance(target, CommitteeTarget) and target.link.name == "square":
            self.floor = 0.0
        self.identity = np.eye(k)
        self.mass: Array | None = None

    def _moments(self, a: Array, u: Array, r: Array) -> tuple[Array, float]:
        """∫ a u uᵀ dμ and ∫ a r² dμ."""
        charge = charges(a, self.mass)
        A = np.einsum("i,ix,iy->xy", charge, u, u) / len(a)
        return A, float(np.einsum("i,i,i->", charge, r, r)) / len(a)

    def _residual(self, a: Array, u: Array, r: Array) -> tuple[Array, float, float]:
        """Hermite components of ε = f* − f: the quadratic one, the radial one s, the mean."""
        A, s = self._moments(a, u, r)
        return self.quadratic - A, s, self.mean - float(np.trace(A)) - s

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        H, s, mean = self._residual(a, u, r)
        C = 2.0 * H + mean * self.identity  # E ε z zᵀ
        c = mean - (0.0 if math.isinf(self.D) else 2.0 * s / self.D)  # E ε ρ²/D
        Cu = np.einsum("ix,xy->iy", u, C)
        out_u[:] = 2.0 * a[:, None] * Cu
        out_r[:] = 2.0 * c * a * r
        if self.rate > 0.0:
            out_a[:] = self.rate * (np.einsum("ix,ix->i", u, Cu) + c * r * r)

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`."""
        H, s, mean = self._residual(a, u, r)
        radial = 0.0 if math.isinf(self.D) else 2.0 * s * s / self.D
        return self.floor + 0.5 * (2.0 * float((H * H).sum()) + radial + mean * mean)

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`: f depends on ρ² alone outside the subspace, of variance 2D."""
        A, s = self._moments(a, u, r)
        outside = 0.0 if math.isinf(self.D) else 2.0 * s * s / self.D
        return outside, 2.0 * float((A * A).sum()) + (float(np.trace(A)) + s) ** 2 + outside

    def prepare(self, measure: ParticleMeasure) -> None:
        """See `Field`: there is nothing to lay out."""
        self.mass = measure.mass

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: exact up to rounding, but for the target's own coefficients."""
        size = abs(self.mean) + float(np.abs(self.quadratic).max())
        return self.unknown / size if size > 0.0 else self.unknown

    def layout_state(self) -> dict[str, Any]:
        """See `Field`: nothing depends on the state."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name}


def _even_components(problem: Problem) -> tuple[float, Array, float]:
    """E f*, ½ E f* (z zᵀ − I), and how well they are known.

    Of a committee, the second is Σ_r (a*_r/2k) E σ*''(λ*_r) b_r b_rᵀ.
    """
    target = problem.target
    if isinstance(target, CommitteeTarget):
        B, weights = target.basis, np.asarray(target.weights) / target.k
        P = (B * B).sum(1)
        h, _ = coefficients(target.link, np.sqrt(P), 3)
        curvature = np.divide(math.sqrt(2.0) * h[:, 2], P, out=np.zeros_like(P), where=P > 0)
        quadratic = np.einsum("r,rx,ry->xy", 0.5 * weights * curvature, B, B)
        return float(weights @ h[:, 0]), quadratic, 0.0
    k, found = target.rank, hermite_coefficients(target, 2)
    quadratic = np.zeros((k, k))
    for index, (c, _) in found.items():
        if sum(index) == 2:  # he_2 = (z² − 1)/√2 on the diagonal, z_x z_y beside it
            x, y = np.repeat(np.arange(k), index)
            quadratic[x, y] = quadratic[y, x] = c / math.sqrt(2.0) if x == y else 0.5 * c
    return found[(0,) * k][0], quadratic, max(error for _, error in found.values())
