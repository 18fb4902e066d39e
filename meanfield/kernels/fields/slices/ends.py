"""Values of a function of x + s and x − s at all pairs of x and s, from a mesh in both.

The mesh is uniform in asinh of each; see `places`.
"""

from __future__ import annotations

import numpy as np

from meanfield.kernels.fields.places import BATCH, BELOW, POINTS, locate, value_weights
from meanfield.kernels.memory import integers
from meanfield.kernels.options import shared
from meanfield.kernels.simd import fill, load, multiply, multiply_add, store, total


@shared(lambda x, s, *_: (len(x), 15.0 * len(x) * len(s)))
def interpolate(first, last, x, s, mesh, count, scale, origin, out):
    """Rows first..last of the values, (x, s), from a mesh (count²,); NaN outside it."""
    end, offset = np.empty(BATCH), np.empty((2, BATCH))
    cell, root, work = integers(np.empty((2, BATCH))), np.empty(BATCH), np.empty(BATCH)
    row, bits = np.empty(POINTS), integers(work)
    for i in range(first, last):
        for start in range(0, s.size, BATCH):
            n = min(BATCH, s.size - start)
            outside = 0
            for side in range(2):
                for j in range(n):
                    end[j] = x[i] + (1.0 - 2.0 * side) * s[start + j]
                outside += locate(
                    end, n, scale, origin, count, cell[side], offset[side], root, work, bits
                )
            for j in range(n):
                store(row, 0, value_weights(offset[0, j]))
                at = (cell[0, j] - BELOW) * count + cell[1, j] - BELOW
                flat = multiply(load(mesh, at), fill(row[0]))
                for p in range(1, POINTS):
                    flat = multiply_add(load(mesh, at + p * count), fill(row[p]), flat)
                out[i, start + j] = total(multiply(flat, value_weights(offset[1, j])))
            if outside:
                out[i, start : start + n] = np.nan
