"""Meshes that carry the neurons of one direction: the (v, r) plane for erf, an angle for ReLU."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from scipy.special import erf

from meanfield.averages import rectified_average, sphere_characteristic
from meanfield.fields.base import Array
from meanfield.fields.nodes import Nodes
from meanfield.kernels import angles
from meanfield.kernels import mesh as plane
from meanfield.kernels.mesh import POINTS
from meanfield.quadrature import GAUSSIAN_REACH

STENCIL = 13  # points of the finite differences: their error lies below the interpolation's


class Mesh(Protocol):
    """Neurons to mesh moments, nodes to mesh, mesh fields to velocities.

    Along −e the mesh of e is mirrored. Where g0 is odd in v one half says it all (`odd`), and there
    is one column of moments for each direction; else two, for e and for −e.
    """

    odd: bool
    size: int

    def covers(self, u: Array, r: Array) -> bool:
        """Whether every neuron lies inside."""

    def spread(self, a: Array, u: Array, r: Array, directions: Array) -> Array:
        """Moments along each direction: (m, size) if odd, else (2m, size)."""

    def matrix(self, nodes: Nodes) -> Array:
        """g0 from mesh points to nodes, shape (N, size)."""

    def gather(
        self, potential: Array, a: Array, u: Array, r: Array,
        directions: Array, share: Array, rate: float, out: tuple[Array, Array, Array],
    ) -> None:  # fmt: skip
        """Write the velocities that a potential, of the shape of the moments, gives."""


class PlaneMesh:
    """Uniform in asinh(v) and asinh(r), for erf: smooth and odd.

    Parameters
    ----------
    reach_v, reach_r : float
        Largest |v| and r covered.
    spacing : float
        Mesh width in asinh(v) and asinh(r).
    dim : float
        D, the number of perpendicular directions; it shapes g0.
    """

    odd = True

    def __init__(self, reach_v: float, reach_r: float, spacing: float, dim: float):
        self.h, self.D = spacing, dim
        self.half = math.ceil(math.asinh(reach_v) / spacing) + POINTS
        self.columns = math.ceil(math.asinh(reach_r) / spacing) + POINTS
        self.rows = 2 * self.half + 1
        self.size = self.half * self.columns
        self.reach_v = math.sinh((self.half - POINTS // 2 - 1) * spacing)
        self.reach_r = math.sinh((self.columns - POINTS // 2 - 1) * spacing)
        self.v = np.sinh(spacing * np.arange(-self.half, self.half + 1))
        self.r = np.sinh(spacing * np.arange(self.columns))
        self.along_v = _differences(self.rows, spacing, even=False)
        self.along_r = _differences(self.columns, spacing, even=True)

    def covers(self, u: Array, r: Array) -> bool:
        """See `Mesh`. A NaN is not covered."""
        furthest = math.sqrt(float(np.max(np.einsum("ij,ij->i", u, u))))
        return furthest < self.reach_v and float(np.max(np.abs(r))) < self.reach_r

    def spread(self, a: Array, u: Array, r: Array, directions: Array) -> Array:
        """See `Mesh`."""
        m = len(directions)
        blocks = plane.spread(a, u, r, directions, self.h, self.half, self.columns, _blocks(m))
        moments = plane.fold(blocks.sum(axis=0))
        odd = moments[:, self.half + 1 :] - moments[:, : self.half][:, ::-1]
        return np.ascontiguousarray(odd.reshape(m, self.size))

    def matrix(self, nodes: Nodes) -> Array:
        """See `Mesh`."""
        v = self.v[self.half + 1 :]  # g0 is odd in v
        if math.isinf(self.D):
            upper = erf(nodes.t[:, None, None] * v[:, None] / np.sqrt(2.0 * (1.0 + self.r**2)))
        else:
            upper = error_function_average(nodes.t_axis, v, nodes.rho_axis, self.r, self.D)
        return np.ascontiguousarray(upper.reshape(len(nodes.t), self.size))

    def gather(
        self, potential: Array, a: Array, u: Array, r: Array,
        directions: Array, share: Array, rate: float, out: tuple[Array, Array, Array],
    ) -> None:  # fmt: skip
        """See `Mesh`."""
        half = potential.reshape(-1, self.half, self.columns)
        middle = np.zeros((len(half), 1, self.columns))
        fields = plane.mesh_fields(
            np.concatenate((-half[:, ::-1], middle, half), axis=1),
            np.sqrt(1.0 + self.v**2), np.sqrt(1.0 + self.r**2), *self.along_v, *self.along_r,
        )  # fmt: skip
        plane.gather(a, u, r, directions, share, self.h, self.half, fields, rate, *out)


class AngleMesh:
    """Cells in the angle between a neuron and the direction, for ReLU.

    Parameters
    ----------
    cells : int
        Number of cells over [0, π].
    dim : float
        D, the number of perpendicular directions.
    """

    odd = False

    def __init__(self, cells: int, dim: float):
        self.cells, self.D = cells, dim
        self.size = cells + 1
        self.h = math.pi / cells
        self.psi = 0.5 * math.pi * (1.0 - np.cos(self.h * np.arange(cells + 1)))

    def covers(self, u: Array, r: Array) -> bool:
        """See `Mesh`: an angle has no end, so only NaN and infinity fall outside."""
        return bool(np.isfinite(u).all() and np.isfinite(r).all())

    def spread(self, a: Array, u: Array, r: Array, directions: Array) -> Array:
        """See `Mesh`."""
        blocks = _blocks(len(directions))
        moments = angles.spread(a, u, r, directions, self.cells, blocks).sum(axis=0)
        along = angles.fold(moments)
        return np.concatenate((along, along[:, ::-1]))

    def matrix(self, nodes: Nodes) -> Array:
        """See `Mesh`."""
        return rectified_average(
            nodes.t[:, None] * np.cos(self.psi), nodes.rho[:, None] * np.sin(self.psi), self.D
        )

    def gather(
        self, potential: Array, a: Array, u: Array, r: Array,
        directions: Array, share: Array, rate: float, out: tuple[Array, Array, Array],
    ) -> None:  # fmt: skip
        """See `Mesh`."""
        m = len(directions)
        fields = self._fields(potential[:m] + potential[m:, ::-1])
        angles.gather(a, u, r, directions, share, self.cells, fields, rate, *out)

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


def error_function_average(t: Array, v: Array, rho: Array, r: Array, D: float) -> Array:
    """E erf((t v + ρ r U)/√2) for all t, ρ, v, r, shape (len(t) len(ρ), len(v), len(r)).

    By its Fourier integral, (2/π) ∫ dω/ω e^{-ω²/2} sin(ω t v) φ(ω ρ r) with φ the characteristic
    function of U: a product of two factors for each ω, hence one matrix product. The midpoint rule
    in ω is exact but for images one period 2π/Δω away, kept beyond reach.
    """
    period = float(t.max() * v.max() + rho.max() * r.max()) + 2.0 * GAUSSIAN_REACH
    count = math.ceil(GAUSSIAN_REACH * period / (2.0 * math.pi))
    omega = (np.arange(count) + 0.5) * (2.0 * math.pi / period)
    weight = (2.0 / math.pi) * (2.0 * math.pi / period) * np.exp(-0.5 * omega**2) / omega
    along = np.sin(np.multiply.outer(np.multiply.outer(t, v), omega))
    across = weight[:, None, None] * sphere_characteristic(
        np.multiply.outer(omega, np.multiply.outer(rho, r)), D
    )
    product = along.reshape(-1, count) @ across.reshape(count, -1)
    product = product.reshape(len(t), len(v), len(rho), len(r)).transpose(0, 2, 1, 3)
    return product.reshape(-1, len(v), len(r))


def _blocks(directions: int) -> int:
    """Blocks of neurons a direction is split in: enough tasks for many threads, bounded memory."""
    return max(1, 32 // directions)


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


def _differences(count: int, h: float, *, even: bool) -> tuple[Array, Array]:
    """First differences on a line: the points each takes, and with which weight.

    One-sided near an end; near an end at 0 of an even function, mirrored.
    """
    wing = STENCIL // 2
    at = np.empty((count, STENCIL), dtype=np.int64)
    weight = np.empty((count, STENCIL))
    for i in range(count):
        first = min(i - wing, count - STENCIL)
        if not even:
            first = max(first, 0)
        points = first + np.arange(STENCIL)
        at[i] = np.abs(points)
        weight[i] = _difference_weights(points - i, 1) / h
    return at, weight
