"""Potentials of sums of units, pair by pair of a neuron and a unit of the target."""

from __future__ import annotations

import numpy as np

from meanfield.activations import Activation
from meanfield.gaussian.expansions import Expansion, expand
from meanfield.gaussian.pair_averages import PairAverages, closed_averages, expanded_averages
from meanfield.kernels.activations.units import SQUARE
from meanfield.kernels.targets import target_slopes
from meanfield.targets.base import LinkUnits
from meanfield.targets.potentials.form import Array, Together, Values, variances

EXPANDED_COST = 1e-5  # seconds of a neuron


class ClosedPairs(Together):
    """Where a pair has a closed form; see `meanfield.gaussian.pair_averages`."""

    cost = 0.0

    def __init__(self, student: Activation, units: LinkUnits):
        self.student, self.link = student, units.link
        self.basis, self.shares = np.array(units.basis), units.shares
        self.P = (self.basis**2).sum(axis=1)
        self.coded = max(student.code, self.link.code) <= SQUARE

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        if not self.coded:
            c = u @ self.basis.T
            found = closed_averages(self.student, self.link, variances(u, r), self.P, c)
            return summed(found, self.shares, self.basis, u, r)
        value, out_u, out_r = np.empty_like(r), np.empty_like(u), np.empty_like(r)
        codes = self.student.code, self.link.code
        target_slopes(*codes, u, r, self.basis, self.shares, value, out_u, out_r)
        return value, out_u, out_r


class ExpandedPairs(Together):
    """By the Hermite series of both, for callers that have the students' coefficients."""

    cost = EXPANDED_COST
    precise = False  # kinks may leave out more

    def __init__(self, student: Activation, units: LinkUnits):
        self.student, self.link = student, units.link
        self.basis, self.shares = np.array(units.basis), units.shares
        self.P = (self.basis**2).sum(axis=1)
        natural = expand(self.link, self.P)
        self.degree = natural.degree
        self.expansions = {self.degree: natural}
        self.size = float(np.abs(self.shares) @ np.sqrt(natural.square))  # at least √(E f*²)

    def _pairs(self, u: Array, r: Array, students: Expansion) -> PairAverages:
        degree = students.degree
        if degree not in self.expansions:
            self.expansions[degree] = expand(self.link, self.P, degree)
        c, links = u @ self.basis.T, self.expansions[degree]
        return expanded_averages(students, links, variances(u, r), self.P, c, same=False)

    def _of(self, u: Array, r: Array, students: Expansion | None) -> Expansion:
        return expand(self.student, variances(u, r), self.degree) if students is None else students

    def __call__(self, u: Array, r: Array, students: Expansion | None = None) -> Values:
        """See `Potential`."""
        pairs = self._pairs(u, r, self._of(u, r, students))
        return summed(pairs, self.shares, self.basis, u, r)

    def miss(
        self, u: Array, r: Array, students: Expansion | None = None, found: Values | None = None
    ) -> Values:
        """See `Potential`: what the series leave out, of every pair relative to its norms."""
        students = self._of(u, r, students)
        off = self._pairs(u, r, students).error * self.size
        slope = off * np.sqrt(students.slope_square)
        return off * np.sqrt(students.square), np.outer(slope, np.ones(u.shape[1])), slope


def summed(pairs: PairAverages, shares: Array, basis: Array, u: Array, r: Array) -> Values:
    """By Stein's lemma, from averages over pairs (n, k)."""
    b = pairs.B @ shares
    return pairs.value @ shares, (pairs.A * shares) @ basis + b[:, None] * u, b * r
