"""Meshes for smooth students: neurons ↔ fine mesh ↔ coarse mesh in (v, r) along each direction.

f at z = t e sees a neuron through v = u·e and r, or for erf at d = ∞ through α = u/√(1 + r²) alone
(E erf(v + rG) = erf(v/√(1 + r²)), up to the scale of its argument).
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.base import Array
from meanfield.fields.slices.axes import Axis, Resolution, contract
from meanfield.fields.slices.cells import CellMesh
from meanfield.fields.slices.meshes import Out
from meanfield.fields.slices.node_averages import NodeAverages, averages_on_product
from meanfield.fields.slices.nodes import Nodes
from meanfield.kernels.fields import mesh as kernel
from meanfield.kernels.fields.places import Lattice
from meanfield.kernels.fields.slices.products import multiply


def sees_ratio(student: Activation, dim: float) -> bool:
    """Whether u/√(1 + r²) is all that a neuron is."""
    return student.name == "erf" and math.isinf(dim)


class Slices:
    """The coarse mesh in (v, r) that all directions share, and what it gives on the nodes."""

    def __init__(self, student: Activation, dim: float, reach_v: float, reach_r: float,
                 resolution: Resolution):  # fmt: skip
        self.student, self.D = student, dim
        self.odd = student.odd
        self.ratio = sees_ratio(student, dim)
        self.along = Axis(reach_v, resolution, -1 if self.odd else 0)
        self.across: Axis | None = None
        self.r = np.zeros(1)
        if not self.ratio:
            self.across = Axis(reach_r, resolution, 1, signed=False)
            self.r = self.across.x
        self.shape = len(self.along.x), len(self.r)
        self.size = self.shape[0] * self.shape[1]

    def matrix(self, nodes: Nodes) -> Array:
        """See `Mesh`."""
        return self.averages(nodes).full().reshape(len(nodes.t), self.size)

    def averages(self, nodes: Nodes) -> NodeAverages:
        """g0 from the coarse points (v, r) on the nodes."""
        return averages_on_product(
            self.student, nodes.t_axis, self.along.x, nodes.rho_axis, self.r, self.D
        )

    def _lattice(self, axes: list[Axis]) -> Lattice:
        origin = np.array([float(axis.origin) for axis in axes])
        count = np.array([axis.count for axis in axes])
        return Lattice(int(self.ratio), 1.0 / self.along.spacing, origin, count)

    def _columns(self, moments: Array) -> Array:
        """One column of moments for each direction (m, v, r), and one for each opposite."""
        m = len(moments)
        if not self.odd:
            moments = np.concatenate((moments, moments[:, ::-1]))
            m *= 2
        return np.ascontiguousarray(moments.reshape(m, self.size))

    def _fold(self, potential: Array) -> Array:
        """Potential (m, v, r) of each direction and its opposite together."""
        potential = potential.reshape(-1, *self.shape)
        if self.odd:
            return potential
        m = len(potential) // 2
        return 0.5 * (potential[:m] + potential[m:, ::-1])


class DirectMesh(Slices):
    """Each direction spreads and gathers all neurons: k = 1, and k = 3 for erf at d = ∞."""

    def __init__(self, student: Activation, dim: float, directions: Array, share: Array,
                 reach_u: float, reach_r: float, resolution: Resolution):  # fmt: skip
        super().__init__(student, dim, reach_u, reach_r, resolution)
        axes = [self.along] if self.across is None else [self.along, self.across]
        self.directions, self.share = directions, share
        self.mesh = CellMesh(axes, ratio=self.ratio, odd=self.odd, finer=resolution.finer)

    def spread(self, charge: Array, u: Array, r: Array) -> Array | None:
        """See `Mesh`."""
        moments = np.empty((len(self.directions), *self.shape))
        for m, e in enumerate(self.directions):
            coarse = self.mesh.spread(charge, self._along(u, e), r)
            if coarse is None:
                return None
            moments[m] = coarse
        return self._columns(moments)

    def gather(self, potential: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """See `Mesh`."""
        folded = self._fold(potential)
        if u.shape[1] == 1:
            self.mesh.gather(folded[0], a, u, r, rate, out)
            return
        part = np.empty_like(a), np.empty((len(a), 1)), np.empty_like(r)
        for total in out[0 if rate > 0.0 else 1 :]:
            total[:] = 0.0
        for e, share, one in zip(self.directions, self.share, folded, strict=True):
            self.mesh.gather(share * one, a, self._along(u, e), r, rate, part)
            kernel.add_along(*part, e, rate, *out)

    def _along(self, u: Array, e: Array) -> Array:
        return u if u.shape[1] == 1 else np.ascontiguousarray((u @ e)[:, None])


class TensorMesh(Slices):
    """k = 2, erf at d = ∞: one mesh in α, whose coarse points are what the directions see.

    The coarse points stand for neurons that never move, so their part in every direction is one
    matrix.
    """

    def __init__(self, student: Activation, dim: float, directions: Array, share: Array,
                 reach_u: float, reach_r: float, resolution: Resolution):  # fmt: skip
        axis = Axis(reach_u, resolution, 0)
        furthest = math.sqrt(2.0) * float(axis.x[-1])
        super().__init__(student, dim, furthest, reach_r, resolution)
        self.axes = [axis, axis]
        self.directions, self.share = directions, share
        self.lattice = self._lattice(self.axes)
        grid = np.stack(np.meshgrid(axis.x, axis.x, indexing="ij"), axis=-1).reshape(-1, 2)
        grid = grid[len(grid) // 2 :]  # the other half is −1 times this one
        v = grid @ directions.T  # (P, m)
        rows = self.along.interpolation(np.arcsinh(v.T.ravel()))  # (m P, v)
        slices = rows.reshape(len(directions), len(grid), -1).transpose(0, 2, 1)
        self.to_slices = np.ascontiguousarray(slices.reshape(-1, len(grid)))
        weighted = share[:, None, None] * slices
        self.from_slices = np.ascontiguousarray(weighted.reshape(-1, len(grid)).T)

    def spread(self, charge: Array, u: Array, r: Array) -> Array | None:
        """See `Mesh`."""
        fine = kernel.spread(charge, u, r, self.lattice)
        if fine is None:
            return None
        fine = fine.reshape([axis.count for axis in self.axes])
        coarse = contract(fine, [axis.down for axis in self.axes]).reshape(-1, 1)
        half = len(coarse) // 2
        coarse = coarse[half:] - coarse[:half][::-1]
        slices = multiply(self.to_slices, np.ascontiguousarray(coarse))
        return self._columns(slices.reshape(-1, *self.shape))

    def gather(self, potential: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """See `Mesh`."""
        folded = np.ascontiguousarray(self._fold(potential).reshape(-1, 1))
        coarse = multiply(self.from_slices, folded)
        coarse = np.concatenate((-coarse[::-1], coarse))
        shaped = coarse.reshape([len(axis.x) for axis in self.axes])
        fine = contract(shaped, [axis.up for axis in self.axes]).ravel()
        kernel.gather(a, u, r, self.lattice, fine, rate, *out)
