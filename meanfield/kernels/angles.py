"""Neurons to an angular mesh and back, for ReLU.

ReLU is homogeneous, so a neuron (v, r) = R (cos ψ, sin ψ) has the potential R φ(ψ): one dimension
less. The mesh is uniform in s with ψ = π/2 (1 − cos s): fine near ψ = 0 and π, where neurons in the
principal subspace are, and every smooth function of ψ is even in s about both ends.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from meanfield.kernels.lanes import fill, load, multiply, multiply_add, store, total
from meanfield.kernels.options import inline, parallel, serial
from meanfield.kernels.places import BELOW, value_weights

PAD = 4  # mirrored points beyond each end


@inline
def mesh_position(v, r, cells):
    """Position in units of the mesh, in [0, cells]."""
    psi = math.atan2(abs(r), v)
    return math.acos(min(1.0, max(-1.0, 1.0 - 2.0 * psi / math.pi))) * cells / math.pi


@parallel
def spread(a, u, r, e, cells, blocks):
    """Moments (blocks, m, cells + 1 + 2 PAD) of the measure a R along each direction e (m, k)."""
    n, k = u.shape
    m = e.shape[0]
    moments = np.zeros((blocks, m, cells + 1 + 2 * PAD))
    size = (n + blocks - 1) // blocks
    for task in prange(blocks * m):
        block, x = task // m, task % m
        mine = moments[block, x]
        for i in range(block * size, min(n, (block + 1) * size)):
            v = 0.0
            for c in range(k):
                v += u[i, c] * e[x, c]
            s = mesh_position(v, r[i], cells)
            cell = min(int(s), cells - 1)
            weight = a[i] * math.sqrt(v * v + r[i] * r[i]) / n
            at = PAD + cell - BELOW
            lanes = value_weights(s - cell - 0.5)
            store(mine, at, multiply_add(lanes, fill(weight), load(mine, at)))
    return moments


@serial
def fold(moments):
    """Mirror the padding back onto the mesh: (m, cells + 1 + 2 PAD) -> (m, cells + 1)."""
    m, width = moments.shape
    cells = width - 1 - 2 * PAD
    folded = moments[:, PAD : PAD + cells + 1].copy()
    for x in range(m):
        for g in range(1, PAD + 1):
            folded[x, g] += moments[x, PAD - g]
            folded[x, cells - g] += moments[x, PAD + cells + g]
    return folded


@parallel
def gather(a, u, r, e, share, cells, fields, rate, out_a, out_u, out_r):
    """Velocities from mesh fields (m, 2, cells + 1 + 2 PAD): φ and ∂φ/∂ψ; see `mesh.gather`."""
    n, k = u.shape
    m = e.shape[0]
    blocks = 64
    size = (n + blocks - 1) // blocks
    for block in prange(blocks):
        for i in range(block * size, min(n, (block + 1) * size)):
            value, slope_r = 0.0, 0.0
            for c in range(k):
                out_u[i, c] = 0.0
            for x in range(m):
                v = 0.0
                for c in range(k):
                    v += u[i, c] * e[x, c]
                s = mesh_position(v, r[i], cells)
                cell = min(int(s), cells - 1)
                at = PAD + cell - BELOW
                lanes = value_weights(s - cell - 0.5)
                phi = total(multiply(lanes, load(fields[x, 0], at)))
                slope = total(multiply(lanes, load(fields[x, 1], at)))
                R = math.sqrt(v * v + r[i] * r[i])
                cosine, sine = (v / R, abs(r[i]) / R) if R > 0.0 else (1.0, 0.0)
                value += share[x] * R * phi
                slope_r += share[x] * (sine * phi + cosine * slope)
                for c in range(k):
                    out_u[i, c] += a[i] * share[x] * (cosine * phi - sine * slope) * e[x, c]
            out_r[i] = a[i] * (slope_r if r[i] >= 0.0 else -slope_r)
            if rate > 0.0:
                out_a[i] = rate * value
