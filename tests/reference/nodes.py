"""Slow twin for any activation: velocities by a tensor rule over (z, ρ), every neuron at each node.

It takes g0, g1 and g2 from the activation itself, which has tests of its own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from meanfield.gaussian.rules import chi_rule


def velocities(problem, a, u, r, nodes=100, lengths=20):
    """du/dt (n, k) and dr/dt (n,)."""
    k, D, student = problem.subspace_dim, problem.perpendicular_dim, problem.student
    x, w = hermegauss(nodes)
    kept = w > 1e-18 * w.sum()
    x, w = x[kept], w[kept] / w.sum()
    z = np.stack(np.meshgrid(*[x] * k, indexing="ij"), axis=-1).reshape(-1, k)
    weight = np.prod(np.meshgrid(*[w] * k, indexing="ij"), axis=0).ravel()
    rho, w_rho = (np.ones(1), np.ones(1)) if math.isinf(D) else chi_rule(D, lengths)
    v, du, dr = z @ u.T, np.zeros_like(u), np.zeros_like(r)
    for length, w_length in zip(rho, w_rho, strict=True):
        f = student.average(v, length * r, D) @ a / len(a)
        epsilon = w_length * weight * (problem.target(z) - f)
        along, across = student.average_slopes(v, length * r, D)
        du += a[:, None] * ((along * epsilon[:, None]).T @ z)
        dr += a * length * (across.T @ epsilon)
    return du, dr
