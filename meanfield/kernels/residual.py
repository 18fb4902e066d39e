"""From mesh moments to the residual on the quadrature nodes and back to a potential."""

from __future__ import annotations

import numpy as np
from numba import prange

from meanfield.kernels.options import parallel


@parallel
def project_residual(F, omega, target, moments, row_blocks):
    """Residual ε on the nodes and its potential on the mesh, reading F once.

    F (N, G), node weights omega (N,), target values (N, C), moments (C, G).
    Returns ε = target − F moments (N, C) and Φ = Fᵀ (omega · ε) (C, G).
    """
    N, G = F.shape
    C = moments.shape[0]
    residual = np.empty((N, C))
    partial = np.zeros((row_blocks, C, G))
    size = (N + row_blocks - 1) // row_blocks
    for task in prange(row_blocks * C):
        block, c = task // C, task % C
        mine, column = partial[block, c], moments[c]
        for q in range(block * size, min(N, (block + 1) * size)):
            f = 0.0
            for g in range(G):
                f += F[q, g] * column[g]
            epsilon = target[q, c] - f
            residual[q, c] = epsilon
            weight = omega[q] * epsilon
            for g in range(G):
                mine[g] += weight * F[q, g]
    potential = partial[0]
    for block in range(1, row_blocks):
        potential += partial[block]
    return residual, potential
