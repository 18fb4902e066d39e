"""Polynomial students: a few moments of the measure are all that the field depends on, exactly.

With σ(x) = Σ_j c_j x^j, j ≤ n, and x = u·z + r ρU, the field is a polynomial in z and ρ²,

    f(z, ρ) = Σ_I κ_I m_I z^α ρ^2l,   m_I = ∫ a u^α r^2l dμ,   I = (α, l), j = |α| + 2l ≤ n,

with κ_I = c_j j!/(α! (2l)!) E U^2l by the multinomial theorem. It is held by its coefficients in
orthonormal polynomials, he_β(z) times Laguerre polynomials of ρ², as the target is by its own: the
risk is a sum of squares, and accurate when small.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from meanfield.fields.base import Array, Cost, LinearField, Task, charges, sample_neurons
from meanfield.fields.costs import SECONDS
from meanfield.fields.estimate import UNIT, Velocities, relative_error
from meanfield.gaussian.coordinate_averages import sphere_moment
from meanfield.kernels.fields import polynomial as kernel
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure
from meanfield.targets import Target, hermite_coefficients

LARGEST_DEGREE, MOST_MONOMIALS = 8, 1000  # monomials of high degree cancel
ROUNDED = 4.0  # units of the last place that a coefficient may be off by
ROUNDING = 1e-13  # of E f*², how well the part of it that no student sees is known


class PolynomialField(LinearField):
    """Evaluation for Hermite polynomials, in time linear in n, at any k and D; see `serves`."""

    name = "polynomial"

    def __init__(self, problem: Problem, tolerance: float | None = None):
        if not self.serves(problem):
            raise ValueError("polynomials are for polynomial students of few monomials")
        self.tolerance = 0.0 if tolerance is None else tolerance
        self.rate, self.D = problem.second_layer_rate, problem.perpendicular_dim
        k, powers = problem.subspace_dim, problem.student.powers
        self.index = _indices(k, len(powers) - 1)
        place = {index: i for i, index in enumerate(self.index)}
        self.parent, self.factor = np.zeros((2, len(self.index)), np.int64)
        for i, index in enumerate(self.index[1:], 1):
            c = next(c for c in range(k + 1) if index[c])
            self.parent[i] = place[tuple(x - (e == c) for e, x in enumerate(index))]
            self.factor[i] = c
        self.scale = np.array([_multinomial(index, powers, self.D) for index in self.index])
        self.wanted = self.scale != 0.0
        along = _hermite_powers(len(powers) - 1)
        across = _laguerre_powers((len(powers) - 1) // 2, self.D)
        exponents = np.array(self.index)
        # (I, J): the coefficient of z^α ρ^2l in basis function J
        self.turn = across[exponents[:, None, k], exponents[:, k]] * np.prod(
            along[exponents[:, None, :k], exponents[:, :k]], axis=2
        )
        self.exponents = exponents
        self.goal, self.unknown = _goal(problem.target, self.index)
        self.energy = total = problem.target.second_moment()
        self.energy_error = problem.target.second_moment_error()
        unseen = total - float(self.goal @ self.goal)
        self.floor = 0.5 * unseen if unseen > ROUNDING * total else 0.0
        self.leaves = exponents[:, k] > 0

    @staticmethod
    def serves(problem: Problem) -> bool:
        """Whether the student is a polynomial of few monomials."""
        degree = len(problem.student.powers) - 1
        return 0 <= degree <= LARGEST_DEGREE and _count(problem) <= MOST_MONOMIALS

    @classmethod
    def cost(cls, task: Task) -> Cost | None:
        """See `Field`."""
        if not cls.serves(task.problem):
            return None
        return Cost(task.n * _count(task.problem) * SECONDS["polynomial"], 0.0)

    def gather(self, charge: Array, u: Array, r: Array) -> Array:
        """See `LinearField`: coefficients of f in the orthonormal polynomials."""
        return (self.scale * self._moments(charge, u, r)) @ self.turn

    def _moments(self, charge: Array, u: Array, r: Array) -> Array:
        """Averages of charge u^α r^2l over neurons."""
        return np.asarray(kernel.moments(charge, u, r, self.parent, self.factor, self.wanted))

    def scatter(
        self, sums: Array, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `LinearField`."""
        weight = self.scale * (self.turn @ (self.goal - sums))
        kernel.velocities(a, u, r, self.parent, self.factor, weight, self.rate, out_a, out_u, out_r)

    def risk_of(self, sums: Array) -> float:
        """See `LinearField`."""
        return self.floor + 0.5 * float(((self.goal - sums) ** 2).sum())

    def variance_parts_of(self, sums: Array) -> tuple[float, float]:
        """See `LinearField`: outside the subspace f depends on ρ² alone."""
        squares = sums**2
        return float(squares[self.leaves].sum()), float(squares.sum())

    def prepare(self, measure: ParticleMeasure, *, still: bool = False) -> None:
        """See `Field`: there is nothing to lay out."""
        self.mass = measure.mass

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: exact but for the target's own coefficients and for rounding.

        What each coefficient may be off by adds up in every velocity: a bound.
        """
        a, u, r = measure.arrays()
        charge, found = charges(a, self.mass), Velocities.like(a, u, r)
        self.velocity(a, u, r, *found)
        held = np.abs(self.scale * self._moments(abs(charge), abs(u), r))
        off = self.unknown + ROUNDED * UNIT * (np.abs(self.goal) + held @ np.abs(self.turn))
        risk = 0.5 * self.energy_error + float(np.abs(self.gather(charge, u, r)) @ off)
        chosen = sample_neurons(u, r, a, self.mass)
        miss = self._bounds(off, a[chosen], u[chosen], r[chosen])
        here = risk, self.risk(a, u, r)
        return relative_error(miss, found, a, self.mass, self.energy, self.rate, here)

    def _bounds(self, off: Array, a: Array, u: Array, r: Array) -> Velocities:
        """What velocities may be off by for errors of the coefficients of f*."""
        x, powers = np.column_stack((u, r * r))[:, None, :], self.exponents
        functions, own = self.scale[:, None] * self.turn, np.abs(a)

        def bound(values: Array) -> Array:
            return np.asarray(np.abs(values @ functions) @ off)

        slopes = []
        for c in range(powers.shape[1]):
            lowered = np.maximum(powers - (np.arange(powers.shape[1]) == c), 0)
            slopes.append(own * bound(powers[:, c] * np.prod(x**lowered, axis=2)))
        *along, across = slopes
        values = self.rate * bound(np.prod(x**powers, axis=2))
        return Velocities(values, np.column_stack(along), 2.0 * np.abs(r) * across)

    def layout_state(self) -> dict[str, Any]:
        """See `Field`: nothing depends on the state."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name, "moments": len(self.index)}


