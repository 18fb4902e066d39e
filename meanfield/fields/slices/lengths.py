"""A few functions of r hold all that a neuron's length does to the field.

g0(t v, ρ r), as a function of r for all t, v, ρ, is smooth; at d = ∞ it is σ spread by a Gaussian
of width r. Its singular values fall fast: ten to twenty functions of r hold it to ten digits, one
for sine at d = ∞ and three for a polynomial of degree four.
"""

from __future__ import annotations

import numpy as np

from meanfield.fields.base import Array
from meanfield.fields.slices.axes import Axis
from meanfield.kernels.fields.slices.lengths import Lengths, aligned
from meanfield.kernels.simd import LANES

ROUNDING = 1e-14


def length_basis(values: Array, weight: Array, negligible: float) -> Array:
    """Orthonormal functions (R, J) of the points r that hold values (N, V, R), weighted by node.

    J is the least multiple of eight that leaves out only singular values below `negligible` times
    the second: the first may be a constant that moves nothing.
    """
    weighted = np.sqrt(weight)[:, None, None] * values
    R = values.shape[2]
    triangle = np.linalg.qr(weighted.reshape(-1, R), mode="r")
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
