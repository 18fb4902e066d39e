"""Averages over pairs of neurons, E σ(x) σ(y), summed from Hermite series of given lengths.

The target enters through its own series: of its link for a committee, of its Hermite coefficients
for a polynomial of the principal coordinates.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.fields.base import EDGE, Array
from meanfield.fields.units import Units, UnitTable, in_blocks, make_units, padded, recurrence_steps
from meanfield.gaussian.coefficients import coefficients, coefficients_by_panels
from meanfield.gaussian.rules import Rule
from meanfield.kernels.activations.codes import CUSTOM
from meanfield.kernels.fields.pairs import series
from meanfield.problem import Problem
from meanfield.targets import units_of
from meanfield.targets.hermite import polynomial_of
from meanfield.targets.potentials.hermite_sums import Coefficients, HermiteSums

HEADROOM = 1.3  # how far beyond the neurons a table reaches
FURTHEST = 1e3  # no series converges there


class SeriesSums:
    """Sums over pairs of neurons, and of a neuron and the target, for a problem with such series.

    `terms` is how many terms a sum takes; the tables of coefficients it reads have a spacing
    `finer` times as small as usual. Both together name a table, which `cover` makes.
    """

    def __init__(self, problem: Problem):
        self.student, self.target = problem.student, problem.target
        self.D = problem.perpendicular_dim
        self.stride = 2 if self.student.odd else 1  # of the terms that are not 0
        self.units = units_of(self.target)
        self.polynomial: HermiteSums | None = None
        if self.units is None and (polynomial := polynomial_of(self.target)) is not None:
            self.polynomial = HermiteSums(self.student, polynomial)
        if self.polynomial is None:
            self.energy = self.target.second_moment()
            self.energy_error = self.target.second_moment_error()
        else:
            self.energy, self.energy_error = self.polynomial.norm**2, 0.0
        self.tables: dict[tuple[int, float], UnitTable] = {}
        self.links: dict[tuple[int, bool], Units] = {}

    def cover(self, u: Array, r: Array, terms: int, finer: float = 1.0) -> bool:
        """Make a table that reaches the neurons; False if none does."""
        with np.errstate(over="ignore"):
            furthest = math.sqrt(largest_square(u, r))
        if not furthest < FURTHEST:
            return False
        table = self.tables.get((terms, finer))
        if table is None or EDGE * table.reach < furthest:
            self.reach(1.0 + HEADROOM * furthest, terms, finer)
        return True

    def reach(self, furthest: float, terms: int, finer: float = 1.0) -> None:
        """Make a table up to that √(|u|² + r²), and what the target has instead of one."""
        own = self.student.code == CUSTOM  # which may have kinks that nobody has told of
        self.tables[terms, finer] = UnitTable(
            self.student, furthest, terms, finer, by_panels=own and finer > 1.0
        )
        if self.polynomial is None:
            self._link(terms, finer)

    def at(self, u: Array, r: Array, terms: int, finer: float = 1.0) -> Units:
        """Neurons with their series.

        Raises
        ------
        FloatingPointError
            If the table does not reach them.
        """
        root = np.sqrt(np.einsum("ix,ix->i", u, u) + r * r)
        table = self.tables.get((terms, finer))
        if table is None or not float(root.max()) <= table.reach:
            raise FloatingPointError("neurons have left the table")
        return make_units(u, r, root, *table.at(root))

    def _link(self, terms: int, finer: float = 1.0) -> tuple[Units, Array]:
        """The target's units as sources, and their weights."""
        target, checking = self.units, finer > 1.0
        assert target is not None
        if (terms, checking) not in self.links:
            B = np.array(target.basis)
            root = np.sqrt((B * B).sum(axis=1))
            expand = coefficients_by_panels if checking else coefficients
            h, s = expand(target.link, root, terms + 1)
            self.links[terms, checking] = make_units(B, np.zeros(len(B)), root, h, s)
        return self.links[terms, checking], target.shares

    def slopes(
        self, at: Units, charge: Array, sources: Units, terms: int, finer: float
    ) -> tuple[Array, Array]:
        """∂/∂u and ∂/∂r of E ε σ(λ) at neurons, for equal masses of the given charges."""
        out_u, out_r = np.zeros_like(at.u), np.zeros_like(at.r)
        self._add_slopes(at, -charge / len(charge), sources, self.D, out_u, out_r)
        if self.polynomial is None:
            link, weights = self._link(terms, finer)
            self._add_slopes(at, weights, link, math.inf, out_u, out_r)
        else:
            held = Coefficients(at.h, at.s, at.t)
            _, du, dr = self.polynomial.summed(at.u, at.r, held, "slopes")
            out_u, out_r = out_u + du, out_r + dr
        return out_u, out_r

    def _add_slopes(self, at: Units, c: Array, of: Units, D: float, u: Array, r: Array) -> None:
        """Add Σ_j c_j times the slopes of E σ(x_i) σ(y_j); D = ∞ for sources with r_j = 0."""
        even, odd = np.s_[:, :: self.stride], np.s_[:, self.stride - 1 :: self.stride]
        own = np.ascontiguousarray(at.s[even]), np.ascontiguousarray(at.t[odd])
        near, blocks = padded(c, of), (in_blocks(of.s[even]), in_blocks(of.h[odd]))
        step = recurrence_steps(D, at.s.shape[1])
        series.slopes(at.u, at.r, *own, *near, *blocks, self.stride, step, D, u, r)

    def values(self, at: Units, c: Array, of: Units, D: float) -> Array:
        """Σ_j c_j E σ(x_i) σ(y_j)."""
        out, odd = np.zeros_like(at.r), np.s_[:, self.stride - 1 :: self.stride]
        own, step = np.ascontiguousarray(at.h[odd]), recurrence_steps(D, at.s.shape[1])
        series.values(at.u, at.r, own, *padded(c, of), in_blocks(of.h[odd]), self.stride, step, out)
        return out

    def values_at(self, at: Units, c: Array, of: Units, rule: Rule) -> Array:
        """The same, averaged over Z by a rule."""
        out, contiguous = np.zeros_like(at.r), np.ascontiguousarray
        odd = np.s_[:, self.stride - 1 :: self.stride]
        series.values_at(
            at.u, at.r, contiguous(at.h[odd]), c, contiguous(of.u.T), of.r, 1.0 / of.root,
            contiguous(of.h[odd].T), self.stride, *rule, out,
        )  # fmt: skip
        return out

    def target_values(self, at: Units, terms: int, finer: float = 1.0) -> Array:
        """E f* σ(λ)."""
        if self.polynomial is not None:
            held = Coefficients(at.h, at.s, at.t)
            return self.polynomial.summed(at.u, at.r, held, "value")[0]
        link, weights = self._link(terms, finer)
        return self.values(at, weights, link, math.inf)

    def at_some(
        self, chosen: Array, u: Array, r: Array, charge: Array, terms: int, finer: float
    ) -> tuple[Array, Array, Array, Array]:
        """At the neurons `chosen` of all: slopes of E ε σ(λ), E f σ(λ) and E f* σ(λ)."""
        sources = self.at(u, r, terms, finer)
        some = Units(*(part[chosen] for part in sources))
        own = self.values(some, charge / len(r), sources, self.D)
        slopes = self.slopes(some, charge, sources, terms, finer)
        return *slopes, own, self.target_values(some, terms, finer)


def largest_square(u: Array, r: Array) -> float:
    """Largest variance of a pre-activation, |u|² + r²."""
    return float((np.einsum("ix,ix->i", u, u) + r * r).max())
