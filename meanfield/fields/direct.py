"""Any activation, any target, any k: sums over neurons at nodes, and over nodes at neurons.

Time n × nodes, memory O(n). The nodes are a tensor rule where k is small and low-discrepancy points
beyond; rules are refined until the tolerance is reached or the nodes run out. The error is what a
finer or independent rule, with a finer table, changes at sample neurons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from meanfield.fields import rules
from meanfield.fields.base import Array, charges, root_mean_square, sample_neurons
from meanfield.fields.estimate import largest_miss, sizes
from meanfield.fields.rules import InputRule
from meanfield.fields.tables import Tables
from meanfield.kernels import direct
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure

# what is asked for unless the user says so: what the nodes reach at reasonable cost
SMOOTH_TOLERANCES = {1: 1e-8, 2: 1e-8, 3: 1e-6}
KINKED_TOLERANCES = {1: 1e-5}
SOBOL_TOLERANCE = 1e-2
COARSE, FEWEST_RADII = 1e-3, 3  # where a few ρ are enough to start from
AXIS_LADDER = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
PANEL_LADDER = (20, 40, 80, 160)
POWERS = range(10, 18)
MOST_NODES = 2**17
MOST_PAIRS = 2**29  # of a neuron and a node: a right-hand side of a few seconds
SCRAMBLINGS = 3  # independent ones, for the error
GROWTH = 1.5  # of the largest |u|², at which the rule is chosen again
FINER = 1.5  # how much finer the table is that checks a table
# both miss a kink by their spacing, so that their difference is this share of the error or more
KINK_SHARE = 1.0 - 1.0 / FINER
BLOCKS = 16


class DirectField:
    """Evaluation by direct quadrature.

    Parameters
    ----------
    problem : Problem
    tolerance : float, optional
        What the error estimate should come to: relative, see `error_estimate`.
    """

    name = "direct"

    def __init__(self, problem: Problem, tolerance: float | None = None):
        self.problem, self.rate = problem, problem.second_layer_rate
        self.k, self.D = problem.subspace_dim, problem.perpendicular_dim
        self.target, self.tables = problem.target, Tables(problem.student, self.D)
        self.kinked = not (problem.student.smooth and problem.target.smooth)
        natural = KINKED_TOLERANCES if self.kinked else SMOOTH_TOLERANCES
        self.tolerance = natural.get(self.k, SOBOL_TOLERANCE) if tolerance is None else tolerance
        self.mass: Array | None = None
        self.speed, self.climb = np.zeros(2), 0.0  # largest rms velocities: u and r, a
        self.rule: InputRule | None = None
        self.served = math.inf
        self.worst = math.inf

    # -- laying out -----------------------------------------------------------------------------

    def prepare(self, measure: ParticleMeasure) -> None:
        """See `Field`: refine the rule until the error meets the tolerance or the nodes run out."""
        self.mass, self.rule, self.speed, self.climb = measure.mass, None, np.zeros(2), 0.0
        if not np.isfinite(np.append(measure.u.ravel() ** 2, measure.r**2)).all():
            self._use(
                rules.tensor_rule(self.k, self.D, 2, 1)
            )  # there is nothing to be accurate about
            return
        self._refine(measure)

    def _refine(self, measure: ParticleMeasure) -> None:
        self.served = float((measure.u**2).sum(axis=1).max())
        best: tuple[float, InputRule] | None = None
        for rule in self._candidates(measure, self._radii(measure)):
            self._use(rule)
            error = self.error_estimate(measure)
            if best is None or error < best[0]:
                best = error, rule
            if error <= self.tolerance:
                break
        assert best is not None
        self._use(best[1])

    def _radii(self, measure: ParticleMeasure) -> int:
        """How many ρ: more, until a third more of them change nothing."""
        if math.isinf(self.D):
            return 1
        count = rules.radius_count(self.D, float(measure.r.max()))
        if self.tolerance >= COARSE:
            count = min(count, FEWEST_RADII)
        for _ in range(6):
            coarse = rules.sobol_rule(self.k, self.D, 7, count, seed=0)
            self._use(coarse)
            finer = rules.with_radii(coarse, self.D, math.ceil(1.35 * count))
            if self._change(measure, [finer]) <= 0.3 * self.tolerance:
                break
            count = math.ceil(1.35 * count)
        return count

    def _candidates(self, measure: ParticleMeasure, radii: int) -> Iterator[InputRule]:
        """Rules in the order they are tried."""
        most = max(2 ** POWERS[0], min(MOST_NODES, MOST_PAIRS // measure.n)) // radii
        if self.kinked and self.k == 1:
            yield from (rules.graded_rule(self.D, panels, radii) for panels in PANEL_LADDER)
        elif not self.kinked and self.k <= 3:
            for size in AXIS_LADDER:
                rule = rules.tensor_rule(self.k, self.D, size, radii)
                if size > AXIS_LADDER[0] and rule.z.shape[1] > most:
                    return
                yield rule
        else:
            for power in POWERS:
                if power == POWERS[0] or 2**power <= most:
                    yield rules.sobol_rule(self.k, self.D, power, radii, seed=0)

    def _use(self, rule: InputRule) -> None:
        self.rule = rule
        self.values = self.target(np.ascontiguousarray(rule.z.T))
        self.weight = rule.joint_weight

    def _checking_rules(self, rule: InputRule) -> list[InputRule]:
        """Rules to hold one against: a finer one, or other scramblings."""
        radii = len(rule.rho) if math.isinf(self.D) else math.ceil(1.35 * len(rule.rho))
        if rule.kind == "tensor":
            return [rules.tensor_rule(self.k, self.D, math.ceil(1.35 * rule.size), radii)]
        if rule.kind == "graded":
            return [rules.graded_rule(self.D, math.ceil(1.35 * rule.size), radii)]
        seeds = range(1, 1 + SCRAMBLINGS)
        return [rules.sobol_rule(self.k, self.D, rule.size, radii, seed) for seed in seeds]

    # -- evaluating -----------------------------------------------------------------------------

    def _epsilon(
        self, a: Array, u: Array, r: Array, rule: InputRule, finer: float = 1.0
    ) -> tuple[Array, direct.Table]:
        """ε at the nodes of a rule, shape (B, N), and the table it took."""
        table = self.tables.covering(u, r, rule, finer)
        parts = direct.field_at_nodes(
            charges(a, self.mass), u, r, rule.z, rule.rho, table, min(BLOCKS, len(a))
        )
        in_use = rule is self.rule
        values = self.values if in_use else self.target(np.ascontiguousarray(rule.z.T))
        return values - parts.sum(axis=0), table

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        try:
            furthest = float(np.einsum("ix,ix->i", u, u).max())
            if max(GROWTH * self.served, 1.0) < furthest < math.inf:
                self._refine(ParticleMeasure(a, u, np.abs(r), self.mass))
            rule = self.rule
            assert rule is not None
            epsilon, table = self._epsilon(a, u, r, rule)
        except FloatingPointError:
            for out in (out_a, out_u, out_r):
                out[:] = math.nan
            return
        charge = self.weight * epsilon
        direct.velocities(a, u, r, rule.z, rule.rho, charge, table, self.rate, out_a, out_u, out_r)

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`: a sum of squares on the nodes, the same whose slope the velocity is."""
        assert self.rule is not None
        epsilon, _ = self._epsilon(a, u, r, self.rule)
        return 0.5 * float((self.weight * epsilon * epsilon).sum())

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`."""
        assert self.rule is not None
        epsilon, _ = self._epsilon(a, u, r, self.rule)
        f = self.values - epsilon
        outside = f - (self.rule.rho_weight[:, None] * f).sum(axis=0)
        return float((self.weight * outside**2).sum()), float((self.weight * f * f).sum())

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """See `Field`: what other rules and a finer table change, in sample neurons and risk.

        Relative to the root mean square velocity, at this measure or at an earlier one if it was
        larger: where neurons have come to rest, nodes that shift the velocity shift nothing else.
        """
        assert self.rule is not None
        self.worst = self._change(measure, self._checking_rules(self.rule))
        return self.worst

    def _change(self, measure: ParticleMeasure, others: list[InputRule]) -> float:
        """Largest change of a velocity, and of the risk over ½ E f*²."""
        a, u, r = measure.arrays()
        out_a, out_u, out_r = np.zeros_like(a), np.empty_like(u), np.empty_like(r)
        self.velocity(a, u, r, out_a, out_u, out_r)
        energy = float((self.weight * self.values**2).sum())
        force = math.sqrt(energy) * root_mean_square(a, self.mass)
        self.speed = np.maximum(self.speed, sizes(out_u, out_r, self.mass, force))
        self.climb = max(self.climb, root_mean_square(out_a, self.mass), 1e-6 * math.sqrt(energy))
        chosen = sample_neurons(u, r)
        some = a[chosen], u[chosen], r[chosen]
        da, du, dr, risk = (
            np.zeros_like(some[0]),
            np.zeros_like(some[1]),
            np.zeros_like(some[2]),
            0.0,
        )
        try:
            for rule in others:
                epsilon, table = self._epsilon(a, u, r, rule, FINER)
                found = np.zeros_like(da), np.empty_like(du), np.empty_like(dr)
                charge = rule.joint_weight * epsilon
                direct.velocities(*some, rule.z, rule.rho, charge, table, self.rate, *found)
                risk += 0.5 * float((charge * epsilon).sum()) / len(others)
                for total, one in zip((da, du, dr), found, strict=True):
                    total += one / len(others)
            change = abs(risk - self.risk(a, u, r)) / (0.5 * energy or 1.0)
        except FloatingPointError:
            return math.inf
        miss = largest_miss(out_u[chosen] - du, out_r[chosen] - dr, self.speed)
        worst = max(miss, float(np.abs(out_a[chosen] - da).max()) / (self.climb or 1.0), change)
        student = self.problem.student
        return worst if student.smooth or student.homogeneous else worst / KINK_SHARE

    def layout_state(self) -> dict[str, Any]:
        """See `Field`."""
        assert self.rule is not None
        made = self.tables.made.get(1.0)
        tabulated = made is not None and math.isfinite(made[0])
        return {
            "rule": [self.rule.kind, self.rule.size, len(self.rule.rho)],
            "reach": made[:2] if made is not None and tabulated else None,
            "served": self.served,
            "speed": [*self.speed.tolist(), self.climb],
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        kind, size, radii = state["rule"]
        self._use(rules.make_rule(kind, size, radii, self.k, self.D))
        *speed, self.climb = state["speed"]
        self.speed, self.served = np.array(speed), state["served"]
        if state["reach"] is not None:
            self.tables.make(*state["reach"])

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        assert self.rule is not None
        return {"field": self.name, "rule": self.rule.kind, "nodes": self.rule.nodes}
