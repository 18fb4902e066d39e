"""Velocities by direct quadrature, what errors are stated against: every neuron at every node."""

from __future__ import annotations

import math

import numpy as np

from meanfield.gaussian.rules import chi_rule, hermite_rule

NEGLIGIBLE = 1e-17  # weights below this are left out
NEURONS, NODES = {1: 200, 2: 100, 3: 10}, {1: 120, 2: 80, 3: 48}  # by k
LENGTHS, LENGTH_NEURONS = 24, 10  # at finite d


def velocities(problem, a, u, r, nodes: int):
    """du/dt and dr/dt of a few neurons that are the whole measure, each node of the rule apart."""
    k, D, student = problem.subspace_dim, problem.perpendicular_dim, problem.student
    x, w = hermite_rule(nodes)
    z = np.stack(np.meshgrid(*[x] * k, indexing="ij"), axis=-1).reshape(-1, k)
    weight = np.prod(np.meshgrid(*[w] * k, indexing="ij"), axis=0).ravel()
    z, weight = z[weight > NEGLIGIBLE], weight[weight > NEGLIGIBLE]
    rho, w_rho = (np.ones(1), np.ones(1)) if math.isinf(D) else chi_rule(D, LENGTHS)
    target, v, du, dr = problem.target(z), u @ z.T, np.zeros_like(u), np.zeros_like(r)
    for length, w_length in zip(rho, w_rho, strict=True):
        s = length * r[:, None]
        force = w_length * weight * (target - a @ student.average(v, s, D) / len(a))
        along, across = student.average_slopes(v, s, D)
        du += a[:, None] * ((along * force) @ z)
        dr += a * length * (across @ force)
    return du, dr


def error(problem, field, measure) -> float:
    """Largest miss of a velocity, over the root mean square, of u and of r apart.

    A few neurons make the field: what a mesh gets wrong does not depend on their number.
    """
    k = problem.subspace_dim
    count = NEURONS[k] if math.isinf(problem.dim) else min(NEURONS[k], LENGTH_NEURONS)
    a, u, r = (part[:count].copy() for part in measure.arrays())
    out = np.empty_like(a), np.empty_like(u), np.empty_like(r)
    field.velocity(a, u, r, *out)
    worst = 0.0
    for found, expected in zip(out[1:], velocities(problem, a, u, r, NODES[k]), strict=True):
        rows = [part.reshape(count, -1) for part in (found - expected, expected)]
        miss, size = (np.sqrt((part**2).sum(axis=1)) for part in rows)
        worst = max(worst, float(miss.max() / np.sqrt((size**2).mean())))
    return worst
