"""The mesh on the half-sphere, one neuron and one point at a time."""

from __future__ import annotations

import math

import numpy as np

from meanfield.kernels.fields.places import BELOW, POINTS


def weights(x, offsets):
    """Lagrange weights at integer offsets for a point x."""
    return [
        math.prod((x - other) / (offset - other) for other in offsets if other != offset)
        for offset in offsets
    ]


def stencil(u, r, rows):
    """(where, weight) of the mesh points that a neuron of unit length sees, as a dict."""
    length, r = math.hypot(*u), abs(r)
    y = 2.0 * length / (r + math.sqrt(r * r + rows.delta**2 * length**2))
    s = math.asinh(y) * rows.scale
    below = math.floor(s)
    offsets = range(-BELOW, BELOW + 1 if below == 0 else POINTS - BELOW)
    seen = {}
    for offset, across in zip(offsets, weights(s - below, offsets), strict=True):
        row = BELOW + below + offset
        size = int(rows.sizes[row])
        place = (math.atan2(u[1], u[0]) % math.pi) / math.pi * size
        at = min(math.floor(place), size - 1)
        around = range(-BELOW, POINTS - BELOW)
        for step, along in zip(around, weights(place - at, around), strict=True):
            seen[int(rows.starts[row]) + at + step + BELOW] = across * along
    return seen


def spread(charge, u, r, rows, points):
    """Moments of the measure Σ charge_i R_i/n."""
    mesh = np.zeros(points)
    for q, x, z in zip(charge, u, r, strict=True):
        for at, weight in stencil(x, z, rows).items():
            mesh[at] += q * math.hypot(*x, z) * weight / len(charge)
    return mesh


def potential(mesh, u, r, rows):
    """R ψ at one neuron."""
    return math.hypot(*u, r) * sum(w * mesh[at] for at, w in stencil(u, r, rows).items())
