"""How slices are laid out: directions, meshes along them, nodes, and the matrix that joins them.

A slice is the line z = t e through the principal subspace along a direction e of a rule on its
sphere: there f depends on a neuron through v = u·e and r alone. Its mesh is in (v, r), its nodes in
(t, ρ), ρ the length of x⊥.

Everything here depends on how far the neurons reach, not on where they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from meanfield.blas import one_blas_thread
from meanfield.fields.base import Array
from meanfield.fields.slices.axes import Resolution
from meanfield.fields.slices.meshes import AngleMesh, Mesh, Out
from meanfield.fields.slices.nodes import Nodes, graded_nodes, polar_nodes, product_nodes
from meanfield.fields.slices.planes import PlaneMesh, SpaceMesh
from meanfield.fields.slices.smooth import DirectMesh, TensorMesh, sees_ratio
from meanfield.gaussian.rules import LEBEDEV_DEGREES, half_sphere_rule, half_sphere_size
from meanfield.kernels.fields.slices.products import multiply
from meanfield.problem import Problem

MATRIX_BYTES = 2**29  # the largest matrix from a mesh to its nodes
MANY_DIMENSIONS = 40  # beyond, the kinks of an averaged ReLU are smooth in ρ
FEW_DIMENSIONS = 8  # up to which lengths of inputs take as many nodes as coordinates do
SHORT = 2.35  # a reach of lengths: neurons of unit length have a longer one
NARROW = 3.0  # a strip of analyticity that asks for more points
ROUNDING = 1e-10  # of E f*², the accuracy of the nodes
FURTHEST, MOST_DIRECTIONS = 1e4, 20_000  # weights and rules beyond this are not laid out


@dataclass(frozen=True)
class Layout:
    """One choice of mesh, directions and nodes for a reach, with the matrix that joins them.

    Directions (m, k) are half of a symmetric rule. Columns of the nodes' target and of the moments
    belong to the directions and, unless the mesh is odd, to their opposites; `share` holds their
    weights, which sum to one. `matrix` (N, G) takes moments on the mesh to f on the nodes.
    `floor` is the part of ½ E f*² that the nodes do not see.
    """

    reach: tuple[float, float]
    mesh: Mesh
    directions: Array
    share: Array
    nodes: Nodes
    matrix: Array
    transpose: Array
    floor: float

    def on_nodes(self, moments: Array) -> Array:
        """f on the nodes, (N, C), of moments (C, G)."""
        return multiply(self.matrix, np.ascontiguousarray(moments.T))

    def residual(self, moments: Array) -> Array:
        """ε = f* − f on the nodes, (N, C)."""
        return self.nodes.target - self.on_nodes(moments)

    def velocity(self, epsilon: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """Write the velocities that ε on the nodes gives, by its potential E ε g0 on the mesh."""
        weighted = self.nodes.weight[:, None] * epsilon
        potential = np.ascontiguousarray(multiply(self.transpose, weighted).T)
        self.mesh.gather(potential, a, u, r, rate, out)

    @one_blas_thread()
    def with_product_nodes(self, problem: Problem) -> Layout:
        """The same mesh with nodes in t times nodes in ρ, so that f can be averaged over ρ."""
        columns = np.concatenate((self.directions, -self.directions))
        k, D = problem.subspace_dim, problem.perpendicular_dim
        nodes = graded_nodes(problem.target, columns, k, D, 80, lengths=48)
        matrix = self.mesh.matrix(nodes)
        transpose = np.ascontiguousarray(matrix.T)
        return replace(self, nodes=nodes, matrix=matrix, transpose=transpose)


@one_blas_thread()
def lay_out(problem: Problem, furthest: float, longest: float, level: int) -> Layout | None:
    """A layout for neurons with |u| ≤ furthest and r ≤ longest, finer the higher the level.

    None if it would take too much memory.
    """
    k, D, finer = problem.subspace_dim, problem.perpendicular_dim, 1.3**level
    smooth, target = problem.student.smooth, problem.target
    degree = _degree(problem, furthest, finer)
    points = slice_size(k, furthest, longest, D, finer)[1]
    if (smooth and 8 * points > MATRIX_BYTES) or half_sphere_size(k, degree) > MOST_DIRECTIONS:
        return None
    directions, share = half_sphere_rule(k, degree)
    both = np.concatenate((directions, -directions))
    mesh: Mesh
    if smooth:
        counts = _node_counts(furthest, longest, k, D, finer)
        if problem.student.odd:  # what of f* an odd student can see
            nodes = product_nodes(
                lambda z: 0.5 * (target(z) - target(-z)), directions, k, D, counts
            )
        else:
            nodes = product_nodes(target, both, k, D, counts)
        mesh = _smooth_mesh(problem, directions, share, (furthest, longest), finer, nodes)
    else:
        mesh = AngleMesh(problem.student, directions, share, 2 * math.ceil(96 * finer), D)
        if D > MANY_DIMENSIONS:
            nodes = graded_nodes(target, both, k, D, math.ceil(80 * finer))
        else:
            nodes = polar_nodes(target, both, k, D, mesh.psi)
    if 8 * len(nodes.t) * mesh.size > MATRIX_BYTES:
        return None
    if not mesh.odd:
        share = 0.5 * np.concatenate((share, share))
    matrix = mesh.matrix(nodes)
    transpose = np.ascontiguousarray(matrix.T)
    floor = _floor(problem, nodes, share)
    reach = furthest, longest
    return Layout(reach, mesh, directions, share, nodes, matrix, transpose, floor)


def _smooth_mesh(
    problem: Problem,
    directions: Array,
    share: Array,
    reach: tuple[float, float],
    finer: float,
    nodes: Nodes,
) -> Mesh:
    """The mesh of a smooth student: at k = 2 and 3 with a basis of functions of r.

    At k = 1, and for erf at d = ∞, which sees u/√(1 + r²) alone, a mesh in (v, r) does without.
    The factors of spacings and points here and below are measured, as the least that suffice.
    """
    k, D, student = problem.subspace_dim, problem.perpendicular_dim, problem.student
    fine = resolution(k, finer, student.strip)
    if k > 1 and student.strip < NARROW and math.isfinite(D):
        fine = replace(fine, spacing=fine.spacing / _closer(D, reach[1]))
    if k > 1 and not sees_ratio(student, D):
        kind = PlaneMesh if k == 2 else SpaceMesh
        return kind(student, D, directions, share, *reach, fine, nodes)
    plain = TensorMesh if k == 2 else DirectMesh
    return plain(student, D, directions, share, *reach, fine)


def _closer(D: float, longest: float) -> float:
    """How many times closer points lie for a student with poles near the axis, at finite D.

    As short lengths ask for, of which there are more where D is small: a level would gain less for
    more. Found by what errors are stated for tanh at k = 2 and 3.
    """
    if D <= FEW_DIMENSIONS or longest < SHORT:
        return 1.7
    return 1.3 if D <= 2 * MANY_DIMENSIONS else 1.0


def _floor(problem: Problem, nodes: Nodes, share: Array) -> float:
    """The part of ½ E f*² that the nodes do not see.

    That of f* which no student can fit on them (its even part for an odd student, all but its
    projection on τ at unit radius for ReLU), and where f* has kinks the error of the rule on
    directions. Zero where the nodes hold f* to rounding.
    """
    total = problem.target.second_moment()
    unseen = total - float((nodes.weight[:, None] * nodes.target**2 * share).sum())
    return 0.5 * unseen if abs(unseen) > ROUNDING * total else 0.0


def _degree(problem: Problem, furthest: float, finer: float) -> int:
    """Degree of the rule on directions; kinks converge slowly and start from more."""
    k = problem.subspace_dim
    smooth = problem.student.smooth and problem.target.smooth
    # beyond Lebedev's degrees `half_sphere_rule` takes a product
    kinked = 255 if k == 2 else LEBEDEV_DEGREES[-1] + 1
    start = 8 + 17 * furthest if smooth else kinked
    return 1 if k == 1 else math.ceil(start * (finer if smooth else finer**2))


def slice_size(
    k: int, furthest: float, longest: float, D: float, finer: float = 1.0
) -> tuple[float, float]:
    """Roughly, how many directions, and how many mesh points times nodes, a smooth layout has."""
    if not max(furthest, longest) < FURTHEST:
        return math.inf, math.inf
    degree = (8.0 + 17.0 * furthest) * finer
    directions = half_sphere_size(k, degree)
    fine = resolution(k, finer)
    mesh = fine.points(furthest) / 2
    if not math.isinf(D):
        mesh *= fine.points(longest, signed=False) / 2
    return directions, mesh * math.prod(_node_counts(furthest, longest, k, D, finer))


def resolution(k: int, finer: float, strip: float = math.inf) -> Resolution:
    """Meshes for the tolerance at k; `finer` multiplies the points of each.

    A student with poles near the axis (tanh) has a potential that is not analytic at u = 0, r = 0:
    it takes twice the coarse points. At k ≥ 2 their number in r costs nothing after laying out,
    for there the basis counts. Of that each level leaves out so much less that it takes eight
    functions more, so that a finer layout shows what a coarser one has left out.
    """
    spacing, coarse = (0.027, 1e-14) if k == 1 else (0.045, 1e-12)
    margin, of_lengths = (1.0, 1.0 if k == 1 else 1.5) if strip > NARROW else (2.0, 2.0)
    negligible = max(3e-10 / finer**20, 1e-14)
    return Resolution(
        spacing / finer, coarse, margin * finer, of_lengths * finer, negligible, finer
    )


def _node_counts(
    furthest: float, longest: float, k: int, D: float, finer: float
) -> tuple[int, int]:
    """How many nodes in t and in ρ (measured; the error estimate then refines by `finer`).

    In few dimensions ρ varies as t does; for large D it lies within O(1) of √D, and their
    number falls with √D.
    """
    t = math.ceil((18 + 7 * furthest) * finer)
    if math.isinf(D):
        return t, 1
    if D <= FEW_DIMENSIONS:
        return t, math.ceil((18 + 7 * longest) * finer)
    return t, math.ceil((7 + (10 + 9 * longest) / math.sqrt(D)) * finer)
