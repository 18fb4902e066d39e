"""Cells of polynomials between the neurons and the coarse mesh, in one or two coordinates.

The coarse mesh holds a potential as one polynomial through Chebyshev points; in each cell that is
cut down to total degree 7, by its Chebyshev coefficients, and so are its slopes, each for itself:
a slope of a polynomial of degree 7 would be good to one order less. Moments go the same way back.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import chebyshev

from meanfield.fields.base import Array
from meanfield.fields.slices.axes import Axis
from meanfield.fields.slices.meshes import Out
from meanfield.kernels.fields.slices import cell_polynomials
from meanfield.kernels.fields.slices import cells as kernel
from meanfield.kernels.fields.slices.products import multiply
from meanfield.kernels.simd import LANES, aligned

ORDER = kernel.DEGREE + 1
FITTED = 14  # points in a cell through which a polynomial is laid before it is cut down
SHIFT, BITS = 0.52, 3  # cells are 1/16 wide at the origin, about |x|/12 far out, no edge at r = 1


class CellAxis:
    """The cells of one coordinate, and what a coarse mesh means in them.

    Attributes
    ----------
    first, count, top : int, int, float
        See `kernels.cells.Cells`.
    values, slopes : ndarray, shapes (cells, 8, m)
        From values at the coarse points to Chebyshev coefficients in each cell.
    """

    def __init__(self, axis: Axis, shift: float, bits: int, *, mirrored: bool = False):
        self.first = int(np.array([shift]).view(np.int64)[0] >> (52 - bits))
        reach = shift + math.sinh(axis.end)
        self.count = int(np.array([reach]).view(np.int64)[0] >> (52 - bits)) - self.first
        numbers = self.first + np.arange(self.count + 1)
        edges = (numbers << (52 - bits)).view(np.float64) - shift
        self.top = shift + float(edges[-1])
        middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
        angles = math.pi * (np.arange(FITTED) + 0.5) / FITTED
        points = middle[:, None] + half[:, None] * np.cos(angles)
        if mirrored:
            points, half = np.concatenate((points, -points)), np.concatenate((half, -half))
        there = axis.interpolation(np.arcsinh(points.ravel())).reshape(*points.shape, -1)
        degrees = np.arange(FITTED)
        fit = np.cos(np.outer(degrees, angles)) * np.where(degrees > 0, 2.0, 1.0)[:, None] / FITTED
        whole = fit @ there
        derivative = chebyshev.chebder(np.eye(FITTED))
        derivative = np.vstack((derivative, np.zeros(FITTED)))
        self.values = np.ascontiguousarray(whole[:, :ORDER])
        self.slopes = (derivative @ whole)[:, :ORDER] / half[:, None, None]
        self.padded = LANES * math.ceil(self.count / LANES)

    def columns(self) -> Array:
        """Values and slopes as matrices (m, 8 · padded) with columns in the order (degree, cell).

        Cells are padded to whole vectors of eight.
        """
        wide = np.zeros((2, self.values.shape[-1], ORDER, self.padded))
        for out, x in zip(wide, (self.values, self.slopes), strict=True):
            out[:, :, : self.count] = x.transpose(2, 1, 0)
        return wide.reshape(2, -1, ORDER * self.padded)


class CellMesh:
    """Neurons to coarse moments, and a coarse potential to velocities.

    Parameters
    ----------
    axes : list of Axis
        α, or u and r.
    odd : bool
        Whether functions are odd in the first coordinate.
    finer : float
        How many times narrower than usual cells are.
    """

    def __init__(self, axes: list[Axis], *, ratio: bool, odd: bool, finer: float):
        halvings = round(math.log2(finer))
        bits, shift = max(0, BITS + halvings), SHIFT * 2.0**halvings / finer
        along, *across = (
            CellAxis(axis, shift, bits, mirrored=not odd and i == 0) for i, axis in enumerate(axes)
        )
        both = (along, *across)
        self.rows, self.columns = len(along.values), across[0].padded if across else 1
        self.cells = kernel.Cells(
            int(ratio), int(odd), bits, np.full(len(axes), shift),
            np.array([axis.top for axis in both]), np.array([axis.first for axis in both]),
            np.array([along.count, self.columns][: len(axes)]),
        )  # fmt: skip
        self.size = self.rows * self.columns * (kernel.PLANE if across else kernel.LINE)
        parts: list[Array] = [along.slopes, along.values]
        self.across: Array | None = None
        if across:
            self.across = across[0].columns()
            self.across_down = self.across[0].T.ravel()
            self.up = _matrix(parts[::-1], axis=0)
            self.down = np.ascontiguousarray(self.up[: ORDER * self.rows].T)
        else:  # straight to the coefficients of powers, of slopes alone or with values
            parts = [cell_polynomials.POWERS.T @ part for part in parts]
            self.lines = _matrix(parts[:1], axis=1), _matrix(parts, axis=1)
            self.down = np.ascontiguousarray(_matrix(parts[1:], axis=1).T)
        self.meshes = self.table = np.empty((0, 0))

    def spread(self, charge: Array, u: Array, r: Array) -> Array | None:
        """Moments on the coarse mesh, (coarse u, coarse r); None if a neuron lies outside."""
        shape = kernel.spread_count(len(charge), self.size), self.size
        if self.meshes.shape != shape:
            self.meshes = aligned(shape)
        moments = kernel.spread(charge, u, r, self.cells, self.meshes)
        if moments is None:
            return None
        if self.across is None:
            rows = moments.reshape(-1, 1)
        else:
            m = self.across.shape[1]
            rows = np.empty((ORDER * self.rows, m))
            cell_polynomials.down(
                moments, self.across_down, self.rows, self.columns, m, rows.ravel()
            )
        return multiply(self.down, rows) / len(charge)

    def gather(self, potential: Array, a: Array, u: Array, r: Array, rate: float, out: Out) -> None:
        """Write the velocities of a potential on the coarse mesh; `out` may be (a, u, r)."""
        parts = self.cells.counts.size + (rate > 0.0)
        if self.table.shape != (parts * self.size,):
            self.table = aligned((parts * self.size,))
        if self.across is None:
            self.table[:] = multiply(self.lines[parts - 1], potential).ravel()
        else:
            cell_polynomials.up(
                multiply(self.up, potential).reshape(2, -1), self.across.reshape(2, -1),
                self.rows, self.columns, self.across.shape[1], parts, self.table,
            )  # fmt: skip
        kernel.gather(a, u, r, self.cells, self.table, parts, rate, *out)


def _matrix(parts: list[Array], axis: int) -> Array:
    """Parts (cells, 8, m) one after another, or beside each other in each cell; rows of m."""
    return np.concatenate(parts, axis=axis).reshape(-1, parts[0].shape[-1])
