"""Any number of neurons in linear time: a mesh for each direction of the principal subspace.

f at z = t e depends on the neurons through (v, r) = (u·e, r) alone. So, for each direction e of a
rule on the sphere: neurons → moments on a small mesh in (v, r) → residual ε on nodes (t, ρ) → its
potential on the mesh → velocities of the neurons. The matrix from mesh to nodes does not depend on
the state and serves all directions; the number of nodes does not enter the cost per neuron.

Meshes and rules are refined until velocities agree with exact pair sums at sample neurons. Where
there are none, with those of a finer layout at all neurons (a coarser one, if that would not fit),
and the target's part with quadrature made for each sample neuron.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meanfield.fields.base import (
    EDGE,
    Array,
    Cost,
    LinearField,
    Task,
    charges,
    kept,
    reach_of,
    root_mean_square,
    sample_neurons,
    unlocked,
)
from meanfield.fields.costs import SECONDS
from meanfield.fields.pairs.closed import has_pair_forms
from meanfield.fields.slices.deviation import Deviation
from meanfield.fields.slices.layouts import FURTHEST, NARROW, Layout, lay_out, slice_size
from meanfield.fields.slices.meshes import Out
from meanfield.fields.slices.smooth import sees_ratio
from meanfield.problem import Problem
from meanfield.states import ParticleMeasure

SMOOTH_TOLERANCE = {1: 1e-9, 2: 1e-8, 3: 1e-8}  # by k
NARROW_TOLERANCE = 5e-8  # poles near the axis: polynomials converge slowly
KINKED_TOLERANCE = 1e-5
MAX_LEVEL = 4
PART = 4000  # of more neurons, the error estimate compares the field that this many of them make
# A mesh reaches x₀ + x₁ R where the furthest neuron is at R; where neurons stand still, just far
# enough for `outgrown` not to ask for another.
ROOM, SMALL_ROOM = (1.0, 1.3), (0.1, 1.02 / EDGE)


class SliceField(LinearField):
    """Evaluation in linear time, k ≤ 3; see `serves`."""

    name = "slices"

    def __init__(self, problem: Problem, tolerance: float | None = None):
        if not self.serves(problem):
            raise ValueError("slices are for smooth or homogeneous students at k = 1, 2 or 3")
        self.problem, self.rate = problem, problem.second_layer_rate
        self.k, self.D = problem.subspace_dim, problem.perpendicular_dim
        self.smooth = problem.student.smooth
        self.tolerance = SMOOTH_TOLERANCE[self.k] if self.smooth else KINKED_TOLERANCE
        if problem.student.strip < NARROW:
            self.tolerance = max(self.tolerance, NARROW_TOLERANCE)
        if tolerance is not None:
            self.tolerance = tolerance
        self.in_place = self.k == 1 and self.smooth  # velocities may be written over the neurons
        self.level = 0
        self.layouts = 0
        self.worst = 0.0
        self.layout: Layout | None = None
        self.still = False
        self.deviation = Deviation(problem)

    @staticmethod
    def serves(problem: Problem) -> bool:
        """Whether meshes can hold the student: smooth, or homogeneous."""
        student = problem.student
        return problem.subspace_dim <= 3 and (student.smooth or student.homogeneous)

    @classmethod
    def cost(cls, task: Task) -> Cost | None:
        """See `Field`."""
        problem, k = task.problem, task.problem.subspace_dim
        if not cls.serves(problem):
            return None
        smooth = problem.student.smooth  # else homogeneous: its mesh does not know lengths
        far = (task.furthest, task.longest) if smooth else (1.0, 1.0)
        reach = [ROOM[0] + ROOM[1] * x for x in far]
        directions, points = slice_size(k, reach[0], reach[1], problem.perpendicular_dim)
        neurons = task.n * SECONDS[f"slices {k}"] * (directions if k == 3 else 1.0)
        ratio = SECONDS["slices ratio"] if sees_ratio(problem.student, problem.dim) else 1.0
        finer = 1.0 if has_pair_forms(problem) else 2.0  # a layout that checks the one in use
        mesh = finer * SECONDS["slices layout"] + directions * SECONDS["slices nodes"]
        # with kinks many directions still make a coarse answer: for when pairs take too long
        error = 1e-7 if k == 1 or (smooth and problem.target.smooth) else 1e-3
        seconds = ratio * (SECONDS[f"slices call {k}"] + neurons) + points * mesh
        return Cost(seconds, error)

    # -- laying out -----------------------------------------------------------------------------

    def prepare(self, measure: ParticleMeasure, *, still: bool = False) -> None:
        """Refine until the error estimate meets the tolerance, or refining no longer helps."""
        self.layout, self.mass, self.still = None, measure.mass, still
        self._cover(measure.u, measure.r)
        error = self.error_estimate(measure)
        while error > self.tolerance and self.level < MAX_LEVEL:
            coarser, before = self.layout, error
            self.level += 1
            if not self._cover(measure.u, measure.r):
                break
            error = self.error_estimate(measure)
            if error > 0.5 * before:  # as good as it gets: keep the cheaper of the two
                self.level -= 1
                self.layout, self.worst = coarser, before
                break

    def _cover(self, u: Array, r: Array) -> bool:
        """Lay out for these neurons at the current level; False if that takes too much memory.

        Of neurons that are too far for any mesh there is no layout.
        """
        least, headroom = SMALL_ROOM if self.still else ROOM
        furthest, longest = (least + headroom * reach for reach in reach_of(u, r))
        if not max(furthest, longest) < FURTHEST:
            return False
        layout = self._laid(furthest, longest)
        while layout is None and self.layout is None:  # something must serve: coarsen
            self.level -= 1
            layout = self._laid(furthest, longest)
        if layout is None:
            self.level -= 1
            return False
        self.layout = layout
        self.layouts += 1
        return True

    def _laid(self, furthest: float, longest: float) -> Layout | None:
        """A layout at the current level: the one that a coarser was held to, or a new one."""
        held = self.deviation.layout_at(self.level, (furthest, longest))
        return held or lay_out(self.problem, furthest, longest, self.level)

    def layout_state(self) -> dict[str, Any]:
        """See `Field`."""
        reach = None if self.layout is None else self.layout.reach
        return {"level": self.level, "layouts": self.layouts, "reach": reach}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        self.level, self.layouts = state["level"], state["layouts"]
        self.layout = None
        if state["reach"] is not None:
            furthest, longest = state["reach"]
            self.layout = lay_out(self.problem, furthest, longest, self.level)

    def outgrown(self, a: Array, u: Array, r: Array, sums: Array | None = None) -> bool:
        """See `Field`: near the edge of a mesh; that of a homogeneous student has none."""
        reach = reach_of(u, r)
        if self.layout is None or not max(reach) < FURTHEST:
            return max(reach) < FURTHEST
        near = any(mine > EDGE * edge for mine, edge in zip(reach, self.layout.reach, strict=True))
        return self.smooth and near

    def grow(self, a: Array, u: Array, r: Array) -> bool:
        """See `Field`: a wider layout of the same level, a coarser one if that is too large."""
        before, self.layout = self.layout, None
        if not self._cover(u, r):
            self.layout = before
            return False
        return True

    # -- evaluating -----------------------------------------------------------------------------

    def gather(self, charge: Array, u: Array, r: Array) -> Array:
        """See `LinearField`: moments on the mesh (C, G)."""
        if self.layout is None:
            return np.full((1, 1), math.nan)
        moments = self.layout.mesh.spread(charge, u, r)
        if moments is None:
            shape = self.layout.nodes.target.shape[1], self.layout.mesh.size
            return np.full(shape, math.nan)
        return moments

    def scatter(
        self, sums: Array, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `LinearField`."""
        self._scatter(sums, a, u, r, self.rate, (out_a, out_u, out_r))

    def _scatter(self, sums: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        if self.layout is None or math.isnan(sums.flat[0]):
            for part in out:
                part[:] = math.nan
            return
        self.layout.velocity(self.layout.residual(sums), a, u, r, rate, out)

    def risk_of(self, sums: Array) -> float:
        """See `LinearField`; a sum of squares on the nodes, so it stays accurate when small."""
        layout = self.layout
        if layout is None or math.isnan(sums.flat[0]):
            return math.nan
        epsilon = layout.residual(sums)
        squares = (epsilon * epsilon * layout.share).sum(axis=1)
        return max(layout.floor + 0.5 * float((layout.nodes.weight * squares).sum()), 0.0)

    def variance_parts_of(self, sums: Array) -> tuple[float, float]:
        """See `LinearField`."""
        layout = self.layout
        if layout is None or math.isnan(sums.flat[0]):
            return math.nan, math.nan
        if layout.nodes.shape[1] == 1 and not math.isinf(self.D):
            layout = layout.with_product_nodes(self.problem)
        nodes = layout.nodes
        count_t, count_rho = nodes.shape
        f = layout.on_nodes(sums).reshape(count_t, count_rho, -1)
        weight = nodes.weight.reshape(count_t, count_rho, 1) * layout.share
        mean = (f * weight).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
        outside = float((weight * (f - mean) ** 2).sum())
        return outside, float((weight * f * f).sum())

    @kept
    def error_estimate(self, measure: ParticleMeasure) -> float:
        """Largest deviation from pair sums or from a finer layout, over the rms velocity.

        Taken for u and r apart, so that neither hides behind the other, and for E ε σ, which moves
        the second layer and makes the risk, over the root of E f*². Of many neurons a part makes
        the field that is compared: what a mesh gets wrong does not depend on their number.
        """
        a, u, r = (unlocked(values) for values in (measure.a, measure.u, measure.r))
        out = np.empty_like(a), np.empty_like(u), np.empty_like(r)
        charge = charges(a, self.mass)
        self._scatter(self.gather(charge, u, r), a, u, r, 1.0, out)
        size_u, size_r = (root_mean_square(part, self.mass) for part in out[1:])
        if len(a) > PART:
            chosen = sample_neurons(u, r, a)
            part = np.unique(np.append(chosen, np.linspace(0, len(a) - 1, PART).astype(np.int64)))
            charge, a, u, r = charge[part], a[part], u[part], r[part]
            out = np.empty_like(a), np.empty_like(u), np.empty_like(r)
            self._scatter(self.gather(charge, u, r), a, u, r, 1.0, out)
        self.worst = self.deviation.largest(
            self.layout, self.level, self.still, charge, a, u, r, out, size_u, size_r
        )
        return self.worst

    def description(self) -> dict[str, Any]:
        """See `Field`."""
        if self.layout is None:
            return {"field": self.name}
        return {
            "field": self.name,
            "nodes": len(self.layout.nodes.t),
            "mesh_points": self.layout.mesh.size,
            "directions": 2 * len(self.layout.directions),
            "layouts": self.layouts,
        }
