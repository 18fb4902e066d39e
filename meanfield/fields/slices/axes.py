"""One coordinate of a mesh, fine and coarse.

The fine mesh is uniform in s = asinh(x), and local: a neuron touches eight points. The functions
on it are analytic in s (the pair kernel, as a function of v, has its nearest singularities at ±i,
which asinh puts at ±iπ/2), so a polynomial through a few Chebyshev points holds them over the whole
range: the coarse mesh, on which everything that is dense happens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meanfield.fields.base import Array
from meanfield.kernels.fields.places import BELOW, POINTS
from meanfield.kernels.fields.slices.products import multiply
from meanfield.kernels.simd import LANES

CHUNK = 512  # rows of an interpolation made at a time
STRIP = 0.5 * math.pi  # half the width of the strip in s where functions are analytic


class Axis:
    """A coordinate x with |x| ≤ reach, or 0 ≤ x ≤ reach.

    Parameters
    ----------
    reach : float
        Largest coordinate covered.
    resolution : Resolution
        Of the fine mesh and of the coarse one, Chebyshev points over [−end, end].
    parity : int
        1: functions even in x, −1: odd; only coarse points x > 0 are kept then. 0: neither.
    signed : bool
        Whether the fine mesh extends to x < 0. If not, its points are a multiple of eight, the
        first ones mirrored: kernels take products with a matrix for each point eight at a time.

    Attributes
    ----------
    origin, count : int
        Fine point i lies at asinh(x) = (i − origin) spacing, i < count.
    x : ndarray, shape (m,)
        Coarse points, ascending.
    up, down : ndarray, shapes (count, m) and (m, count)
        Interpolation from coarse to fine, and its transpose.
    """

    def __init__(self, reach: float, resolution: Resolution, parity: int, *, signed: bool = True):
        spacing, coarse = resolution.spacing, resolution.points(reach, signed=signed)
        self.spacing = spacing
        half = math.ceil(math.asinh(reach) / spacing) + 1
        self.origin = BELOW + (half if signed else -(half + POINTS) % LANES)
        self.count = self.origin + half + POINTS - BELOW
        self.end, self.coarse, self.parity = (half + POINTS - BELOW - 1) * spacing, coarse, parity
        points = self.end * np.sin(0.5 * math.pi * np.arange(1 - coarse, coarse, 2) / coarse)
        self.x = np.sinh(points[coarse // 2 :] if parity else points)

    @cached_property
    def up(self) -> Array:
        """See above."""
        return self.interpolation((np.arange(self.count) - self.origin) * self.spacing)

    @cached_property
    def down(self) -> Array:
        """See above."""
        return np.ascontiguousarray(self.up.T)

    def interpolation(self, s: Array) -> Array:
        """Matrix (len(s), m) from values at the coarse points to values at asinh(x) = s.

        The barycentric formula for Chebyshev points of the first kind (Berrut & Trefethen 2004).
        """
        i = np.arange(1 - self.coarse, self.coarse, 2) / self.coarse
        points = self.end * np.sin(0.5 * math.pi * i)
        weights = np.cos(0.5 * math.pi * i) * np.where(np.arange(self.coarse) % 2, -1.0, 1.0)
        matrix = np.empty((len(s), self.coarse))
        for first in range(0, len(s), CHUNK):  # temporaries stay in cache
            terms = s[first : first + CHUNK, None] - points
            hit = np.abs(terms) < 1e-14
            terms[hit] = 1.0
            np.divide(weights, terms, out=terms)
            met = np.any(hit, axis=1)
            terms[met] = hit[met]
            np.divide(terms, terms.sum(axis=1)[:, None], out=matrix[first : first + CHUNK])
        if self.parity == 0:
            return matrix
        half = self.coarse // 2
        return np.ascontiguousarray(matrix[:, half:] + self.parity * matrix[:, :half][:, ::-1])


@dataclass(frozen=True)
class Resolution:
    """Fine mesh width in asinh(x), what the coarse mesh may leave out, its margin in points.

    The margin of signed coordinates, and of lengths; `negligible` is what a basis of functions of
    the length may leave out; `finer`, how many times finer than usual it all is.
    """

    spacing: float
    tolerance: float
    margin: float = 1.0
    margin_of_lengths: float = 1.0
    negligible: float = 1e-12
    finer: float = 1.0

    def points(self, reach: float, *, signed: bool = True) -> int:
        """Chebyshev points, a multiple of 16, for functions analytic in the strip.

        Their error falls by ρ = b + √(1 + b²) with each point, b the strip's half-width over that
        of the interval (Trefethen 2013, theorem 8.2).
        """
        b = STRIP / (math.asinh(reach) + POINTS * self.spacing)
        needed = -math.log(self.tolerance) / math.log(b + math.sqrt(1.0 + b * b))
        margin = self.margin if signed else self.margin_of_lengths
        return 16 * math.ceil(margin * needed / 16)


def contract(values: Array, matrices: Sequence[Array]) -> Array:
    """Apply one matrix to each coordinate: Σ A_ax B_by ... values_xy...; returns it contiguous."""
    for matrix in matrices:
        rest = values.shape[1:]
        product = multiply(matrix, values.reshape(values.shape[0], -1))
        values = np.ascontiguousarray(product.T).reshape(*rest, len(matrix))
    return values
