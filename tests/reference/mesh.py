"""Slow, obvious twins of the mesh: Lagrange weights by their product formula, one neuron a time."""

from __future__ import annotations

from itertools import product

import numpy as np

OFFSETS = np.arange(-3, 5)


def lagrange(x):
    """Weights at offsets −3..4 for a point x of the cell [0, 1], and their derivatives."""
    value, slope = np.ones(8), np.zeros(8)
    for q, own in enumerate(OFFSETS):
        others = [node for node in OFFSETS if node != own]
        value[q] = np.prod([(x - node) / (own - node) for node in others])
        for left_out in others:
            rest = [(x - node) / (own - node) for node in others if node != left_out]
            slope[q] += np.prod(rest) / (own - left_out)
    return value, slope


def coordinates(u, r, ratio):
    """α = u/√(1 + r²), or (u, |r|)."""
    return u / np.sqrt(1 + r * r) if ratio else np.append(u, abs(r))


def stencil(x, scale, origin):
    """Points of the mesh around x, and weights of values and of slopes, for each coordinate."""
    place = scale * np.arcsinh(x) + origin
    cell = np.floor(place).astype(int)
    weights = [lagrange(s) for s in place - cell]
    return [c + OFFSETS for c in cell], weights


def spread(charge, u, r, lattice):
    """Mesh moments, of the shape of the mesh."""
    mesh = np.zeros(lattice.counts)
    for weight, one, length in zip(charge, u, r, strict=True):
        x = coordinates(one, length, lattice.ratio)
        points, weights = stencil(x, lattice.scale, lattice.origin)
        for index in product(range(8), repeat=len(x)):
            at = tuple(p[i] for p, i in zip(points, index, strict=True))
            mesh[at] += weight * np.prod([w[0][i] for w, i in zip(weights, index, strict=True)])
    return mesh / len(charge)


def interpolate(mesh, u, r, lattice):
    """Φ at one neuron."""
    x = coordinates(u, r, lattice.ratio)
    points, weights = stencil(x, lattice.scale, lattice.origin)
    total = mesh[np.ix_(*points)]
    for value, _ in weights:
        total = np.tensordot(value, total, axes=(0, 0))
    return float(total)