def _count(problem: Problem) -> int:
    """How many monomials of u a student has."""
    degree = max(len(problem.student.powers) - 1, 0)
    return math.comb(degree + problem.subspace_dim, problem.subspace_dim)


def _indices(k: int, degree: int) -> list[tuple[int, ...]]:
    """(α, l) with |α| + 2l ≤ degree, in order of |α| + l."""
    found = []
    for size in range(degree + 1):
        for coordinates in combinations_with_replacement(range(k + 1), size):
            index = tuple(coordinates.count(c) for c in range(k + 1))
            if sum(index) + index[k] <= degree:
                found.append(index)
    return found


def _multinomial(index: tuple[int, ...], powers: tuple[float, ...], D: float) -> float:
    """κ of z^α (ρ/√D)^2l: c_j j!/(α! (2l)!) E (√D U)^2l; at d = ∞ √D U is Gaussian and ρ is 1."""
    exponents = (*index[:-1], 2 * index[-1])
    j = sum(exponents)
    scale = 1.0 if math.isinf(D) else D ** index[-1]
    ways = math.factorial(j) / math.prod(map(math.factorial, exponents))
    return powers[j] * ways * scale * sphere_moment(exponents[-1], D)


def _hermite_powers(degree: int) -> Array:
    """z^a = Σ_b [a, b] he_b(z), he_b normalised."""
    matrix = np.zeros((degree + 1, degree + 1))
    for a in range(degree + 1):
        for m in range(a // 2 + 1):
            b = a - 2 * m
            pairs = math.factorial(a) / (2**m * math.factorial(m) * math.factorial(b))
            matrix[a, b] = pairs * math.sqrt(math.factorial(b))
    return matrix


def _laguerre_powers(degree: int, D: float) -> Array:
    """(ρ²/D)^a = Σ_b [a, b] q_b, with q_b the orthonormal polynomials of ρ² for ρ ~ χ_D.

    ρ²/2 has a Gamma law of shape D/2, so q_b are Laguerre polynomials, up to a sign.
    """
    matrix = np.zeros((degree + 1, degree + 1))
    if math.isinf(D):
        matrix[:, 0] = 1.0  # ρ²/D is 1
        return matrix
    shape = 0.5 * D
    for a in range(degree + 1):
        for b in range(a + 1):
            rest = math.prod((shape - 1.0 + s) / shape for s in range(b + 1, a + 1))
            norm = math.prod((shape - 1.0 + s) / (s * shape) for s in range(1, b + 1))
            ways = math.factorial(a) / math.factorial(a - b)
            matrix[a, b] = ways * rest * math.sqrt(norm) * shape ** (-0.5 * b)
    return matrix


def _goal(target: Target, index: list[tuple[int, ...]]) -> tuple[Array, Array]:
    """Coefficients of f* in the basis, and the error of each."""
    goal, unknown = np.zeros(len(index)), np.zeros(len(index))
    found = hermite_coefficients(target, max(max(map(sum, index)), 1))
    for i, (*alpha, l) in enumerate(index):
        if l == 0:
            goal[i], unknown[i] = found[tuple(alpha)]
    return goal, unknown
