"""k = 2 and 3: neurons ↔ the coarse mesh in v along each direction, lengths by a few functions.

Lengths enter through a few functions b_j(r), whose coefficients mesh points carry: g0(t v, ρ r), as
a function of r for all t, v, ρ, is smooth; at d = ∞ it is σ spread by a Gaussian of width r. Its
singular values fall fast: ten to twenty functions of r hold it to ten digits, one for sine at d = ∞
and three for a polynomial of degree four.

At k = 2 neurons meet a mesh in (u, r), and directions see its points as they would see neurons,
eight points of a mesh in v for each. At k = 3 they see the neurons.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.base import Array
from meanfield.fields.slices.axes import Axis, Resolution
from meanfield.fields.slices.meshes import Out
from meanfield.fields.slices.nodes import Nodes
from meanfield.fields.slices.smooth import Slices
from meanfield.kernels.fields import mesh as kernel
from meanfield.kernels.fields.slices import along, space
from meanfield.kernels.fields.slices.lengths import Lengths
from meanfield.kernels.fields.slices.products import multiply, multiply_each
from meanfield.kernels.simd import LANES, aligned

ROUNDING = 1e-14  # relative to the largest singular value


class _Lengthwise(Slices):
    """A mesh in v along each direction, whose points carry vectors."""

    def __init__(self, student: Activation, dim: float, directions: Array, share: Array,
                 reach_v: float, reach_r: float, resolution: Resolution, nodes: Nodes):  # fmt: skip
        super().__init__(student, dim, reach_v, reach_r, resolution)
        assert self.across is not None
        self.directions, self.share = directions, share
        averages = self.averages(nodes)
        self.basis = length_basis(averages.triangle(nodes.weight), resolution.negligible)
        self.laid = nodes, averages.onto(self.basis)
        self.width = self.basis.shape[1]
        self.shape = len(self.along.x), self.width
        self.size = self.shape[0] * self.shape[1]
        self.line = self._lattice([self.along])

    def matrix(self, nodes: Nodes) -> Array:
        """See `Mesh`."""
        known, values = self.laid
        if nodes is not known:
            values = self.averages(nodes).onto(self.basis)
        return values.reshape(len(nodes.t), self.size)

    def _fine_mesh(self) -> Array:
        """Zeros on the fine mesh along each direction."""
        return aligned((len(self.directions), self.along.count * self.width))

    def _coarse(self, fine: Array) -> Array:
        """Moments on the coarse mesh along each direction, as columns."""
        slices = np.empty((len(fine), self.size))
        multiply_each(self.along.down, fine, self.width, slices)
        return self._columns(slices.reshape(-1, *self.shape))

    def _fine(self, potential: Array) -> Array:
        """A potential on the fine mesh along each direction, times its share."""
        slices = self.share[:, None] * self._fold(potential).reshape(-1, self.size)
        fine = self._fine_mesh()
        multiply_each(self.along.up, slices, self.width, fine)
        return fine


class PlaneMesh(_Lengthwise):
    """Any smooth student at k = 2; see `Mesh`.

    Neurons meet a mesh in (u, r), whose r is then contracted to the functions b_j. Of an odd
    student the points with u₁ < 0 are −1 times those opposite.
    """

    def __init__(self, student: Activation, dim: float, directions: Array, share: Array,
                 reach_u: float, reach_r: float, resolution: Resolution, nodes: Nodes):  # fmt: skip
        axis = Axis(reach_u, resolution, 0)
        furthest = math.sqrt(2.0) * math.sinh(axis.end)
        super().__init__(student, dim, directions, share, furthest, reach_r, resolution, nodes)
        assert self.across is not None
        self.down = self.across.up @ self.basis
        self.up = np.ascontiguousarray(self.down.T)
        self.centre, self.side = axis.origin, 2 * axis.origin + 1  # as many points on either side
        self.lattice = self._lattice([axis, axis, self.across])
        self.lattice.counts[:2] = self.side
        x = np.sinh((np.arange(self.side) - self.centre) * axis.spacing)
        kept = x[self.centre :] if self.odd else x
        self.points = np.stack(np.meshgrid(kept, x, indexing="ij"), axis=-1).reshape(-1, 2)

    def spread(self, charge: Array, u: Array, r: Array) -> Array | None:
        """See `Mesh`."""
        fine = kernel.spread(charge, u, r, self.lattice)
        if fine is None:
            return None
        plane = multiply(fine.reshape(self.side**2, -1), self.down)
        if self.odd:
            plane = self._folded(plane.reshape(self.side, self.side, -1))
        slices = self._fine_mesh()
        along.spread_points(
            self.points, plane.ravel(), self.directions, self.line, self.width, slices
        )
        return self._coarse(slices)

    def gather(self, potential: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """See `Mesh`."""
        slices = self._fine(potential)
        plane = np.empty((len(self.points), self.width))
        along.gather_points(
            self.points, self.directions, self.line, self.width, slices, plane.ravel()
        )
        if self.odd:
            plane = self._unfolded(plane.reshape(-1, self.side, self.width))
        fine = multiply(plane.reshape(self.side**2, -1), self.up)
        kernel.gather(a, u, r, self.lattice, fine.ravel(), rate, *out)

    def _folded(self, plane: Array) -> Array:
        """Moments of u₁ ≥ 0, less those of the opposite points with u₁ < 0."""
        kept = plane[self.centre :]
        kept[1:] -= plane[self.centre - 1 :: -1, ::-1]
        return kept

    def _unfolded(self, kept: Array) -> Array:
        """A potential on all points, from that on u₁ ≥ 0."""
        return np.concatenate((-kept[:0:-1, ::-1], kept))


class SpaceMesh(_Lengthwise):
    """Any smooth student at k = 3; see `Mesh`."""

    def __init__(self, student: Activation, dim: float, directions: Array, share: Array,
                 reach_u: float, reach_r: float, resolution: Resolution, nodes: Nodes):  # fmt: skip
        super().__init__(student, dim, directions, share, reach_u, reach_r, resolution, nodes)
        assert self.across is not None
        self.lengths = length_table(self.across, self.basis)

    def spread(self, charge: Array, u: Array, r: Array) -> Array | None:
        """See `Mesh`."""
        fine = self._fine_mesh()
        if space.spread(charge, u, r, self.directions, self.line, self.lengths, fine):
            return None
        return self._coarse(fine) / len(charge)

    def gather(self, potential: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """See `Mesh`."""
        fine = self._fine(potential)
        space.gather(a, u, r, self.directions, self.line, self.lengths, fine, rate, *out)


def length_basis(triangle: Array, negligible: float) -> Array:
    """Orthonormal functions (R, J) of the points r that hold values on nodes, weighted by node.

    `triangle` (R, R) is that of a QR decomposition of the values; see `NodeAverages`. J is the
    least multiple of eight that leaves out only singular values below `negligible` times the
    second: the first may be a constant that moves nothing.
    """
    R = triangle.shape[1]
    _, singular, rows = np.linalg.svd(triangle)
    rank = int((singular > max(negligible * singular[1], ROUNDING * singular[0])).sum())
    return np.ascontiguousarray(rows[: min(R, LANES * -(-rank // LANES))].T)


def length_table(axis: Axis, basis: Array) -> Lengths:
    """The functions on the fine points of an axis."""
    fine = axis.up @ basis
    table = aligned(fine.shape)
    table[:] = fine
    return Lengths(
        1.0 / axis.spacing, float(axis.origin), axis.count, basis.shape[1], table.ravel()
    )
