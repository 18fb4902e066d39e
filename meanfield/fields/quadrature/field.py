"""Any activation, any target, any k: sums over neurons at nodes, and over nodes at neurons.

Time n × nodes, memory O(n). The nodes are a tensor rule where k is small and low-discrepancy points
beyond; rules are refined until the tolerance is reached or the nodes run out. The error is what a
finer or independent rule changes at sample neurons, and what averages taken one by one change in a
part of the field, for tables of a kink may all miss it alike.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np

from meanfield.fields.base import EDGE, Array, Cost, Task, charges, sample_neurons
from meanfield.fields.costs import SECONDS
from meanfield.fields.estimate import Velocities, relative_error
from meanfield.fields.quadrature import inputs
from meanfield.fields.quadrature.average_tables import BLOCKS, Tables, table_error
from meanfield.fields.quadrature.inputs import InputRule, Ladder
from meanfield.kernels.fields import quadrature
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure

# what is asked for unless the user says so: what the nodes reach at reasonable cost
SMOOTH_TOLERANCES = {1: 1e-8, 2: 1e-8, 3: 1e-6}
KINKED_TOLERANCES = {1: 1e-5}
SOBOL_TOLERANCE = 1e-2
TYPICAL_NODES = {1: 1e2, 2: 2e3, 3: 3e4}  # for one ρ
COARSE = 1e-3  # where a few ρ are enough to start from
GROWTH = 1.5  # of the largest |u|², at which the rule is chosen again


class DirectField:
    """Evaluation by direct quadrature.

    Parameters
    ----------
    problem : Problem
    tolerance : float, optional
        What the error estimate should come to: relative, see `error_estimate`.
    """

    name = "quadrature"

    def __init__(self, problem: Problem, tolerance: float | None = None):
        self.problem, self.rate = problem, problem.second_layer_rate
        self.k, self.D = problem.subspace_dim, problem.perpendicular_dim
        self.target, self.tables = problem.target, Tables(problem.student, self.D)
        self.ladder = Ladder(problem)
        self.tolerance = _natural_tolerance(problem) if tolerance is None else tolerance
        self.mass: Array | None = None
        self.checking = Tables(problem.student, self.D)  # for rules that reach further
        self.rule: InputRule
        self.squared_reach, self.worst = math.inf, math.inf

    @staticmethod
    def cost(task: Task) -> Cost:
        """See `Field`: any problem."""
        problem, D = task.problem, task.problem.perpendicular_dim
        radii = 1.0 if math.isinf(D) else 4.0 + 30.0 / math.sqrt(D)
        nodes = radii * TYPICAL_NODES.get(problem.subspace_dim, 2.0 ** inputs.POWERS[-3])
        error = _natural_tolerance(problem) if task.tolerance is None else task.tolerance
        return Cost(task.n * nodes * SECONDS["quadrature"], error)

    # -- laying out -----------------------------------------------------------------------------

    def prepare(self, measure: ParticleMeasure, *, still: bool = False) -> None:
        """See `Field`: refine the rule until the error meets the tolerance or the nodes run out."""
        self.mass = measure.mass
        if not np.isfinite(np.append(measure.u.ravel() ** 2, measure.r**2)).all():
            self._set_rule_and_table(inputs.tensor_rule(self.k, self.D, 2, 1), measure.u, measure.r)
            return  # there is nothing to be accurate about
        self._refine(measure)

    def _refine(self, measure: ParticleMeasure) -> None:
        self.squared_reach = float((measure.u**2).sum(axis=1).max())
        best: tuple[float, InputRule] | None = None
        for rule in self.ladder.rules(measure.n, self._radii(measure)):
            self._set_rule_and_table(rule, measure.u, measure.r)
            error = self._change(measure, self.ladder.checking(rule))
            if best is None or error < best[0]:
                best = error, rule
            if error <= self.tolerance:
                break
        assert best is not None
        self.worst = best[0]
        self._set_rule_and_table(best[1], measure.u, measure.r)

    def outgrown(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`."""
        if not np.isfinite(float((u * u).sum() + (r * r).sum())):
            return False
        if self._has_moved_far(u):
            return True
        try:
            self.tables.current(u, r, self.rule, EDGE)
        except FloatingPointError:
            return True
        return False

    def _has_moved_far(self, u: Array) -> bool:
        """Whether neurons have come so far that other nodes may be needed."""
        return float(np.einsum("ix,ix->i", u, u).max()) > max(GROWTH * self.squared_reach, 1.0)

    def grow(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`."""
        if self._has_moved_far(u):
            self._refine(ParticleMeasure(a, u, np.abs(r), self.mass))
            return True
        with suppress(FloatingPointError):
            self.tables.covering(u, r, self.rule)
            return True
        return False

    def _radii(self, measure: ParticleMeasure) -> int:
        """How many ρ: more, until a third more of them change nothing."""
        if math.isinf(self.D):
            return 1
        count = inputs.radius_count(self.D, float(measure.r.max()))
        if self.tolerance >= COARSE:
            count = min(count, inputs.FEW_RADII)
        for _ in range(6):
            coarse = inputs.sobol_rule(self.k, self.D, 7, count, seed=0)
            self._set_rule_and_table(coarse, measure.u, measure.r)
            finer = inputs.with_radii(coarse, self.D, math.ceil(inputs.FINER * count))
            if self._change(measure, [finer]) <= 0.3 * self.tolerance:
                break
            count = math.ceil(inputs.FINER * count)
        return count

    def _set_rule_and_table(self, rule: InputRule, u: Array, r: Array) -> None:
        """Take a rule, with a table for neurons; without one where they are too far."""
        self._set_rule(rule)
        with suppress(FloatingPointError):
            self.tables.covering(u, r, rule)

    def _set_rule(self, rule: InputRule) -> None:
        self.rule = rule
        self.values = self.target(np.ascontiguousarray(rule.z.T))
        self.weight = rule.joint_weight

    # -- evaluating -----------------------------------------------------------------------------

    def _epsilon(
        self, a: Array, u: Array, r: Array, rule: InputRule
    ) -> tuple[Array, quadrature.Table]:
        """ε at the nodes of a rule, shape (B, N), and the table it took."""
        in_use = rule is self.rule
        table = (self.tables.current if in_use else self.checking.covering)(u, r, rule)
        parts = quadrature.field_at_nodes(
            charges(a, self.mass), u, r, rule.z, rule.rho, table, min(BLOCKS, len(a))
        )
        values = self.values if in_use else self.target(np.ascontiguousarray(rule.z.T))
        return values - parts.sum(axis=0), table

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        try:
            rule = self.rule
            epsilon, table = self._epsilon(a, u, r, rule)
        except FloatingPointError:
            for out in (out_a, out_u, out_r):
                out[:] = math.nan
            return
        charge = self.weight * epsilon
        quadrature.velocities(
            a, u, r, rule.z, rule.rho, charge, table, self.rate, out_a, out_u, out_r
        )

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`: a sum of squares on the nodes, the same whose slope the velocity is."""
        epsilon, _ = self._epsilon(a, u, r, self.rule)
        return 0.5 * float((self.weight * epsilon * epsilon).sum())

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`."""
        epsilon, _ = self._epsilon(a, u, r, self.rule)
        f = self.values - epsilon
        outside = f - (self.rule.rho_weight[:, None] * f).sum(axis=0)
        return float((self.weight * outside**2).sum()), float((self.weight * f * f).sum())

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: what other rules change, and averages one by one instead of a table."""
        by_rule = self._change(measure, self.ladder.checking(self.rule))
        self.worst = math.hypot(by_rule, self._table_error(measure))
        return self.worst

    def _table_error(self, measure: ParticleMeasure) -> float:
        """What the table changes, as far as some neurons on few nodes show it."""
        a, u, r = measure.arrays()
        found, rule = self.velocities(a, u, r), self.ladder.small(self.rule)
        charge, chosen = charges(a, self.mass), sample_neurons(u, r, a, self.mass)
        values = self.target(np.ascontiguousarray(rule.z.T))
        try:
            miss = table_error(self.checking, a, u, r, charge, chosen, rule, values, self.rate)
        except FloatingPointError:
            return math.inf
        return relative_error(miss, found, a, self.mass, self.energy(), self.rate)

    def velocities(self, a: Array, u: Array, r: Array) -> Velocities:
        """The velocities of neurons, as new arrays."""
        out = Velocities.like(a, u, r)
        self.velocity(a, u, r, *out)
        return out

    def energy(self) -> float:
        """E f*² on the nodes in use."""
        return float((self.weight * self.values**2).sum())

    def _change(self, measure: ParticleMeasure, others: list[InputRule]) -> float:
        """Largest change of a velocity or of the risk under any of the other rules."""
        a, u, r = measure.arrays()
        mine, energy = self.velocities(a, u, r), self.energy()
        chosen = sample_neurons(u, r, a, self.mass)
        some, change = (a[chosen], u[chosen], r[chosen]), 0.0
        worst = Velocities(*(np.zeros_like(part) for part in some))
        try:
            here = self.risk(a, u, r)
            for rule in others:
                epsilon, table = self._epsilon(a, u, r, rule)
                found, charge = Velocities.like(*some), rule.joint_weight * epsilon
                quadrature.velocities(*some, rule.z, rule.rho, charge, table, self.rate, *found)
                miss = mine.of(chosen).minus(found)
                worst = Velocities(*map(np.maximum, worst, map(np.abs, miss)))
                change = max(change, abs(0.5 * float((charge * epsilon).sum()) - here))
        except FloatingPointError:
            return math.inf
        risk = change, here
        return relative_error(worst, mine, a, self.mass, energy, self.rate, risk)

    def layout_state(self) -> dict[str, Any]:
        """See `Field`."""
        made = self.tables.made
        tabulated = made is not None and math.isfinite(made[0])
        return {
            "rule": [self.rule.kind, self.rule.size, len(self.rule.rho)],
            "reach": made[:2] if made is not None and tabulated else None,
            "served": self.squared_reach,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        kind, size, radii = state["rule"]
        self._set_rule(self.ladder.rule(kind, size, radii))
        self.squared_reach = state["served"]
        if state["reach"] is not None:
            self.tables.make(*state["reach"])
        else:
            self.tables.make_ray()

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        return {"field": self.name, "rule": self.rule.kind, "nodes": self.rule.nodes}


def _natural_tolerance(problem: Problem) -> float:
    """What the nodes reach at reasonable cost."""
    kinked = not (problem.student.smooth and problem.target.smooth)
    natural = KINKED_TOLERANCES if kinked else SMOOTH_TOLERANCES
    return natural.get(problem.subspace_dim, SOBOL_TOLERANCE)
