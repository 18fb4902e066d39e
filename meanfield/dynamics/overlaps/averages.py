"""Averages that the overlap equations and the risk need, for any activation and target.

With e_j = −a_j/p, Stein's lemma gives ⟨a_i σ'(λ_i) ε l⟩ = Σ_m D_im cov(λ_m, l) + E_i·cov(z, l),
where D_im = a_i e_m A_im + δ_im a_i (Σ_n e_n B_in + b_i) and E_i = a_i G_i. The target enters
through the slopes of its potential V at the neurons: b = (∂V/∂r)/r = E f* σ''(λ), and
G = ∂V/∂u − b u = E ∇f*(z) σ'(λ).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.gaussian.hermite_expansions import Expansion, expand
from meanfield.gaussian.pair_averages import (
    PairAverages,
    closed_averages,
    expanded_averages,
    has_closed_form,
)
from meanfield.kernels.activations.units import CLOSED_PAIRS
from meanfield.kernels.dynamics.overlaps.drift import drift_matrices, error_energy, field_averages
from meanfield.problem import Problem
from meanfield.states.factors import nearest_coordinates
from meanfield.targets import Target, potential_of, units_of
from meanfield.targets.potentials.base import relative_error

Array = NDArray[np.float64]

FAINT = 1e-9  # of |u|: a perpendicular length that is as good as none


class Network(NamedTuple):
    """Students: a (p,), principal coordinates u (p, rank), Q (p, p), and r² = diag(Q − u uᵀ).

    N = Q − u uᵀ itself, where the state carries it.
    """

    a: Array
    u: Array
    Q: Array
    r_squared: Array
    N: Array | None

    def lengths(self) -> Array:
        """r (p,)."""
        return np.asarray(np.sqrt(np.maximum(self.r_squared, 0.0)))


class Joint:
    """The joint law of the pre-activations of students and committee, and the coefficients of ε.

    ε = Σ_m e_m φ_m(λ_m), students first, with C the covariance of (λ, λ*).
    """

    def __init__(self, target: Target):
        units = units_of(target)
        assert units is not None
        self.tau, self.e_target = units.link.code, units.shares
        self.P, self.basis = np.asarray(target.gram), np.ascontiguousarray(target.basis)

    def cross(self, network: Network) -> Array:
        """M, (p, k)."""
        return network.u @ self.basis.T

    def covariance(self, network: Network) -> Array:
        """C, (p + k, p + k)."""
        M = self.cross(network)
        return np.block([[network.Q, M], [M.T, self.P]])

    def coefficients(self, network: Network) -> Array:
        """The e_m, (p + k,)."""
        return np.concatenate((-network.a / len(network.a), self.e_target))


class Energy(NamedTuple):
    """⟨ε²⟩, its error, and the relative error of the averages, 0 where all forms are closed."""

    value: float
    rounding: float
    error: float

    @property
    def risk(self) -> float:
        """Half of it; a sum that rounds to below zero means a risk under its rounding error."""
        return max(0.5 * self.value, 0.0) if math.isfinite(self.value) else math.nan


class OverlapAverages:
    """Averages for one problem: everything by pairs in kernels where they know both activations."""

    def __init__(self, problem: Problem):
        self.sigma, self.target = problem.student, problem.target
        self.potential = potential_of(self.target, self.sigma, expanded=True)
        units = units_of(self.target)
        self.compiled = units is not None and {self.sigma.code, units.link.code} <= CLOSED_PAIRS
        self.closed = has_closed_form(self.sigma, self.sigma)
        self.target_square = self.target.second_moment()
        self.target_error = self.target.second_moment_error()
        if units is not None and self.compiled:
            self.joint = Joint(self.target)
            self.codes = self.sigma.code, self.joint.tau
            self.P, self.e_target = self.joint.P, self.joint.e_target

    def _expansion(self, network: Network) -> Expansion | None:
        """Coefficients of the students, where a part of the averages needs them."""
        if self.closed and self.potential.degree == 0:
            return None
        return expand(self.sigma, np.ascontiguousarray(np.diag(network.Q)), self.potential.degree)

    def _students(
        self, network: Network, students: Expansion | None, *, with_error: bool = False
    ) -> PairAverages:
        q = np.ascontiguousarray(np.diag(network.Q))
        if self.closed:
            return closed_averages(self.sigma, self.sigma, q, q, network.Q)
        assert students is not None
        students = students.cut()
        both = students, students
        return expanded_averages(*both, q, q, network.Q, same=True, with_error=with_error)

    def drift(self, network: Network) -> tuple[Array, Array]:
        """D (p, p) and E (p, rank)."""
        a, p = network.a, len(network.a)
        D = np.empty((p, p))
        if self.compiled:
            M, e = self.joint.cross(network), self.joint.coefficients(network)
            E = np.empty((p, len(self.P)))
            # a copy, since kernels are compiled apart for arrays that may not be written to
            drift_matrices(*self.codes, network.Q, M, self.P, np.array(a), e, D, E)
            return D, E @ self.joint.basis
        e = -a / p
        students = self._expansion(network)
        pairs = self._students(network, students)
        r = network.lengths()
        slope_u, slope_r = self.potential.slopes(network.u, r, students)
        # E f* σ'' meets overlaps that vanish with r; next to none, it is rounding over nothing
        seen = r > FAINT * np.sqrt((network.u**2).sum(axis=1))
        b = np.divide(slope_r, r, out=np.zeros_like(r), where=seen)
        np.multiply(np.outer(a, e), pairs.A, out=D)
        D.flat[:: p + 1] += a * (pairs.B @ e + b)
        return D, a[:, None] * (slope_u - b[:, None] * network.u)

    def fields(self, network: Network) -> Array:
        """⟨σ(λ_i) ε⟩, (p,)."""
        p = len(network.a)
        if self.compiled:
            M, e, out = self.joint.cross(network), self.joint.coefficients(network), np.empty(p)
            field_averages(*self.codes, network.Q, M, self.P, e, out)
            return out
        students = self._expansion(network)
        with_target = self.potential.value(network.u, network.lengths(), students)
        return with_target - self._students(network, students).value @ network.a / p

    def slope_products(self, network: Network) -> Array:
        """⟨σ'(λ_i) σ'(λ_j)⟩, (p, p)."""
        return self._students(network, self._expansion(network)).A

    def energy(self, network: Network, *, with_error: bool = True) -> Energy:
        """⟨ε²⟩: a difference of terms, each good to rounding; an error of a target costs extra."""
        a, p = network.a, len(network.a)
        eps = float(np.finfo(np.float64).eps)
        if self.compiled:
            M, e = self.joint.cross(network), self.joint.coefficients(network)
            rows, sizes = np.empty(p + 1), np.empty(p + 1)
            error_energy(*self.codes, network.Q, M, self.P, e, rows, sizes)
            size = float(sizes.sum())
            total = math.fsum(rows.tolist()) if math.isfinite(size) else math.nan
            return Energy(total, eps * size, 0.0)
        students = self._expansion(network)
        pairs = self._students(network, students, with_error=True)
        own = np.outer(a, a) * pairs.value / p**2
        r = network.lengths()
        cross = a * self.potential.value(network.u, r, students) / p
        error = max(pairs.error, self.target_error / max(self.target_square, 1e-300))
        if with_error:
            norm = math.sqrt(self.target_square)
            missed = relative_error(self.potential, self.sigma, norm, network.u, r, students)
            error = max(error, missed)
        total = float(own.sum() - 2.0 * cross.sum()) + self.target_square
        size = float(np.abs(own).sum() + 2.0 * np.abs(cross).sum()) + self.target_square
        return Energy(total, (eps + error) * size, error)

    def risk(self, Q: Array, M: Array, a: Array, *, with_error: bool = True) -> tuple[float, float]:
        """½ E (f − f*)² of overlaps that are known to be some, and the relative error in it."""
        u = nearest_coordinates(self.target.basis, M)
        r_squared = np.maximum(np.diag(Q) - (u * u).sum(axis=1), 0.0)
        with np.errstate(all="ignore"):  # weights near overflow have a risk of NaN
            energy = self.energy(Network(a, u, Q, r_squared, None), with_error=with_error)
        return energy.risk, energy.error
