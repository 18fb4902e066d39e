"""k = 2 and 3: neurons ↔ the coarse mesh in v along each direction, lengths by a few functions.

Lengths enter through functions b_j(r) whose coefficients every mesh point carries
(`fields.lengths`). At k = 2 neurons meet a mesh in (u₁, u₂), and directions see its points as they
would see neurons, eight points of a mesh in v for each. At k = 3 they see the neurons.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.axes import Axis, Resolution
from meanfield.fields.base import Array
from meanfield.fields.lengths import length_basis, length_table
from meanfield.fields.meshes import Out
from meanfield.fields.nodes import Nodes
from meanfield.fields.smooth import Slices
from meanfield.kernels import along, lengths, space
from meanfield.kernels.residual import multiply_each


class _Lengthwise(Slices):
    """A mesh in v along each direction, whose points carry vectors."""

    def __init__(self, student: Activation, dim: float, directions: Array, share: Array,
                 reach_v: float, reach_r: float, resolution: Resolution, nodes: Nodes):  # fmt: skip
        super().__init__(student, dim, reach_v, reach_r, resolution)
        assert self.across is not None
        self.directions, self.share = directions, share
        self.basis = length_basis(self.values(nodes), nodes.weight, resolution.negligible)
        self.lengths = length_table(self.across, self.basis)
        self.width = self.lengths.width
        self.shape = len(self.along.x), self.width
        self.size = self.shape[0] * self.shape[1]
        self.line = self._lattice([self.along])

    def matrix(self, nodes: Nodes) -> Array:
        """See `Mesh`."""
        return (self.values(nodes) @ self.basis).reshape(len(nodes.t), self.size)

    def _empty(self) -> Array:
        """A fine mesh along each direction."""
        return lengths.aligned((len(self.directions), self.along.count * self.width))

    def _coarse(self, fine: Array) -> Array:
        """Moments on the coarse mesh along each direction, as columns."""
        slices = np.empty((len(fine), self.size))
        multiply_each(self.along.down, fine, self.width, slices)
        return self._columns(slices.reshape(-1, *self.shape))

    def _fine(self, potential: Array) -> Array:
        """A potential on the fine mesh along each direction, times its share."""
        slices = self.share[:, None] * self._fold(potential).reshape(-1, self.size)
        fine = self._empty()
        multiply_each(self.along.up, slices, self.width, fine)
        return fine


class PlaneMesh(_Lengthwise):
    """Any smooth student at k = 2; see `Mesh`."""

    def __init__(self, student: Activation, dim: float, directions: Array, share: Array,
                 reach_u: float, reach_r: float, resolution: Resolution, nodes: Nodes):  # fmt: skip
        axes = [Axis(reach_u, resolution, 0, signed=signed) for signed in (not student.odd, True)]
        furthest = math.sqrt(2.0) * math.sinh(axes[0].end)
        super().__init__(student, dim, directions, share, furthest, reach_r, resolution, nodes)
        whole = self._lattice(axes)
        self.plane = lengths.Plane(int(self.odd), whole.scale, whole.origin, whole.counts)
        x, y = (np.sinh((np.arange(axis.count) - axis.origin) * axis.spacing) for axis in axes)
        self.points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)

    def spread(self, charge: Array, u: Array, r: Array) -> Array | None:
        """See `Mesh`."""
        plane = lengths.spread(charge, u, r, self.plane, self.lengths)
        if plane is None:
            return None
        fine = self._empty()
        fine[:] = 0.0
        along.spread_points(self.points, plane, self.directions, self.line, self.width, fine)
        return self._coarse(fine)

    def gather(self, potential: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """See `Mesh`."""
        fine = self._fine(potential)
        plane = lengths.aligned((len(self.points) * self.width,))
        along.gather_points(self.points, self.directions, self.line, self.width, fine, plane)
        lengths.gather(a, u, r, self.plane, self.lengths, plane, rate, *out)


class SpaceMesh(_Lengthwise):
    """Any smooth student at k = 3; see `Mesh`."""

    def spread(self, charge: Array, u: Array, r: Array) -> Array | None:
        """See `Mesh`."""
        fine = self._empty()
        fine[:] = 0.0
        if space.spread(charge, u, r, self.directions, self.line, self.lengths, fine):
            return None
        return self._coarse(fine) / len(charge)

    def gather(self, potential: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """See `Mesh`."""
        fine = self._fine(potential)
        space.gather(a, u, r, self.directions, self.line, self.lengths, fine, rate, *out)
