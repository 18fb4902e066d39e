"""Targets that are polynomials of the principal coordinates, by their Hermite coefficients."""

from __future__ import annotations

import math

import numpy as np

from meanfield.fields.base import Array
from meanfield.fields.units import Units
from meanfield.targets import MultiIndexTarget

LARGEST_DEGREE, MOST_COEFFICIENTS = 12, 1000
COMPLETE = 1e-7  # norm of what may lie beyond, relative to that of f*: rounding leaves 1e-8

Expansion = list[tuple[tuple[int, ...], float]]


def expansion_of(target: MultiIndexTarget) -> Expansion | None:
    """The Hermite coefficients of a target that has few of them, and no more; None if it has."""
    found = target.series
    if found is None or found[1] > COMPLETE:
        return None
    coefficients = found[0]
    scale = math.sqrt(sum(c * c for c in coefficients.values()))
    kept = [(index, c) for index, c in coefficients.items() if abs(c) > 1e-12 * scale]
    small = all(sum(index) <= LARGEST_DEGREE for index, _ in kept)
    return kept if small and len(kept) <= MOST_COEFFICIENTS else None


def polynomial_part(expansion: Expansion, at: Units) -> tuple[Array, Array, Array]:
    """E f* σ(λ) at neurons and its slopes in u and r; at.h … must hold every term."""
    value, out_u, out_r = np.zeros_like(at.r), np.zeros_like(at.u), np.zeros_like(at.r)
    direction, across = at.u / at.root[:, None], at.r / at.root
    for index, c in expansion:
        m, k = sum(index), len(index)
        amplitude = c * math.sqrt(math.factorial(m) / math.prod(map(math.factorial, index)))
        monomial = np.prod(direction ** np.array(index), axis=1)
        spread = amplitude * monomial * at.t[:, m] * at.root
        value += amplitude * monomial * at.h[:, m]
        out_u += spread[:, None] * direction
        out_r += spread * across
        for x in range(k):
            if index[x]:
                lowered = np.array(index) - (np.arange(k) == x)
                slope = np.prod(direction**lowered, axis=1) * at.s[:, m - 1] / math.sqrt(m)
                out_u[:, x] += amplitude * index[x] * slope
    return value, out_u, out_r
