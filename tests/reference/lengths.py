"""Slow, obvious twins of the meshes that carry vectors, one neuron or point at a time."""

from __future__ import annotations

import numpy as np

from tests.reference.mesh import OFFSETS, lagrange


def stencil(x, scale, origin):
    """Points around asinh(x), their weights and the slopes of the weights in asinh(x)."""
    place = scale * np.arcsinh(x) + origin
    cell = int(np.floor(place))
    value, slope = lagrange(place - cell)
    return cell + OFFSETS, value, slope * scale


def length_vector(r, lengths):
    """b(r) and db/dr."""
    points, value, slope = stencil(abs(r), lengths.scale, lengths.origin)
    rows = lengths.table.reshape(lengths.points, lengths.width)[points]
    return value @ rows, np.copysign(1.0, r) / np.sqrt(1 + r * r) * slope @ rows


def spread_points(points, vectors, directions, lattice):
    """Meshes (m, size, width) along each direction."""
    meshes = np.zeros((len(directions), lattice.counts[0], vectors.shape[1]))
    for m, e in enumerate(directions):
        for point, vector in zip(points, vectors, strict=True):
            i, weight, _ = stencil(point @ e, lattice.scale, lattice.origin[0])
            meshes[m][i] += np.outer(weight, vector)
    return meshes


def potential_along(meshes, u, r, directions, lattice, lengths):
    """Φ and its slopes in u and r at one neuron, summed over directions."""
    b, db = length_vector(r, lengths)
    value, slope, across = 0.0, np.zeros(len(u)), 0.0
    for mesh, e in zip(meshes.reshape(len(meshes), -1, len(b)), directions, strict=True):
        i, x, dx = stencil(u @ e, lattice.scale, lattice.origin[0])
        value += x @ mesh[i] @ b
        slope += e * (dx @ mesh[i] @ b) / np.sqrt(1 + (u @ e) ** 2)
        across += x @ mesh[i] @ db
    return value, slope, across
