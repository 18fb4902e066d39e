"""Any smooth activation at any k, pair by pair: Hermite series in the correlation of two neurons.

Time O(n²) and free of k and of nodes, so it serves where nodes would be too many (k ≥ 4). The
target enters through its own series: of its link for a committee, of its Hermite coefficients for a
polynomial of the principal coordinates.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from meanfield.fields.base import Array, charges, sample_neurons
from meanfield.fields.estimate import Velocities, relative_error, relative_risk_error
from meanfield.fields.pairs.closed import overlap_rule
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
FINER = 1.5  # how much finer the rules are that check the rules
GROWTH = 1.2  # of the largest variance, at which the number of terms is chosen again
LEAP = 100.0  # … by which it cannot have grown in one step: a trial step that blows up
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

    # -- laying out -----------------------------------------------------------------------------

    def prepare(self, measure: ParticleMeasure) -> None:
        """See `Field`: more terms until the error meets the tolerance."""
        self.mass, self.terms = measure.mass, TERMS[0]
        self.r_bound = HEADROOM * float(measure.r.max())
        self._refine(measure)

    def _refine(self, measure: ParticleMeasure) -> None:
        with np.errstate(over="ignore"):
            self.served = float(((measure.u**2).sum(axis=1) + measure.r**2).max())
        for terms in TERMS[TERMS.index(self.terms) :]:
            self.terms = terms
            if self.error_estimate(measure) <= self.tolerance:
                break

    def _rule(self, finer: float = 1.0) -> Rule:
        return _overlaps(self.D, self.r_bound, finer)

    def _at(self, u: Array, r: Array, terms: int, finer: float = 1.0) -> Units:
        """Neurons with their series."""
        root = np.sqrt(np.einsum("ix,ix->i", u, u) + r * r)
        furthest = float(root.max())
        if not furthest < FURTHEST:
            raise FloatingPointError("neurons have left every table")
        table = self.tables.get((terms, finer))
        if table is None or table.reach < furthest:
            table = self._table(1.0 + HEADROOM * furthest, terms, finer)
            self.tables[terms, finer] = table
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
                furthest = float((np.einsum("ix,ix->i", u, u) + r * r).max())
            if not furthest < LEAP * max(self.served, 1.0):
                raise FloatingPointError("neurons have leapt beyond every table")
            at = self._at(u, r, self.terms)
        except FloatingPointError:
            for out in (out_a, out_u, out_r):
                out[:] = math.nan
            return
        if float(at.root.max()) ** 2 > GROWTH * self.served and self.terms < TERMS[-1]:
            self._refine(ParticleMeasure(a, u, np.abs(r), self.mass))
            at = self._at(u, r, self.terms)
        self.r_bound = max(self.r_bound, float(np.abs(r).max()))
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
        """See `Field`: what twice the terms, finer rules and other nodes change at sample neurons.

        The risk errs by less than the mean of |a| times what its potentials do.
        """
        a, u, r = measure.arrays()
        found = Velocities.like(a, u, r)
        self.velocity(a, u, r, *found)
        charge, chosen = charges(a, self.mass), sample_neurons(u, r, a, self.mass)
        try:
            once = self._parts(u, r, charge, chosen, self.terms, 1.0)
            again = self._parts(u, r, charge, chosen, 2 * self.terms, FINER)
            here = self.risk(a, u, r)
        except FloatingPointError:
            return math.inf
        slope_u, slope_r, own, target = (x - y for x, y in zip(once, again, strict=True))
        some = a[chosen]
        miss = Velocities(self.rate * (target - own), some[:, None] * slope_u, some * slope_r)
        off = float(np.abs(charge).mean() * (0.5 * np.abs(own) + np.abs(target)).max())
        risk = off + 0.5 * self.energy_error
        self.worst = max(
            relative_error(miss, found, a, self.mass, self.energy, self.rate),
            relative_risk_error(risk, here, self.energy),
        )
        return self.worst

    def _parts(
        self, u: Array, r: Array, charge: Array, chosen: Array, terms: int, finer: float
    ) -> tuple[Array, Array, Array, Array]:
        """At some neurons: slopes of E ε σ(λ), E f σ(λ) and E f* σ(λ)."""
        sources = self._at(u, r, terms, finer)
        some = Units(*(part[chosen] for part in sources))
        own = self._values(some, charge / len(r), sources, self._rule(finer))
        slopes = self._slopes(some, charge, sources, terms, finer)
        return *slopes, own, self._target_values(some, terms, finer)

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

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name, "terms": self.terms, "overlap_nodes": len(self._rule()[0])}


@lru_cache(maxsize=32)
def _overlaps(D: float, r_bound: float, finer: float) -> Rule:
    """The rule over Z, or one with more nodes."""
    rule = overlap_rule(D, r_bound, smooth=True)
    if finer == 1.0 or len(rule[0]) < 2 or D == 1:
        return rule
    return sphere_coordinate_rule(D, math.ceil(finer * len(rule[0])))
