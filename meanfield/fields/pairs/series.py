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
from meanfield.fields.pairs.overlap_rules import overlap_rule, smooth_overlap_rule
from meanfield.fields.pairs.series_error import series_error
from meanfield.fields.task import Cost, Task
from meanfield.fields.units import (
    Units,
    UnitTable,
    make_units,
)
from meanfield.gaussian.coefficients import coefficients, coefficients_by_panels
from meanfield.gaussian.rules import Rule, sphere_coordinate_rule
from meanfield.kernels.activations.codes import CUSTOM
from meanfield.kernels.fields.pairs import series
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure
from meanfield.targets import units_of
from meanfield.targets.hermite import polynomial_of
from meanfield.targets.potentials.hermite_sums import Coefficients, HermiteSums

TOLERANCE = 1e-8
TERMS = (16, 32, 64, 128, 256)
HEADROOM = 1.3  # how far beyond the neurons a table reaches
GROWTH = 1.2  # of the largest variance, at which the number of terms is chosen again
FURTHEST = 1e3  # no series converges there
NO_OVERLAP = sphere_coordinate_rule(math.inf, 1)


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
        self.r_bound = 1.0

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
        overlaps = len(overlap_rule(problem.perpendicular_dim, task.longest, smooth=True)[0])
        each = SECONDS["series"] * (1.5 if task.many_values else 1.0)
        return Cost(task.n * task.n * overlaps * each, 1e-8)

    # -- laying out -----------------------------------------------------------------------------

    def prepare(self, measure: ParticleMeasure) -> None:
        """See `Field`: more terms until the error meets the tolerance."""
        self.mass, self.terms = measure.mass, TERMS[0]
        self.r_bound = HEADROOM * float(measure.r.max())
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
        beyond = math.sqrt(square) > EDGE * table.reach or float(np.abs(r).max()) > self.r_bound
        return more_terms or beyond

    def grow(self, measure: ParticleMeasure) -> bool:
        """See `Field`."""
        self.r_bound = max(self.r_bound, HEADROOM * float(measure.r.max()))
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

    def _rule(self, finer: float = 1.0) -> Rule:
        return smooth_overlap_rule(self.D, self.r_bound, finer)

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
        self._add_slopes(at, -charge / len(charge), sources, self._rule(finer), out_u, out_r)
        if self.sums is None:
            link, weights = self._link(terms, finer)
            self._add_slopes(at, weights, link, NO_OVERLAP, out_u, out_r)
        else:
            held = Coefficients(at.h, at.s, at.t)
            _, du, dr = self.sums.summed(at.u, at.r, held, "slopes")
            out_u, out_r = out_u + du, out_r + dr
        return out_u, out_r

    def _add_slopes(self, at: Units, c: Array, of: Units, rule: Rule, u: Array, r: Array) -> None:
        even, odd = np.s_[:, :: self.stride], np.s_[:, self.stride - 1 :: self.stride]
        contiguous = np.ascontiguousarray
        series.slopes(
            at.u, at.r, contiguous(at.s[even]), contiguous(at.t[odd]), c, contiguous(of.u.T), of.r,
            1.0 / of.root, contiguous(of.s[even].T), contiguous(of.h[odd].T), self.stride, *rule,
            u, r,
        )  # fmt: skip

    def _values(self, at: Units, c: Array, of: Units, rule: Rule) -> Array:
        out = np.zeros_like(at.r)
        odd, contiguous = np.s_[:, self.stride - 1 :: self.stride], np.ascontiguousarray
        series.values(
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
        return self._values(at, weights, link, NO_OVERLAP)

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
            own = self._values(at, charge / len(a), at, self._rule())
            out_a[:] = self.rate * (self._target_values(at, self.terms) - own)

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`; a difference of three terms, so good to about 1e-15 absolutely."""
        at, charge = self._at(u, r, self.terms), charges(a, self.mass) / len(a)
        own = self._values(at, charge, at, self._rule())
        cross = float((charge * (0.5 * own - self._target_values(at, self.terms))).sum())
        return max(0.5 * self.energy + cross, 0.0)

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`: given z two perpendicular parts are independent, so Z = 0 gives E f(z)²."""
        at, charge = self._at(u, r, self.terms), charges(a, self.mass) / len(a)
        Z, w = self._rule()
        total = float((charge * self._values(at, charge, at, (Z, w))).sum())
        if math.isinf(self.D):
            return 0.0, total
        against = np.append(Z, 0.0), np.append(w, -1.0)  # the difference, before it can cancel
        outside = float((charge * self._values(at, charge, at, against)).sum())
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
            "r_bound": self.r_bound,
            "reach": None if table is None else table.reach,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        self.terms, self.served, self.r_bound = state["terms"], state["served"], state["r_bound"]
        if state["reach"] is not None:
            table = self._table(state["reach"], self.terms)
            self.tables = {(self.terms, 1.0): table}
            if self.sums is None:
                self._link(self.terms, 1.0)

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name, "terms": self.terms, "overlap_nodes": len(self._rule()[0])}


def _largest_square(u: Array, r: Array) -> float:
    """Largest variance of a pre-activation, |u|² + r²."""
    return float((np.einsum("ix,ix->i", u, u) + r * r).max())
