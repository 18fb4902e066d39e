"""Any number of neurons in linear time: a mesh for each direction of the principal subspace.

f at z = t e depends on the neurons through (v, r) = (u·e, r) alone. So, for each direction e of a
rule on the sphere: neurons → moments on a small mesh in (v, r) → residual ε on nodes (t, ρ) → its
potential on the mesh → velocities of the neurons. The matrix from mesh to nodes does not depend on
the state and serves all directions; the number of nodes does not enter the cost per neuron.

Meshes and rules are refined until velocities at sample neurons agree with exact pair sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meanfield.fields.base import Array, charges, root_mean_square, sample_neurons
from meanfield.fields.meshes import AngleMesh, Mesh, PlaneMesh
from meanfield.fields.nodes import Nodes, graded_nodes, polar_nodes, product_nodes
from meanfield.fields.pairs import PairField
from meanfield.kernels.mesh import POINTS
from meanfield.kernels.residual import project_residual
from meanfield.problem import Problem
from meanfield.quadrature import half_sphere_rule
from meanfield.states import ParticleMeasure

SMOOTH_TOLERANCE = 1e-8
KINKED_TOLERANCE = 1e-5
MAX_LEVEL = 4
MATRIX_BYTES = 2**29
SPACING = 0.055  # of the mesh, before it is refined
NEGLIGIBLE = 1e-3  # a component this far below the other is measured against the other
MANY_DIMENSIONS = 40  # beyond, the kinks of an averaged ReLU are smooth in ρ
LARGEST_DEGREE = 131  # of the rules on the sphere; kinks would want more
FURTHEST, MOST_DIRECTIONS = 1e4, 10_000  # weights and rules beyond this are not laid out
HEADROOM = 1.3  # how far beyond the neurons a new mesh reaches


@dataclass(frozen=True)
class _Layout:
    """One choice of mesh, directions and nodes for a reach, with the matrix that joins them.

    Directions (m, k) are half of a symmetric rule. Columns of the nodes' target and of the moments
    belong to the directions and, unless the mesh is odd, to their opposites; share weighs them.
    """

    reach: tuple[float, float]
    mesh: Mesh
    directions: Array
    share: Array
    nodes: Nodes
    matrix: Array
    floor: float


class SliceField:
    """Evaluation in linear time for erf and ReLU, k ≤ 3."""

    name = "slices"

    def __init__(self, problem: Problem):
        self.problem, self.rate = problem, problem.second_layer_rate
        self.k, self.D = problem.subspace_dim, problem.perpendicular_dim
        self.smooth = problem.student.smooth
        self.tolerance = SMOOTH_TOLERANCE if self.smooth else KINKED_TOLERANCE
        self.mass: Array | None = None
        self.level = 0
        self.layouts = 0
        self.worst = 0.0
        self.exact = PairField(problem)
        self.layout: _Layout | None = None

    def prepare(self, measure: ParticleMeasure) -> None:
        """Refine until the error estimate meets the tolerance, or refining no longer helps."""
        self.layout, self.mass = None, measure.mass
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
        """Lay out for these neurons at the current level; False if that takes too much memory."""
        furthest = 1.0 + HEADROOM * math.sqrt(float(np.einsum("ij,ij->i", u, u).max()))
        longest = 1.0 + HEADROOM * float(np.abs(r).max())
        layout = self._lay_out(furthest, longest)
        while layout is None and self.layout is None:  # something must serve: coarsen
            self.level -= 1
            layout = self._lay_out(furthest, longest)
        if layout is None:
            self.level -= 1
            return False
        self.layout = layout
        self.layouts += 1
        return True

    def _lay_out(self, furthest: float, longest: float) -> _Layout | None:
        finer = 1.3**self.level
        columns, points = slice_size(self.k, furthest, longest, self.D, finer)
        if self.smooth and (8 * points > MATRIX_BYTES or columns > MOST_DIRECTIONS):
            return None
        directions, share = half_sphere_rule(self.k, self._degree(furthest, finer))
        mesh: Mesh
        if self.smooth:
            mesh = PlaneMesh(furthest, longest, SPACING / finer, self.D)
            counts = _node_counts(furthest, longest, self.k, self.D, finer)
            nodes = product_nodes(self._odd_target, directions, self.k, self.D, counts)
        else:
            mesh = AngleMesh(2 * math.ceil(96 * finer), self.D)
            nodes = self._kinked_nodes(directions, mesh.psi, math.ceil(80 * finer))
            share = 0.5 * np.concatenate((share, share))
        if 8 * len(nodes.t) * mesh.size > MATRIX_BYTES:
            return None
        floor = self._floor(nodes, share)
        reach = furthest, longest
        return _Layout(reach, mesh, directions, share, nodes, mesh.matrix(nodes), floor)

    def _odd_target(self, z: Array) -> Array:
        """What of f* an odd student can see."""
        return 0.5 * (self.problem.target(z) - self.problem.target(-z))

    def _kinked_nodes(self, directions: Array, psi: Array, breaks: int) -> Nodes:
        columns = np.concatenate((directions, -directions))
        target = self.problem.target
        if self.D > MANY_DIMENSIONS:
            return graded_nodes(target, columns, self.k, self.D, breaks)
        return polar_nodes(target, columns, self.k, self.D, psi)

    def _floor(self, nodes: Nodes, share: Array) -> float:
        """The part of ½ E f*² that the nodes do not see.

        That of f* which no student can fit on them (its even part for an odd student, all but its
        projection on τ at unit radius for ReLU), and where f* has kinks the error of the rule on
        directions. Zero where the nodes hold f* to rounding.
        """
        student, target = self.problem.activation, self.problem.committee
        polar = student == "relu" and self.D <= MANY_DIMENSIONS
        held = {"erf": student == "erf" or not polar, "relu": student == "relu" and self.k == 1,
                "square": student == "relu" and not polar}  # fmt: skip
        if held[target.link.name]:
            return 0.0
        seen = float((nodes.weight[:, None] * nodes.target**2 * share).sum())
        return 0.5 * (target.second_moment() - seen)

    def _degree(self, furthest: float, finer: float) -> int:
        """Degree of the rule on directions; kinks converge slowly and start from more."""
        start = 24 + 16 * furthest if self.smooth and self.problem.committee.link.smooth else 255
        degree = 1 if self.k == 1 else math.ceil(start * finer**2)
        return min(degree, LARGEST_DEGREE) if self.k == 3 else degree

    def _ready(self, u: Array, r: Array) -> _Layout:
        if self.layout is None or not self.layout.mesh.covers(u, r):
            if not max(float(np.abs(u).max()), float(np.abs(r).max())) < FURTHEST:
                raise FloatingPointError("neurons have left every mesh")
            self.layout = None
            self._cover(u, r)
        assert self.layout is not None
        return self.layout

    def layout_state(self) -> dict[str, Any]:
        """See `Field`."""
        state = {"level": self.level, "layouts": self.layouts, "worst": self.worst}
        reach = None if self.layout is None else self.layout.reach
        return {**state, "reach": reach, "exact": self.exact.layout_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Field`."""
        self.level, self.layouts, self.worst = state["level"], state["layouts"], state["worst"]
        self.layout = None if state["reach"] is None else self._lay_out(*state["reach"])
        self.exact.restore(state["exact"])

    def residual(self, a: Array, u: Array, r: Array) -> tuple[_Layout, Array, Array]:
        """The layout in use, ε on its nodes (N, C), and the potential of ε on the mesh (C, G)."""
        layout = self._ready(u, r)
        moments = layout.mesh.spread(charges(a, self.mass), u, r, layout.directions)
        epsilon, potential = project_residual(
            layout.matrix, layout.nodes.weight, layout.nodes.target, moments, _blocks(moments)
        )
        return layout, epsilon, potential

    def velocity(
        self, a: Array, u: Array, r: Array, out_a: Array, out_u: Array, out_r: Array
    ) -> None:
        """See `Field`."""
        try:
            layout, _, potential = self.residual(a, u, r)
        except FloatingPointError:
            for out in (out_a, out_u, out_r):
                out[:] = math.nan
            return
        # the shares of e and −e, where both are there, are in the two columns' sum already
        share = layout.share[: len(layout.directions)]
        layout.mesh.gather(
            potential, a, u, r, layout.directions, share, self.rate, (out_a, out_u, out_r)
        )

    def risk(self, a: Array, u: Array, r: Array) -> float:
        """See `Field`; a sum of squares on the nodes, so it stays accurate when small."""
        layout, epsilon, _ = self.residual(a, u, r)
        squares = (epsilon * epsilon * layout.share).sum(axis=1)
        return max(layout.floor + 0.5 * float((layout.nodes.weight * squares).sum()), 0.0)

    def variance_parts(self, a: Array, u: Array, r: Array) -> tuple[float, float]:
        """See `Field`."""
        layout = self._ready(u, r)
        if layout.nodes.shape[1] == 1 and not math.isinf(self.D):
            layout = self._product_layout(layout)
        moments = layout.mesh.spread(charges(a, self.mass), u, r, layout.directions)
        nodes = layout.nodes
        zero = np.zeros_like(nodes.target)
        minus_f, _ = project_residual(layout.matrix, nodes.weight, zero, moments, _blocks(moments))
        count_t, count_rho = layout.nodes.shape
        f = minus_f.reshape(count_t, count_rho, -1)
        weight = nodes.weight.reshape(count_t, count_rho, 1) * layout.share
        mean = (f * weight).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
        outside = float((weight * (f - mean) ** 2).sum())
        return outside, float((weight * f * f).sum())

    def _product_layout(self, layout: _Layout) -> _Layout:
        """The same mesh with nodes in t times nodes in ρ, so that f can be averaged over ρ."""
        target = self.problem.target
        columns = np.concatenate((layout.directions, -layout.directions))
        nodes = graded_nodes(target, columns, self.k, self.D, 80, lengths=48)
        return replace(layout, nodes=nodes, matrix=layout.mesh.matrix(nodes))

    def error_estimate(self, measure: ParticleMeasure) -> float:
        """Largest deviation from exact pair sums at sample neurons, over the rms velocity.

        Taken for u and r apart, so that neither hides behind the other.
        """
        a, u, r = measure.arrays()
        out_a, out_u, out_r = np.empty_like(a), np.empty_like(u), np.empty_like(r)
        self.velocity(a, u, r, out_a, out_u, out_r)
        chosen = sample_neurons(u, r)
        slope_u, slope_r = self.exact.slopes(u[chosen], r[chosen], charges(a, self.mass), u, r)
        miss_u = out_u[chosen] - a[chosen, None] * slope_u
        miss_r = out_r[chosen] - a[chosen] * slope_r
        size_u, size_r = (root_mean_square(out, self.mass) for out in (out_u, out_r))
        largest = max(size_u, size_r) or 1.0
        self.worst = max(
            float(np.sqrt((miss_u**2).sum(axis=1).max())) / max(size_u, NEGLIGIBLE * largest),
            float(np.abs(miss_r).max()) / max(size_r, NEGLIGIBLE * largest),
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


def slice_size(
    k: int, furthest: float, longest: float, D: float, finer: float = 1.0
) -> tuple[float, float]:
    """Roughly, how many directions, and how many mesh points times nodes, a smooth layout has."""
    if not max(furthest, longest) < FURTHEST:
        return math.inf, math.inf
    degree = (24.0 + 16.0 * furthest) * finer**2
    directions = {1: 1.0, 2: degree / 2.0, 3: min(degree, LARGEST_DEGREE) ** 2 / 6.0}[k]
    spacing = SPACING / finer
    mesh = (math.asinh(furthest) / spacing + POINTS) * (math.asinh(longest) / spacing + POINTS)
    return directions, mesh * math.prod(_node_counts(furthest, longest, k, D, finer))


def _node_counts(
    furthest: float, longest: float, k: int, D: float, finer: float
) -> tuple[int, int]:
    """How many t and ρ: a start that the error estimate then refines."""
    t = math.ceil((18 + 7 * furthest) * finer)
    if math.isinf(D):
        return t, 1
    if D <= 8:
        return t, math.ceil((18 + 7 * longest) * finer)
    return t, math.ceil((5 + (10 + 9 * longest) / math.sqrt(D)) * finer)


def _blocks(moments: Array) -> int:
    """Blocks of nodes: enough tasks for many threads, bounded memory."""
    return max(1, 32 // len(moments))
