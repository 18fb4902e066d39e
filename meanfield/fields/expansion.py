"""Targets that are polynomials of the principal coordinates, by their Hermite coefficients."""

from __future__ import annotations

import math

import numpy as np

from meanfield.fields.base import Array
from meanfield.fields.units import Units
from meanfield.targets import Target
from meanfield.targets.hermite import polynomial_of

Expansion = list[tuple[tuple[int, ...], float]]


def expansion_of(target: Target) -> Expansion | None:
    """The Hermite coefficients of a target that has few of them, and no more; None if it has."""
    found = polynomial_of(target)
    return None if found is None else list(found.coefficients.items())


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
