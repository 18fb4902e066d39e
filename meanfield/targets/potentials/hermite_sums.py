"""Potentials of functions by their Hermite coefficients.

E h_α(z) σ(λ) = √(|α|!/α!) Π_j (u_j/√q)^{α_j} h_{|α|}(q), with h_m(q) the coefficients of σ at the
neuron's own variance.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meanfield.activations import Activation
from meanfield.gaussian.hermite_coefficients import student_coefficients
from meanfield.gaussian.hermite_expansions import Expansion, expand
from meanfield.targets.hermite import Series
from meanfield.targets.potentials.base import TINY, Array, Potential, Values, variances

COST = 1e-6  # seconds of a neuron, of few terms
CHUNK = 2**17  # numbers at a time: a few arrays of them stay in the second-level cache


class Coefficients(NamedTuple):
    """Of σ, σ' and σ'' at each neuron's own variance, (n, terms) each; as of an `Expansion`."""

    C: Array
    S: Array
    B: Array


class HermiteSums(Potential):
    """Exact for a polynomial of z.

    Of another function the series has a tail, the norm of what the coefficients do not hold over
    that of f*; it pairs with what the students have beyond them. Over the same norm, those of
    degree n are wrong by `errors[n]`.
    """

    cost = COST

    def __init__(self, student: Activation, series: Series, *, precise: bool = True):
        kept = {index: c for index, c in series.coefficients.items() if c != 0.0}
        self.student, self.precise = student, precise
        self.alpha = np.array(list(kept), dtype=np.int64).reshape(len(kept), -1)
        self.size = self.alpha.sum(axis=1)
        self.coefficient, self.tail = np.array(list(kept.values())), series.tail
        self.errors = np.array(series.errors)
        self.norm = math.sqrt(float((self.coefficient**2).sum()))
        self.degree = int(self.size.max(initial=0)) + 1
        self.ways = _multiplicity(self.alpha)
        self.lowered = []  # ∂_j h_α = √α_j h_{α − e_j}
        for j in range(self.alpha.shape[1]):
            held = self.alpha[:, j] > 0
            below = self.alpha[held]
            weight = self.coefficient[held] * np.sqrt(below[:, j])
            below[:, j] -= 1
            self.lowered.append((below, _multiplicity(below), weight))

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        return self.summed(u, r, self._students(u, r, students))

    def value(self, u: Array, r: Array, students: Expansion | None = None) -> Array:
        """See `Potential`."""
        return self.summed(u, r, self._students(u, r, students), "value")[0]

    def slopes(self, u: Array, r: Array, students: Expansion | None = None) -> tuple[Array, Array]:
        """See `Potential`."""
        return self.summed(u, r, self._students(u, r, students), "slopes")[1:]

    def summed(self, u: Array, r: Array, students: Coefficients, wanted: str = "") -> Values:
        """V and its slopes for students of these coefficients; zeros for what is not wanted."""
        value, out_u, out_r = np.zeros_like(r), np.zeros_like(u), np.zeros_like(r)
        size = max(1, CHUNK // max(1, len(self.alpha)))
        for first in range(0, len(r), size):
            some = slice(first, first + size)
            own = Coefficients(*(part[some] for part in students))
            powers = self._powers(u[some], r[some])
            product = _monomials(powers, self.alpha, self.ways)
            if wanted != "slopes":
                value[some] = (product * own.C[:, self.size]) @ self.coefficient
            if wanted != "value":
                b = (product * own.B[:, self.size]) @ self.coefficient
                out_u[some] = b[:, None] * u[some] + self._within(powers, own.S)
                out_r[some] = b * r[some]
        return value, out_u, out_r

    def _students(self, u: Array, r: Array, students: Expansion | None) -> Coefficients:
        if students is not None:
            return Coefficients(students.C, students.S, students.B)
        root = np.sqrt(variances(u, r))
        h, s, above = student_coefficients(self.student, root, self.degree)
        inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0.0)
        return Coefficients(h, s, above * inverse[:, None])

    def _within(self, powers: list[Array], S: Array) -> Array:
        """E ∇f*(z) σ'(λ), (n, k)."""
        return np.column_stack(
            [
                (_monomials(powers, below, ways) * S[:, below.sum(axis=1)]) @ weight
                for below, ways, weight in self.lowered
            ]
        )

    def _powers(self, u: Array, r: Array) -> list[Array]:
        """(u_j/√q)^m for m < degree, (n, degree) for each coordinate."""
        root = np.sqrt(variances(u, r))[:, None]
        direction = np.divide(u, root, out=np.zeros_like(u), where=root > 0.0)
        table = np.ones((u.shape[1], len(u), self.degree))
        table[:, :, 1:] = direction.T[:, :, None]
        return list(np.cumprod(table, axis=2))

    def miss(
        self, u: Array, r: Array, students: Expansion | None = None, found: Values | None = None
    ) -> Values:
        """See `Potential`: what f* and the students both have beyond the coefficients.

        And what the coefficients are wrong by: √n of that times s_{n−1}, in the slopes.
        """
        if self.tail == 0.0 and not self.errors.any():
            return np.zeros_like(r), np.zeros_like(u), np.zeros_like(r)
        q = variances(u, r)
        units = expand(self.student, q, self.degree) if students is None else students
        slope_square = np.maximum(units.slope_square, TINY)
        left = slope_square - (units.S[:, : self.degree] ** 2).sum(axis=1)
        share = np.maximum(left, 0.0) / slope_square
        # terms of degree n carry (|u|/√q)^n
        cosine = (u * u).sum(axis=1) / np.maximum(q, TINY)
        beyond = self.tail * np.sqrt(share * cosine**self.degree)
        n = np.arange(1, min(len(self.errors), units.degree + 1))
        if len(n):
            sizes = np.abs(units.S[:, n - 1]) / np.sqrt(slope_square)[:, None]
            sizes *= cosine[:, None] ** (0.5 * (n - 1))
            beyond += sizes @ (np.sqrt(n) * self.errors[n])
        off = beyond * self.norm
        slope = off * np.sqrt(slope_square)
        return off * np.sqrt(units.square), np.outer(slope, np.ones(u.shape[1])), slope


def _monomials(powers: list[Array], alpha: NDArray[np.int64], ways: Array) -> Array:
    """√(|α|!/α!) Π_j (u_j/√q)^{α_j}, shape (n, terms); `ways` is the factor in front."""
    product = np.broadcast_to(ways, (len(powers[0]), len(alpha))).copy()
    for j, power in enumerate(powers):
        product *= power[:, alpha[:, j]]
    return product


def _multiplicity(alpha: NDArray[np.int64]) -> Array:
    """√(|α|!/α!) of each row: the ratio is a whole number, of more digits than a float may have."""
    ways = (
        math.factorial(sum(index)) // math.prod(map(math.factorial, index))
        for index in alpha.tolist()
    )
    return np.sqrt(np.array([float(number) for number in ways]))
