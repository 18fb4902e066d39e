"""Meshes that carry the neurons along directions: what they have in common, and ReLU's."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from meanfield.activations import Activation
from meanfield.fields.base import Array
from meanfield.fields.slices.nodes import Nodes
from meanfield.kernels.fields.slices import angles

Out = tuple[Array, Array, Array]
STENCIL = 13  # points of the finite differences: their error lies below the interpolation's


class Mesh(Protocol):
    """Neurons to mesh moments, nodes to mesh, mesh fields to velocities.

    Along −e the mesh of e is mirrored. Where g0 is odd in v one half says it all (`odd`), and there
    is one column of moments for each direction; else two, for e and for −e.
    """

    odd: bool
    size: int

    def spread(self, charge: Array, u: Array, r: Array) -> Array | None:
        """Moments along each direction, (m, size) if odd, else (2m, size).

        None if a neuron lies outside the mesh, or nowhere.
        """

    def matrix(self, nodes: Nodes) -> Array:
        """g0 from mesh points to nodes, shape (N, size)."""

    def gather(self, potential: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """Write the velocities that a potential, of the shape of the moments, gives."""


class AngleMesh:
    """Cells in the angle between a neuron and the direction, for ReLU and its kin.

    Parameters
    ----------
    student : Activation
        Homogeneous.
    directions, share : ndarray, shapes (m, k) and (m,)
        Half of a symmetric rule, with its weights.
    cells : int
        Number of cells over [0, π].
    dim : float
        D, the number of perpendicular directions.
    """

    odd = False

    def __init__(
        self, student: Activation, directions: Array, share: Array, cells: int, dim: float
    ):
        self.student = student
        self.directions, self.share = directions, share
        self.cells, self.D = cells, dim
        self.size = cells + 1
        self.h = math.pi / cells
        self.psi = 0.5 * math.pi * (1.0 - np.cos(self.h * np.arange(cells + 1)))

    def spread(self, charge: Array, u: Array, r: Array) -> Array | None:
        """See `Mesh`: an angle has no end, so only NaN and infinity fall outside."""
        if not (np.isfinite(u).all() and np.isfinite(r).all()):
            return None
        blocks = max(1, 32 // len(self.directions))
        moments = angles.spread(charge, u, r, self.directions, self.cells, blocks).sum(axis=0)
        along = angles.fold(moments)
        return np.concatenate((along, along[:, ::-1]))

    def matrix(self, nodes: Nodes) -> Array:
        """See `Mesh`."""
        return self.student.average(
            nodes.t[:, None] * np.cos(self.psi), nodes.rho[:, None] * np.sin(self.psi), self.D
        )

    def gather(self, potential: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """See `Mesh`."""
        m = len(self.directions)
        fields = self._fields(0.5 * (potential[:m] + potential[m:, ::-1]))
        angles.gather(a, u, r, self.directions, self.share, self.cells, fields, rate, *out)

    def _fields(self, phi: Array) -> Array:
        """φ and dφ/dψ with mirrored padding; at the ends, where ψ' = 0, by their limits."""
        wing = STENCIL // 2
        wide = np.pad(phi, ((0, 0), (wing, wing)), mode="reflect")
        first, second = (_central_weights(order) / self.h**order for order in (1, 2))
        slope = sum(first[p] * wide[:, p : p + self.size] for p in range(STENCIL))
        rate = 0.5 * math.pi * np.sin(self.h * np.arange(self.size))
        ends = [0, self.cells]
        bend = sum(second[p] * wide[:, [p + i for i in ends]] for p in range(STENCIL))
        slope = np.asarray(slope)
        slope[:, 1:-1] /= rate[1:-1]
        slope[:, ends] = bend / (0.5 * math.pi * np.array([1.0, -1.0]))
        both = np.stack((phi, slope), axis=1)
        return np.pad(both, ((0, 0), (0, 0), (angles.PAD, angles.PAD)), mode="reflect")


def _central_weights(order: int) -> Array:
    """Central finite-difference weights on STENCIL points for unit spacing."""
    offsets = np.arange(STENCIL) - STENCIL // 2
    return _difference_weights(offsets, order)


def _difference_weights(offsets: Array, order: int) -> Array:
    """Weights at integer offsets that differentiate polynomials exactly (unit spacing)."""
    powers = np.arange(len(offsets))
    scale = float(np.abs(offsets).max())
    wanted = np.zeros(len(offsets))
    wanted[order] = math.factorial(order) / scale**order
    return np.linalg.solve((offsets / scale)[None, :] ** powers[:, None], wanted)
