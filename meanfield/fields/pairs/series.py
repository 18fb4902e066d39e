"""Any smooth activation at any k, pair by pair: Hermite series in the correlation of two neurons.

Time O(n²) and free of k and of nodes, so it serves where nodes would be too many (k ≥ 4). The
target enters through its own series: of its link for a committee, of its Hermite coefficients for a
polynomial of the principal coordinates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meanfield.fields.base import EDGE, Array, Cost, Task, charges, kept, sample_neurons
from meanfield.fields.costs import SECONDS
from meanfield.fields.estimate import Velocities, relative_error
from meanfield.fields.pairs.closed import has_pair_forms
from meanfield.fields.pairs.series_sums import FURTHEST, SeriesSums, largest_square
from meanfield.gaussian.rules import overlap_rule
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure
from meanfield.targets import units_of
from meanfield.targets.hermite import polynomial_of

TOLERANCE = 1e-8
TERMS = (16, 32, 64, 128, 256, 480)  # twice as many and one more are what expansions hold
DECAY = 9.0  # terms over variance for 1e-8, as measured
GROWTH = 1.2  # of the largest variance, at which the number of terms is chosen again
FINER = 1.5  # how much finer the tables are that check the tables


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
        if not self.serves(problem):
            raise ValueError("series are for smooth activations and committees or polynomials")
        self.sums, self.D = SeriesSums(problem), problem.perpendicular_dim
        self.tolerance = TOLERANCE if tolerance is None else tolerance
        self.mass: Array | None = None
        self.terms, self.served, self.worst = TERMS[0], 0.0, math.inf

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
            self.served = largest_square(measure.u, measure.r)
        for terms in TERMS[TERMS.index(self.terms) :]:
            self.terms = terms
            if not self.sums.cover(measure.u, measure.r, terms):
                return False
            if self.error_estimate(measure) <= self.tolerance:
                break
        return True

    def outgrown(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`."""
        square, table = largest_square(u, r), self.sums.tables.get((self.terms, 1.0))
        if table is None or not square < FURTHEST**2:
            return square < FURTHEST**2
        more_terms = square > GROWTH * self.served and self.terms < TERMS[-1]
        return more_terms or math.sqrt(square) > EDGE * table.reach

    def grow(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`."""
        if largest_square(u, r) > GROWTH * self.served:
            return self._refine(ParticleMeasure(a, u, np.abs(r), self.mass))
        return self.sums.cover(u, r, self.terms)

    # -- evaluating -----------------------------------------------------------------------------

    def slopes(self, u: Array, r: Array, a_j: Array, u_j: Array, r_j: Array) -> tuple[Array, Array]:
        """∂/∂u and ∂/∂r of E ε σ(λ) at neurons (u, r), for equal masses of charges a_j."""
        sources = self.sums.at(u_j, r_j, self.terms)
        return self.sums.slopes(self.sums.at(u, r, self.terms), a_j, sources, self.terms, 1.0)

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        try:
            with np.errstate(over="ignore"):
                at = self.sums.at(u, r, self.terms)
        except FloatingPointError:
            for out in (out_a, out_u, out_r):
                out[:] = math.nan
            return
        charge = charges(a, self.mass)
        slope_u, slope_r = self.sums.slopes(at, charge, at, self.terms, 1.0)
        out_u[:] = a[:, None] * slope_u
        out_r[:] = a * slope_r
        if self.rate > 0.0:
            own = self.sums.values(at, charge / len(a), at, self.D)
            out_a[:] = self.rate * (self.sums.target_values(at, self.terms) - own)

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`; a difference of three terms, so good to about 1e-15 absolutely."""
        at, charge = self.sums.at(u, r, self.terms), charges(a, self.mass) / len(a)
        own = self.sums.values(at, charge, at, self.D)
        cross = float((charge * (0.5 * own - self.sums.target_values(at, self.terms))).sum())
        return max(0.5 * self.sums.energy + cross, 0.0)

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`: given z two perpendicular parts are independent, so Z = 0 gives E f(z)²."""
        at, charge = self.sums.at(u, r, self.terms), charges(a, self.mass) / len(a)
        total = float((charge * self.sums.values(at, charge, at, self.D)).sum())
        if math.isinf(self.D):
            return 0.0, total
        Z, w = overlap_rule(self.D, float(np.abs(r).max()), smooth=True)
        against = np.append(Z, 0.0), np.append(w, -1.0)  # the difference, before it can cancel
        outside = float((charge * self.sums.values_at(at, charge, at, against)).sum())
        return max(outside, 0.0), total

    @kept
    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: what twice the terms and finer tables change at sample neurons.

        The risk errs by less than the mean of |a| times what its potentials do.
        """
        self.worst = math.inf
        a, u, r = measure.arrays()
        found = Velocities.like(a, u, r)
        self.velocity(a, u, r, *found)
        charge, chosen = charges(a, self.mass), sample_neurons(u, r, a, self.mass)
        if not self.sums.cover(u, r, 2 * self.terms, FINER):
            return self.worst
        try:
            once = self.sums.at_some(chosen, u, r, charge, self.terms, 1.0)
            again = self.sums.at_some(chosen, u, r, charge, 2 * self.terms, FINER)
            here = self.risk(a, u, r)
        except FloatingPointError:
            return self.worst
        slope_u, slope_r, own, target = (x - y for x, y in zip(once, again, strict=True))
        some, energy = a[chosen], self.sums.energy
        miss = Velocities(self.rate * (target - own), some[:, None] * slope_u, some * slope_r)
        off = float(np.abs(charge).mean() * (0.5 * np.abs(own) + np.abs(target)).max())
        risk = off + 0.5 * self.sums.energy_error, here
        self.worst = relative_error(miss, found, a, self.mass, energy, self.rate, risk)
        return self.worst

    def layout_state(self) -> dict[str, Any]:
        """See `Field`."""
        table = self.sums.tables.get((self.terms, 1.0))
        return {
            "terms": self.terms,
            "served": self.served,
            "reach": None if table is None else table.reach,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        self.terms, self.served = state["terms"], state["served"]
        if state["reach"] is not None:
            self.sums.reach(state["reach"], self.terms)

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name, "terms": self.terms}
