"""Neurons to an angular mesh and back, for ReLU.

ReLU is homogeneous, so a neuron (v, r) = R (cos ψ, sin ψ) has the potential R φ(ψ): one dimension
less. The mesh is uniform in s with ψ = π/2 (1 − cos s): fine near ψ = 0 and π, where neurons in the
principal subspace are, and every smooth function of ψ is even in s about both ends.
"""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.fields.places import BATCH, BELOW, value_weights
from meanfield.kernels.inverse_trigonometry import angles
from meanfield.kernels.memory import integers
from meanfield.kernels.options import serial, shared
from meanfield.kernels.simd import fill, load, multiply, multiply_add, store, total

PAD = 4  # mirrored points beyond each end
TINY = 1e-300
GATHERS = 64  # blocks of neurons


@serial
def locate(u, r, e, first, n, cells, R, cosine, sine, cell, offset, work, root):
    """A batch along e: R, cos ψ and sin ψ, the cell of ψ and the place from its middle.

    s = acos(1 − 2ψ/π) = 2 asin √(ψ/π), from ψ and π − ψ without cancellation.
    """
    for j in range(n):
        root[j] = u[first + j, 0] * e[0]
    for c in range(1, e.size):
        for j in range(n):
            root[j] += u[first + j, c] * e[c]
    for j in range(n):
        v = root[j]
        R[j] = math.sqrt(v * v + r[first + j] * r[first + j])
        inverse = 1.0 / (R[j] + TINY)
        cosine[j], sine[j] = v * inverse, abs(r[first + j]) * inverse
    angles(sine, cosine, n, work)
    for j in range(n):
        acute = work[j] / math.pi
        psi = acute if cosine[j] >= 0.0 else 1.0 - acute
        beyond = 1.0 - acute if cosine[j] >= 0.0 else acute
        work[j], root[j] = math.sqrt(psi), math.sqrt(beyond)
    angles(work, root, n, offset)
    for j in range(n):
        s = offset[j] * (2.0 * cells / math.pi)
        s = s if s == s else 0.0
        at = int(s)
        cell[j] = at if at < cells else cells - 1
        offset[j] = s - cell[j] - 0.5


@serial
def spread_block(a, u, r, e, first, last, cells, moments):
    """Add a R of neurons first..last to a mesh along e."""
    R, cosine, sine, offset = np.empty(BATCH), np.empty(BATCH), np.empty(BATCH), np.empty(BATCH)
    work, root, cell = np.empty(BATCH), np.empty(BATCH), integers(np.empty(BATCH))
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        locate(u, r, e, start, n, cells, R, cosine, sine, cell, offset, work, root)
        for j in range(n):
            at = PAD + cell[j] - BELOW
            weight = fill(a[start + j] * R[j])
            store(moments, at, multiply_add(value_weights(offset[j]), weight, load(moments, at)))


def spread(a, u, r, e, cells, blocks):
    """Moments (blocks, m, cells + 1 + 2 PAD) of the measure a R along each direction e (m, k)."""
    moments = np.zeros((blocks, len(e), cells + 1 + 2 * PAD))
    _spread(moments, a, u, r, e, cells)
    return moments


@shared(lambda moments, a, u, r, e, *_: (len(moments) * len(e), 8.0 * len(u) * len(e)))
def _spread(first_task, last_task, moments, a, u, r, e, cells):
    n, m, blocks = u.shape[0], e.shape[0], moments.shape[0]
    size = (n + blocks - 1) // blocks
    for task in range(first_task, last_task):
        block, x = task // m, task % m
        first, last = min(n, block * size), min(n, (block + 1) * size)
        spread_block(a, u, r, e[x], first, last, cells, moments[block, x])
        for point in range(moments.shape[2]):
            moments[block, x, point] /= n


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


@serial
def gather_block(a, u, r, e, share, first, last, cells, fields, rate, out_a, out_u, out_r):
    """Velocities of neurons first..last; see `gather`."""
    R, cosine, sine, offset = np.empty(BATCH), np.empty(BATCH), np.empty(BATCH), np.empty(BATCH)
    work, root, cell = np.empty(BATCH), np.empty(BATCH), integers(np.empty(BATCH))
    phi, slope = np.empty(BATCH), np.empty(BATCH)
    for start in range(first, last, BATCH):
        n = min(BATCH, last - start)
        for j in range(start, start + n):
            out_r[j] = 0.0
            for c in range(e.shape[1]):
                out_u[j, c] = 0.0
            if rate > 0.0:
                out_a[j] = 0.0
        for x in range(e.shape[0]):
            locate(u, r, e[x], start, n, cells, R, cosine, sine, cell, offset, work, root)
            for j in range(n):
                at, weights = PAD + cell[j] - BELOW, value_weights(offset[j])
                phi[j] = share[x] * total(multiply(weights, load(fields[x, 0], at)))
                slope[j] = share[x] * total(multiply(weights, load(fields[x, 1], at)))
            for j in range(n):
                charge = a[start + j]
                C = cosine[j] if R[j] > 0.0 else 1.0  # a neuron at rest is as one along e
                across = charge * (sine[j] * phi[j] + C * slope[j])
                out_r[start + j] += math.copysign(across, across * r[start + j])
                work[j] = charge * (C * phi[j] - sine[j] * slope[j])
            for c in range(e.shape[1]):
                for j in range(n):
                    out_u[start + j, c] += work[j] * e[x, c]
            if rate > 0.0:
                for j in range(n):
                    out_a[start + j] += rate * R[j] * phi[j]


@shared(lambda a, u, r, e, *_: (GATHERS, 8.0 * len(u) * len(e)))
def gather(first_task, last_task, a, u, r, e, share, cells, fields, rate, out_a, out_u, out_r):
    """Velocities from mesh fields (m, 2, cells + 1 + 2 PAD): φ and ∂φ/∂ψ; see `mesh.gather`."""
    n = u.shape[0]
    size = (n + GATHERS - 1) // GATHERS
    for block in range(first_task, last_task):
        first, last = min(n, block * size), min(n, (block + 1) * size)
        gather_block(a, u, r, e, share, first, last, cells, fields, rate, out_a, out_u, out_r)
