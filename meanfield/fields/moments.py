"""Square students: f is a quadratic form, so a few moments of the measure are exact.

f(z, ρ) = zᵀ A z + s ρ²/D with A = ∫ a u uᵀ dμ and s = ∫ a r² dμ (ρ²/D → 1 at d = ∞). The target
enters through its Hermite components of degree 0 and 2 alone; the rest of it is a constant floor
of the risk.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meanfield.fields.base import Array, charges, sample_neurons
from meanfield.fields.estimate import UNIT, Velocities, relative_error, relative_risk_error
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure
from meanfield.targets import hermite_coefficients, units_of

ROUNDED = 4.0  # units of the last place that a moment may be off by


class MomentField:
    """Exact evaluation for σ(x) = x², in time linear in n."""

    name = "moments"

    def __init__(self, problem: Problem):
        self.rate, self.D = problem.second_layer_rate, problem.perpendicular_dim
        self.problem, target = problem, problem.target
        self.energy_error = target.second_moment_error()
        self.mean, self.quadratic, self.unknown = _even_components(problem)
        k = self.quadratic.shape[0]
        # f* = mean + zᵀ H z − tr H + (what no quadratic sees)
        captured = self.mean**2 + 2.0 * float((self.quadratic**2).sum())
        self.floor = 0.5 * max(target.second_moment() - captured, 0.0)
        units = units_of(target)
        if units is not None and units.link.name == "square":
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
        """See `Field`: exact but for the target's own coefficients and for rounding: a bound."""
        a, u, r = measure.arrays()
        found, energy = Velocities.like(a, u, r), self.problem.target.second_moment()
        self.velocity(a, u, r, *found)
        A, s = self._moments(np.abs(a), np.abs(u), r)
        total, rounding = abs(self.mean) + float(np.trace(A)) + s, ROUNDED * UNIT
        mean = self.unknown[0] + rounding * total
        H = self.unknown[1] + rounding * (np.abs(self.quadratic) + A)
        chosen = sample_neurons(u, r, a, self.mass)
        own, some_u, some_r = np.abs(a[chosen]), np.abs(u[chosen]), np.abs(r[chosen])
        C = 2.0 * H + mean * self.identity
        Cu = np.einsum("ix,xy->iy", some_u, C)
        value = self.rate * (np.einsum("ix,ix->i", some_u, Cu) + mean * some_r**2)
        miss = Velocities(value, 2.0 * own[:, None] * Cu, 2.0 * mean * own * some_r)
        error = relative_error(miss, found, a, self.mass, energy, self.rate)
        risk = 0.5 * self.energy_error + total * mean + 2.0 * float((A * H).sum())
        return max(error, relative_risk_error(risk, self.risk(a, u, r), energy))

    def layout_state(self) -> dict[str, Any]:
        """See `Field`: nothing depends on the state."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name}


def _even_components(problem: Problem) -> tuple[float, Array, tuple[float, Array]]:
    """E f*, ½ E f* (z zᵀ − I), and how well each is known."""
    target = problem.target
    k, found = target.rank, hermite_coefficients(target, 2)
    quadratic, off = np.zeros((k, k)), np.zeros((k, k))
    for index, (c, error) in found.items():
        if sum(index) == 2:  # he_2 = (z² − 1)/√2 on the diagonal, z_x z_y beside it
            x, y = np.repeat(np.arange(k), index)
            share = 1.0 / math.sqrt(2.0) if x == y else 0.5
            quadratic[x, y] = quadratic[y, x] = share * c
            off[x, y] = off[y, x] = share * error
    mean, error = found[(0,) * k]
    return mean, quadratic, (error, off)
