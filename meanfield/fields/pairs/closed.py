"""Any measure, exactly: every pair of neurons in closed form, averaged over Z.

Time O(n²), memory O(n). For small n it beats any mesh, and at a few neurons it is what
a mesh is compared with.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meanfield.fields.base import Array, Cost, Task, charges, mean_vector, sample_neurons
from meanfield.fields.costs import SECONDS
from meanfield.fields.estimate import UNIT, Velocities, relative_error
from meanfield.gaussian.rules import Rule, overlap_rule, sphere_coordinate_rule
from meanfield.kernels.activations.units import ERF, LEAKY_RELU, RELU
from meanfield.kernels.fields.pairs import closed
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure
from meanfield.targets import potential_of, units_of
from meanfield.targets.potentials.base import Potential

CLOSED = (ERF, RELU, LEAKY_RELU)  # students whose pairs are closed forms
ROUNDED = 8.0  # units of the last place that a sum over pairs may be off by
MARGIN = 1.25  # headroom in r before the rule over Z is chosen again


def has_pair_forms(problem: Problem) -> bool:
    """Whether averages over a pair of neurons have the closed forms of the kernels."""
    units = units_of(problem.target)
    return (
        problem.student.name in ("erf", "relu")
        and units is not None
        and units.link.name in ("erf", "relu", "square")
    )


class PairField:
    """Exact evaluation for erf, ReLU and leaky ReLU, under committees and polynomials.

    A leaky ReLU is βx + (1 − β) ReLU(x), and E βx·y is linear in u.

    Raises
    ------
    ValueError
        If the problem is not one of these.
    """

    name = "pairs"

    def __init__(
        self,
        problem: Problem,
        tolerance: float | None = None,
        potential: Potential | None = None,
    ):
        self.problem, self.tolerance = problem, 0.0 if tolerance is None else tolerance
        self.rate, self.D = problem.second_layer_rate, problem.perpendicular_dim
        self.student, self.target = problem.student, problem.target
        self.target_part = (
            potential_of(problem.target, problem.student) if potential is None else potential
        )
        if not (problem.student.code in CLOSED and self.target_part.precise):
            raise ValueError("pairs are for erf and ReLU students of committees and polynomials")
        leaky = self.student.code == LEAKY_RELU
        self.code = RELU if leaky else self.student.code
        self.leak = self.student.parameter if leaky else 0.0
        self.mass: Array | None = None
        self.r_bound = 0.0
        self.plan(1.0)

    @classmethod
    def of(cls, problem: Problem) -> PairField | None:
        """The pairs of a problem, if it has such."""
        if problem.student.code not in CLOSED:
            return None
        found = potential_of(problem.target, problem.student)
        return cls(problem, potential=found) if found.precise else None

    @staticmethod
    def cost(task: Task) -> Cost | None:
        """See `Field`."""
        problem, smooth = task.problem, task.problem.student.smooth
        if problem.student.code not in CLOSED or task.potential is None:
            return None
        own = units_of(problem.target) is None
        if smooth and not own and not has_pair_forms(problem):
            return Cost(math.inf, 1e-12)  # a series needs no rule over the links
        name = "pairs erf" if smooth else "pairs relu"
        each = SECONDS[name] + (SECONDS[f"{name} values"] if task.many_values else 0.0)
        overlaps = len(overlap_rule(problem.perpendicular_dim, task.longest, smooth=smooth)[0])
        seconds = task.n * task.n * overlaps * each + task.n * task.potential.cost
        exact = smooth and (problem.target.smooth or has_pair_forms(problem))
        return Cost(seconds, 1e-12 if exact else 1e-7)

    def plan(self, longest: float) -> None:
        """Take a rule over Z for neurons with r up to `longest`, and some more."""
        self._reach(MARGIN * (longest if MARGIN < longest < math.inf else 1.0))

    def _reach(self, r_bound: float) -> None:
        self.r_bound = r_bound
        self.rule = overlap_rule(self.D, r_bound, smooth=self.student.smooth)

    def slopes(self, u: Array, r: Array, a_j: Array, u_j: Array, r_j: Array) -> tuple[Array, Array]:
        """∂/∂u and ∂/∂r of E ε σ(λ) at neurons (u, r), for equal masses of charges a_j."""
        own_u, own_r = self._student_slopes(u, r, a_j, u_j, r_j, self.rule)
        target_u, target_r = self.target_part.slopes(u, r)
        return target_u - own_u, target_r - own_r

    def _student_slopes(
        self, u: Array, r: Array, a_j: Array, u_j: Array, r_j: Array, rule: Rule
    ) -> tuple[Array, Array]:
        """∂/∂u and ∂/∂r of E f σ(λ), by a rule over Z."""
        out_u, out_r = np.empty_like(u), np.empty_like(r)
        closed.student_slopes(
            self.code, u, r, a_j, np.ascontiguousarray(u_j.T), r_j, *rule, out_u, out_r
        )
        if self.leak != 0.0:
            out_u, out_r = self._leaky(out_u), self._leaky(out_r)
            out_u += self.leak * mean_vector(a_j, u_j)
        return out_u, out_r

    def values(self, u: Array, r: Array, a_j: Array, u_j: Array, r_j: Array) -> Array:
        """E ε σ(λ) at neurons (u, r), for equal masses of charges a_j."""
        return self.target_part.value(u, r) - self.student_part(u, r, a_j, u_j, r_j)

    def student_part(
        self, u: Array, r: Array, a_j: Array, u_j: Array, r_j: Array, rule: Rule | None = None
    ) -> Array:
        """E f σ(λ) at the same neurons, by the rule in use or by another."""
        out, u_j_rows = np.empty_like(r), np.ascontiguousarray(u_j.T)
        closed.student_values(self.code, u, r, a_j, u_j_rows, r_j, *(rule or self.rule), out)
        if self.leak != 0.0:
            out = self._leaky(out) + self.leak * (u @ mean_vector(a_j, u_j))
        return out

    def _leaky(self, rectified: Array) -> Array:
        """(1 − β)² of the average of two ReLUs; β c, the rest, is added by the caller."""
        return (1.0 - self.leak) ** 2 * rectified

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        charge = charges(a, self.mass)
        slope_u, slope_r = self.slopes(u, r, charge, u, r)
        out_u[:] = a[:, None] * slope_u
        out_r[:] = a * slope_r
        if self.rate > 0.0:
            out_a[:] = self.rate * self.values(u, r, charge, u, r)

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`; a difference of three terms, so good to about 1e-15 absolutely."""
        charge = charges(a, self.mass)
        with_target = self.target_part.value(u, r)
        with_student = self.student_part(u, r, charge, u, r)
        cross = float((charge * (0.5 * with_student - with_target)).sum()) / len(a)
        return max(0.5 * self.target.second_moment() + cross, 0.0)

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`: given z two perpendicular parts are independent, so Z = 0 gives E f(z)²."""
        Z, w = self.rule
        u_j = np.ascontiguousarray(u.T)
        charge = charges(a, self.mass)
        difference = np.empty_like(r)
        # the point Z = 0 with weight -1 takes the difference pair by pair, before it can cancel
        against = np.append(Z, 0.0), np.append(w, -1.0)
        closed.student_values(self.code, u, r, charge, u_j, r, *against, difference)
        difference = self._leaky(difference)
        total = self.student_part(u, r, charge, u, r)
        outside = 0.0 if math.isinf(self.D) else float((charge * difference).sum()) / len(a)
        return max(outside, 0.0), float((charge * total).sum()) / len(a)

    def prepare(self, measure: ParticleMeasure, *, still: bool = False) -> None:
        """See `Field`."""
        self.mass = measure.mass
        self.plan(float(measure.r.max()))

    def outgrown(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`: the rule of a kinked student serves any r."""
        return self.student.smooth and self.r_bound < float(np.abs(r).max()) < math.inf

    def grow(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`."""
        self.plan(float(np.abs(r).max()))
        return True

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: what more nodes over Z change at sample neurons, and rounding.

        The risk errs by less than the mean of |a| times what its potentials do.
        """
        a, u, r = measure.arrays()
        found = Velocities.like(a, u, r)
        self.velocity(a, u, r, *found)
        charge, chosen = charges(a, self.mass), sample_neurons(u, r, a, self.mass)
        some, others = (u[chosen], r[chosen]), (charge, u, r)
        off, off_u, off_r = self._student_miss(some, others)
        target, target_u, target_r = self._target_miss(*some)
        own = np.abs(a[chosen])
        miss = Velocities(
            self.rate * (off + target),
            own[:, None] * (off_u + target_u),
            own * (off_r + target_r),
        )
        energy = self.target.second_moment()
        risk = 0.5 * self.target.second_moment_error() + ROUNDED * UNIT * energy
        risk += float(np.abs(charge).mean() * (0.5 * off + target).max())
        here = risk, self.risk(a, u, r)
        return relative_error(miss, found, a, self.mass, energy, self.rate, here)

    def _student_miss(
        self, some: tuple[Array, Array], others: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        """What E f σ(λ) and its slopes at some neurons may be off by."""
        finer, rounding = self.rule, ROUNDED * UNIT
        if len(finer[0]) > 1 and self.D > 1:
            finer = sphere_coordinate_rule(self.D, 2 * len(finer[0]))
        value = self.student_part(*some, *others)
        slopes = self._student_slopes(*some, *others, self.rule)
        again = self.student_part(*some, *others, finer)
        slopes_again = self._student_slopes(*some, *others, finer)
        charge, u, r = others
        # what a neuron adds at most: E f σ is homogeneous of degree one in it, or bounded
        length = np.sqrt(np.einsum("ix,ix->i", u, u) + r * r)
        size = length if self.code == RELU else np.minimum(length, 1.0)
        most = rounding * float((np.abs(charge) * size).mean())
        own = np.sqrt((some[0] ** 2).sum(axis=1) + some[1] ** 2)
        across = np.divide(some[1], own, out=np.zeros_like(own), where=own > 0.0)
        off_u, off_r = (np.abs(x - y) for x, y in zip(slopes, slopes_again, strict=True))
        return np.abs(value - again) + most * own, off_u + most, off_r + most * np.abs(across)

    def _target_miss(self, u: Array, r: Array) -> tuple[Array, Array, Array]:
        """What E f* σ(λ) and its slopes may be off by: rounding, and another rule's difference."""
        found = self.target_part(u, r)
        value, slope_u, slope_r = (ROUNDED * UNIT * np.abs(part) for part in found)
        off, off_u, off_r = (np.abs(part) for part in self.target_part.miss(u, r, found=found))
        return value + off, slope_u + off_u, slope_r + off_r

    def layout_state(self) -> dict[str, Any]:
        """See `Field`: the rule over Z serves up to a largest r."""
        return {"r_bound": self.r_bound}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        if state["r_bound"] != self.r_bound:
            self._reach(state["r_bound"])

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name, "overlap_nodes": len(self.rule[0])}
