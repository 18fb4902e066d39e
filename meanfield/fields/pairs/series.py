"""Any smooth activation at any k, pair by pair: Hermite series in the correlation of two neurons.

Time O(n²) and free of k and of nodes, so it serves where nodes would be too many (k ≥ 4). The
target enters through its own series: of its link for a committee, of its Hermite coefficients for a
polynomial of the principal coordinates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meanfield.fields.base import EDGE, Array, charges
from meanfield.fields.costs import SECONDS
from meanfield.fields.pairs.closed import has_pair_forms
from meanfield.fields.pairs.overlap_rules import overlap_rule
from meanfield.fields.pairs.series_error import series_error
from meanfield.fields.task import Cost, Task
from meanfield.fields.units import Units, UnitTable, in_blocks, make_units, padded, recurrence_steps
from meanfield.gaussian.coefficients import coefficients, coefficients_by_panels
from meanfield.gaussian.rules import Rule
from meanfield.kernels.activations.codes import CUSTOM
from meanfield.kernels.fields.pairs import series
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure
from meanfield.targets import units_of
from meanfield.targets.hermite import polynomial_of
from meanfield.targets.potentials.hermite_sums import Coefficients, HermiteSums

TOLERANCE = 1e-8
TERMS = (16, 32, 64, 128, 256, 480)  # twice as many and one more are what expansions hold
DECAY = 9.0  # terms over variance for 1e-8, as measured
HEADROOM = 1.3  # how far beyond the neurons a table reaches
GROWTH = 1.2  # of the largest variance, at which the number of terms is chosen again
FURTHEST = 1e3  # no series converges there


class SeriesField:
    """Evaluation pair by pair for smooth activations; targets: committees and polynomials.

    Raises
    ------
    ValueError
        If the activation is not smooth, or the target is not one of these.
    """

    name = "series"

    def __init__(self, problem: Problem, tolerance: float | None = None):
        self.problem, self.rate = problem, problem.second_layer_rate
        self.k, self.D = problem.subspace_dim, problem.perpendicular_dim
        self.student, self.target = problem.student, problem.target
        if not self.serves(problem):
            raise ValueError("series are for smooth activations and committees or polynomials")
        self.units = units_of(self.target)
        self.sums: HermiteSums | None = None
        if self.units is None and (polynomial := polynomial_of(self.target)) is not None:
            self.sums = HermiteSums(self.student, polynomial)
        if self.sums is None:
            self.energy = self.target.second_moment()
            self.energy_error = self.target.second_moment_error()
        else:
            self.energy, self.energy_error = self.sums.norm**2, 0.0
        self.tolerance = TOLERANCE if tolerance is None else tolerance
        self.stride = 2 if self.student.odd else 1
        self.mass: Array | None = None
        self.terms, self.served, self.worst = TERMS[0], 0.0, math.inf
        self.tables: dict[tuple[int, float], UnitTable] = {}
        self.links: dict[tuple[int, bool], Units] = {}

    @staticmethod
    def serves(problem: Problem) -> bool:
        """Whether the problem has such series."""
        if not problem.student.smooth:
            return False
        target = problem.target
        return units_of(target) is not None or polynomial_of(target) is not None

    @classmethod
    def cost(cls, task: Task) -> Cost | None:
        """See `Field`."""
        problem = task.problem
        if not cls.serves(problem):
            return None
        # of the largest powers (q/(1 + q))^m; perpendicular parts overlap the less the larger D is
        inside, across = task.furthest * task.furthest, task.longest * task.longest
        needed = DECAY * (inside + 2.0 * across / problem.perpendicular_dim)
        terms = next((terms for terms in TERMS if terms >= needed), TERMS[-1])
        each = SECONDS["series"] * (1.5 if task.many_values else 1.0)
        # closed forms of pairs have no cut
        seconds = math.inf if has_pair_forms(problem) else task.n * task.n * terms * each
        return Cost(seconds, 1e-8)

    # -- laying out -----------------------------------------------------------------------------

    def prepare(self, measure: ParticleMeasure, *, still: bool = False) -> None:
        """See `Field`: more terms until the error meets the tolerance."""
        self.mass, self.terms = measure.mass, TERMS[0]
        self._refine(measure)

    def _refine(self, measure: ParticleMeasure) -> bool:
        with np.errstate(over="ignore"):
            self.served = _largest_square(measure.u, measure.r)
        for terms in TERMS[TERMS.index(self.terms) :]:
            self.terms = terms
            if not self._cover(measure.u, measure.r, terms):
                return False
            if self.error_estimate(measure) <= self.tolerance:
                break
        return True

    def outgrown(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`."""
        square, table = _largest_square(u, r), self.tables.get((self.terms, 1.0))
        if table is None or not square < FURTHEST**2:
            return square < FURTHEST**2
        more_terms = square > GROWTH * self.served and self.terms < TERMS[-1]
        return more_terms or math.sqrt(square) > EDGE * table.reach

    def grow(self, measure: ParticleMeasure) -> bool:
        """See `Field`."""
        if _largest_square(measure.u, measure.r) > GROWTH * self.served:
            return self._refine(measure)
        return self._cover(measure.u, measure.r, self.terms)

    def _cover(self, u: Array, r: Array, terms: int, finer: float = 1.0) -> bool:
        """Make a table that reaches the neurons; False if none does."""
        with np.errstate(over="ignore"):
            furthest = math.sqrt(_largest_square(u, r))
        if not furthest < FURTHEST:
            return False
        table = self.tables.get((terms, finer))
        if table is None or EDGE * table.reach < furthest:
            self.tables[terms, finer] = self._table(1.0 + HEADROOM * furthest, terms, finer)
        if self.sums is None:
            self._link(terms, finer)
        return True

    def _at(self, u: Array, r: Array, terms: int, finer: float = 1.0) -> Units:
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

    def _table(self, reach: float, terms: int, finer: float = 1.0) -> UnitTable:
        own = self.student.code == CUSTOM  # which may have kinks that nobody has told of
        return UnitTable(self.student, reach, terms, finer, by_panels=own and finer > 1.0)

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

    # -- evaluating -----------------------------------------------------------------------------

    def _slopes(
        self, at: Units, charge: Array, sources: Units, terms: int, finer: float
    ) -> tuple[Array, Array]:
        """∂/∂u and ∂/∂r of E ε σ(λ) at neurons, for equal masses of the given charges."""
        out_u, out_r = np.zeros_like(at.u), np.zeros_like(at.r)
        self._add_slopes(at, -charge / len(charge), sources, self.D, out_u, out_r)
        if self.sums is None:
            link, weights = self._link(terms, finer)
            self._add_slopes(at, weights, link, math.inf, out_u, out_r)
        else:
            held = Coefficients(at.h, at.s, at.t)
            _, du, dr = self.sums.summed(at.u, at.r, held, "slopes")
            out_u, out_r = out_u + du, out_r + dr
        return out_u, out_r

    def _add_slopes(self, at: Units, c: Array, of: Units, D: float, u: Array, r: Array) -> None:
        """Add Σ_j c_j times the slopes of E σ(x_i) σ(y_j); D = ∞ for sources with r_j = 0."""
        even, odd = np.s_[:, :: self.stride], np.s_[:, self.stride - 1 :: self.stride]
        own = np.ascontiguousarray(at.s[even]), np.ascontiguousarray(at.t[odd])
        near, blocks = padded(c, of), (in_blocks(of.s[even]), in_blocks(of.h[odd]))
        step = recurrence_steps(D, at.s.shape[1])
        series.slopes(at.u, at.r, *own, *near, *blocks, self.stride, step, D, u, r)

    def _values(self, at: Units, c: Array, of: Units, D: float) -> Array:
        """Σ_j c_j E σ(x_i) σ(y_j)."""
        out, odd = np.zeros_like(at.r), np.s_[:, self.stride - 1 :: self.stride]
        own, step = np.ascontiguousarray(at.h[odd]), recurrence_steps(D, at.s.shape[1])
        series.values(at.u, at.r, own, *padded(c, of), in_blocks(of.h[odd]), self.stride, step, out)
        return out

    def _values_at(self, at: Units, c: Array, of: Units, rule: Rule) -> Array:
        """The same, averaged over Z by a rule."""
        out, contiguous = np.zeros_like(at.r), np.ascontiguousarray
        odd = np.s_[:, self.stride - 1 :: self.stride]
        series.values_at(
            at.u, at.r, contiguous(at.h[odd]), c, contiguous(of.u.T), of.r, 1.0 / of.root,
            contiguous(of.h[odd].T), self.stride, *rule, out,
        )  # fmt: skip
        return out

    def _target_values(self, at: Units, terms: int, finer: float = 1.0) -> Array:
        """E f* σ(λ)."""
        if self.sums is not None:
            held = Coefficients(at.h, at.s, at.t)
            return self.sums.summed(at.u, at.r, held, "value")[0]
        link, weights = self._link(terms, finer)
        return self._values(at, weights, link, math.inf)

    def slopes(self, u: Array, r: Array, a_j: Array, u_j: Array, r_j: Array) -> tuple[Array, Array]:
        """∂/∂u and ∂/∂r of E ε σ(λ) at neurons (u, r), for equal masses of charges a_j."""
        sources = self._at(u_j, r_j, self.terms)
        return self._slopes(self._at(u, r, self.terms), a_j, sources, self.terms, 1.0)

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        try:
            with np.errstate(over="ignore"):
                at = self._at(u, r, self.terms)
        except FloatingPointError:
            for out in (out_a, out_u, out_r):
                out[:] = math.nan
            return
        charge = charges(a, self.mass)
        slope_u, slope_r = self._slopes(at, charge, at, self.terms, 1.0)
        out_u[:] = a[:, None] * slope_u
        out_r[:] = a * slope_r
        if self.rate > 0.0:
            own = self._values(at, charge / len(a), at, self.D)
            out_a[:] = self.rate * (self._target_values(at, self.terms) - own)

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`; a difference of three terms, so good to about 1e-15 absolutely."""
        at, charge = self._at(u, r, self.terms), charges(a, self.mass) / len(a)
        own = self._values(at, charge, at, self.D)
        cross = float((charge * (0.5 * own - self._target_values(at, self.terms))).sum())
        return max(0.5 * self.energy + cross, 0.0)

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`: given z two perpendicular parts are independent, so Z = 0 gives E f(z)²."""
        at, charge = self._at(u, r, self.terms), charges(a, self.mass) / len(a)
        total = float((charge * self._values(at, charge, at, self.D)).sum())
        if math.isinf(self.D):
            return 0.0, total
        Z, w = overlap_rule(self.D, float(np.abs(r).max()), smooth=True)
        against = np.append(Z, 0.0), np.append(w, -1.0)  # the difference, before it can cancel
        outside = float((charge * self._values_at(at, charge, at, against)).sum())
        return max(outside, 0.0), total

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: what twice the terms, finer rules and other nodes change."""
        self.worst = series_error(self, measure)
        return self.worst

    def layout_state(self) -> dict[str, Any]:
        """See `Field`."""
        table = self.tables.get((self.terms, 1.0))
        return {
            "terms": self.terms,
            "served": self.served,
            "reach": None if table is None else table.reach,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        self.terms, self.served = state["terms"], state["served"]
        if state["reach"] is not None:
            table = self._table(state["reach"], self.terms)
            self.tables = {(self.terms, 1.0): table}
            if self.sums is None:
                self._link(self.terms, 1.0)

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name, "terms": self.terms}


def _largest_square(u: Array, r: Array) -> float:
    """Largest variance of a pre-activation, |u|² + r²."""
    return float((np.einsum("ix,ix->i", u, u) + r * r).max())
